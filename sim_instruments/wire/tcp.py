"""A TCP server on the loopback for one port of a simulated instrument.

It carries bytes and knows nothing of protocols: for each client it makes a *dialect*, which is handed
what arrives and answers through its `Line`. Any number of clients may be connected at once, and one that
vanishes is forgotten. The server obeys `Faults`. It makes no tasks and looks at no clock but in
`flush`, where a client that does not read must not hold the bench up for ever.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar, cast

from sim_instruments.wire.delivery import Delivery
from sim_instruments.wire.faults import Faults

LONGEST_REQUEST = 65536
"""Bytes of one request that are kept; ours to choose, far beyond any request in the protocol notes."""

PATIENCE_S = 5.0
"""Wall time after which a client that does not read is dropped, in seconds."""


class Dialect(Protocol):
    """How an instrument speaks on one connection. Made when a client connects."""

    def received(self, data: bytes) -> None:
        """Take what arrived, any bytes cut anywhere; must not raise."""


D = TypeVar("D", bound=Dialect)


class Line:
    """The way back to one client."""

    def __init__(self, transport: asyncio.Transport, faults: Faults) -> None:
        self._transport = transport
        self._delivery = Delivery(faults, self._write)

    def send(self, data: bytes) -> None:
        """Queue bytes for the client. They are dropped while the instrument is silent or the client gone."""
        self._delivery.send(data)

    def drop(self) -> None:
        """Forget what is still on its way."""
        self._delivery.drop()

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)


class Lines:
    """Cuts what arrives into lines at LF, without the LF and a CR before it.

    Bytes of a line beyond `LONGEST_REQUEST` are dropped, so a client that never ends its line costs no
    memory.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Returns the lines that `data` completes."""
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[:LONGEST_REQUEST]
        return [line.removesuffix(b"\r") for line in lines]


class TcpServer(Generic[D]):
    """Serves on 127.0.0.1; `dialect` is called with the line of each client that connects."""

    def __init__(self, faults: Faults, dialect: Callable[[Line], D]) -> None:
        self.faults = faults
        self.dialect = dialect
        self.port = 0
        self._server: asyncio.Server | None = None
        self._connections: list[_Connection[D]] = []

    @property
    def dialects(self) -> tuple[D, ...]:
        """The dialects of the clients that are connected now, the oldest first."""
        return tuple(c.dialect for c in self._connections if c.dialect is not None)

    async def start(self) -> int:
        """Listen; returns the port: a free one at first, and the same one again after `stop()`, like an
        instrument after a power-cycle. Raises OSError when somebody else has taken it since."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    async def stop(self) -> None:
        """Close every connection and stop listening. May be called twice."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        # A connection being accepted at this moment is made within two turns of the loop, and then closed.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.hang_up()
        while self._connections:
            await asyncio.wait([c.lost for c in self._connections])
        await server.wait_closed()

    def hang_up(self) -> None:
        """Break the lines to all clients, at once and without sending what is still queued."""
        for connection in self._connections:
            connection.transport.abort()

    def send_all(self, data: bytes) -> None:
        """Queue the same bytes for every client."""
        for connection in self._connections:
            if connection.dialect is not None:
                connection.line.send(data)

    async def flush(self) -> None:
        """Wait until the operating system has taken everything that was queued. A client that has not
        made room after `PATIENCE_S` is dropped."""
        full = {c.drained: c for c in self._connections if not c.drained.done()}
        if full:
            _, stuck = await asyncio.wait(full, timeout=PATIENCE_S)
            for drained in stuck:
                full[drained].transport.abort()

    @property
    def _serving(self) -> bool:
        return self._server is not None


class _Connection(asyncio.Protocol, Generic[D]):
    """One client: joins asyncio's transport to a dialect."""

    transport: asyncio.Transport
    line: Line
    lost: asyncio.Future[None]
    drained: asyncio.Future[None]

    def __init__(self, server: TcpServer[D]) -> None:
        self.server = server
        self.dialect: D | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        loop = asyncio.get_running_loop()
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=0)
        cast(socket.socket, transport.get_extra_info("socket")).setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )
        self.lost = loop.create_future()
        self.drained = loop.create_future()
        self.drained.set_result(None)
        self.server._connections.append(self)
        if self.server.faults.refuse or not self.server._serving:
            self.transport.abort()
            return
        self.line = Line(self.transport, self.server.faults)
        self.dialect = self.server.dialect(self.line)

    def data_received(self, data: bytes) -> None:
        if self.dialect is not None and not self.server.faults.silent:
            self.dialect.received(data)

    def pause_writing(self) -> None:
        self.drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        self._let_go(self.drained)

    def connection_lost(self, _: Exception | None) -> None:
        self.server._connections.remove(self)
        if self.dialect is not None:
            self.line.drop()
        self._let_go(self.drained)
        self._let_go(self.lost)

    @staticmethod
    def _let_go(future: asyncio.Future[None]) -> None:
        if not future.done():
            future.set_result(None)
