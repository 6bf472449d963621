"""What a run will take: seconds and bytes, from the configuration alone.

On a simulated bench the click rates follow from what the simulation is told (`click_rates`), with all lasers
at the power that the plan's bring-up gives them. On a real bench they are not known before the light is on,
and are None.
"""

from dataclasses import dataclass

from experiments.config.click_rates import click_rates
from experiments.config.experiment import Experiment, Record
from experiments.config.plan import BringUp
from experiments.config.settings import SwappingSettings
from experiments.config.testbed import Testbed

TAG_BYTES = 9
"""An int64 time and a uint8 channel; what compression saves is not counted."""


@dataclass(frozen=True)
class StepEstimate:
    """Seconds of the run's clock for one step, and for how many of them tags are taken."""

    kind: str
    duration_s: float
    recording_s: float


@dataclass(frozen=True)
class Estimate:
    """For a whole run. Rates are per second and None on a real bench, as is `tag_bytes`; there are no heralds
    without a Bell-state measurement."""

    steps: tuple[StepEstimate, ...]
    click_rates_hz: dict[str, float] | None
    heralds_hz: float | None
    tag_bytes: float | None

    @property
    def duration_s(self) -> float:
        return sum(step.duration_s for step in self.steps)

    @property
    def recording_s(self) -> float:
        return sum(step.recording_s for step in self.steps)


def estimate(experiment: Experiment, testbed: Testbed) -> Estimate:
    """What a run of this experiment will take."""
    steps = tuple(StepEstimate(step.kind, step.estimated_s, step.recording_s) for step in experiment.plan)
    if testbed.simulation is None or not testbed.simulated:
        return Estimate(steps, None, None, None)
    power = {
        name: watts
        for step in experiment.plan
        if isinstance(step, BringUp)
        for name, watts in step.power.items()
    }
    rates = click_rates(testbed, testbed.simulation, power)
    heralds = herald_rate(experiment.settings, testbed, rates) if experiment.settings else None
    seconds = sum(step.recording_s for step in steps)
    return Estimate(
        steps, rates, heralds, _tag_bytes(experiment.record, seconds, sum(rates.values()), heralds or 0.0)
    )


def herald_rate(settings: SwappingSettings, testbed: Testbed, rates: dict[str, float]) -> float:
    """Heralds per second, both kinds: Psi- is cH&dV or cV&dH, Psi+ is cH&cV or dH&dV.

    Pairs of clicks within the full window of independent streams; interference moves heralds between the
    kinds but does not change their number (physics.md 5, scan of kappa).
    """
    behind = testbed.bell_state_measurements[settings.bell_state_measurement].outputs
    cH, cV, dH, dV = (rates[name] for name in (behind.cH, behind.cV, behind.dH, behind.dV))
    return (cH * dV + cV * dH + cH * cV + dH * dV) * settings.bsm_window


def _tag_bytes(record: Record, seconds: float, clicks_hz: float, heralds_hz: float) -> float:
    if record.tags == "raw":
        return TAG_BYTES * clicks_hz * seconds
    tags = clicks_hz * min(record.raw, seconds)
    if record.tags == "heralds":
        tags += heralds_hz * seconds * (2 + 2 * record.around * clicks_hz)
    return TAG_BYTES * tags


def show_duration(seconds: float) -> str:
    """A duration for people: `4.5 s`, `10 min 2 s`, `1 h 20 min`."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    parts = [(hours, "h"), (minutes, "min"), (0 if hours else rest, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)
