"""What the messages of one run add up to: its state, figures, instruments, alarms and last events.

Whoever comes late has the same view from the retained messages alone, except for figures and events, which
are of the moment. Duplicates and gaps are noticed by the numbers of the stamp.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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

    def take(self, about: Meta | DeviceState | Readings | AlarmState) -> None:
        """Add what one message says of it."""
        match about:
            case Meta():
                self.meta = about
            case DeviceState():
                self.state = about
            case Readings():
                self.readings = about
            case AlarmState():
                self.alarm = about


@dataclass
class _Told:
    """What the messages of one run said, whatever came first."""

    result: Result | None = None
    rates: Rates | None = None
    events: deque[tuple[datetime, Event]] = field(default_factory=lambda: deque(maxlen=MOST_EVENTS))
    devices: dict[tuple[str, str], DeviceView] = field(default_factory=dict)
    missed: int = 0


class RunView:
    """One run, as its telemetry shows it: the newest; while it goes on, no other takes its place."""

    def __init__(self) -> None:
        self.site: str | None = None
        self.run: str | None = None
        self.state: RunState | None = None
        self._state_stamp: Stamp | None = None
        self._presence: dict[str, str] = {}  # by boot: another process may use the same topic
        self._told: dict[str | None, _Told] = {}  # by run: it may come before the state
        self._changes: dict[tuple[str, str], int] = {}  # newest by boot and topic

    @property
    def ended(self) -> bool:
        return self.state is not None and self.state.state in ENDED

    @property
    def result(self) -> Result | None:
        return self._of_run.result

    @property
    def rates(self) -> Rates | None:
        return self._of_run.rates

    @property
    def events(self) -> Sequence[tuple[datetime, Event]]:
        """The last few, with their times."""
        return tuple(self._of_run.events)

    @property
    def missed(self) -> int:
        """Figures and events of this run that did not come: numbers of their topics that were left out."""
        return self._of_run.missed

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
        return dict(sorted(self._of_run.devices.items()))

    def take(self, message: Message) -> None:
        """Add one message, in whatever order; one that came before, or is older than what came, changes
        nothing, and neither does one of another run."""
        stamp, place = message.stamp, message.place
        key = (stamp.boot, message.topic)
        newest = self._changes.get(key, 0)
        if stamp.change <= newest:
            return
        self._changes[key] = stamp.change
        told = self._told.setdefault(stamp.run, _Told())
        if newest and isinstance(message.payload, Event | Rates | Readings):
            told.missed += stamp.change - newest - 1
        match message.payload:
            case Status() as status:
                self._presence[stamp.boot] = status.state
            case RunState() as state:
                if stamp.run == self.run or self._gives_way_to(message):
                    self.site, self.run = place.site, stamp.run
                    self.state, self._state_stamp = state, stamp
            case Result() as result:
                told.result = result
            case Rates() as rates:
                told.rates = rates
            case Event() as event:
                told.events.append((stamp.time, event))
            case Meta() | DeviceState() | Readings() | AlarmState() as about:
                device = told.devices.setdefault(
                    (place.node, place.device), DeviceView(place.node, place.device)
                )
                device.take(about)

    @property
    def _of_run(self) -> _Told:
        return self._told.get(self.run, _Told())

    def _gives_way_to(self, other: Message) -> bool:
        if self._state_stamp is None:
            return True
        replaceable = other.kept or self.ended or self.lost
        return replaceable and other.stamp.time > self._state_stamp.time
