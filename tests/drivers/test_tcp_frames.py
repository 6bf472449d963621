"""Frames over TCP; the far end is an instrument that does not notice that a connection is made anew."""

import asyncio
from collections.abc import Sequence

import pytest

from drivers.address import Address
from drivers.errors import DeadlineError, LineError
from drivers.transports.serial import Probe
from drivers.transports.tcp_frames import TcpFrameLine
from tests.drivers.hurry import PATIENT_S, in_a_hurry
from tests.drivers.scripted_peer import ScriptedPeer, cancel_once, served


class Words:
    """Frames that end with a dot."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> Sequence[bytes]:
        *whole, self._pending = (self._pending + data).split(b".")
        return whole

    def reset(self) -> None:
        self._pending = b""


PROBE = (b"who.", b"me.")


def line_to(port: int, deadline: float = PATIENT_S) -> TcpFrameLine[bytes]:
    address = Address.parse(f"tcp://127.0.0.1:{port}")
    return TcpFrameLine(
        "unit", address, deadline, decoder=Words, probe=Probe(b"who.", lambda frame: frame == b"me")
    )


def anything(_: bytes) -> bool:
    return True


async def test_a_connection_begins_with_the_probe_and_the_frame_that_fits_is_the_answer() -> None:
    peer = ScriptedPeer([PROBE, (b"a.", b"x.1."), (b"b.", b""), (b"c.", b"3.")])
    async with served(peer) as (port,):
        line = line_to(port)
        assert await line.ask(b"a.", lambda frame: frame.isdigit(), "a") == b"1"
        await line.send(b"b.", "b")
        assert await line.ask(b"c.", anything, "c") == b"3"
        await line.close()
    assert not line.is_open


async def test_a_late_answer_over_a_new_connection_is_old() -> None:
    peer = ScriptedPeer([PROBE, (b"a.", b"")], [(b"who.", b"rest.1.me."), (b"b.", b"2.")])
    async with served(peer) as (port,):
        line = line_to(port)
        await line.open()
        with in_a_hurry(line), pytest.raises(DeadlineError, match=r"unit .*a was not answered"):
            await line.ask(b"a.", anything, "a")
        assert await line.ask(b"b.", anything, "b") == b"2"
        await line.close()


async def test_half_a_frame_before_a_cancellation_is_forgotten() -> None:
    heard = asyncio.Event()
    connections: list[int] = []

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        assert await reader.readexactly(4) == b"who."
        writer.write(b"me.")
        assert await reader.readexactly(2) in (b"a.", b"b.")
        writer.write(b"12" if len(connections) == 1 else b"3.")
        heard.set()
        await reader.read()
        writer.close()

    async with served(peer) as (port,):
        line = line_to(port)
        await cancel_once(heard, line.ask(b"a.", anything, "a"))
        assert await line.ask(b"b.", anything, "b") == b"3"
        await line.close()


async def test_a_line_that_breaks_repeats_only_what_may_be_repeated() -> None:
    async with served(ScriptedPeer([PROBE], [PROBE, (b"a.", b"1.")], hang_up=True)) as (port,):
        line = line_to(port)
        assert await line.ask(b"a.", anything, "a", retry=True) == b"1"
        await line.close()
    async with served(ScriptedPeer([PROBE], hang_up=True)) as (port,):
        line = line_to(port)
        with pytest.raises(LineError, match=r"unit .*the line broke during a"):
            await line.ask(b"a.", anything, "a")
        await line.close()
