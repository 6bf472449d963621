"""An MQTT broker inside the run, for when the experiment names none.

Guaranteed: it listens on 127.0.0.1 only, on its usual port or, when that is taken, on any free one; amqtt
is imported when a broker starts and not before; entering and leaving take bounded time. It is for a demo,
for tests and for a look at a run on the same machine. It has no passwords and ends with the run: a
laboratory uses Mosquitto.
"""

import asyncio
import contextlib
import logging
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from telemetry.amqtt_loopback import LoopbackBroker

DEFAULT_PORT = 18830
LOOPBACK = "127.0.0.1"

_KEEPALIVE_GRACE_S = 2
_LEAVE_S = 1.0  # for the broker to end


class EmbeddedBroker:
    """Use as an async context manager; `port` is then the one it listens on.

    With `port` 0 any free port is taken; any other is a wish. Raises OSError when no port can be had.
    """

    host = LOOPBACK

    def __init__(self, port: int = DEFAULT_PORT) -> None:
        self.port = port
        self._connections: set[asyncio.Task[None]] = set()
        self._broker: LoopbackBroker
        self._server: asyncio.Server

    async def __aenter__(self) -> Self:
        from telemetry.amqtt_loopback import LoopbackBroker

        for chatter in ("amqtt", "transitions"):
            logging.getLogger(chatter).setLevel(logging.CRITICAL)
        # "external" listener: amqtt serves the connections, the socket is ours and so surely on loopback.
        self._broker = LoopbackBroker(
            {
                "listeners": {"default": {"type": "external"}},
                "timeout_disconnect_delay": _KEEPALIVE_GRACE_S,
                "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
            }
        )
        await self._broker.start()
        try:
            self._server = await asyncio.start_server(self._serve, LOOPBACK, self.port)
        except OSError:  # taken, most often by another run's broker
            self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_S):
                await self._broker.shutdown()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter

        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._broker.external_connected(
                StreamReaderAdapter(reader), StreamWriterAdapter(writer), "default"
            )
        finally:
            self._connections.discard(task)
            writer.close()
