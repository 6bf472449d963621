"""How the instruments stand: the run's memory of their controls, and whether they still stand so.

An instrument that loses power comes back in its start-up state, and most drivers open their line anew without
a word. So the run keeps what every control read when a step had last set something (`note`), and compares now
and then while it lets time pass (`look`). It guarantees that nothing is written, that a look costs one
reading of each control that can be set, all instruments at once, and that what has merely wavered is no
difference, nor what the run itself brought down and said so (`lowers`). What it cannot see is an instrument
that was off for a while and came back by itself with everything as before, over a line that nobody used
meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar, runtime_checkable

from drivers.capabilities import Control, Instrument
from drivers.errors import (
    ConnectError,
    DeadlineError,
    InstrumentError,
    LineError,
    ProtocolError,
    RefusedError,
)
from drivers.units import format_si
from experiments.engine.baseline import COUNTS

BROKEN_LINE = (ConnectError, LineError, DeadlineError)
"""What an instrument without power, or one that starts up, looks like."""
WAVERING = {"rad": 0.01, "dB": 0.1, "K": 0.2, "V": 1e-3, "s": 1e-12}
"""By how much a setting near zero that is measured rather than kept may waver, by unit; ours to choose."""
DIFFERENCE = 0.01
"""A setting differs when it has changed by more than this fraction, of its value or of its range, whichever
is less; readings of what is measured (an angle, a frequency) waver far less."""
OUT = 0.5
"""Emission or bias is lost when less than this fraction of it is left."""
FAINT = 0.01
"""What is below this fraction of its greatest set-point counts as off: the noise of a reading."""

HOMED = "homed"
"""The control that says whether an instrument knows its zero."""
Value = float | bool
T = TypeVar("T")


@runtime_checkable
class Homes(Protocol):
    """An instrument that can lose its zero."""

    async def home(self) -> None: ...
    async def is_homed(self) -> bool: ...


@dataclass(frozen=True)
class Stand:
    """How one instrument stands. `values` has every control that can be set and read now, by name."""

    values: Mapping[str, Value]
    homed: bool = True
    """Whether it knows its zero; True for one that needs none."""


@dataclass(frozen=True)
class Loss:
    """What one instrument has lost, in words such as `angle reads 0 rad after 785 mrad`."""

    settings: tuple[str, ...] = ()
    """Including the zero that it must be homed for."""
    energy: tuple[str, ...] = ()
    """Emission and bias that are off and were on."""

    def __bool__(self) -> bool:
        return bool(self.settings or self.energy)

    def __str__(self) -> str:
        return ", ".join((*self.energy, *self.settings))


class ChangedError(InstrumentError):
    """An instrument does not stand as the run left it."""

    def __init__(self, instrument: Instrument, loss: Loss) -> None:
        self.loss = loss
        super().__init__(
            instrument.name,
            str(instrument.address),
            f"does not stand as the run left it: {loss}",
            "It may have lost power, or somebody else controls it",
        )


@dataclass
class Standing:
    """The memory for these instruments."""

    instruments: Mapping[str, Instrument]
    tell: Callable[[str, Mapping[str, Value]], None] | None = None
    """Told what was read from an instrument, by control, whenever something was."""
    _left: dict[str, Stand] = field(default_factory=dict)
    _lowered: dict[str, dict[str, Value]] = field(default_factory=dict)
    """By instrument and control, how little of emission and bias the run itself has left since `note`."""

    def left(self, name: str) -> Stand:
        """How the run left an instrument that was noted before."""
        return self._left[name]

    def lowers(self, name: str, to: Mapping[str, Value] | None = None) -> None:
        """The run is about to bring these controls of an instrument down to these values, or all that it
        emits or biases to nothing: until everything is noted again, so little is no loss. Said before a byte
        is sent: of a command that nobody answered, nobody knows whether it was carried out."""
        if to is None:
            to = {c.name: 0.0 for c in settable(self.instruments[name]) if c.energises}
        lowered = self._lowered.setdefault(name, {})
        for control, value in to.items():
            lowered[control] = min(value, lowered.get(control, value), key=abs)

    def raises(self, name: str) -> None:
        """The run is about to bring up again what it lowered of an instrument: less is a loss from now on."""
        self._lowered.pop(name, None)

    async def regained(self, name: str) -> None:
        """The run has brought up again what it lowered of an instrument: see that emission and bias are as
        they were noted. Raises ChangedError, for an instrument that lost its power meanwhile came back with
        less, or what reading raises."""
        self.raises(name)
        stand = (await self._read([name]))[name]
        if isinstance(stand, InstrumentError):
            raise stand
        if energy := self.loss(name, stand).energy:
            raise ChangedError(self.instruments[name], Loss(energy=energy))

    async def note(self, names: Collection[str]) -> None:
        """Keep how these instruments stand now: a step may have changed them. Raises ChangedError for one
        that has lost its zero, which no step does, and what reading raises."""
        for name, stand in (await self._read(names)).items():
            if isinstance(stand, InstrumentError):
                raise stand
            before = self._left.get(name)
            if before is not None and before.homed and not stand.homed:
                raise ChangedError(self.instruments[name], self.loss(name, stand))
            self._left[name] = stand
        # Whoever notes has set everything before: what is still down of an instrument not named here is lost.
        self._lowered.clear()

    async def look(self) -> None:
        """See that every instrument stands as it was noted. Raises ChangedError, or what reading raises."""
        for name, found in (await self.survey()).items():
            raise found if isinstance(found, InstrumentError) else ChangedError(self.instruments[name], found)
        if self.tell is not None:
            measured = await asyncio.gather(*(_measured(self.instruments[name]) for name in self._left))
            for name, values in zip(self._left, measured, strict=True):
                if values:
                    self.tell(name, values)

    async def survey(
        self, in_flux: Collection[str] = (), without: Collection[str] = ()
    ) -> dict[str, Loss | InstrumentError]:
        """What is wrong, for each instrument that does not stand as it was noted or does not answer, but not
        of those `without`.

        Those `in_flux` are being changed: of them only a lost zero counts, and emission or bias that is off
        although the run did not lower it.
        """
        wrong: dict[str, Loss | InstrumentError] = {}
        for name, stand in (await self._read(n for n in self._left if n not in without)).items():
            if isinstance(stand, InstrumentError):
                wrong[name] = stand
                continue
            found = self.loss(name, stand)
            if name in in_flux and stand.homed == self._left[name].homed:
                found = Loss(energy=found.energy)
            if found:
                wrong[name] = found
        return wrong

    def loss(self, name: str, now: Stand) -> Loss:
        """What an instrument has lost since it was noted, but for what the run itself has lowered."""
        before, lowered = self._left[name], self._lowered.get(name, {})
        settings = [] if now.homed or not before.homed else ["has lost its zero"]
        energy = []
        for control in settable(self.instruments[name]):
            was, reads = before.values.get(control.name), now.values.get(control.name)
            if was is None:
                continue
            if control.energises:
                was = min(was, lowered.get(control.name, was), key=abs)
            words = f"{control.name} reads {shown(control, reads)} after {shown(control, was)}"
            if control.energises:
                if _is_on(control, was) and (reads is None or not _is_left(was, reads)):
                    energy.append(words)
            elif reads is None or differs(control, was, reads):
                settings.append(words)
        return Loss(tuple(settings), tuple(energy))

    async def _read(self, names: Iterable[str]) -> dict[str, Stand | InstrumentError]:
        names = list(names)
        found = await asyncio.gather(*(_patiently(self.instruments[name]) for name in names))
        if self.tell is not None:
            for name, stand in zip(names, found, strict=True):
                if isinstance(stand, Stand):
                    self.tell(name, _with_zero(self.instruments[name], stand))
        return dict(zip(names, found, strict=True))


async def read(instrument: Instrument) -> Stand:
    """Read everything that can be set. A control that the instrument refuses to read has no value."""
    values: dict[str, Value] = {}
    for control in settable(instrument):
        try:
            values[control.name] = await control.read()
        except RefusedError:
            continue
    return Stand(values, await instrument.is_homed() if isinstance(instrument, Homes) else True)


async def _measured(instrument: Instrument) -> dict[str, Value]:
    """What it measures, for whoever watches: a reading that cannot be had now is no matter of the run's."""
    values: dict[str, Value] = {}
    for control in instrument.controls():
        if control.write is None and control.unit not in COUNTS and control.name != HOMED:
            with suppress(InstrumentError):
                values[control.name] = await control.read()
    return values


def _with_zero(instrument: Instrument, stand: Stand) -> Mapping[str, Value]:
    """What a stand says by control; whether an instrument knows its zero is a control of its own."""
    return {**stand.values, HOMED: stand.homed} if isinstance(instrument, Homes) else stand.values


def settable(instrument: Instrument) -> list[Control]:
    """The controls that can be set, in the instrument's own order."""
    return [control for control in instrument.controls() if control.write is not None]


def differs(control: Control, was: Value, reads: Value) -> bool:
    """Whether a setting has become another one."""
    if isinstance(was, bool) or isinstance(reads, bool):
        return was is not reads
    spans = [abs(was)]
    if control.limits is not None:
        spans.append(control.limits.high - control.limits.low)
    within = max(DIFFERENCE * min(spans), WAVERING.get(control.unit, 0.0))
    return not abs(reads - was) <= within


def shown(control: Control, value: Value | None) -> str:
    """A value of a control as people read it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "on" if value else "off"
    return format_si(value, control.unit if control.unit != "1" else "")


def _is_on(control: Control, value: Value) -> bool:
    if isinstance(value, bool) or control.limits is None:
        return bool(value)
    return abs(value) > FAINT * max(abs(control.limits.low), abs(control.limits.high))


def _is_left(was: Value, reads: Value) -> bool:
    return abs(float(reads)) >= OUT * abs(float(was))


async def patient(reading: Callable[[], Awaitable[T]]) -> T:
    """What a reading gives. One late or garbled answer proves nothing, so those are asked for twice; a broken
    line has something to tell at once. Raises what the last reading raises."""
    try:
        return await reading()
    except (DeadlineError, ProtocolError):
        return await reading()


async def _patiently(instrument: Instrument) -> Stand | InstrumentError:
    """A reading, or why there is none."""
    try:
        return await patient(partial(read, instrument))
    except InstrumentError as error:
        return error
