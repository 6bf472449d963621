"""The brokers that the contract is held to, each on a port of its own: the embedded one, and Mosquitto.

Both can be stopped and started again on the same port. Mosquitto is Debian's, found by name; where it is not
installed its half of the tests is skipped, loudly.
"""

import asyncio
import contextlib
import random
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from telemetry.broker import EmbeddedBroker
from telemetry.line import Line, Tls

KINDS = ("amqtt", "mosquitto")
NOT_INSTALLED = (
    "MOSQUITTO IS NOT INSTALLED, so the contract is tested on the embedded broker alone: "
    "apt-get install mosquitto"
)


class Broker(Protocol):
    """A broker under test."""

    line: Line

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class Amqtt:
    """The embedded one, in this process."""

    def __init__(self) -> None:
        self._running: EmbeddedBroker | None = None
        self.line = Line("127.0.0.1", free_port())

    async def start(self) -> None:
        self._running = EmbeddedBroker(self.line.port)
        await self._running.__aenter__()
        assert self.line.port == self._running.port, "its port was taken meanwhile"

    async def stop(self) -> None:
        if self._running is not None:
            running, self._running = self._running, None
            await running.__aexit__(None, None, None)


class Mosquitto:
    """Debian's, in a process of its own. `settings` are further lines of its configuration."""

    def __init__(self, folder: Path, *settings: str, line: Line | None = None) -> None:
        self._folder, self._settings = folder, settings
        self._process: asyncio.subprocess.Process | None = None
        self.line = line or Line("127.0.0.1", free_port())

    async def start(self) -> None:
        file = self._folder / f"mosquitto-{self.line.port}.conf"
        # Its default is 1000 messages for each subscriber, and what is more it drops.
        lines = [f"listener {self.line.port} 127.0.0.1", "set_tcp_nodelay true", "max_queued_messages 100000"]
        if not any("allow_anonymous" in line for line in self._settings):
            lines.append("allow_anonymous true")
        lines += self._settings
        file.write_text("\n".join(lines) + "\n")
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                program(), "-c", str(file), stdout=log, stderr=log
            )
        async with asyncio.timeout(10):
            while not await _listens(self.line.port):
                assert self._process.returncode is None, (self._folder / "mosquitto.log").read_text()
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """As by a power cut: nothing is said to anybody."""
        if self._process is not None:
            process, self._process = self._process, None
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def program() -> str:
    """Mosquitto, or a loud skip."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(NOT_INSTALLED)
    return found


def free_port() -> int:
    """A port that nobody takes while a broker is away. One that the system gives would be given to others,
    even to whoever tries to reach the broker, who then is connected to himself."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_768)  # Linux gives from there on
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


@contextlib.asynccontextmanager
async def running(kind: str, folder: Path) -> AsyncIterator[Broker]:
    broker: Broker = Amqtt() if kind == "amqtt" else Mosquitto(folder)
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


@contextlib.asynccontextmanager
async def running_mosquitto(folder: Path, *settings: str, tls: Tls | None = None) -> AsyncIterator[Mosquitto]:
    """One with these settings."""
    program()
    broker = Mosquitto(folder, *settings, line=Line("127.0.0.1", free_port(), tls=tls))
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
