"""What all measurements behind the Bell-state measurement share: whose analysers turn, which delays they
follow, and what watchdogs look at."""

from collections.abc import Mapping
from typing import Generic

from experiments.calibrations.delay_step import TRACKED_DELAYS
from experiments.calibrations.tracking import DelayTracker
from experiments.config.experiment import Experiment
from experiments.engine.step import Context
from experiments.measurements.settings_loop import C, D, M, MeasuringStep
from experiments.watchdogs.subject import behind_hub
from experiments.watchdogs.watch import Watch
from timetags.clocks.track import Track


class SwappingStep(MeasuringStep[M, D, C], Generic[M, D, C]):
    """A measurement on the spokes and the hub that the section `settings` names."""

    needs_calibrations = ("delays",)
    events = "four-folds"

    def analysers(self, experiment: Experiment) -> tuple[str, str]:
        return experiment.swapping.spokes

    def tracker(self, context: Context) -> DelayTracker:
        """What follows the delays of both spokes."""
        return context.calibrations.get(TRACKED_DELAYS, DelayTracker)

    def tracks(self, context: Context) -> tuple[str, Mapping[str, Track]]:
        spokes, tracks = context.experiment.swapping.spokes, self.tracker(context).tracks
        return "delay_track", dict(zip(spokes, tracks, strict=True))

    def watch(self, context: Context) -> Watch | None:
        subject = behind_hub(self.parameters, context)
        return Watch.begin(context, subject, lambda since_ps: self.forget_since(context, since_ps))
