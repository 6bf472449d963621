"""Interlocks: the conditions under which a run may go on, watched while it does.

Every interlock of the testbed and of the experiment (`experiments.config.interlocks`) is looked at every
`EVERY_S` seconds of run clock, on values that were read since. It guarantees that a signal which nobody could
read for longer than `fresh`, or that reads as no number, counts as tripped; that one which is tripped stays
so until `clear` holds, and a latched one until a person lets the run go on; and that each does what its file
says:

    warn     it is told, and nothing else
    pause    the run is held at its next safe point, until a person (`resume: true`: nobody) lets it go on
    abort    the run ends in the safe state

Nothing is written to any instrument. Rates of detectors are watched while tags are recorded.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from drivers.capabilities import Control, Instrument
from drivers.errors import InstrumentError
from drivers.units import format_si
from experiments.config.expressions import holds, signals
from experiments.config.interlocks import SINGLES, Condition, Interlock, condition_of, controls_of, unit_in
from experiments.engine import events
from experiments.engine.clock import RunClock
from experiments.engine.control import RunControl
from experiments.engine.outcome import SafetyError, State
from experiments.engine.standing import patient

EVERY_S = 0.5
"""How often interlocks are looked at, in seconds of run clock."""
READING_S = 1.0
"""So long, in wall time, a look waits for readings; an instrument that is slower is waited for beside."""

Value = float | bool


class InterlockError(SafetyError):
    """An interlock that aborts has tripped."""


class Status(StrEnum):
    """How an interlock stands. All but the first keep anything from being switched on."""

    OK = "ok"
    TRIPPED = "tripped"
    STALE = "stale"
    """Tripped, because a signal is not known."""
    LATCHED = "latched"
    """Over, and waits for a person."""


@dataclass
class Watched:
    """One interlock and how it stands. Knows nothing of instruments and clocks."""

    name: str
    interlock: Interlock
    condition: Condition
    units: Mapping[str, str]
    """Of its signals, by their paths."""
    status: Status = Status.OK
    _was_known: bool = False
    """Whether all its signals have ever been known."""
    _true_since: float | None = None

    @property
    def blocks(self) -> bool:
        """Whether nothing may be switched on because of it."""
        return self.status is not Status.OK and self.interlock.action != "warn"

    @property
    def needs_tags(self) -> bool:
        """Whether it can be judged only while tags are recorded."""
        return any(path.startswith(f"{SINGLES}.") for path in self.units)

    def update(self, values: Mapping[str, Value], now: float) -> bool:
        """Judge it by the signals that are known and fresh. Returns whether its status has changed."""
        before = self.status
        known = self.units.keys() <= values.keys()
        self._was_known |= known
        if before in (Status.OK, Status.LATCHED):
            if not known:
                self.status = Status.STALE
            elif self._has_held(holds(self.condition.when, values), now):
                self.status = Status.TRIPPED
        elif not known:
            self.status = Status.STALE
        elif self._is_over(values):
            self.status, self._true_since = Status.LATCHED if self.interlock.latch else Status.OK, None
        else:
            self.status = Status.TRIPPED
        return self.status is not before

    def reset(self) -> bool:
        """A person says that it may go on. Returns whether it was latched."""
        was_latched = self.status is Status.LATCHED
        if was_latched:
            self.status = Status.OK
        return was_latched

    def _has_held(self, true: bool, now: float) -> bool:
        if not true:
            self._true_since = None
            return False
        if self._true_since is None:
            self._true_since = now
        return now - self._true_since >= self.interlock.hold

    def _is_over(self, values: Mapping[str, Value]) -> bool:
        clear = self.condition.clear
        return not holds(self.condition.when, values) and (clear is None or holds(clear, values))

    def told(self, values: Mapping[str, Value]) -> str:
        """How it stands, for people."""
        shown = ", ".join(f"{path} {_shown(values.get(path), unit)}" for path, unit in self.units.items())
        words = {
            Status.OK: "is over",
            Status.TRIPPED: f"has tripped: {self.interlock.when}",
            Status.STALE: f"has tripped: not known for {format_si(self.interlock.fresh, 's')}",
            Status.LATCHED: "is over and latched; `bellbench runs resume` lets the run go on",
        }[self.status]
        if self.status is Status.STALE and not self._was_known:
            words = "has tripped: not known so far"
        more = f". {self.interlock.message}" if self.interlock.message and self.blocks else ""
        return f"interlock {self.name} {words} ({shown}){more}"


@dataclass
class Interlocks:
    """All interlocks of a run. `singles` gives the rates of detectors in hertz while tags are recorded, else
    None; `instruments` are those of the testbed, `detectors` its detectors."""

    interlocks: Mapping[str, Interlock]
    instruments: Mapping[str, Instrument]
    detectors: Mapping[str, object]
    clock: RunClock
    singles: Callable[[], Mapping[str, float] | None]
    announce: Callable[[events.Interlock], None]
    control: RunControl
    watched: list[Watched] = field(init=False)
    _values: dict[str, tuple[Value, float]] = field(default_factory=dict)
    """By the path of a signal: what it read last, and when."""
    _reading: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _looked_at: float = -math.inf
    _looked_at_wall: float = -math.inf
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _abort: asyncio.Event = field(default_factory=asyncio.Event)
    _aborts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        unit_of = unit_in(self.instruments, self.detectors)
        self.watched = []
        for name, interlock in self.interlocks.items():
            condition = condition_of(interlock, unit_of)
            parts = (condition.when, condition.clear) if condition.clear else (condition.when,)
            units = {signal.path: unit_of(signal) for part in parts for signal in signals(part)}
            self.watched.append(Watched(name, interlock, condition, units))

    @property
    def why_not(self) -> str:
        """What keeps everything from being switched on; empty when nothing does. Also when nobody has looked
        for so long that its signals are not fresh any more."""
        return "; ".join(why for watched in self.watched if (why := self._why_not(watched)))

    def _why_not(self, watched: Watched) -> str:
        values = self._fresh(self.clock.now(), watched)
        if watched.blocks:
            return watched.told(values)
        judged = watched.interlock.action != "warn" and not (watched.needs_tags and self.singles() is None)
        if judged and not watched.units.keys() <= values.keys():
            return f"interlock {watched.name} has not been looked at"
        return ""

    async def begin(self) -> None:
        """The first look, at instruments that are open. Raises InterlockError for those that abort; one
        that pauses holds the run from its beginning."""
        await self.first_look()
        self._raise()

    async def first_look(self) -> None:
        """Look at all of them, when nothing is known yet: a reading that is slow is waited for until its
        interlock takes a signal for unknown. By the wall clock: the run's may stand still."""
        async with self._looking:
            began = time.monotonic()
            await self._read_all()
            while self._is_awaited(time.monotonic() - began):
                await self._read_all()
            self._judge_now()

    def _is_awaited(self, waited_s: float) -> bool:
        """Whether a reading is under way without which an interlock is not known, and may still come."""
        return any(
            path not in self._values and path.partition(".")[0] in self._reading
            for watched in self.watched
            if waited_s < watched.interlock.fresh
            for path in watched.units
        )

    async def watch(self) -> None:
        """Look again and again, until one that aborts has tripped: then raises InterlockError. Ends its
        readings when it is cancelled."""
        try:
            while not self._aborts:
                with suppress(TimeoutError):
                    async with asyncio.timeout(EVERY_S / 2 if self.watched else None):
                        await self._abort.wait()
                await self.look()
            self._raise()
        finally:
            for task in self._reading.values():
                task.cancel()

    async def look(self) -> None:
        """Look at all of them, unless that was done within `EVERY_S` of run clock; who comes while somebody
        looks waits for it, so that the clock of a simulated bench does not run away meanwhile. That clock
        stands still while a person holds the run; then the wall clock counts."""
        async with self._looking:
            waited_s = self.clock.now() - self._looked_at
            if self.control.state is State.PAUSED:
                waited_s = max(waited_s, time.monotonic() - self._looked_at_wall)
            if not self.watched or waited_s < EVERY_S:
                return
            await self._read_all()
            self._judge_now()

    def _judge_now(self) -> None:
        self._looked_at, self._looked_at_wall = self.clock.now(), time.monotonic()
        self._judge(self._looked_at)

    def _judge(self, now: float) -> None:
        for watched in self.watched:
            if watched.needs_tags and self.singles() is None:
                continue
            values = self._fresh(now, watched)
            # A person who lets a run go on ends the hold of an interlock that is over.
            if (
                watched.interlock.action == "pause"
                and watched.name not in self.control.holds
                and watched.reset()
            ):
                self._tell(watched, values)
            if watched.update(values, now):
                self._tell(watched, values)
                self._act(watched, values)

    def _act(self, watched: Watched, values: Mapping[str, Value]) -> None:
        interlock = watched.interlock
        if interlock.action == "abort" and watched.status in (Status.TRIPPED, Status.STALE):
            self._aborts.append(watched.told(values))
            self._abort.set()
        elif interlock.action == "pause":
            if watched.status in (Status.TRIPPED, Status.STALE):
                why = watched.told(values)
                self.control.pause(
                    why, watched.name, lambda: self._obstacle(watched), goes_by_itself=interlock.resume
                )
            elif watched.status is Status.OK and interlock.resume:
                self.control.release(watched.name)

    def _obstacle(self, watched: Watched) -> str:
        if watched.status in (Status.TRIPPED, Status.STALE):
            return watched.told(self._fresh(self.clock.now(), watched))
        return ""

    def _tell(self, watched: Watched, values: Mapping[str, Value]) -> None:
        value = values.get(next(iter(watched.units)))
        number = None if value is None else float(value)
        self.announce(events.Interlock(watched.name, str(watched.status), number, watched.told(values)))

    def _raise(self) -> None:
        if self._aborts:
            raise InterlockError("\n".join(dict.fromkeys(self._aborts)))

    # Readings.

    def _fresh(self, now: float, watched: Watched | None = None) -> dict[str, Value]:
        """What is known, for one interlock as far as it is fresh enough for it."""
        age = math.inf if watched is None else watched.interlock.fresh
        return {path: value for path, (value, at) in self._values.items() if now - at <= age}

    async def _read_all(self) -> None:
        now = self.clock.now()
        for detector, rate in (self.singles() or {}).items():
            self._store(f"{SINGLES}.{detector}", rate, now)
        wanted: dict[str, set[str]] = {}
        for path in {path for watched in self.watched for path in watched.units}:
            instrument, _, control = path.partition(".")
            if instrument in self.instruments:
                wanted.setdefault(instrument, set()).add(control)
        for name, controls in wanted.items():
            if name not in self._reading or self._reading[name].done():
                panel = controls_of(self.instruments[name])
                read = self._read(name, [panel[control] for control in sorted(controls)])
                self._reading[name] = asyncio.create_task(read, name=f"read {name} for interlocks")
        if self._reading:
            await asyncio.wait(self._reading.values(), timeout=READING_S)
        for name in [name for name, task in self._reading.items() if task.done()]:
            self._reading.pop(name).result()

    async def _read(self, name: str, controls: list[Control]) -> None:
        for control in controls:
            try:
                value = await patient(control.read)
            except InstrumentError:
                continue  # it gets old
            self._store(f"{name}.{control.name}", value, self.clock.now())

    def _store(self, path: str, value: Value, now: float) -> None:
        if math.isfinite(value):
            self._values[path] = value, now


def _shown(value: Value | None, unit: str) -> str:
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "on" if value else "off"
    return format_si(value, unit if unit != "1" else "")
