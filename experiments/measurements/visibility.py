"""`measure_visibility`: visibilities in two or three bases, and what they say of the pairs.

All four outcomes count in each basis. Two bases bound the fidelity (`estimators.pairs.two_basis_bounds`); the
bounds are results of their own, each with its own error, and never shown as an error bar. With YY there is
the fidelity itself.
"""

from collections.abc import Mapping, Sequence

from experiments.config.experiment import Experiment
from experiments.config.plan import MeasureVisibility
from experiments.config.settings import PairSettings
from experiments.engine.bench import Bench
from experiments.engine.findings import Calibrations
from experiments.estimators import pairs
from experiments.estimators.bell import BellState
from experiments.measurements.analysers import ZZ_XX_YY, Setting
from experiments.measurements.pair_measurement import PairStep
from experiments.measurements.pair_tally import PairTally, unknown


class MeasureVisibilityStep(PairStep[MeasureVisibility]):
    """`measure_visibility`."""

    live = ("visibility_zz", "visibility_xx", "fidelity_lower", "fidelity_upper", "pair_rate_hz")

    def settings(self) -> list[Setting]:
        return [ZZ_XX_YY[basis] for basis in self.parameters.bases]

    def new_tally(self, bench: Bench, experiment: Experiment, calibrations: Calibrations) -> PairTally:
        del calibrations
        pair, period_s = self.pair(experiment), self.period_s(bench, experiment)
        return VisibilityTally(bench.detectors, pair, period_s, self.parameters.state)


FIGURES = tuple(name for name in MeasureVisibility.results if name != "pair_rate_hz")


class VisibilityTally(PairTally):
    """Visibilities, bounds and QBER towards a Bell state, raw and with accidentals subtracted."""

    def __init__(
        self, detectors: Sequence[str], pair: PairSettings, period_s: float | None, state: BellState
    ) -> None:
        super().__init__(detectors, pair, period_s)
        self._state = state

    def figures(self) -> Mapping[str, Mapping[str, object]]:
        counts = self.by_setting_as_pairs
        raw = pairs.figures({name: n.as_counted for name, n in counts.items()}, self._state)
        less = pairs.figures({name: n.subtracted for name, n in counts.items()}, self._state)
        return {**unknown(FIGURES), **pairs.to_json(raw, less)}
