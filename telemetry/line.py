"""The line to a broker: one connection by aiomqtt that starts and ends cleanly, whatever the broker does."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import aiomqtt

ANSWER_S = 5.0  # the broker's time to accept a connection or to acknowledge

_NO_DELAY = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)
"""paho leaves Nagle's algorithm on, which costs 40 to 88 ms per acknowledged message (ecosystem.md 1.2)."""


@contextlib.asynccontextmanager
async def connect(
    host: str,
    port: int,
    *,
    identifier: str | None = None,
    will: aiomqtt.Will | None = None,
    keepalive_s: int = 10,
    in_flight: int = 50,
    username: str | None = None,
    password: str | None = None,
) -> AsyncIterator[aiomqtt.Client]:
    """A connected client with at most `in_flight` unacknowledged messages; nothing is left behind after it.

    aiomqtt opens its socket in a thread, which cannot be cancelled and holds up the program's end when the
    host does not answer; so a first look is taken with asyncio. And when the broker does not accept, aiomqtt
    leaves the socket and a task behind; disconnecting the paho client (private to aiomqtt) closes both. The
    reason of a broken line is looked at, or asyncio would complain on the terminal that nobody did.
    Raises OSError (TimeoutError is one) or aiomqtt.MqttError when there is no broker.
    """
    async with asyncio.timeout(ANSWER_S):
        _, writer = await asyncio.open_connection(host, port)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    client = aiomqtt.Client(
        host,
        port,
        identifier=identifier,
        will=will,
        username=username,
        password=password,
        keepalive=keepalive_s,
        timeout=ANSWER_S,
        max_inflight_messages=in_flight,
        socket_options=_NO_DELAY,
    )
    client.pending_calls_threshold = in_flight
    try:
        async with client:
            yield client
    finally:
        client._client.disconnect()
        if client._disconnected.done() and not client._disconnected.cancelled():
            client._disconnected.exception()


def reason_of(error: BaseException) -> str:
    """Why there is no line, in a few words: the innermost cause."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return f"no answer within {ANSWER_S:g} s"
    return str(error) or type(error).__name__
