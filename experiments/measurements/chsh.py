"""`measure_chsh`: CHSH S of the pairs of one source, from its four settings."""

from collections.abc import Mapping, Sequence

from experiments.config.experiment import Experiment
from experiments.config.plan import MeasureChsh
from experiments.config.settings import PairSettings
from experiments.engine.bench import Bench
from experiments.engine.findings import Calibrations
from experiments.estimators.bell import BellState
from experiments.estimators.pairs import chsh
from experiments.measurements.analysers import CHSH, Setting
from experiments.measurements.pair_measurement import PairStep
from experiments.measurements.pair_tally import PairTally, unknown


class MeasureChshStep(PairStep[MeasureChsh]):
    """`measure_chsh`."""

    live = ("chsh_s", "pair_rate_hz")

    def settings(self) -> list[Setting]:
        return list(CHSH)

    def new_tally(self, bench: Bench, experiment: Experiment, calibrations: Calibrations) -> PairTally:
        del calibrations
        pair, period_s = self.pair(experiment), self.period_s(bench, experiment)
        return ChshTally(bench.detectors, pair, period_s, self.parameters.state)


class ChshTally(PairTally):
    """S towards a Bell state, raw and with accidentals subtracted."""

    def __init__(
        self, detectors: Sequence[str], pair: PairSettings, period_s: float | None, state: BellState
    ) -> None:
        super().__init__(detectors, pair, period_s)
        self._state = state

    def figures(self) -> Mapping[str, Mapping[str, object]]:
        counts = self.by_setting_as_pairs
        raw = chsh({name: n.as_counted for name, n in counts.items()}, self._state)
        less = chsh({name: n.subtracted for name, n in counts.items()}, self._state)
        if raw is None or less is None:
            return unknown(["chsh_s"])
        return {"chsh_s": {**raw.to_json(), "subtracted": less.to_json(), "towards": self._state}}
