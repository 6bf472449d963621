"""The section `watchdogs` of an experiment file: which failures a run watches for while it measures, and what
it does about each.

    watchdogs:
      cadence: 60 s
      source_unlocked: {action: recalibrate, at_most: 3}
      nanowire_latched: {}
      clock_unlocked: {action: pause}

A watchdog that is named watches; `{}` takes everything as it is here. What they look at is counted in stays
of measurements, of whatever kind. `action` says what happens when one barks:

    recalibrate  its remedy is carried out, at most `at_most` times in an hour; then the run is held
    pause        the run is held until a person lets it go on
    alarm        it is told, once until all is well again, and nothing else: the data count

With the first two, what was counted since all was last well is forgotten and measured again. Every limit on a
count is one that chance passes with a probability below 1e-9 per look, if what it says of the rates is true.
"""

from collections.abc import Collection, Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, Strict

from drivers.capabilities import NanowireBias
from drivers.units import Fraction, PolarizationDiffusion, Seconds
from experiments.config.inventory import Inventory
from experiments.config.model import NotNegative, Number, Part, Positive
from experiments.config.plan import MeasureInSettings, MeasureSwapping, PlanStep
from experiments.config.problems import Fault
from experiments.config.settings import Sections

Action = Literal["recalibrate", "pause", "alarm"]


class WatchdogSettings(Part):
    """What all watchdogs have in common."""

    action: Action = "recalibrate"
    at_most: Annotated[int, Strict(), Field(ge=1)] = 3
    """Remedies within an hour; the next time the run is held instead."""


class SourceUnlocked(WatchdogSettings):
    """Singles behind an analyser and the pairs of its source fall together. Remedy: the pump's power is moved
    away by `step` of it and set anew, its emission on all the time."""

    below: Fraction = 0.7
    """Of its earlier rate, for singles and for pairs."""
    step: Fraction = 0.05


class NanowireLatched(WatchdogSettings):
    """The electronics say so, or a detector goes blind while its neighbours do not. Remedy: its bias goes to
    zero and comes back in small steps."""

    below: Fraction = 0.1
    """Of its earlier rate: what is left, if anything, is noise of the tagger."""


class PeakWalkedOff(WatchdogSettings):
    """The pairs of a spoke are gone from their window while all singles are there. Remedy: the delays are
    calibrated anew."""

    below: Fraction = 0.3


class IndistinguishabilityLost(WatchdogSettings):
    """The visibility in XX is below its limit while that in ZZ is not; heralds do not show it. Judged on
    `events` four-folds in XX, or on fewer where they say enough. Remedy: links and delays are calibrated
    anew, which helps if one of them is to blame; by itself it pauses."""

    action: Action = "pause"
    visibility: Fraction = 0.5
    events: Annotated[int, Strict(), Field(ge=10)] = 200


class CompensationTimeout(WatchdogSettings):
    """A search for the polarization of a link has not come to its goal. Remedy: another search, at once."""


class FibreJump(WatchdogSettings):
    """Between two looks, a link has turned by more than drift of at most `diffusion` can, or a delay has
    jumped. Remedy: none is needed, since the look that finds it sets the link right, and tracks begin
    anew; what was counted since the last good look goes."""

    diffusion: Annotated[PolarizationDiffusion, NotNegative] = 1e-5
    delay: Annotated[Seconds, Positive] = 300e-12
    """A smaller jump of a delay is left to the tracking."""


class ClockUnlocked(WatchdogSettings):
    """The monitor of a clock says that it has lost its reference, or a tracked delay runs away faster than
    `drift`. Remedy: it is waited for `patience`, then the delays are calibrated anew."""

    drift: Annotated[Number, Positive] = 1e-9
    """Seconds per second."""
    patience: Annotated[Seconds, NotNegative] = 120.0


class Watchdogs(Part):
    """The section. `cadence` is the longest time between two looks, `look` how much of each stay is counted
    for pairs."""

    cadence: Annotated[Seconds, Positive] = 60.0
    look: Annotated[Seconds, Positive] = 1.0
    nanowire_latched: NanowireLatched | None = None
    source_unlocked: SourceUnlocked | None = None
    clock_unlocked: ClockUnlocked | None = None
    fibre_jump: FibreJump | None = None
    compensation_timeout: CompensationTimeout | None = None
    peak_walked_off: PeakWalkedOff | None = None
    indistinguishability_lost: IndistinguishabilityLost | None = None

    @property
    def named(self) -> dict[str, WatchdogSettings]:
        """Those that watch, by name; what explains most comes first."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: each for name, each in fields.items() if isinstance(each, WatchdogSettings)}

    def faults(self, inventory: Inventory, sections: Sections, plan: Collection[PlanStep]) -> Iterator[Fault]:
        """What cannot be watched by this plan on this testbed."""
        if self.named and not any(isinstance(step, MeasureInSettings) for step in plan):
            yield Fault((), "watchdogs look at measurements, and the plan has none", at_key=True)
        testbed = inventory.testbed
        if self.source_unlocked is not None and sections.settings is not None:
            lit = {name for source in testbed.sources.values() for name in (*source.signal, *source.idler)}
            for spoke in sections.settings.spokes:
                if spoke in testbed.analysers and spoke not in lit:
                    wrong = f"no source has {spoke} in its own light path, so its light cannot be told"
                    yield Fault(("source_unlocked",), wrong, at_key=True)
        units = [name for name, driver in inventory.drivers.items() if isinstance(driver, NanowireBias)]
        if self.nanowire_latched is not None and not units:
            yield Fault(("nanowire_latched",), "no instrument of this testbed biases nanowires", at_key=True)
        if self.compensation_timeout is not None and not sections.declared.get("compensation"):
            wrong = "there is no section compensation, so nothing can time out"
            yield Fault(("compensation_timeout",), wrong, at_key=True)
        if self.indistinguishability_lost is not None and not any(
            isinstance(step, MeasureSwapping) and {"ZZ", "XX"} <= set(step.bases) for step in plan
        ):
            wrong = (
                "that photons of two sources can be told apart shows in the four-folds of a measure_swapping "
                "with ZZ and XX alone, and the plan has none; pairs of one source need not be alike"
            )
            yield Fault(("indistinguishability_lost",), wrong, at_key=True)
