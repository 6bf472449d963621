"""The steps that a plan can have, and their parameters.

A step is one key with a mapping of parameters, `- wait: {duration: 5 s}`, or its bare name when every
parameter has a default. A new kind of step is one class here and one line in `STEPS`: its fields are its
parameters, `faults` says what does not fit the testbed, the properties say how long it will take.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, Strict

from drivers.capabilities import Laser, Limits, SinglePhotonDetector, TimeTagger
from drivers.units import Amperes, Seconds, Volts, Watts, format_si
from experiments.config.inventory import Inventory
from experiments.config.model import Name, Part, Positive
from experiments.config.problems import Fault, Path

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


class BringUp(PlanStep):
    """Switch on: home what moves, then thresholds, bias of every channel of a unit, then laser light."""

    kind = "bring_up"
    power: dict[Name, Watts] = Field(default_factory=dict)
    bias: dict[Name, Amperes] = Field(default_factory=dict)
    threshold: dict[Name, Volts] = Field(default_factory=dict)

    @property
    def estimated_s(self) -> float:
        return BRING_UP_S

    def faults(self, inventory: Inventory) -> Iterator[Fault]:
        for name, value in self.power.items():
            if wrong := inventory.wrong_instrument(name, Laser):
                yield Fault(("power", name), wrong, at_key=True)
            elif isinstance(driver := inventory.drivers.get(name), Laser):
                yield from _outside(("power", name), name, value, driver.power_limits)
        for name, value in self.bias.items():
            if wrong := inventory.wrong_instrument(name, SinglePhotonDetector):
                yield Fault(("bias", name), wrong, at_key=True)
            elif isinstance(driver := inventory.drivers.get(name), SinglePhotonDetector):
                yield from _outside(("bias", name), name, value, driver.bias_limits)
        for name, value in self.threshold.items():
            if wrong := inventory.wrong_instrument(name, TimeTagger):
                yield Fault(("threshold", name), wrong, at_key=True)
            elif isinstance(driver := inventory.drivers.get(name), TimeTagger):
                yield from _outside(("threshold", name), name, value, driver.threshold_limits)


def _outside(path: Path, name: str, value: float, limits: Limits) -> Iterator[Fault]:
    if value not in limits:
        low, high = format_si(limits.low, limits.unit), format_si(limits.high, limits.unit)
        found = format_si(value, limits.unit)
        yield Fault(path, f"{found} is outside the limits of {name}; allowed: {low} to {high}")


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
    results = ("swap_rate_hz", "chsh_s", "fidelity", "visibility_zz", "visibility_xx", "visibility_yy")
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
