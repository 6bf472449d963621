"""What the messages of one run add up to: its state, figures, instruments, alarms and last events.

Whoever comes late has the same view from the retained messages alone, except for figures and events, which
are of the moment. Duplicates and gaps are noticed by the numbers of the stamp.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from telemetry.messages import (
    ENDED,
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
from telemetry.subscriber import Message
from telemetry.topics import RUN
from telemetry.wire import Stamp

MOST_EVENTS = 8


@dataclass
class DeviceView:
    """One device as its messages show it; an instrument, or the run as a whole."""

    node: str
    device: str
    meta: Meta | None = None
    state: DeviceState | None = None
    readings: Readings | None = None
    alarm: AlarmState | None = None

    @property
    def alarmed(self) -> bool:
        return self.alarm is not None and self.alarm.severity != "NO_ALARM"


class RunView:
    """One run, as its telemetry shows it: the newest; while it goes on, no other takes its place."""

    def __init__(self) -> None:
        self.site: str | None = None
        self.run: str | None = None
        self.state: RunState | None = None
        self.rates: Rates | None = None
        self.events: deque[tuple[datetime, Event]] = deque(maxlen=MOST_EVENTS)
        self.missed = 0
        """Figures and events of this run that did not come: numbers of their topics that were left out."""
        self._state_stamp: Stamp | None = None
        self._presence: dict[str, str] = {}  # by boot: another process may use the same topic
        self._results: dict[str | None, Result] = {}  # by run: it may come before the state
        self._devices: dict[str | None, dict[tuple[str, str], DeviceView]] = {}  # by run, too
        self._changes: dict[tuple[str, str], int] = {}  # newest by boot and topic

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

    @property
    def devices(self) -> Mapping[tuple[str, str], DeviceView]:
        """By node and device, in the order of their names."""
        return dict(sorted(self._devices.get(self.run, {}).items()))

    def take(self, message: Message) -> None:
        """Add one message, in the order of arrival; those of other runs, and those that came before, change
        nothing."""
        stamp, payload = message.stamp, message.payload
        if self._is_old(message):
            return
        if isinstance(payload, Status):
            self._presence[stamp.boot] = payload.state
        if isinstance(payload, Result):
            self._results[stamp.run] = payload
        if isinstance(payload, RunState) and (stamp.run == self.run or self._gives_way_to(message)):
            if stamp.run != self.run:
                self.site, self.run, self.rates = message.place.site, stamp.run, None
                self.events.clear()
                self.missed = 0
            self.state, self._state_stamp = payload, stamp
        if message.place.node != RUN and message.place.device:
            self._take_device(message)
        if stamp.run == self.run:
            if isinstance(payload, Rates):
                self.rates = payload
            if isinstance(payload, Event):
                self.events.append((stamp.time, payload))

    def _take_device(self, message: Message) -> None:
        place = message.place
        of_run = self._devices.setdefault(message.stamp.run, {})
        view = of_run.setdefault((place.node, place.device), DeviceView(place.node, place.device))
        match message.payload:
            case Meta() as meta:
                view.meta = meta
            case DeviceState() as state:
                view.state = state
            case Readings() as readings:
                view.readings = readings
            case AlarmState() as alarm:
                view.alarm = alarm

    def _is_old(self, message: Message) -> bool:
        """Whether this message or a later one of its topic has come before; counts what was left out."""
        key = (message.stamp.boot, message.topic)
        newest, change = self._changes.get(key, 0), message.stamp.change
        if change <= newest:
            return True
        numbered = isinstance(message.payload, Event | Rates | Readings)
        if numbered and newest and message.stamp.run == self.run:
            self.missed += change - newest - 1
        self._changes[key] = change
        return False

    def _gives_way_to(self, other: Message) -> bool:
        if self._state_stamp is None:
            return True
        replaceable = other.kept or self.ended or self.lost
        return replaceable and other.stamp.time > self._state_stamp.time
