"""The listener's side: messages of a broker as checked values, and what they add up to for one run.

What a broker sends was written by others: a message that is not one of the contract's is passed over.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime

import aiomqtt

from telemetry.line import connect, reason_of
from telemetry.messages import ENDED, Event, Payload, Rates, Result, RunState, Scalar, Stamp, Status, decode
from telemetry.topics import Place, everything, parse

_PAUSE_S = 0.5  # between attempts to reconnect


@dataclass(frozen=True)
class Message:
    """One message. `payload` is None when this version does not know the kind; `fields` has it anyway."""

    topic: str
    place: Place
    stamp: Stamp
    fields: dict[str, Scalar]
    payload: Payload | None
    kept: bool  # by the broker, from before the subscription


class BrokerError(Exception):
    """No broker answers, or it went away and did not come back."""


def read(root: str, topic: str, data: bytes, *, kept: bool = False) -> Message | None:
    """The message, or None when it is not one of the contract's."""
    place = parse(root, topic)
    if place is None:
        return None
    try:
        stamp, fields = decode(data)
        kind = _payload_kind(place)
        return Message(topic, place, stamp, fields, kind.read(fields) if kind else None, kept)
    except ValueError:
        return None


async def listen(host: str, port: int, *, root: str, patience_s: float = 10.0) -> AsyncGenerator[Message]:
    """All messages under `root`, the retained ones first. Reconnects for up to `patience_s` seconds.

    Raises BrokerError at once when no broker answers at first.
    """
    loop = asyncio.get_running_loop()
    give_up = loop.time()
    while True:
        try:
            async with connect(host, port) as client:
                await client.subscribe(everything(root), qos=1)
                give_up = loop.time() + patience_s
                async for raw in client.messages:
                    if message := _message(root, raw):
                        yield message
        except (OSError, aiomqtt.MqttError) as error:
            if loop.time() >= give_up:
                raise BrokerError(reason_of(error)) from error
            await asyncio.sleep(_PAUSE_S)


async def retained(host: str, port: int, *, root: str) -> list[Message]:
    """What the broker keeps under `root`, for one who comes late. Raises BrokerError when none answers.

    MQTT does not say where the retained messages end. But brokers serve one client's packets in order: when
    a second subscription is acknowledged, the retained messages of the first have been sent (at QoS 0 none
    is held back).
    """
    messages = []
    try:
        async with connect(host, port) as client:
            await client.subscribe(everything(root), qos=0)
            await client.subscribe(f"{root.strip('/')}/end-of-retained", qos=0)
            while len(client.messages):
                if message := _message(root, await anext(client.messages)):
                    messages.append(message)
    except (OSError, aiomqtt.MqttError) as error:
        raise BrokerError(reason_of(error)) from error
    return messages


class RunView:
    """One run, as its telemetry shows it: the newest; while it goes on, no other takes its place."""

    def __init__(self) -> None:
        self.site: str | None = None
        self.run: str | None = None
        self.state: RunState | None = None
        self.rates: Rates | None = None
        self.events: deque[tuple[datetime, Event]] = deque(maxlen=8)
        self._state_stamp: Stamp | None = None
        self._presence: dict[str, str] = {}  # by boot: another process may use the same topic
        self._results: dict[str | None, Result] = {}  # by run: it may come before the state

    @property
    def ended(self) -> bool:
        return self.state is not None and self.state.state in ENDED

    @property
    def result(self) -> Result | None:
        return self._results.get(self.run)

    @property
    def presence(self) -> str | None:
        """ready, disconnected or lost: the process that published the run's state; None when not known."""
        return self._presence.get(self._state_stamp.boot) if self._state_stamp else None

    @property
    def lost(self) -> bool:
        """The process that published the state is not there, and has not said how the run ended."""
        return self.state is not None and not self.ended and self.presence != "ready"

    def take(self, message: Message) -> None:
        """Add one message, in the order of arrival; those of other runs change nothing."""
        stamp, payload = message.stamp, message.payload
        if isinstance(payload, Status):
            self._presence[stamp.boot] = payload.state
        if isinstance(payload, Result):
            self._results[stamp.run] = payload
        if isinstance(payload, RunState) and (stamp.run == self.run or self._gives_way_to(message)):
            if stamp.run != self.run:
                self.site, self.run, self.rates = message.place.site, stamp.run, None
                self.events.clear()
            self.state, self._state_stamp = payload, stamp
        if stamp.run == self.run:
            if isinstance(payload, Rates):
                self.rates = payload
            if isinstance(payload, Event):
                self.events.append((stamp.time, payload))

    def _gives_way_to(self, other: Message) -> bool:
        if self._state_stamp is None:
            return True
        replaceable = other.kept or self.ended or self.lost
        return replaceable and other.stamp.time > self._state_stamp.time


def _payload_kind(place: Place) -> type[Payload] | None:
    match place:
        case Place(node="run", kind="state"):
            return RunState
        case Place(node="run", kind="result"):
            return Result
        case Place(device="", kind="status"):
            return Status
        case Place(kind="event"):
            return Event
        case Place(device="run", kind="tele"):
            return Rates
    return None


def _message(root: str, raw: aiomqtt.Message) -> Message | None:
    return (
        read(root, raw.topic.value, raw.payload, kept=raw.retain) if isinstance(raw.payload, bytes) else None
    )
