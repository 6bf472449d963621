"""Questions over UDP against a socket that answers as the test says: lost, late, strange and in pieces."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest

from drivers.address import Address
from drivers.errors import ConnectError, DeadlineError, LineError
from drivers.transports.udp import SENDINGS, UdpLine
from tests.drivers.hurry import past_a_silence


class Peer(asyncio.DatagramProtocol):
    """Answers each datagram by what `answer` makes of it."""

    def __init__(self, answer: Callable[[bytes], list[bytes]]) -> None:
        self.answer, self.heard = answer, list[bytes]()
        self.asked = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.heard.append(data)
        self.asked.set()
        for datagram in self.answer(data):
            self.transport.sendto(datagram, addr)


@asynccontextmanager
async def bench(
    answer: Callable[[bytes], list[bytes]], deadline: float = 5.0
) -> AsyncIterator[tuple[UdpLine, Peer]]:
    loop = asyncio.get_running_loop()
    transport, peer = await loop.create_datagram_endpoint(lambda: Peer(answer), local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    line = UdpLine("clock", Address.parse(f"udp://127.0.0.1:{port}"), deadline)
    try:
        yield line, peer
    finally:
        await line.close()
        transport.close()


def numbered(data: bytes) -> Callable[[bytes], bytes | None]:
    """Accepts the answer to this request and no other."""
    return lambda answer: answer[1:] if answer[:1] == data[:1] else None


async def test_a_question_and_its_answer() -> None:
    async with bench(lambda data: [data[:1] + b"yes"]) as (line, peer):
        assert await line.ask(b"1?", numbered(b"1?"), "one") == b"yes"
        assert await line.ask(b"2?", numbered(b"2?"), "two") == b"yes"
        assert peer.heard == [b"1?", b"2?"]
        assert line.is_open


async def test_questions_asked_at_once_get_their_own_answers() -> None:
    async with bench(lambda data: [data[:1] + data[:1]]) as (line, _):
        requests = [f"{n}?".encode() for n in range(5)]
        answers = await asyncio.gather(*(line.ask(r, numbered(r), "q") for r in requests))
        assert answers == [b"0", b"1", b"2", b"3", b"4"]


async def test_what_is_not_the_answer_is_passed_over() -> None:
    async with bench(lambda data: [b"0late", b"\xff", data[:1] + b"mine", data[:1] + b"twice"]) as (line, _):
        assert await line.ask(b"1?", numbered(b"1?"), "one") == b"mine"
        assert await line.ask(b"2?", numbered(b"2?"), "two") == b"mine"


async def test_a_question_that_may_be_repeated_is_until_the_deadline() -> None:
    async with bench(lambda _: [], deadline=0.15) as (line, peer):
        with pytest.raises(DeadlineError, match=r"clock \(udp://127.*one was not answered .*came: nothing"):
            await line.ask(b"1?", numbered(b"1?"), "one", retry=True)
        assert peer.heard == [b"1?"] * SENDINGS
        with pytest.raises(DeadlineError):
            await line.ask(b"2?", numbered(b"2?"), "two")
        assert peer.heard == [*[b"1?"] * SENDINGS, b"2?"]


async def test_a_lost_datagram_is_made_up_for() -> None:
    left = [[], [b"1yes"]]
    async with bench(lambda _: left.pop(0)) as (line, peer):
        asking = line.ask(b"1?", numbered(b"1?"), "one", retry=True)
        assert await past_a_silence(line, asking, peer.asked.wait()) == b"yes"
        assert peer.heard == [b"1?", b"1?"]


async def test_what_accept_raises_goes_through() -> None:
    def refuse(_: bytes) -> bytes | None:
        raise ZeroDivisionError

    async with bench(lambda data: [data]) as (line, _):
        with pytest.raises(ZeroDivisionError):
            await line.ask(b"1?", refuse, "one")


async def test_closing_ends_a_question_and_the_next_opens_anew() -> None:
    silent = True
    async with bench(lambda data: [] if silent else [data[:1] + b"yes"]) as (line, peer):
        asking = asyncio.create_task(line.ask(b"1?", numbered(b"1?"), "one"))
        await peer.asked.wait()
        await line.close()
        await line.close()
        with pytest.raises(LineError, match="closed by this program"):
            await asking
        assert not line.is_open
        silent = False
        assert await line.ask(b"2?", numbered(b"2?"), "two") == b"yes"


async def test_nobody_there_is_a_line_error_at_once() -> None:
    async with bench(lambda _: []) as (line, peer):
        peer.transport.close()
        await asyncio.sleep(0)  # the socket is closed in the loop's next turn
        with pytest.raises(LineError, match=r"one could not be delivered: .*refused"):
            await line.ask(b"1?", numbered(b"1?"), "one")


async def test_a_host_without_an_address_is_a_connect_error() -> None:
    line = UdpLine("clock", Address.parse("udp://nowhere.invalid:161"), 5.0)
    with pytest.raises(ConnectError, match=r"clock .*no way to nowhere\.invalid"):
        await line.open()
