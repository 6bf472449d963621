"""Opening and closing a serial line, cut short or at the same time: whoever comes next finds the port free.

A port is exclusive, and opening and closing go on in threads, which a cancellation cannot break off.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from drivers.address import Address
from drivers.transports.serial import SerialLine
from drivers.transports.serial_text import SerialTextLine
from tests.drivers.pty_peer import PtyPeer

PATIENCE_S = 5.0


class Pump(PtyPeer):
    """Answers every line by `off`."""

    def received(self, data: bytes) -> None:
        self.say(b"off\r\n" * data.count(b"\r"))


class Held:
    """A call in a thread that does its work and then does not return before `release` is set."""

    def __init__(self, work: Callable[..., Any]) -> None:
        self.release, self.began = threading.Event(), asyncio.Event()
        self.results: list[Any] = []
        self._work, self._loop = work, asyncio.get_running_loop()

    def __call__(self, *args: Any) -> Any:
        self.results.append(self._work(*args))
        self._loop.call_soon_threadsafe(self.began.set)
        assert self.release.wait(PATIENCE_S)
        return self.results[-1]


@pytest.fixture
async def pump() -> AsyncIterator[Pump]:
    pump = Pump()
    yield pump
    pump.hang_up()


@pytest.fixture
async def line(pump: Pump) -> AsyncIterator[SerialTextLine]:
    address = Address.parse(f"serial:{pump.path}")
    line = SerialTextLine("pump", address, 115200, PATIENCE_S, ending="\r", probe=("state?", "off"))
    yield line
    await line.close()


async def rounds() -> None:
    """Let everything go on that can go on without a thread."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_cancelled_opening_gives_the_port_back(
    line: SerialTextLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(SerialLine._open_port)
    with monkeypatch.context() as patched:
        patched.setattr(SerialLine, "_open_port", lambda self: held(self))
        opening = asyncio.create_task(line.open())
        await held.began.wait()
        for _ in range(2):  # whoever aborts twice does not get away sooner
            opening.cancel()
            await rounds()
        held.release.set()
        with pytest.raises(asyncio.CancelledError):
            await opening
    assert not line.is_open
    [port] = held.results
    assert not port.is_open
    assert await line.query("state?") == "off"


async def test_an_opening_that_fails_after_it_was_cancelled_is_no_error_of_its_own(
    line: SerialTextLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(lambda: None)

    def fail(_: object) -> None:
        held()
        raise OSError("gone")

    with monkeypatch.context() as patched:
        patched.setattr(SerialLine, "_open_port", fail)
        opening = asyncio.create_task(line.open())
        await held.began.wait()
        opening.cancel()
        held.release.set()
        with pytest.raises(asyncio.CancelledError):
            await opening
    assert await line.query("state?") == "off"


async def test_a_port_that_comes_after_the_patience_is_given_back_too(
    pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = Address.parse(f"serial:{pump.path}")
    line = SerialTextLine("pump", address, 115200, 0.0, ending="\r", probe=("state?", "off"))
    closed = asyncio.Event()
    held = Held(SerialLine._open_port)

    def open_port(self: SerialLine[str]) -> Any:
        port = held(self)
        close = port.close
        monkeypatch.setattr(port, "close", lambda: (close(), closed.set()))
        return port

    monkeypatch.setattr(SerialLine, "_open_port", open_port)
    opening = asyncio.create_task(line.open())
    await held.began.wait()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    held.release.set()
    async with asyncio.timeout(PATIENCE_S):
        await closed.wait()
    assert not held.results[0].is_open


async def test_a_cancelled_closing_closes_the_port(
    line: SerialTextLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = opened_ports(monkeypatch)
    await line.open()
    async with a_held_closing(line, monkeypatch) as (closing, held):
        closing.cancel()
        await rounds()
        held.release.set()
        with pytest.raises(asyncio.CancelledError):
            await closing
    assert not ports[0].is_open
    assert await line.query("state?") == "off"


async def test_opening_waits_for_a_closing_under_way(
    line: SerialTextLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await line.open()
    async with a_held_closing(line, monkeypatch) as (closing, held):
        opening = asyncio.create_task(line.open())
        await rounds()
        held.release.set()
        await closing
        await opening
    assert await line.query("state?") == "off"


async def test_closing_waits_for_an_opening_under_way(
    line: SerialTextLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(SerialLine._open_port)
    monkeypatch.setattr(SerialLine, "_open_port", lambda self: held(self))
    opening = asyncio.create_task(line.open())
    await held.began.wait()
    closing = asyncio.create_task(line.close())
    await rounds()
    held.release.set()
    await opening
    await closing
    assert not line.is_open
    assert not held.results[0].is_open


@asynccontextmanager
async def a_held_closing(
    line: SerialTextLine, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[asyncio.Task[None], Held]]:
    """A closing that waits for its reader until `held` is released."""
    held = Held(threading.Thread.join)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "join", lambda *args: held(*args))
        closing = asyncio.create_task(line.close())
        await held.began.wait()
        yield closing, held


def opened_ports(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The ports that are opened from now on; being held here, none closes by being forgotten."""
    ports: list[Any] = []
    open_port = SerialLine._open_port

    def noted(line: SerialLine[str]) -> Any:
        ports.append(open_port(line))
        return ports[-1]

    monkeypatch.setattr(SerialLine, "_open_port", noted)
    return ports
