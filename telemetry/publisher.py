"""The run's side of telemetry: publish and forget.

Guaranteed: `publish_*` only puts into memory and returns at once, whatever broker and disk do; a broker that
is dead, slow or gone neither delays nor fails the run. In the background a thread stores what was put in the
outbox, and a task sends what is stored, at QoS 1 and in order, reconnects with back-off, and after each
connection brings the broker's retained messages up to date. A message leaves the outbox when the broker has
acknowledged it *and* is known to pass its topic on (see `delivery`); what is still there at the end is for a
later run or `bellbench telemetry flush`. A message may arrive twice, with the same `boot` and `seq`.
All methods belong to one event loop; they are not for other threads.
"""

import asyncio
import contextlib
import heapq
import logging
import secrets
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

import aiomqtt

from telemetry import contract, wire
from telemetry.commands import CommandDesk
from telemetry.contract import Importance, Kind
from telemetry.delivery import BATCH, Caution, Delivery, Echoes
from telemetry.leftovers import clear, opened
from telemetry.line import Line, connect, reason_of
from telemetry.messages import (
    AlarmState,
    DeviceState,
    Event,
    Meta,
    Rates,
    Readings,
    Result,
    RunState,
    Status,
)
from telemetry.outbox import Outbox, OutboxBusyError, Outgoing
from telemetry.topics import RUN, Topics
from telemetry.wire import Payload, Stamp

T = TypeVar("T")

DEFAULT_ROOT = "bellbench"
DEFAULT_NODE = "control"

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0  # between attempts to connect
_MOST_UNSTORED = 20_000  # messages that wait in memory for a disk that hangs
_LAST_WRITE_S = 2.0  # for the outbox to be written and closed at the end
_GOOD_BYE_S = 0.5  # for `disconnected` to be sent, when not everything else could be

_log = logging.getLogger(__name__)


class Publisher:
    """Publishes one run of one site. Use as an async context manager around the run.

    `site` is the testbed's name, `run` the run's id, `node` the name that this control process goes by.
    `keepalive_s` (whole seconds): a hung process is declared lost by the broker after about 1.5 times this.
    `outbox` is closed at the end; by default it is in memory. `leftovers` are outboxes of earlier processes
    for the same broker, sent as soon as there is a line. `commands` takes requests to this run.
    On leaving, what waits is sent for up to `flush_s` seconds and `disconnected` published. A line on which
    that cannot be done soon is broken, so that the broker says `lost`. `wait` is how the time until the next
    attempt to connect passes.
    """

    def __init__(
        self,
        line: Line,
        *,
        site: str,
        run: str,
        root: str = DEFAULT_ROOT,
        node: str = DEFAULT_NODE,
        keepalive_s: int = 10,
        flush_s: float = 2.0,
        outbox: Outbox | None = None,
        leftovers: Iterable[Path] = (),
        commands: CommandDesk | None = None,
        wait: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.line, self.run = line, run
        self.boot = secrets.token_hex(6)
        self.left = 0
        """Messages that were still in the outbox when it was closed."""
        self.trouble: str | None = None
        """Why what is published does not arrive, when it does not."""
        self._node, self._keepalive_s, self._flush_s, self._wait = node, keepalive_s, flush_s, wait
        self._topics = Topics(root, site)
        self._outbox = outbox if outbox is not None else Outbox()
        self._leftovers = list(leftovers)
        self._caution, self._caution_of_leftovers = Caution(), Caution()
        self.commands = commands
        """Who takes requests to the run; to be there before the line is."""
        self._seq = self._outbox.last_seq
        self._changes: dict[str, int] = {}
        self._newest: dict[str, Outgoing] = {}  # of each retained topic
        self._delivered: dict[str, Outgoing] = {}  # of each retained topic, the last
        self._unstored: list[tuple[Importance, int, Outgoing]] = []  # a heap: the least important first
        self._refused = 0
        self._hello: tuple[tuple[int, int], tuple[int, int]] | None = None
        self._fresh, self._news, self._closing = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._sending: list[asyncio.Task[None]] = []  # over the present line
        self._thread = ThreadPoolExecutor(1, "telemetry outbox")

    @property
    def dropped(self) -> int:
        """Messages that were never sent: the outbox was full, or they could not be delivered at all."""
        return sum(self._outbox.dropped.values()) + self._refused

    def publish_state(self, state: RunState) -> None:
        """How far the run is; retained. A state that still waits is replaced."""
        self._put(contract.RUN_STATE, self._topics.run(self.run, "state"), state)

    def publish_result(self, result: Result) -> None:
        """What the run has found; retained."""
        self._put(contract.RUN_RESULT, self._topics.run(self.run, "result"), result)

    def publish_rates(self, rates: Rates) -> None:
        """What the detectors see now."""
        self._put(contract.RUN_RATES, self._topics.device(self._node, RUN, "tele"), rates)

    def publish_event(self, event: Event) -> None:
        """Something happened; under the instrument's topic when the event names its node and instrument."""
        node, device = (
            (event.node, event.instrument) if event.node and event.instrument else (self._node, RUN)
        )
        weighty = Importance.EVENT if event.level == "info" else Importance.WARNING
        self._put(contract.EVENT, self._topics.device(node, device, "event"), event, weighty)

    def publish_readings(self, node: str, device: str, readings: Readings) -> None:
        """What an instrument measures."""
        self._put(contract.DEVICE_TELE, self._topics.device(node, device, "tele"), readings)

    def publish_device_state(self, node: str, device: str, state: DeviceState) -> None:
        """How an instrument stands; retained."""
        self._put(contract.DEVICE_STATE, self._topics.device(node, device, "state"), state)

    def publish_meta(self, node: str, device: str, meta: Meta) -> None:
        """Who an instrument is; retained."""
        self._put(contract.META, self._topics.device(node, device, "meta"), meta)

    def publish_alarm(self, node: str | None, device: str | None, alarm: AlarmState) -> None:
        """The alarms of an instrument, or without one of the run; retained."""
        topic = self._topics.device(node or self._node, device or RUN, "alarm")
        self._put(contract.ALARM, topic, alarm)

    async def stored(self) -> None:
        """Return when everything published so far is in the outbox, or was there and has been sent."""
        waiting, self._unstored = self._unstored, []
        messages = sorted((message for *_, message in waiting), key=lambda message: message.seq)
        # What was taken out goes into the outbox even when nobody waits for it any more.
        await asyncio.shield(self._in_thread(self._outbox.put, messages))

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._store(), name="telemetry outbox"),
            asyncio.create_task(self._serve(), name="telemetry publisher"),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        store, serve = self._tasks
        self._closing.set()
        self._news.set()
        try:
            await asyncio.wait({serve}, timeout=self._flush_s)
            if sending := [task for task in self._sending if not task.done()]:
                for task in sending:
                    task.cancel()
                await asyncio.wait({serve}, timeout=_GOOD_BYE_S)
        finally:
            for task in (serve, store):
                while not task.done():  # again, because leaving a stuck connection waits too
                    task.cancel()
                    await asyncio.wait({task}, timeout=0.1)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WRITE_S):
                    await self.stored()
                    await self._in_thread(self._close)
            self._thread.shutdown(wait=False)

    # From the run to the outbox.

    def _put(self, kind: Kind, topic: str, payload: Payload, importance: Importance | None = None) -> None:
        try:
            message = self._message(kind, topic, payload, self._numbers(topic), importance)
        except ValueError as error:  # too long, whatever is cut
            self._refused += 1
            _log.error("telemetry: %s", error)
            return
        if message.retain:
            self._newest[topic] = message
        heapq.heappush(self._unstored, (message.importance, message.seq, message))
        if len(self._unstored) > _MOST_UNSTORED:
            heapq.heappop(self._unstored)
            self._refused += 1
        self._fresh.set()

    def _numbers(self, topic: str) -> tuple[int, int]:
        self._seq += 1
        self._changes[topic] = self._changes.get(topic, 0) + 1
        return self._seq, self._changes[topic]

    def _message(
        self,
        kind: Kind,
        topic: str,
        payload: Payload,
        numbers: tuple[int, int],
        importance: Importance | None = None,
    ) -> Outgoing:
        data = wire.encode(Stamp.now(*numbers, self.boot, self.run), payload)
        return Outgoing(numbers[0], topic, data, importance or kind.importance, kind.retained)

    async def _store(self) -> None:
        """Bring what was put in memory to the outbox, all that has come meanwhile at once."""
        while True:
            await self._fresh.wait()
            self._fresh.clear()
            await self.stored()
            self._news.set()

    def _close(self) -> None:
        self.left = len(self._outbox)
        self._outbox.close()

    def _in_thread(self, work: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    # From the outbox to the broker.

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
                    _log.warning("broker %s: %s; the run goes on without", self.line, reason)
                self.trouble = reason
            if last_attempt:
                return
            waits = {
                asyncio.ensure_future(self._wait(pause_s)),
                asyncio.create_task(self._closing.wait()),
            }
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _session(self) -> None:
        """One connection: presence, what the broker may have forgotten, then all news until the end."""
        status = self._topics.status(self._node)
        # Numbers for presence and will; an attempt that fails leaves no gap.
        self._hello = ready, lost = self._hello or (self._numbers(status), self._numbers(status))
        will = self._message(contract.STATUS, status, Status(state="lost"), lost)
        line = connect(
            self.line,
            identifier=f"bellbench-{self.boot}",
            will=aiomqtt.Will(will.topic, will.payload, qos=1, retain=True),
            keepalive_s=self._keepalive_s,
            in_flight=BATCH,
        )
        async with line as client, asyncio.TaskGroup() as both:
            self._hello = None
            echoes = Echoes(client)
            delivery = Delivery(client, echoes, self._outbox, self._in_thread, self._caution, self._delivered)
            listener = both.create_task(self._listen(client, echoes))
            if self.commands:
                await client.subscribe(self._topics.run(self.run, "command"), qos=1)
            forgotten = [m for m in self._delivered.values() if m.seq == self._newest[m.topic].seq]
            await delivery.send([self._status("ready", ready), *forgotten])
            self.trouble = delivery.trouble
            self._sending = [
                both.create_task(self._clear_up(client, echoes)),
                both.create_task(self._send_news(delivery)),
            ]
            await asyncio.wait(self._sending)
            await delivery.send([self._status("disconnected", self._numbers(status))])
            listener.cancel()

    def _status(self, word: Literal["ready", "disconnected"], numbers: tuple[int, int]) -> Outgoing:
        figures = self._outbox.dropped[Importance.FIGURE]
        status = Status(state=word, dropped_figures=figures, dropped_events=self.dropped - figures)
        return self._message(contract.STATUS, self._topics.status(self._node), status, numbers)

    async def _send_news(self, delivery: Delivery) -> None:
        while await self._anything_to_send(delivery):
            await delivery.send_fetched()
            self.trouble = delivery.trouble

    async def _anything_to_send(self, delivery: Delivery) -> bool:
        """Wait for news; False when the run has ended and nothing waits that can be sent."""
        while True:
            self._news.clear()
            closing = self._closing.is_set()
            if closing:
                await self.stored()
            if await delivery.fetch():
                return True
            if closing:
                return False
            await self._news.wait()

    async def _listen(self, client: aiomqtt.Client, echoes: Echoes) -> None:
        """Take what comes in. Raises aiomqtt.MqttError when the line breaks, which otherwise shows only at
        the next publish."""
        command = self._topics.run(self.run, "command")
        async for message in client.messages:
            if self.commands and message.topic.value == command:
                await self._obey(self.commands, message.payload, retained=message.retain)
            else:
                echoes.came_back(message.topic.value, message.payload)

    async def _obey(self, desk: CommandDesk, data: bytes, *, retained: bool) -> None:
        answered = await desk.take(data, self._topics.run(self.run, "answer"), retained=retained)
        if answered is not None:
            topic, answer = answered
            self._put(contract.ANSWER, topic, answer, Importance.WARNING)

    async def _clear_up(self, client: aiomqtt.Client, echoes: Echoes) -> None:
        """Send what earlier processes left, beside what is new."""
        while self._leftovers:
            try:
                async with opened(self._leftovers[0]) as (outbox, in_thread):
                    delivery = Delivery(client, echoes, outbox, in_thread, self._caution_of_leftovers)
                    await clear(self.line, outbox, delivery, root=self._topics.root, ours=self._newest.keys())
            except (OutboxBusyError, sqlite3.Error) as error:
                _log.info("telemetry: %s", error)
            self._leftovers.pop(0)
