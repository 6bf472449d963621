"""The steps that a plan can have, and their parameters.

A step is one key with a mapping of parameters, `- wait: {duration: 5 s}`, or its bare name when every
parameter has a default. A new kind of step is one class here and one line in `STEPS`: its fields are its
parameters, `faults` says what does not fit the testbed, the properties say how long it will take.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, Strict

from drivers.capabilities import Laser, Limits, NanowireBias, TimeTagger
from drivers.units import Amperes, Seconds, Volts, Watts, format_si
from experiments.config.inventory import Inventory
from experiments.config.model import Name, Part, Positive
from experiments.config.problems import Fault

BRING_UP_S = 60.0
"""An estimate for the duration of a bring-up: homing a K10CR1 takes up to 40 s (thorlabs_k10cr1.md), the
rest is lasers and bias currents."""
SETTING_S = 7.0
"""An estimate for one setting of the analysers: a wave plate turns by up to 45 degrees at 10 deg/s and
20 deg/s^2 (thorlabs_k10cr1.md), plus two seconds for talking."""


class PlanStep(Part):
    """A step of a plan, as configured."""

    kind: ClassVar[str]
    results: ClassVar[tuple[str, ...]] = ()
    """The quantities that the step adds to the results of a run."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Kinds of steps that must come before it."""

    def faults(self, inventory: Inventory) -> Iterator[Fault]:
        """What does not fit the testbed; nothing unless a step says so."""
        del inventory
        yield from ()

    @property
    def recording_s(self) -> float:
        """For how many seconds of the run's clock tags are taken."""
        return 0.0

    @property
    def estimated_s(self) -> float:
        """How long the step takes, in seconds of the run's clock; where hardware moves, an estimate."""
        return self.recording_s


@dataclass(frozen=True)
class SetPoint:
    """A value that a step will set on an instrument, in the unit of its limits."""

    quantity: Literal["power", "bias", "threshold"]
    instrument: str
    value: float
    limits: Limits

    @property
    def allowed(self) -> bool:
        return self.value in self.limits

    @property
    def shown(self) -> str:
        return format_si(self.value, self.limits.unit)

    @property
    def range(self) -> str:
        unit = self.limits.unit
        return f"{format_si(self.limits.low, unit)} to {format_si(self.limits.high, unit)}"


class BringUp(PlanStep):
    """Switch on: home what moves, then thresholds, bias of every channel of a unit, then laser light."""

    kind = "bring_up"
    power: dict[Name, Watts] = Field(default_factory=dict)
    bias: dict[Name, Amperes] = Field(default_factory=dict)
    threshold: dict[Name, Volts] = Field(default_factory=dict)

    @property
    def estimated_s(self) -> float:
        return BRING_UP_S

    def set_points(self, inventory: Inventory) -> Iterator[SetPoint]:
        """Every set-point of the step whose instrument is known and fits, with its limits."""
        for name, driver in inventory.drivers.items():
            if isinstance(driver, Laser) and name in self.power:
                yield SetPoint("power", name, self.power[name], driver.power_limits)
            elif isinstance(driver, NanowireBias) and name in self.bias:
                yield SetPoint("bias", name, self.bias[name], driver.bias_limits)
            elif isinstance(driver, TimeTagger) and name in self.threshold:
                yield SetPoint("threshold", name, self.threshold[name], driver.threshold_limits)

    def faults(self, inventory: Inventory) -> Iterator[Fault]:
        uses: tuple[tuple[str, Iterable[str], type[Any]], ...] = (
            ("power", self.power, Laser),
            ("bias", self.bias, NanowireBias),
            ("threshold", self.threshold, TimeTagger),
        )
        for quantity, names, capability in uses:
            for name in names:
                if wrong := inventory.wrong_instrument(name, capability):
                    yield Fault((quantity, name), wrong, at_key=True)
        for point in self.set_points(inventory):
            if not point.allowed:
                wrong = f"{point.shown} is outside the limits of {point.instrument}; allowed: {point.range}"
                yield Fault((point.quantity, point.instrument), wrong)


class CalibrateDelays(PlanStep):
    """Find the delays of all detectors from tags of `duration`, within +-`search` of each other."""

    kind = "calibrate_delays"
    duration: Annotated[Seconds, Positive] = 2.0
    search: Annotated[Seconds, Positive] = 10e-3

    @property
    def recording_s(self) -> float:
        return self.duration


Basis = Literal["ZZ", "XX", "YY", "CHSH"]
SETTINGS_OF: Mapping[Basis, int] = {"ZZ": 1, "XX": 1, "YY": 1, "CHSH": 4}
"""How many settings of the two analysers each basis takes."""


def _each_once(bases: tuple[Basis, ...]) -> tuple[Basis, ...]:
    if len(set(bases)) < len(bases):
        raise ValueError(
            f"{', '.join(bases)} names one twice; for more data choose a longer dwell, or rounds"
        )
    return bases


class MeasureSwapping(PlanStep):
    """Count four-folds in each basis, `dwell` per setting of the analysers, `rounds` times over."""

    kind = "measure_swapping"
    needs = ("calibrate_delays",)
    results = (
        "swap_rate_hz",
        "chsh_s",
        "fidelity",
        "visibility_zz",
        "visibility_xx",
        "visibility_yy",
        "heralds_hz",
    )
    bases: Annotated[tuple[Basis, ...], Field(min_length=1), AfterValidator(_each_once)]
    dwell: Annotated[Seconds, Positive]
    rounds: Annotated[int, Strict(), Field(ge=1)] = 1

    @property
    def settings(self) -> int:
        """How many settings of the analysers are visited in all."""
        return self.rounds * sum(SETTINGS_OF[basis] for basis in self.bases)

    @property
    def recording_s(self) -> float:
        return self.dwell * self.settings

    @property
    def estimated_s(self) -> float:
        return self.recording_s + SETTING_S * self.settings


class Wait(PlanStep):
    """Let time pass on the run's clock."""

    kind = "wait"
    duration: Annotated[Seconds, Positive]

    @property
    def estimated_s(self) -> float:
        return self.duration


STEPS: dict[str, type[PlanStep]] = {
    step.kind: step for step in (BringUp, CalibrateDelays, MeasureSwapping, Wait)
}
"""Every kind of step by its name in a plan."""
