"""The run's side of telemetry: publish and forget.

Guaranteed: `publish_*` only puts into memory and returns at once, whatever the broker does; a broker that is
dead, slow or gone neither delays nor fails the run. A task in the background sends at QoS 1, reconnects with
back-off, and after each connection brings the broker's retained messages up to date. A message may arrive
twice (same `boot` and `seq`), and figures may be dropped when the broker stays away (counted in `dropped`).
All methods belong to one event loop; they are not for other threads.
"""

import asyncio
import contextlib
import logging
import secrets
from types import TracebackType
from typing import Literal, Self

import aiomqtt

from telemetry.line import connect, reason_of
from telemetry.messages import Event, Payload, Rates, Result, RunState, Stamp, Status, encode
from telemetry.outbox import Outbox, Outgoing
from telemetry.topics import RUN, Topics

DEFAULT_ROOT = "bellbench"
DEFAULT_NODE = "control"

_BATCH = 50  # messages in flight before their acknowledgements
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0  # between attempts to connect

_log = logging.getLogger(__name__)


class Publisher:
    """Publishes one run of one site. Use as an async context manager around the run.

    `site` is the testbed's name, `run` the run's id, `node` the name that this control process goes by.
    `keepalive_s` (whole seconds): a hung process is declared lost by the broker after about 1.5 times this.
    On leaving, what waits is sent and `disconnected` published; after `flush_s` seconds the line is closed
    in any case.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        site: str,
        run: str,
        root: str = DEFAULT_ROOT,
        node: str = DEFAULT_NODE,
        keepalive_s: int = 10,
        flush_s: float = 2.0,
        queue_limit: int = 2000,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        self.host, self.port, self.run = host, port, run
        self._username, self._password = username, password
        self.boot = secrets.token_hex(6)
        self.trouble: str | None = None  # why there is no connection, when there is none
        self._node, self._keepalive_s, self._flush_s = node, keepalive_s, flush_s
        self._topics = Topics(root, site)
        self._seq = 0
        self._outbox = Outbox(queue_limit)
        self._retained: dict[str, Outgoing] = {}
        self._in_flight: list[Outgoing] = []
        self._news = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def dropped(self) -> int:
        """Messages that were never sent because the broker was away for too long."""
        return self._outbox.dropped

    def publish_state(self, state: RunState) -> None:
        """How far the run is; retained. A state that still waits is replaced."""
        self._put(self._topics.run(self.run, "state"), state, "retained")

    def publish_result(self, result: Result) -> None:
        """What the run has found; retained."""
        self._put(self._topics.run(self.run, "result"), result, "retained")

    def publish_rates(self, rates: Rates) -> None:
        """What the detectors see now. First to be dropped when the broker is away."""
        self._put(self._topics.device(self._node, RUN, "tele"), rates, "tele")

    def publish_event(self, event: Event) -> None:
        """Something happened; under the instrument's topic when the event names its node and instrument."""
        node, device = (
            (event.node, event.instrument) if event.node and event.instrument else (self._node, RUN)
        )
        self._put(self._topics.device(node, device, "event"), event, "event")

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._serve(), name="telemetry publisher")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._closing.set()
        self._news.set()
        try:
            await asyncio.wait({self._task}, timeout=self._flush_s)
        finally:
            while not self._task.done():  # again, because leaving a stuck connection waits too
                self._task.cancel()
                await asyncio.wait({self._task}, timeout=0.1)

    def _put(self, topic: str, payload: Payload, kind: Literal["tele", "event", "retained"]) -> None:
        message = self._message(topic, payload, kind)
        if kind == "retained":
            self._retained[topic] = message
        self._outbox.put(message)
        self._news.set()

    def _message(self, topic: str, payload: Payload, kind: Literal["tele", "event", "retained"]) -> Outgoing:
        self._seq += 1
        return Outgoing(self._seq, topic, encode(Stamp.now(self._seq, self.boot, self.run), payload), kind)

    def _status(self, word: Literal["ready", "disconnected", "lost"]) -> Outgoing:
        return self._message(self._topics.status(self._node), Status(state=word), "retained")

    async def _serve(self) -> None:
        """Connect, send, reconnect, until all is sent after the run's end or the last attempt failed."""
        pause_s = _FIRST_PAUSE_S
        while True:
            last_attempt = self._closing.is_set()
            try:
                await self._session()
                return
            except Exception as error:  # telemetry must not fail a run, whatever it is
                reason = reason_of(error)
                if self.trouble is None:  # once per outage
                    pause_s = _FIRST_PAUSE_S
                    _log.warning("broker %s:%d: %s; the run goes on without", self.host, self.port, reason)
                self.trouble = reason
            if last_attempt:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _session(self) -> None:
        """One connection: presence, what the broker may have forgotten, then all news until the end."""
        will = self._status("lost")
        self._outbox.put(*self._in_flight, *self._retained.values())
        self._in_flight = []
        line = connect(
            self.host,
            self.port,
            identifier=f"bellbench-{self.boot}",
            will=aiomqtt.Will(will.topic, will.payload, qos=1, retain=True),
            keepalive_s=self._keepalive_s,
            in_flight=_BATCH,
            username=self._username,
            password=self._password,
        )
        async with line as client, asyncio.TaskGroup() as both:
            self.trouble = None
            listener = both.create_task(_until_disconnected(client))
            await self._send(client, [self._status("ready")])
            while batch := await self._next_batch():
                self._in_flight = batch
                await self._send(client, batch)
                self._in_flight = []
            await self._send(client, [self._status("disconnected")])
            listener.cancel()

    async def _next_batch(self) -> list[Outgoing]:
        """The oldest waiting messages; empty when the run has ended and nothing waits."""
        while not (batch := self._outbox.take(_BATCH)) and not self._closing.is_set():
            self._news.clear()
            await self._news.wait()
        return batch

    @staticmethod
    async def _send(client: aiomqtt.Client, batch: list[Outgoing]) -> None:
        """Publish in order, and wait until the broker has acknowledged all of them."""
        await asyncio.gather(
            *(client.publish(m.topic, m.payload, qos=1, retain=m.kind == "retained") for m in batch)
        )


async def _until_disconnected(client: aiomqtt.Client) -> None:
    """Raise aiomqtt.MqttError when the line breaks, which otherwise shows only at the next publish."""
    async for _ in client.messages:
        pass  # nothing is subscribed
