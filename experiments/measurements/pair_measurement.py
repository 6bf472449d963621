"""What all measurements on a pair of analysers share: how they count coincidences, follow the delay, and
what watchdogs look at."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic, TypeVar

from experiments.calibrations.delay_search import Detectors
from experiments.calibrations.pair_delays import tracked_delays
from experiments.calibrations.tracking import DelayTracker
from experiments.config.experiment import Experiment
from experiments.config.plan.pairs import MeasurePair
from experiments.config.settings import PairSettings
from experiments.engine.bench import Bench
from experiments.engine.step import Context
from experiments.engine.switching import connect
from experiments.measurements.dwell import Delays
from experiments.measurements.pair_dwell import PairDwell, PairSlice, Windows
from experiments.measurements.pair_tally import PairTally
from experiments.measurements.pulses import period_of_pair
from experiments.measurements.settings_loop import MeasuringStep
from experiments.watchdogs.remedies import calibrate_pair_delays_anew
from experiments.watchdogs.subject import of_pair
from experiments.watchdogs.watch import Watch

M = TypeVar("M", bound=MeasurePair)


class PairStep(MeasuringStep[M, PairDwell, PairTally], Generic[M]):
    """A measurement on the pair that its parameters name."""

    needs_calibrations = ("pair delays",)
    events = "coincidences"
    window_names: ClassVar[tuple[str, ...]] = ("window", "window_centre")
    dwells = PairDwell
    live: Sequence[str] = ()
    """The results that observers see while it counts."""

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

    def detectors(self, bench: Bench, experiment: Experiment) -> Detectors:
        first, second = self.analysers(experiment)
        return Detectors({second: bench.spoke_detectors(second)}, bench.spoke_detectors(first))

    def delays(self, experiment: Experiment) -> str:
        return f"delays of {' and '.join(self.analysers(experiment))}"

    def tracker(self, context: Context) -> DelayTracker:
        return context.calibrations.get(tracked_delays(self.analysers(context.experiment)), DelayTracker)

    def period_s(self, bench: Bench, experiment: Experiment) -> float | None:
        """The time between the pulses of its source; None if that is continuous."""
        return period_of_pair(bench.testbed, self.pair(experiment))

    def new_slice(
        self, bench: Bench, experiment: Experiment, delays: Delays, window_ps: tuple[int, int]
    ) -> PairSlice:
        windows = Windows.of(self.pair(experiment), self.period_s(bench, experiment))
        return PairSlice(windows, delays, window_ps)

    def with_windows(self, experiment: Experiment, windows: Mapping[str, float]) -> Experiment:
        mine = self.pair(experiment)
        pairs = {
            name: pair.model_copy(update=dict(windows)) if pair is mine else pair
            for name, pair in experiment.pairs.items()
        }
        return experiment.model_copy(update={"pairs": pairs})

    def watch(self, context: Context) -> Watch | None:
        subject = of_pair(self.parameters.pair, context)
        return Watch.begin(context, subject, lambda since_ps: self.forget_since(context, since_ps))

    def show(self, context: Context) -> None:
        tally = self.tally(context)
        context.show_live(self.parameters, tally.shown(self.live), tally.live_s)
