"""Delivery: from the outbox to the broker, and only then out of the outbox.

An acknowledgement alone proves little. MQTT 3.1.1 has no way to refuse a message: a broker whose access list
denies a topic acknowledges what it throws away (ecosystem.md 1.6). So the first message on each topic of a
connection has to come back to us before any on that topic counts as delivered; what does not come back stays
in the outbox, and is tried again from time to time. And a message on which a broker hangs up again and again,
with nothing else under way, is given up and counted, or nothing would ever follow it.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

import aiomqtt

from telemetry.outbox import Outbox, Outgoing

BATCH = 200  # messages in flight before their acknowledgements
ECHO_S = 3.0
DENIED_FOR_S = 60.0
MOST_BREAKS = 3

InThread = Callable[..., Awaitable[Any]]
"""`in_thread(work, *arguments)` does a piece of blocking work beside the event loop."""


@dataclass
class Caution:
    """How many messages are sent at once, from one connection to the next: fewer after each break, so that a
    message which the broker cannot stand is found."""

    batch: int = BATCH
    suspect: Outgoing | None = None
    """The message that was alone under way when the line broke last."""
    breaks: int = 0
    """How often in sequence."""

    @property
    def condemned(self) -> Outgoing | None:
        """The message that is to be given up."""
        return self.suspect if self.breaks >= MOST_BREAKS else None

    def broke(self, batch: Sequence[Outgoing]) -> None:
        """Take note of a break, with these messages under way."""
        self.batch = max(1, len(batch) // 4)
        if len(batch) == 1:
            self.breaks = self.breaks + 1 if batch[0] == self.suspect else 1
            self.suspect = batch[0]

    def went_well(self) -> None:
        """Take note of messages that arrived."""
        self.batch = min(BATCH, 4 * self.batch)
        self.suspect, self.breaks = None, 0


class Echoes:
    """What comes back over one connection. All its deliveries share one, because subscriptions belong to the
    connection: a topic that one of them needs no more, another may still listen to. `came_back` is to be told
    what the connection receives."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.passed_on: set[str] = set()
        """Topics on which something has come back."""
        self._client = client
        self._listeners: Counter[str] = Counter()
        self._awaited: dict[tuple[str, bytes], asyncio.Future[None]] = {}

    @contextlib.asynccontextmanager
    async def of(self, messages: Mapping[str, Outgoing]) -> AsyncIterator[dict[str, asyncio.Future[None]]]:
        """Listen to the topics of these, one message on each; gives what is done when that comes back."""
        loop = asyncio.get_running_loop()
        echoes: dict[str, asyncio.Future[None]] = {topic: loop.create_future() for topic in messages}
        awaited = {(topic, message.payload): echoes[topic] for topic, message in messages.items()}
        self._awaited |= awaited
        self._listeners.update(messages.keys())
        try:
            if messages:
                await self._client.subscribe([(topic, 1) for topic in messages])
            yield echoes
        finally:
            self._listeners.subtract(messages.keys())
            self._awaited = {key: echo for key, echo in self._awaited.items() if key not in awaited}
        if silent := [topic for topic in messages if not self._listeners[topic]]:
            await self._client.unsubscribe(silent)

    def came_back(self, topic: str, payload: bytes) -> None:
        """One of our own messages, as a subscriber sees it."""
        echo = self._awaited.get((topic, payload))
        if echo is not None and not echo.done():
            self.passed_on.add(topic)
            echo.set_result(None)


Replaced = Callable[[Outgoing], bool]
"""Whether there is something newer than a message, so that it is not to be sent any more."""


def _never(_: Outgoing) -> bool:
    return False


class Delivery:
    """What is under way over one connection from one outbox."""

    def __init__(
        self,
        client: aiomqtt.Client,
        echoes: Echoes,
        outbox: Outbox,
        in_thread: InThread,
        caution: Caution | None = None,
        retained: dict[str, Outgoing] | None = None,
    ) -> None:
        """`retained` is to hold the newest message of each retained topic that the broker has."""
        self._client, self._echoes, self._outbox, self._in_thread = client, echoes, outbox, in_thread
        self._caution = caution or Caution()
        self._retained = retained if retained is not None else {}
        self._denied: dict[str, float] = {}  # until when
        self._batch: list[Outgoing] = []

    @property
    def trouble(self) -> str | None:
        """What the broker takes and does not pass on."""
        if not self._denied:
            return None
        first, *more = sorted(self._denied)
        others = f" and {len(more)} topics more" if more else ""
        return (
            f"the broker does not pass on what is published on {first}{others}: let its access list allow "
            "bellbench's account to write there, and to read what it wrote"
        )

    async def fetch(self) -> bool:
        """Take the next messages out of the outbox; False when there is none to be sent now."""
        if condemned := self._caution.condemned:
            await self._in_thread(self._outbox.drop, condemned)
            self._caution.went_well()
        now = monotonic()
        self._denied = {topic: until for topic, until in self._denied.items() if until > now}
        self._batch = await self._in_thread(self._outbox.take, self._caution.batch, tuple(self._denied))
        return bool(self._batch)

    async def send_fetched(self, replaced: Replaced = _never) -> None:
        """Send what was fetched, apart from what is `replaced`, and let the outbox forget that and what
        arrived. Raises aiomqtt.MqttError."""
        try:
            arrived = await self.send(self._batch, replaced)
        except (aiomqtt.MqttError, asyncio.CancelledError):  # whoever listens may notice the break first
            self._caution.broke(self._batch)
            raise
        self._caution.went_well()
        # First: when the line breaks in between, the outbox forgets and nobody comes back from there.
        self._retained |= {message.topic: message for message in arrived if message.retain}
        numbers = {message.seq for message in arrived}
        given_up = [message for message in self._batch if message.seq not in numbers and replaced(message)]
        await self._in_thread(self._outbox.delivered, [*arrived, *given_up])

    async def send(self, batch: Sequence[Outgoing], replaced: Replaced = _never) -> list[Outgoing]:
        """Publish in order, apart from what is `replaced`, and wait until the broker has acknowledged all of
        it; returns those whose topic it passes on.

        One connection keeps the order of its messages. So what is not replaced when it is handed over goes
        before anything newer that is published later.
        """
        new = {message.topic: message for message in batch if message.topic not in self._echoes.passed_on}
        async with self._echoes.of(new) as echoes:
            sent = [message for message in batch if not replaced(message)]
            topics = {message.topic for message in sent}
            await asyncio.gather(
                *(self._client.publish(m.topic, m.payload, qos=1, retain=m.retain) for m in sent)
            )
            if awaited := [echoes[topic] for topic in topics & echoes.keys()]:
                await asyncio.wait(awaited, timeout=ECHO_S)
        denied = topics - self._echoes.passed_on
        self._denied |= dict.fromkeys(denied, monotonic() + DENIED_FOR_S)
        return [message for message in sent if message.topic not in denied]
