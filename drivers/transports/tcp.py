"""Lines to instruments that are TCP servers.

`TcpLine` carries exchanges, one at a time. Guarantees: an exchange ends by its deadline; one that does
not end well (deadline, error, cancellation) takes its connection with it and the next one connects
anew, so a late answer never meets the next question; nothing is sent twice unless the caller says that
it may be.
"""

import asyncio
import math
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar, cast

from drivers.address import Address
from drivers.errors import ConnectError, DeadlineError, LineError

T = TypeVar("T")

MAX_UNREAD = 1 << 20
"""Bytes that a peer may send without anybody reading them before the connection is given up."""
MAX_SHOWN = 200
"""Bytes of an exchange that an error message quotes."""


def shown(data: bytes) -> str:
    """Bytes as an error message quotes them: the last of them, or `nothing`."""
    return f"{'...' if len(data) > MAX_SHOWN else ''}{data[-MAX_SHOWN:]!r}" if data else "nothing"


class Peer(asyncio.Protocol):
    """One TCP connection: sends at once, and keeps what came until it is read."""

    def __init__(self) -> None:
        self.heard = bytearray()
        """The end of what came since the exchange under way began, for error messages."""
        self.heard_at = -math.inf
        """When something came last, by `time.monotonic()`."""
        self.lost: Exception | None = None
        """Why the connection is no more, as soon as it is."""
        self.gone = asyncio.Event()
        """Set when the operating system has closed the connection."""
        self._unread = bytearray()
        self._news = asyncio.Event()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self._unread += data
        self.heard += data
        del self.heard[: -MAX_SHOWN - 1]
        self.heard_at = time.monotonic()
        self._news.set()
        if len(self._unread) > MAX_UNREAD:
            self.drop(EOFError(f"more than {MAX_UNREAD} bytes came that nobody asked for"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = self.lost or exc or EOFError("the instrument closed it")
        self._news.set()
        self.gone.set()

    def drop(self, why: Exception) -> None:
        """Close at once; bytes not yet sent are lost."""
        self.lost = self.lost or why
        self._news.set()
        if self._transport is not None:
            self._transport.abort()

    @property
    def unread(self) -> int:
        """How many bytes have come and were not read."""
        return len(self._unread)

    def send(self, data: bytes) -> None:
        """Hand bytes to the operating system. Raises the reason when the connection is no more."""
        if self.lost is not None or self._transport is None:
            raise self.lost or EOFError("not connected")
        self._transport.write(data)

    async def read_until(self, terminator: bytes) -> bytes:
        """The bytes before the next `terminator`, which is taken away too. Waits for ever."""
        searched = 0
        while (end := self._unread.find(terminator, searched)) < 0:
            if self.lost is not None:
                raise self.lost
            searched = max(0, len(self._unread) - len(terminator) + 1)
            self._news.clear()
            await self._news.wait()
        message = bytes(self._unread[:end])
        del self._unread[: end + len(terminator)]
        return message

    async def read_exactly(self, count: int) -> bytes:
        """The next `count` bytes. Waits for ever."""
        while len(self._unread) < count:
            if self.lost is not None:
                raise self.lost
            self._news.clear()
            await self._news.wait()
        message = bytes(self._unread[:count])
        del self._unread[:count]
        return message

    def read_waiting(self, terminator: bytes) -> list[bytes]:
        """The whole messages that have come already."""
        *messages, rest = bytes(self._unread).split(terminator)
        self._unread[:] = rest
        return messages


class TcpLine:
    """Exchanges with an instrument at a TCP port, over a connection that is made when needed.

    `greeting` is how the text ends that the server sends on its own after each connect. A server that
    `talks` may send at any time; from others, bytes that nobody asked for mean that the line is out of
    step, and it is opened anew before the next question. `begin` is held on each connection before its first
    exchange, as a part of it.
    """

    def __init__(
        self,
        name: str,
        address: Address,
        deadline: float,
        *,
        port: int | None = None,
        greeting: bytes = b"",
        talks: bool = False,
        begin: Callable[[Peer], Awaitable[None]] | None = None,
    ) -> None:
        self.name, self.address, self.deadline = name, address, deadline
        self.port = port or address.port
        self._greeting, self._talks, self._begin = greeting, talks, begin
        self._lock = asyncio.Lock()
        self._peer: Peer | None = None
        self._begun: Peer | None = None
        self._hung_up = False

    @property
    def is_open(self) -> bool:
        return self._peer is not None and self._peer.lost is None

    async def open(self) -> None:
        """Connect now, unless connected. Raises ConnectError."""
        async with self._lock:
            await self._connected()

    async def close(self) -> None:
        """Disconnect; an exchange under way ends in LineError. Never raises; may be called twice."""
        self._hung_up = True
        if (peer := self._drop("closed by this program")) is not None:
            await peer.gone.wait()

    @asynccontextmanager
    async def exchange(self, command: str, deadline: float | None = None) -> AsyncIterator[Peer]:
        """One exchange on the line, which belongs to the caller until the block ends.

        `command` names the exchange in errors. Raises ConnectError, DeadlineError (after `deadline`
        seconds, by default the line's; `math.inf` is for ever) and LineError; what is raised inside the
        block goes through. Whatever is raised, the connection is dropped.
        """
        seconds = self.deadline if deadline is None else deadline
        async with self._lock:
            peer = await self._connected()
            peer.heard.clear()
            began = time.monotonic()
            in_step = False
            try:
                async with asyncio.timeout(seconds if seconds < math.inf else None):
                    if self._begin is not None and peer is not self._begun:
                        await self._begin(peer)
                        self._begun = peer
                    yield peer
                in_step = True
            except TimeoutError as error:
                raise DeadlineError(
                    self.name, str(self.address),
                    f"{command} was not answered within {time.monotonic() - began:.2g} s; "
                    f"what came: {shown(bytes(peer.heard))}",
                    "See that the instrument is on and not busy with another program",
                ) from error  # fmt: skip
            except (OSError, EOFError) as error:
                raise LineError(
                    self.name, str(self.address),
                    f"the line broke during {command}: {error}; what came: {shown(bytes(peer.heard))}",
                    "See that the instrument is on and its network cable is in",
                ) from error  # fmt: skip
            finally:
                if not in_step:
                    self._drop(f"dropped after {command}")

    async def converse(
        self, command: str, dialogue: Callable[[Peer], Awaitable[T]], *, retry: bool = False
    ) -> T:
        """Hold a whole dialogue as one exchange and return what it returns.

        With `retry`, for dialogues that may be held twice, a line that breaks is opened anew and the
        dialogue begun once more. Raises what `exchange` raises.
        """
        try:
            async with self.exchange(command) as peer:
                return await dialogue(peer)
        except LineError:
            if not retry or self._hung_up:
                raise
        return await self.converse(command, dialogue)

    async def query(self, request: bytes, terminator: bytes, *, retry: bool = False) -> bytes:
        """Send `request` and return what comes before `terminator`; `retry` as for `converse`."""

        async def ask(peer: Peer) -> bytes:
            peer.send(request)
            return await peer.read_until(terminator)

        return await self.converse(shown(request), ask, retry=retry)

    async def _connected(self) -> Peer:
        peer = self._peer
        if peer is not None and peer.lost is None and (self._talks or not peer.unread):
            return peer
        self._drop("out of step")
        self._hung_up = False
        peer = Peer()
        in_step = False
        try:
            async with asyncio.timeout(self.deadline):
                loop = asyncio.get_running_loop()
                await loop.create_connection(lambda: peer, self.address.host.strip("[]"), self.port)
                self._peer = peer
                if self._greeting:
                    await peer.read_until(self._greeting)
            in_step = True
        except (OSError, EOFError) as error:  # TimeoutError is an OSError
            problem = "no connection" if self._peer is None else f"no greeting {self._greeting!r}"
            reason = f"within {self.deadline:g} s" if isinstance(error, TimeoutError) else f"({error})"
            raise ConnectError(
                self.name, str(self.address),
                f"{problem} at port {self.port} {reason}; what came: {shown(bytes(peer.heard))}",
                "See that the instrument is on, and that the address in the testbed file is right",
            ) from error  # fmt: skip
        finally:
            if not in_step:
                self._drop("dropped while connecting")
        return peer

    def _drop(self, why: str) -> Peer | None:
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.drop(EOFError(why))
        return peer
