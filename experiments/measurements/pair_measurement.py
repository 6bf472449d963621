"""What all measurements on a pair of analysers share: how they count coincidences, follow the delay, and
what watchdogs look at."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from experiments.calibrations.pair_delays import tracked_delays
from experiments.calibrations.tracking import DelayTracker
from experiments.config.experiment import Experiment
from experiments.config.plan.pairs import MeasurePair
from experiments.config.settings import PairSettings
from experiments.engine.bench import Bench
from experiments.engine.step import Context
from experiments.engine.switching import connect
from experiments.measurements.pair_dwell import PairDwell, PairSlice
from experiments.measurements.pair_tally import CountsOfPair, PairTally
from experiments.measurements.settings_loop import MeasuringStep
from experiments.watchdogs.remedies import calibrate_pair_delays_anew
from experiments.watchdogs.subject import of_pair
from experiments.watchdogs.watch import Watch
from timetags.clocks.track import Track

M = TypeVar("M", bound=MeasurePair)


class PairStep(MeasuringStep[M, PairDwell, CountsOfPair], Generic[M]):
    """A measurement on the pair that its parameters name."""

    needs_calibrations = ("pair delays",)
    events = "coincidences"
    live: Sequence[str] = ()
    """The results that observers see while it counts."""

    @abstractmethod
    def new_tally(self, context: Context) -> PairTally:
        """An empty section of the results."""

    def pair(self, experiment: Experiment) -> PairSettings:
        return experiment.pair(self.parameters.pair)

    def analysers(self, experiment: Experiment) -> tuple[str, str]:
        return self.pair(experiment).analysers

    def changes(self, bench: Bench, experiment: Experiment) -> set[str]:
        return super().changes(bench, experiment) | set(self.pair(experiment).switches)

    async def prepare(self, context: Context) -> None:
        pair = self.pair(context.experiment)
        await connect(pair.switches, context.bench, context.clock)
        if context.calibrations.find(tracked_delays(pair.analysers), DelayTracker) is None:
            # Found by an earlier step, and given up when something that pairs share had changed.
            await calibrate_pair_delays_anew(self.parameters.pair, context)

    def open_dwell(self, context: Context, setting: str, seconds: float) -> PairDwell:
        pair, tracker = self.pair(context.experiment), self._tracker(context)

        def slice_of(window_ps: tuple[int, int]) -> PairSlice:
            return PairSlice(pair, tracker, window_ps)

        channels = len(context.bench.detectors)
        return PairDwell.open(setting, seconds, context.tags, channels, tracker, slice_of)

    def watch(self, context: Context) -> Watch | None:
        subject = of_pair(self.parameters.pair, context)
        return Watch.begin(context, subject, lambda since_ps: self.forget_since(context, since_ps))

    def tally(self, context: Context) -> PairTally:
        return context.results.section(self.parameters, lambda: self.new_tally(context))

    def counts_from(self, entry: Mapping[str, Any], context: Context) -> CountsOfPair:
        return CountsOfPair.from_json(entry, len(context.bench.detectors))

    def tracks(self, context: Context) -> tuple[str, Mapping[str, Track]]:
        first, second = self.analysers(context.experiment)
        return f"delay_track of {first} and {second}", {second: self._tracker(context).tracks[0]}

    def show(self, context: Context) -> None:
        tally = self.tally(context)
        context.show_live(self.parameters, tally.shown(self.live), tally.live_s)

    def _tracker(self, context: Context) -> DelayTracker:
        return context.calibrations.get(tracked_delays(self.analysers(context.experiment)), DelayTracker)
