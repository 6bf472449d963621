"""`measure_swapping`: four-folds behind each setting of the two analysers, and the figures made of them.

How the settings are gone through, and what a run can rely on meanwhile, says `settings_loop`.
"""

from collections.abc import Mapping
from typing import Any

from experiments.config.plan import Basis, MeasureSwapping
from experiments.engine.step import Context
from experiments.measurements.analysers import CHSH, ZZ_XX_YY, Setting
from experiments.measurements.dwell import Dwell, Slice
from experiments.measurements.swapping_measurement import SwappingStep
from experiments.measurements.tally import Counts, Tally

SETTINGS: dict[Basis, tuple[Setting, ...]] = {
    "ZZ": (ZZ_XX_YY["ZZ"],),
    "XX": (ZZ_XX_YY["XX"],),
    "YY": (ZZ_XX_YY["YY"],),
    "CHSH": CHSH,
}
"""The settings of each basis."""


class MeasureSwappingStep(SwappingStep[MeasureSwapping, Dwell, Counts]):
    """`measure_swapping`."""

    def settings(self) -> list[Setting]:
        return [setting for basis in self.parameters.bases for setting in SETTINGS[basis]]

    def open_dwell(self, context: Context, setting: str, seconds: float) -> Dwell:
        settings = context.experiment.swapping
        tracker = self.tracker(context)
        kept = context.tag_files.around_heralds(context.bench, settings, tracker)
        channels = len(context.bench.detectors)

        def slice_of(window_ps: tuple[int, int]) -> Slice:
            return Slice(settings, tracker, window_ps)

        return Dwell.open(setting, seconds, context.tags, channels, tracker, slice_of, kept)

    def tally(self, context: Context) -> Tally:
        return context.results.section(self.parameters, lambda: Tally(context.bench.detectors))

    def counts_from(self, entry: Mapping[str, Any], context: Context) -> Counts:
        return Counts.from_json(entry, len(context.bench.detectors))

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
