"""The line to a broker: one connection by aiomqtt that starts and ends cleanly, whatever the broker does."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiomqtt

ANSWER_S = 5.0  # the broker's time to accept a connection or to acknowledge
PORT, TLS_PORT = 1883, 8883
"""Registered with IANA for `mqtt` and `secure-mqtt`."""

_MOST_PENDING = 65_535
"""Before aiomqtt warns of calls that wait for the broker: as many as there are packet identifiers. Who sends
how much at once is decided in `delivery`."""
_NO_DELAY = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)
"""paho leaves Nagle's algorithm on, which costs 40 to 88 ms per acknowledged message (ecosystem.md 1.2)."""


@dataclass(frozen=True)
class Tls:
    """How the broker proves who it is, and how we do. PEM files; `ca` None: the authorities of the system."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    """Of our certificate; None when it is in the same file."""

    def context(self) -> ssl.SSLContext:
        """Raises OSError (ssl.SSLError is one) that names a file which cannot be used."""
        for what in (self.ca, self.certificate, self.key):
            if what is not None and not what.is_file():
                raise FileNotFoundError(f"there is no file {what}")
        context = ssl.create_default_context(cafile=self.ca)
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key)
        return context


@dataclass(frozen=True)
class Line:
    """Where a broker is, and as whom to go there."""

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Tls | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@contextlib.asynccontextmanager
async def connect(
    line: Line,
    *,
    identifier: str | None = None,
    will: aiomqtt.Will | None = None,
    keepalive_s: int = 10,
    in_flight: int = 50,
) -> AsyncIterator[aiomqtt.Client]:
    """A connected client with at most `in_flight` unacknowledged messages; nothing is left behind after it.
    When it is left by an exception, the broker publishes the will.

    aiomqtt opens its socket in a thread, which cannot be cancelled and holds up the program's end when the
    host does not answer; and paho leaves a socket behind on which TLS could not be agreed. So a first look is
    taken with asyncio. And when the broker does not accept, aiomqtt
    leaves the socket and a task behind; disconnecting the paho client (private to aiomqtt) closes both. The
    reason of a broken line is looked at, or asyncio would complain on the terminal that nobody did.
    Raises OSError (TimeoutError is one) or aiomqtt.MqttError when there is no broker, or not the one that
    its certificate should name.
    """
    context = line.tls.context() if line.tls else None
    async with asyncio.timeout(ANSWER_S):
        _, writer = await asyncio.open_connection(line.host, line.port, ssl=context)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    client = aiomqtt.Client(
        line.host,
        line.port,
        identifier=identifier,
        will=will,
        username=line.username,
        password=line.password,
        tls_context=context,
        keepalive=keepalive_s,
        timeout=ANSWER_S,
        max_inflight_messages=in_flight,
        socket_options=_NO_DELAY,
    )
    client.pending_calls_threshold = _MOST_PENDING
    client._client.on_socket_register_write = _writes_of(client, asyncio.get_running_loop())
    try:
        async with client:
            try:
                yield client
            except BaseException:
                if will is not None:
                    _break(client)
                raise
    finally:
        client._client.disconnect()
        if client._disconnected.done() and not client._disconnected.cancelled():
            client._disconnected.exception()


def _break(client: aiomqtt.Client) -> None:
    """End the connection without the DISCONNECT that aiomqtt would send, which discards the will."""
    line = client._client.socket()
    if isinstance(line, socket.socket):
        with contextlib.suppress(OSError):  # it is broken already
            line.shutdown(socket.SHUT_RDWR)


def _writes_of(client: aiomqtt.Client, loop: asyncio.AbstractEventLoop) -> Callable[..., None]:
    """paho's request to be told when its socket can be written to. aiomqtt's own answer asks for it later by
    the socket's number, which may be nobody's or somebody else's by then."""

    def write() -> None:
        try:
            client._client.loop_write()
        except OSError as error:
            if not client._disconnected.done():
                client._disconnected.set_exception(error)

    def register(_client: object, _userdata: object, line: socket.socket) -> None:
        def register_now() -> None:
            if line.fileno() >= 0:
                loop.add_writer(line.fileno(), write)

        loop.call_soon_threadsafe(register_now)  # paho may call from aiomqtt's thread

    return register


def reason_of(error: BaseException) -> str:
    """Why there is no line, in a few words: the innermost cause."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return f"no answer within {ANSWER_S:g} s"
    return str(error) or type(error).__name__
