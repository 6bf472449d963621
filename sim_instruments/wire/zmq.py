"""ZeroMQ services on plain asyncio streams: a REP service and a PAIR stream, as ZMTP 3.0 on the wire.

Why not libzmq: it hides connections, and a simulated instrument must see them. Here a request can be
swallowed (a REP socket would be stuck), a stream knows whether anybody reads, holds its writer back
when the reader is slow, notices at once when the reader goes away, and leaves no thread or context
behind. Clients use any libzmq; the tests do.

Guarantees: bytes that are not ZMTP close that connection and touch nothing else. Security mechanism NULL
only, no ZMTP 3.1 heartbeats. Source: ZMTP 3.0 (rfc.zeromq.org/spec/23).
"""

import asyncio
import struct
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import ClassVar

from sim_instruments.wire.delivery import Delivery
from sim_instruments.wire.faults import Faults

GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
MORE, LONG, COMMAND = 1, 2, 4
REQUEST_MAX = 1 << 20
"""Bytes of the longest frame taken from a client."""
UNSENT_MAX = 1 << 20
"""Bytes that a stream keeps for a slow reader, beyond the kernel's buffers, before its writer waits."""

HANDSHAKE_S = 5.0
"""Wall time after which a peer that does not greet is dropped."""


class NotZmtpError(Exception):
    """The peer does not speak ZMTP 3 with the NULL mechanism."""


def frame_header(length: int, flags: int = 0) -> bytes:
    """What precedes the body of a frame."""
    return struct.pack(">BB", flags, length) if length < 256 else struct.pack(">BQ", flags | LONG, length)


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The flags (without LONG) and the body of the next frame."""
    flags = (await reader.readexactly(1))[0]
    if flags & ~(MORE | LONG | COMMAND):
        raise NotZmtpError
    if flags & LONG:
        length = int.from_bytes(await reader.readexactly(8), "big")
    else:
        length = (await reader.readexactly(1))[0]
    if length > REQUEST_MAX:
        raise NotZmtpError
    return flags & ~LONG, await reader.readexactly(length)


async def read_message(reader: asyncio.StreamReader) -> list[bytes]:
    """The parts of the next message; commands after the handshake are passed over."""
    parts: list[bytes] = []
    while True:
        flags, body = await read_frame(reader)
        if flags & COMMAND:
            continue
        parts.append(body)
        if sum(map(len, parts)) > REQUEST_MAX:
            raise NotZmtpError
        if not flags & MORE:
            return parts


class ZmtpSocket(ABC):
    """A bound socket: a TCP port with the connections that clients made to it."""

    type: ClassVar[bytes]

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.port = 0
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def open(self, port: int = 0) -> int:
        """Bind to a port of the loopback interface, to a free one for 0; returns it. Raises OSError."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    async def close(self) -> None:
        """Drop every connection with what is unsent, and free the port. May be called twice."""
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = dict(self._connections)
        for task, writer in tasks.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def hang_up(self) -> None:
        """Break every connection at once and go on listening."""
        for writer in self._connections.values():
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            if not self.faults.refuse:
                await self._connected(reader, writer)
        except (OSError, EOFError, NotZmtpError):
            pass
        except asyncio.CancelledError:
            if self._server is not None:
                raise
        finally:
            if not writer.is_closing():
                writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()
            del self._connections[task]

    @abstractmethod
    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""

    async def _handshake(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Greetings and READY commands in both directions."""
        async with asyncio.timeout(HANDSHAKE_S):
            await self._greet(reader, writer)

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        theirs = await reader.readexactly(len(GREETING))
        if theirs[0] != 0xFF or theirs[9] != 0x7F or theirs[10] < 3 or theirs[12:32] != GREETING[12:32]:
            raise NotZmtpError
        ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(self.type)) + self.type
        writer.write(frame_header(len(ready), COMMAND) + ready)
        flags, body = await read_frame(reader)
        if not flags & COMMAND or not body.startswith(b"\x05READY"):
            raise NotZmtpError


class ReplyService(ZmtpSocket):
    """REP: each request, a text, is answered with what `answer` returns for it."""

    type = b"REP"

    def __init__(self, faults: Faults, answer: Callable[[str], Awaitable[str]]) -> None:
        super().__init__(faults)
        self._answer = answer

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._handshake(reader, writer)
        delivery = Delivery(self.faults, writer.write)
        try:
            while True:
                parts = await read_message(reader)
                if self.faults.silent or b"" not in parts[:-1]:  # REP passes over requests without envelope
                    continue
                envelope = parts[: parts.index(b"") + 1]
                request = b"".join(parts[len(envelope) :]).decode(errors="replace")
                delivery.send(_message(envelope, (await self._answer(request)).encode()))
                await writer.drain()
        finally:
            delivery.drop()


def _message(envelope: list[bytes], body: bytes) -> bytes:
    parts = b"".join(frame_header(len(part), MORE) + part for part in envelope)
    return parts + frame_header(len(body)) + body


class PairStream(ZmtpSocket):
    """PAIR: messages to the one reader there may be. A second one waits until the first has gone."""

    type = b"PAIR"

    def __init__(self, faults: Faults) -> None:
        super().__init__(faults)
        self._seat = asyncio.Lock()
        self._reader: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._seated = asyncio.Event()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self._seat:
            await self._handshake(reader, writer)
            writer.transport.set_write_buffer_limits(high=UNSENT_MAX)
            self._reader = reader, writer
            self._seated.set()
            try:
                while True:
                    await read_message(reader)
            finally:
                self._leave()

    def _leave(self) -> None:
        self._reader = None
        self._seated.clear()

    async def has_reader(self, seconds: float = 0.0) -> bool:
        """Whether somebody is connected, or connects within so many seconds of wall time."""
        if self._reader is None and seconds:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._seated.wait()
        return self._reader is not None

    def write(self, message: bytes | memoryview) -> bool:
        """Hand a message over for sending without waiting; False if nobody is there to read it."""
        if self._reader is None or self._reader[1].is_closing() or self.faults.silent:
            return False
        self._reader[1].write(frame_header(len(message)))
        self._reader[1].write(message)
        return True

    async def drain(self) -> None:
        """Wait until a slow reader has taken enough, or has gone."""
        if self._reader is not None:
            with suppress(OSError):
                await self._reader[1].drain()

    def dismiss(self) -> None:
        """Close the reader's connection once everything written has been sent. A libzmq client connects
        again by itself, if it is still there."""
        if self._reader is not None:
            reader, writer = self._reader
            writer.close()
            reader.feed_eof()
            self._leave()
