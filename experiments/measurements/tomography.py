"""`measure_tomography`: the state of the pairs of one source, by maximum likelihood from nine settings.

Each of Z, X and Y at the one analyser with each at the other. What the analysers project on is taken as
calibrated where they are (`OPTICS`), and the detectors' relative efficiencies are divided out: with
`swap_outputs` every setting is measured a second time with the outputs of both analysers exchanged, and the
singles of both tell the ratios. Without, detectors count as equal, which the results say.
"""

from collections.abc import Mapping, Sequence
from math import pi, sqrt

import numpy as np
from numpy.typing import NDArray

from experiments.config.experiment import Experiment
from experiments.config.plan import MeasureTomography
from experiments.config.settings import PairSettings
from experiments.engine.bench import Bench
from experiments.engine.findings import Calibrations
from experiments.estimators.analyser import IDEAL, AnalyserOptics, pair_elements
from experiments.estimators.bell import BellState, Complex
from experiments.estimators.tomography import (
    Tomogram,
    figures,
    reconstruct,
    resampled,
)
from experiments.measurements.analysers import OPTICS, Analysis, Setting, circular, linear
from experiments.measurements.pair_measurement import PairStep
from experiments.measurements.pair_tally import CountsOfPair, PairTally, unknown

_RESAMPLING = 0x70B0
"""Seed of the bootstrap: the same counts give the same error bars."""

Z_X_Y: Mapping[str, Analysis] = {"Z": linear(0), "X": linear(45), "Y": circular()}
SWAPPED: Mapping[str, Analysis] = {
    "Z": linear(90),
    "X": linear(135),
    "Y": Analysis("circular, swapped", qwp_rad=3 * pi / 4, hwp_rad=0.0),
}
"""The same bases with the outputs exchanged."""

NINE = tuple(Setting(f"{a}{b}", (Z_X_Y[a], Z_X_Y[b])) for a in "ZXY" for b in "ZXY")
NINE_SWAPPED = tuple(Setting(f"{a}{b} swapped", (SWAPPED[a], SWAPPED[b])) for a in "ZXY" for b in "ZXY")


class MeasureTomographyStep(PairStep[MeasureTomography]):
    """`measure_tomography`."""

    live = ("fidelity", "purity", "pair_rate_hz")

    def settings(self) -> list[Setting]:
        return [*NINE, *(NINE_SWAPPED if self.parameters.swap_outputs else ())]

    def new_tally(self, bench: Bench, experiment: Experiment, calibrations: Calibrations) -> PairTally:
        pair = self.pair(experiment)
        channels = [[bench.channel(name) for name in bench.spoke_detectors(a)] for a in pair.analysers]
        optics = [
            calibrations.find(OPTICS.format(analyser), AnalyserOptics) or IDEAL for analyser in pair.analysers
        ]
        period_s = self.period_s(bench, experiment)
        return StateTally(bench.detectors, pair, period_s, self.parameters, channels, optics)


class StateTally(PairTally):
    """The state, raw and with accidentals left out. `channels` are those of outputs H and V of either
    analyser, `optics` what is known of each."""

    def __init__(
        self,
        detectors: Sequence[str],
        pair: PairSettings,
        period_s: float | None,
        parameters: MeasureTomography,
        channels: Sequence[Sequence[int]],
        optics: Sequence[AnalyserOptics],
    ) -> None:
        super().__init__(detectors, pair, period_s)
        self._parameters, self._channels, self._optics = parameters, channels, optics
        self._known: tuple[int, dict[str, Mapping[str, object]]] | None = None

    def figures(self) -> Mapping[str, Mapping[str, object]]:
        counts = self.by_setting
        used = [s for s in (*NINE, *NINE_SWAPPED) if s.name in counts and counts[s.name].events]
        if not {setting.name for setting in NINE} <= {setting.name for setting in used}:
            return unknown([name for name in self._parameters.results if name != "pair_rate_hz"])
        events = self.total.events
        if self._known is None or self._known[0] != events:
            self._known = events, self._reconstructed(used, counts)
        return self._known[1]

    def _reconstructed(
        self, used: Sequence[Setting], counts: Mapping[str, CountsOfPair]
    ) -> dict[str, Mapping[str, object]]:
        raw = np.array([counts[setting.name].raw for setting in used])
        displaced = np.array([counts[setting.name].displaced for setting in used])
        elements = np.array([self._elements(setting) for setting in used])
        efficiencies = self._efficiencies(counts) if len(used) == len(NINE) + len(NINE_SWAPPED) else None
        takes = "detectors taken as equal" if efficiencies is None else "relative efficiencies divided out"
        bell: BellState = self._parameters.state
        found: dict[str, Mapping[str, object]] = {}
        states: dict[str, Complex] = {}
        for name, beside in (("raw", None), ("subtracted", displaced)):
            tomogram = Tomogram(raw, elements, beside, self._displacements, efficiencies)
            state = states[name] = reconstruct(tomogram)
            rng = np.random.default_rng(_RESAMPLING)
            resamples = resampled(tomogram, state, rng, self._parameters.resamples)
            for figure, value in figures(state, resamples, bell).to_json().items():
                found[figure] = (
                    {**value, "towards": bell} if name == "raw" else {**found[figure], name: value}
                )
        for name, state in states.items():
            key = "density_matrix" if name == "raw" else f"density_matrix_{name}"
            found[key] = {"real": state.real.tolist(), "imaginary": state.imag.tolist(), "takes": takes}
        return found

    def _elements(self, setting: Setting) -> Complex:
        first, second = (
            optics.elements(analysis.qwp_rad, analysis.hwp_rad)
            for optics, analysis in zip(self._optics, setting.analyses, strict=True)
        )
        return pair_elements(first, second)

    def _efficiencies(self, counts: Mapping[str, CountsOfPair]) -> NDArray[np.float64]:
        """Of H and V of either analyser, relative: (2, 2). Light that is at the one output in a setting is at
        the other in the swapped one, so that the root of S_H S_H' / (S_V S_V') is the ratio of both."""
        ratios = []
        for h, v in self._channels:
            plain, swapped = (
                sum(counts[s.name].singles / max(counts[s.name].live_ps, 1) for s in settings)
                for settings in (NINE, NINE_SWAPPED)
            )
            product = plain[v] * swapped[v]  # type: ignore[index]
            ratios.append(sqrt(plain[h] * swapped[h] / product) if product > 0 else 1.0)  # type: ignore[index]
        return np.array([[ratio, 1.0] for ratio in ratios])
