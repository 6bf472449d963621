"""What all measurements behind the Bell-state measurement share: whose analysers turn, whose tags they
compare, which delays they follow, and what watchdogs look at."""

from collections.abc import Mapping
from typing import ClassVar, Generic

from experiments.calibrations.delay_search import Detectors
from experiments.calibrations.delay_step import TRACKED_DELAYS
from experiments.calibrations.tracking import DelayTracker
from experiments.config.experiment import Experiment
from experiments.engine.bench import Bench
from experiments.engine.step import Context
from experiments.measurements.settings_loop import D, M, MeasuringStep, T
from experiments.watchdogs.subject import behind_hub
from experiments.watchdogs.watch import Watch


class SwappingStep(MeasuringStep[M, D, T], Generic[M, D, T]):
    """A measurement on the spokes and the hub that the section `settings` names."""

    needs_calibrations = ("delays",)
    events = "four-folds"
    window_names: ClassVar[tuple[str, ...]] = ("bsm_window", "spoke_window", "spoke_window_centre")

    def analysers(self, experiment: Experiment) -> tuple[str, str]:
        return experiment.swapping.spokes

    def detectors(self, bench: Bench, experiment: Experiment) -> Detectors:
        settings = experiment.swapping
        spokes = {spoke: bench.spoke_detectors(spoke) for spoke in settings.spokes}
        return Detectors(spokes, bench.hub_detectors(settings.bell_state_measurement))

    def delays(self, experiment: Experiment) -> str:
        del experiment
        return "delays"

    def tracker(self, context: Context) -> DelayTracker:
        return context.calibrations.get(TRACKED_DELAYS, DelayTracker)

    def with_windows(self, experiment: Experiment, windows: Mapping[str, float]) -> Experiment:
        settings = experiment.swapping.model_copy(update=dict(windows))
        return experiment.model_copy(update={"settings": settings})

    def watch(self, context: Context) -> Watch | None:
        subject = behind_hub(self.parameters, context)
        return Watch.begin(context, subject, lambda since_ps: self.forget_since(context, since_ps))
