"""`measure_swapping`: four-folds behind each setting of the two analysers, and the figures made of them.

How the settings are gone through, and what a run can rely on meanwhile, says `settings_loop`.
"""

from experiments.config.experiment import Experiment
from experiments.config.plan import Basis, MeasureSwapping
from experiments.engine.bench import Bench
from experiments.engine.findings import Calibrations
from experiments.engine.step import Context
from experiments.measurements.analysers import CHSH, ZZ_XX_YY, Setting
from experiments.measurements.dwell import Delays, Dwell, Slice
from experiments.measurements.swapping_measurement import SwappingStep
from experiments.measurements.tally import Tally

SETTINGS: dict[Basis, tuple[Setting, ...]] = {
    "ZZ": (ZZ_XX_YY["ZZ"],),
    "XX": (ZZ_XX_YY["XX"],),
    "YY": (ZZ_XX_YY["YY"],),
    "CHSH": CHSH,
}
"""The settings of each basis."""


class MeasureSwappingStep(SwappingStep[MeasureSwapping, Dwell, Tally]):
    """`measure_swapping`."""

    keeps_heralds = True
    dwells = Dwell

    def settings(self) -> list[Setting]:
        return [setting for basis in self.parameters.bases for setting in SETTINGS[basis]]

    def new_slice(
        self, bench: Bench, experiment: Experiment, delays: Delays, window_ps: tuple[int, int]
    ) -> Slice:
        del bench
        return Slice(experiment.swapping, delays, window_ps)

    def new_tally(self, bench: Bench, experiment: Experiment, calibrations: Calibrations) -> Tally:
        del experiment, calibrations
        return Tally(bench.detectors)

    def show(self, context: Context) -> None:
        tally = self.tally(context)
        figures = tally.figures()
        shown = {
            "swap_rate_hz": figures.swap_rate_hz,
            "chsh_s": figures.chsh_s,
            "fidelity": figures.fidelity,
            "visibility_zz": figures.visibility_zz,
            "visibility_xx": figures.visibility_xx,
        }
        context.show_live(self.parameters, shown, tally.live_s, tally.heralds, tally.fourfolds)
