"""Questions and answers as UDP datagrams, for protocols that number them (SNMP).

Guarantees: a question ends by its deadline; a datagram that is not its answer is not taken for it, whenever
it comes, because the caller's `accept` knows the number; a question that may be repeated is sent again while
no answer comes, since networks lose datagrams. There is no connection that could be found broken: opening
proves nothing, and drivers ask for the identity.
"""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from drivers.address import Address
from drivers.errors import ConnectError, DeadlineError, LineError
from drivers.transports.tcp import shown

T = TypeVar("T")

SENDINGS = 3
"""How often a question that may be repeated is sent, at equal times within its deadline; our choice."""


class _Socket(asyncio.DatagramProtocol):
    """Hands datagrams to whoever waits, and drops those for which nobody does."""

    def __init__(self) -> None:
        self.received: Callable[[bytes], None] = lambda _: None
        self.failed: Callable[[Exception], None] = lambda _: None

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002
        self.received(data)

    def error_received(self, exc: Exception) -> None:
        self.failed(exc)


class UdpLine:
    """The way to the server at `udp://HOST:PORT`; one question at a time, `deadline` in seconds for each."""

    def __init__(self, name: str, address: Address, deadline: float) -> None:
        self.name, self.address, self.deadline = name, address, deadline
        self._lock = asyncio.Lock()
        self._open: tuple[asyncio.DatagramTransport, _Socket] | None = None

    @property
    def is_open(self) -> bool:
        return self._open is not None

    async def open(self) -> None:
        """Make the socket, unless it is there. Raises ConnectError for a host that has no address."""
        async with self._lock:
            await self._socket()

    async def close(self) -> None:
        """Give the socket up; a question under way ends in LineError. Never raises; may be called twice."""
        if self._open is not None:
            (transport, socket), self._open = self._open, None
            socket.failed(ConnectionAbortedError("closed by this program"))
            transport.close()

    async def ask(
        self, request: bytes, accept: Callable[[bytes], T | None], command: str, *, retry: bool = False
    ) -> T:
        """Send `request` and return what `accept` makes of the first datagram of which it makes something.

        `command` names the question in errors; `retry` is for questions that may be asked twice. What
        `accept` raises goes through. Raises ConnectError, DeadlineError, LineError.
        """
        async with self._lock:
            transport, socket = await self._socket()
            answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
            heard = b""

            def received(data: bytes) -> None:
                nonlocal heard
                heard = data
                if answer.done():
                    return
                try:
                    taken = accept(data)
                except Exception as error:
                    answer.set_exception(error)
                else:
                    if taken is not None:
                        answer.set_result(taken)

            def failed(error: Exception) -> None:
                if not answer.done():
                    problem = f"{command} could not be delivered: {error}"
                    remedy = "See that the instrument is on, and that its address is right"
                    answer.set_exception(LineError(self.name, str(self.address), problem, remedy))

            socket.received, socket.failed = received, failed
            began = time.monotonic()
            sendings = SENDINGS if retry else 1
            try:
                for _ in range(sendings):
                    transport.sendto(request)
                    await asyncio.wait([answer], timeout=self.deadline / sendings)
                    if answer.done():
                        return answer.result()
            finally:
                socket.received, socket.failed = (lambda _: None), (lambda _: None)
            raise DeadlineError(
                self.name, str(self.address),
                f"{command} was not answered within {time.monotonic() - began:.2g} s; "
                f"what came: {shown(heard)}",
                "See that the instrument is on, and that nothing on the way swallows UDP",
            )  # fmt: skip

    async def _socket(self) -> tuple[asyncio.DatagramTransport, _Socket]:
        if self._open is None:
            loop = asyncio.get_running_loop()
            try:
                async with asyncio.timeout(self.deadline):
                    transport, socket = await loop.create_datagram_endpoint(
                        _Socket, remote_addr=(self.address.host.strip("[]"), self.address.port)
                    )
            except OSError as error:  # TimeoutError is an OSError
                raise ConnectError(
                    self.name, str(self.address), f"no way to {self.address.host}: {error}",
                    "See that the address in the testbed file is right",
                ) from error  # fmt: skip
            self._open = transport, socket
        return self._open
