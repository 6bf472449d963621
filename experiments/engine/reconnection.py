"""Reconnection: a paused run gets an instrument back that lost its power or its line.

What it guarantees:

* settings come back, read back and written down: home first where the zero is lost, then every setting, one
  after another, since some share a command;
* **emission and bias are never set or switched**: a control that `energises` is only read. Where one is off
  that was on, the run stays paused until a person has switched it on again at the instrument;
* only the same instrument counts, by model and serial number;
* it ends by the deadline, with an error that names each instrument, what is wrong with it, and the remedy.

Whatever other instruments do meanwhile counts as well: a power cut takes many. Waiting is by the run clock.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from drivers.capabilities import Control, Identity, Instrument, TimeTagger
from drivers.errors import InstrumentError, LimitError, RefusedError
from drivers.units import format_si
from experiments.engine.clock import RunClock
from experiments.engine.control import PERSON, RunControl, Stopped
from experiments.engine.events import Happened
from experiments.engine.motion import NotSettledError, settle
from experiments.engine.outcome import RunError, SafetyError, StorageError, causes_of
from experiments.engine.standing import (
    BROKEN_LINE,
    ChangedError,
    Homes,
    Loss,
    Stand,
    Standing,
    Value,
    differs,
    read,
    settable,
    shown,
)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
"""Pauses between two tries double from the one to the other."""
MOVING_S = 120.0
"""Deadline for homing, and for reaching each setting, in seconds of run clock (see `bring_up`)."""

MOST_AT_ONE_POINT = 3
"""A step that was interrupted so often since its last safe point, and is again, is given up."""

Wrong = Mapping[str, Loss | InstrumentError]
"""What is wrong with which instrument (see `Standing.survey`)."""


class LostError(InstrumentError):
    """An instrument did not come back, or not as it has to be: the run cannot go on."""


@dataclass
class Reconnection:
    """Gets instruments back. `identities` says who each of them was when the run began, `announce` tells what
    was done, and `deadline_s` is how long a run stays paused."""

    instruments: Mapping[str, Instrument]
    standing: Standing
    clock: RunClock
    announce: Callable[[Happened], None]
    deadline_s: float
    identities: Mapping[str, Identity] = field(default_factory=dict)
    _point: object = None
    _times: int = 0

    async def diagnose(
        self, failure: Exception, in_flux: Collection[str]
    ) -> dict[str, Loss | InstrumentError]:
        """Which instruments a failure comes from and what is wrong with them; nothing when it is no failure
        of a line and none has changed: then the failure is to be raised. Those `in_flux` are being changed by
        the step (see `Standing.survey`)."""
        causes = causes_of(failure)
        if not self.deadline_s or any(_is_final(cause) for cause in causes):
            return {}
        wrong = await self.standing.survey(in_flux)
        for cause in causes:
            if isinstance(cause, ChangedError):
                wrong.setdefault(cause.name, cause.loss)
            elif isinstance(cause, BROKEN_LINE) and not isinstance(cause, NotSettledError):
                known = wrong.get(cause.name, cause)
                if cause.name in self.instruments and isinstance(known, InstrumentError):
                    wrong[cause.name] = cause
        return wrong

    def count(self, wrong: Wrong, point: object) -> None:
        """Count an interruption at this `point` of the plan. Raises a group of LostError when there were too
        many at the same."""
        self._times = self._times + 1 if point == self._point else 1
        self._point = point
        if self._times > MOST_AT_ONE_POINT:
            raise ExceptionGroup("interrupted too often", [self._unreliable(*item) for item in wrong.items()])

    async def bring_back(self, wrong: Wrong, in_flux: Collection[str], control: RunControl) -> None:
        """Return when every instrument stands as it was noted again, `wrong` being what is known to be amiss.
        Settings of those `in_flux` are restored too. A person who says resume makes it try at once; while
        one holds the run nothing is touched. Raises a group of LostError after the deadline, Stopped when the
        run is asked to stop."""
        end = self.clock.now() + self.deadline_s
        pause_s = FIRST_PAUSE_S
        asked: set[str] = set()
        while wrong:
            end += await self._hands_off(control)
            if control.stopping:
                raise Stopped
            tries = control.tries
            problems = await self._try(wrong, asked)
            # Others may have failed since, and somebody may have switched on what is off.
            wrong = {**problems, **await self.standing.survey(in_flux, without=problems)}
            if not wrong:
                return
            left_s = end - self.clock.now()
            if left_s <= 0:
                raise ExceptionGroup(
                    "instruments did not come back", [self._lost(*item) for item in wrong.items()]
                )
            await self._rest(min(pause_s, left_s), control, tries)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S) if control.tries == tries else FIRST_PAUSE_S

    async def _hands_off(self, control: RunControl) -> float:
        """Touch nothing while a person holds the run. Returns for how many seconds."""
        began = self.clock.now()
        while PERSON in control.holds and not control.stopping:
            await control.news()
        return self.clock.now() - began

    async def _rest(self, seconds: float, control: RunControl, tries: int) -> None:
        """Wait until the next try; less when a person asks for one, after so many `tries`, or to stop."""
        end = self.clock.now() + seconds
        while (left_s := end - self.clock.now()) > 0 and control.tries == tries and not control.stopping:
            await self.clock.sleep(min(left_s, FIRST_PAUSE_S))

    async def _try(self, wrong: Wrong, asked: set[str]) -> dict[str, InstrumentError]:
        """Try to get each of them back; returns those that cannot be had now, with the reason. `asked` are
        those that only a person can help, who has been asked already."""
        names = [
            name
            for name, what in wrong.items()
            if name not in asked or isinstance(what, InstrumentError) or what.settings
        ]
        found = await asyncio.gather(*(self._reopen(name) for name in names))
        problems = {name: error for name, error in zip(names, found, strict=True) if error is not None}
        for error in problems.values():
            if isinstance(error, LostError):
                raise error
        for name in names:
            if name in problems:
                continue
            try:
                if await self._restore(name):
                    asked.add(name)
            except InstrumentError as error:
                problems[name] = error
        return problems

    async def _reopen(self, name: str) -> InstrumentError | None:
        """Make a new line to the instrument and see who answers. Returns what went wrong; LostError when it
        is another instrument."""
        instrument = self.instruments[name]
        await instrument.close()
        try:
            await instrument.open()
            now = await instrument.identity()
        except InstrumentError as error:
            return error
        before = self.identities[name]
        if (now.model, now.serial_number) != (before.model, before.serial_number):
            return LostError(
                name,
                str(instrument.address),
                f"{now.model} with serial number {now.serial_number} answers, where "
                f"{before.model} with serial number {before.serial_number} was",
                "Put the first one back, or run again with the new one",
            )
        return None

    async def _restore(self, name: str) -> bool:
        """Restore the settings of an instrument that answers and say so; returns whether it has lost emission
        or bias, which stay off. Raises InstrumentError for a setting that cannot be had."""
        instrument, before = self.instruments[name], self.standing.left(name)
        found = await read(instrument)
        energy = self.standing.loss(name, found).energy
        must_home = before.homed and not found.homed
        if must_home and isinstance(instrument, Homes):
            await instrument.home()
            await settle([instrument], self.clock, MOVING_S)
        restored = await self._write(instrument, before)
        now = await read(instrument)
        if left := self.standing.loss(name, now).settings:
            raise RefusedError(
                name, str(instrument.address), f"its settings could not be restored: {', '.join(left)}",
                "Look at its front panel",
            )  # fmt: skip
        self._tell(instrument, must_home, restored, energy)
        return bool(energy)

    async def _write(self, instrument: Instrument, before: Stand) -> dict[str, Value]:
        """Set what is not as it was, except what energises; returns what was set."""
        restored: dict[str, Value] = {}
        for control in settable(instrument):
            was = before.values.get(control.name)
            if control.energises or was is None or control.write is None:
                continue
            try:
                # Once more for each, since setting one may have changed the others.
                if not differs(control, was, await control.read()):
                    continue
            except RefusedError:
                pass  # it has no value now
            await control.write(_allowed(control, was))
            await settle([instrument], self.clock, MOVING_S)
            restored[control.name] = was
        return restored

    def _tell(
        self, instrument: Instrument, homed: bool, restored: Mapping[str, Value], energy: tuple[str, ...]
    ) -> None:
        controls = {control.name: control for control in settable(instrument)}
        words = [f"{name} {shown(controls[name], value)}" for name, value in restored.items()]
        done = f"restored {', '.join(words)}" if words else "no setting to restore"
        message = f"{instrument.name} is back: {'homed, ' if homed else ''}{done}"
        if energy:
            message += f"; NOT switched on again: {', '.join(energy)}"
        details: dict[str, object] = {
            "instrument": instrument.name,
            "homed": homed,
            "restored": dict(restored),
            "not_restored": list(energy),
        }
        self.announce(Happened("reconnected", message, details, "warning" if energy else "info"))

    def _unreliable(self, name: str, what: Loss | InstrumentError) -> LostError:
        return LostError(
            name,
            str(self.instruments[name].address),
            f"{reason_of(what)}; the run was interrupted {self._times} times at the same point of its plan",
            "See to its power and its cable, then run again",
        )

    def _lost(self, name: str, what: Loss | InstrumentError) -> LostError:
        address = str(self.instruments[name].address)
        waited = f"the run was paused for {format_si(self.deadline_s, 's')}"
        if isinstance(what, InstrumentError):
            return LostError(
                name, address, f"{what.problem}; {waited}, and it did not come back", what.remedy
            )
        if what.energy:
            return LostError(
                name,
                address,
                f"{', '.join(what.energy)}; {waited}, and nobody switched it on again",
                "A run never does so by itself: see why the power went, then run again",
            )
        return LostError(name, address, f"{what}; {waited}", "Look at its front panel, then run again")


def reason_of(what: Loss | InstrumentError) -> str:
    """Why a run pauses, without the name of the instrument."""
    return what.problem if isinstance(what, InstrumentError) else f"does not stand as the run left it: {what}"


async def start_afresh(tagger: TimeTagger) -> None:
    """End whatever a tagger records and make a new line to it, as far as it answers."""
    for act in (tagger.make_safe, tagger.close, tagger.open):
        with suppress(InstrumentError):
            await act()


def _allowed(control: Control, value: Value) -> Value:
    """What may be written for a value that was read: a reading may lie beside the set-points."""
    if control.limits is None or isinstance(value, bool):
        return value
    low, high, step = control.limits.low, control.limits.high, control.limits.step
    inside = min(max(value, low), high)
    return low + round((inside - low) / step) * step if step else inside


def _is_final(cause: BaseException) -> bool:
    """Whether a failure is none that an instrument which comes back can undo."""
    if isinstance(cause, LostError | LimitError | StorageError | SafetyError):
        return True
    return not isinstance(cause, InstrumentError | RunError)
