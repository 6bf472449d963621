"""The TCP line against a server that follows a script: what breaks, and that it stays in step."""

import asyncio
import math
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import cast

import pytest

from drivers.address import Address
from drivers.errors import ConnectError, DeadlineError, LineError
from drivers.transports.tcp import MAX_UNREAD, TcpLine
from tests.drivers.hurry import in_a_hurry

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(*scripts: Script) -> AsyncIterator[Address]:
    """Run one script per connection, in order, then hang up; fail if one was left or went wrong."""
    left = list(scripts)
    handlers: list[asyncio.Task[None]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.append(cast(asyncio.Task[None], asyncio.current_task()))
        try:
            with suppress(ConnectionError):  # the line hangs up on what it does not want to hear
                await left.pop(0)(reader, writer)
        finally:
            writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()
    try:
        yield Address.parse(f"tcp://{host}:{port}")
    finally:
        listening.close()
    assert not left
    await asyncio.wait_for(asyncio.gather(*handlers), 5)


def answering(*pairs: tuple[bytes, bytes], then: Script | None = None, greeting: bytes = b"") -> Script:
    """Wait for exact bytes and answer exact bytes, pair after pair."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        for request, answer in pairs:
            assert await reader.readexactly(len(request)) == request
            writer.write(answer)
        if then is not None:
            await then(reader, writer)

    return script


async def until_hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    assert await reader.read() == b""


def line_to(
    address: Address, deadline: float = 5.0, *, greeting: bytes = b"", talks: bool = False
) -> TcpLine:
    return TcpLine("probe", address, deadline, greeting=greeting, talks=talks)


async def test_question_and_answer_over_one_connection() -> None:
    script = answering((b"a?\n", b"1\n"), (b"b?\n", b"2\n"), then=until_hang_up)
    async with server(script) as address:
        line = line_to(address)
        assert await line.query(b"a?\n", b"\n") == b"1"
        assert await line.query(b"b?\n", b"\n") == b"2"
        assert line.is_open
        await line.close()
        await line.close()
        assert not line.is_open


async def test_questions_asked_at_once_go_one_after_the_other() -> None:
    script = answering(*((b"%d?\n" % i, b"%d\n" % i) for i in range(5)), then=until_hang_up)
    async with server(script) as address:
        line = line_to(address)
        answers = await asyncio.gather(*(line.query(b"%d?\n" % i, b"\n") for i in range(5)))
        assert answers == [b"0", b"1", b"2", b"3", b"4"]
        await line.close()


async def test_an_answer_in_pieces_is_one_answer() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(3)
        for piece in (b"12", b"34\r", b"\n>", b" "):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        await until_hang_up(reader, writer)

    async with server(script) as address:
        line = line_to(address)
        assert await line.query(b"a?\n", b"\r\n> ") == b"1234"
        await line.close()


async def test_a_refused_port_is_a_connect_error_that_says_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    line = line_to(Address.parse(f"tcp://127.0.0.1:{port}"))
    with pytest.raises(ConnectError, match=rf"probe \(tcp://127.0.0.1:{port}\).*See that the instrument"):
        await line.open()


async def test_a_wrong_greeting_is_a_connect_error_that_quotes_it() -> None:
    async with server(answering(greeting=b"220 mail ready\r\n", then=until_hang_up)) as address:
        line = line_to(address, 0.2, greeting=b"> ")
        with pytest.raises(ConnectError, match="220 mail ready"):
            await line.open()


async def test_the_greeting_is_awaited_after_each_connect() -> None:
    polite = answering((b"a?\n", b"1\n"), greeting=b"hello\r\n> ")
    async with server(polite, polite) as address:
        line = line_to(address, greeting=b"> ")
        assert await line.query(b"a?\n", b"\n") == b"1"
        assert await line.query(b"a?\n", b"\n", retry=True) == b"1"
        await line.close()


async def test_silence_is_a_deadline_error_and_a_late_answer_answers_nothing() -> None:
    overdue = asyncio.Event()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await overdue.wait()
        writer.write(b"late\n")

    first = answering((b"a?\n", b"hal"), then=late)
    async with server(first, answering((b"b?\n", b"2\n"), then=until_hang_up)) as address:
        line = line_to(address)
        await line.open()
        with (
            in_a_hurry(line, 0.5),
            pytest.raises(DeadlineError, match=r"probe .*b'a\?\\n' was not answered .*b'hal'"),
        ):
            await line.query(b"a?\n", b"\n")
        overdue.set()
        assert await line.query(b"b?\n", b"\n") == b"2"
        await line.close()


async def test_a_cancelled_question_leaves_no_answer_behind() -> None:
    asked, cancelled = asyncio.Event(), asyncio.Event()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await cancelled.wait()
        writer.write(b"late\n")

    first = answering((b"a?\n", b""), then=late)
    async with server(first, answering((b"b?\n", b"2\n"), then=until_hang_up)) as address:
        line = line_to(address)
        question = asyncio.create_task(line.query(b"a?\n", b"\n"))
        await asked.wait()
        question.cancel()
        with pytest.raises(asyncio.CancelledError):
            await question
        cancelled.set()
        assert await line.query(b"b?\n", b"\n") == b"2"
        await line.close()


async def test_an_exception_of_the_caller_goes_through_and_drops_the_line() -> None:
    async with server(until_hang_up) as address:
        line = line_to(address)
        with pytest.raises(ZeroDivisionError):
            async with line.exchange("division"):
                raise ZeroDivisionError
        assert not line.is_open


async def test_a_closed_line_is_a_line_error_with_half_the_answer() -> None:
    async with server(answering((b"a?\n", b"hal"))) as address:
        line = line_to(address)
        with pytest.raises(LineError, match=r"b'a\?\\n'.*b'hal'"):
            await line.query(b"a?\n", b"\n")


async def test_only_questions_that_may_be_repeated_are_and_only_once() -> None:
    hang_up, answer = answering((b"a?\n", b"")), answering((b"a?\n", b"1\n"), then=until_hang_up)
    async with server(hang_up, answer) as address:
        line = line_to(address)
        assert await line.query(b"a?\n", b"\n", retry=True) == b"1"
        await line.close()
    async with server(hang_up, hang_up) as address:
        with pytest.raises(LineError):
            await line_to(address).query(b"a?\n", b"\n", retry=True)
    async with server(hang_up) as address:
        with pytest.raises(LineError):
            await line_to(address).query(b"a?\n", b"\n")


async def test_closing_ends_an_exchange_and_it_is_not_repeated() -> None:
    asked = asyncio.Event()

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await until_hang_up(reader, writer)

    async with server(answering((b"a?\n", b""), then=note)) as address:
        line = line_to(address)
        question = asyncio.create_task(line.query(b"a?\n", b"\n", retry=True))
        await asked.wait()
        await line.close()
        with pytest.raises(LineError, match="closed by this program"):
            await question


async def test_bytes_that_nobody_asked_for_do_not_become_an_answer() -> None:
    first = answering((b"a?\n", b"1\nby the way\n"), then=until_hang_up)
    async with server(first, answering((b"b?\n", b"2\n"), then=until_hang_up)) as address:
        line = line_to(address)
        assert await line.query(b"a?\n", b"\n") == b"1"
        assert await line.query(b"b?\n", b"\n") == b"2"
        await line.close()


async def test_a_server_that_talks_is_heard_and_one_that_floods_is_cut_off() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"one\ntwo\nthr")
        await reader.readexactly(3)
        writer.write(b"ee\n")
        await reader.readexactly(3)
        writer.write(b"x" * (MAX_UNREAD + 1))
        assert await reader.read() == b""

    async with server(talk) as address:
        line = line_to(address, talks=True)
        async with line.exchange("listening", deadline=math.inf) as peer:
            assert await peer.read_until(b"\n") == b"one"
            assert peer.read_waiting(b"\n") == [b"two"]
            peer.send(b"a?\n")
            assert await peer.read_until(b"\n") == b"three"
            peer.send(b"b?\n")
            with pytest.raises(EOFError, match="that nobody asked for"):
                await peer.read_until(b"\n")
        await line.close()
