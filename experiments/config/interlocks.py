"""Interlocks and limits: what a testbed or an experiment allows, as its file says it.

    interlocks:
      pump_high: {when: alice_pump_meter.power > 250 uW, clear: < 240 uW, hold: 2 s, action: abort}
    limits:
      alice_pump.power: {below: 25 mW}

An interlock is an expression over signals (`experiments.config.expressions`): `INSTRUMENT.CONTROL` for
whatever the front panel of an instrument shows, `singles.DETECTOR` for a count rate in hertz. A limit makes
the range of a setting narrower than the instrument's own, for every channel of `hub_nanowires.bias` at once.
An experiment can only add to what its testbed says, never take from it. Whether names resolve is checked by
`experiments.config.interlock_checks`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from drivers.capabilities import Control, Instrument
from drivers.units import Seconds, format_si
from experiments.config.expressions import (
    Compare,
    Expression,
    ExpressionError,
    Number,
    Signal,
    UnitOf,
    bind,
    in_unit,
    parse,
    parse_end,
)
from experiments.config.model import NotNegative, Part, Text
from experiments.config.problems import choices, show_value

SINGLES = "singles"
"""Signals of this name are count rates of detectors."""


class Interlock(Part):
    """Trips when `when` is true for as long as `hold`, and at once when a signal is older than `fresh`.

    It is over when `clear` is true, by default as soon as `when` is not; with `latch` only when a person says
    so besides. `warn` tells, `pause` pauses the run, and `resume: true` lets it go on by itself when the
    interlock is over; `abort` ends it in the safe state. While one that pauses or aborts is tripped, nothing
    can be switched on.
    """

    when: Text
    clear: Text = ""
    hold: Annotated[Seconds, NotNegative] = 0.0
    fresh: Annotated[Seconds, Field(ge=1)] = 5.0
    latch: bool = False
    action: Literal["warn", "pause", "abort"]
    resume: bool = False
    message: Text = ""


class Limit(Part):
    """The range of a setting: `above` and `below` are numbers with units and belong to what is allowed."""

    above: Text = ""
    below: Text = ""


@dataclass(frozen=True)
class Condition:
    """The expressions of an interlock, ready for values. It is over when `clear` is true."""

    when: Expression
    clear: Expression | None


@dataclass(frozen=True)
class Bounds:
    """A limit in the SI unit of its setting."""

    low: float
    high: float
    unit: str

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        """What is allowed, for people."""
        ends = (("at least", self.low), ("at most", self.high))
        return " and ".join(
            f"{word} {format_si(end, self.unit)}" for word, end in ends if abs(end) < float("inf")
        )


def condition_of(interlock: Interlock, unit_of: UnitOf) -> Condition:
    """Read the expressions of an interlock. Raises ExpressionError; those of `clear` are a ClearError."""
    read = parse(interlock.when)
    when = bind(read, unit_of)
    if not interlock.clear:
        return Condition(when, None)
    try:
        clear = bind(parse_end(interlock.clear, read), unit_of)
        if wrong := _overlap(when, clear):
            raise ExpressionError(0, wrong)
    except ExpressionError as error:
        raise ClearError(error.at, str(error)) from None
    return Condition(when, clear)


class ClearError(ExpressionError):
    """The mistake is in `clear`."""


def bounds_of(limit: Limit, unit: str) -> Bounds:
    """A limit on a setting with this SI unit. Raises ValueError."""
    low = in_unit(limit.above, unit) if limit.above else float("-inf")
    high = in_unit(limit.below, unit) if limit.below else float("inf")
    return Bounds(low, high, unit)


def limits_on(
    limits: Mapping[str, Limit], instrument: str, control: str, unit: str
) -> Iterator[tuple[str, Bounds]]:
    """The limits that hold for one setting, by their names: its own, and that of all channels."""
    for name in dict.fromkeys((control, without_channel(control))):
        if limit := limits.get(f"{instrument}.{name}"):
            yield f"{instrument}.{name}", bounds_of(limit, unit)


def unit_in(drivers: Mapping[str, Instrument], detectors: Mapping[str, object]) -> UnitOf:
    """What a signal of this testbed is measured in; singles are rates. The error for one that does not exist
    names the nearest word."""

    def unit_of(signal: Signal) -> str:
        name, _, rest = signal.path.partition(".")
        if name == SINGLES and name not in drivers:
            if rest not in detectors:
                wrong = f"{show_value(rest)} is no detector of this testbed; {choices(rest, detectors)}"
                raise ExpressionError(signal.at + len(name) + 1, wrong)
            return "Hz"
        if name not in drivers:
            known = [*drivers, SINGLES]
            wrong = f"{show_value(name)} is no instrument of this testbed; {choices(name, known)}"
            raise ExpressionError(signal.at, wrong)
        controls = controls_of(drivers[name])
        if rest not in controls:
            wrong = f"{name} has no {show_value(rest)}; {choices(rest, controls)}"
            raise ExpressionError(signal.at + len(name) + 1, wrong)
        return controls[rest].unit

    return unit_of


def controls_of(driver: Instrument) -> dict[str, Control]:
    """The front panel of an instrument, by the names of its controls."""
    return {control.name: control for control in driver.controls()}


def _overlap(when: Expression, clear: Expression) -> str | None:
    """What is wrong when an interlock of one comparison is over while it still trips."""
    if not (isinstance(when, Compare) and isinstance(clear, Compare)):
        return None
    if not (isinstance(when.right, Number) and isinstance(clear.right, Number)):
        return None
    if not (isinstance(when.left, Signal) and isinstance(clear.left, Signal)):
        return None
    if when.left.path != clear.left.path:
        return None
    sides = when.sign[0] + clear.sign[0]
    if sides in ("><", "<>"):
        gap = clear.right.value - when.right.value
        if (gap > 0) == (sides == "><") and gap:
            return f"{clear.right.text} {clear.right.unit} lies where `when` trips it; choose the other side"
        return None
    if sides in (">>", "<<"):
        return f"{clear.sign} goes the same way as {when.sign} of `when`; it has to be the other way"
    return None


def without_channel(name: str) -> str:
    """The name of a control without the number of its channel: `bias` of `bias.2`."""
    return re.sub(r"\.\d+$", "", name)
