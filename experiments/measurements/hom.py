"""`measure_hom`: the Hong-Ou-Mandel dip of two continuous sources, heralded by both signals.

No delay is scanned: the dip stands in the differences d of the two clicks at the hub themselves (`physics.md`
6, HOM). Both analysers look along H and V. When both signals have clicked alike the idlers are alike, and
avoid leaving by different ports with the same polarization: cH&dH, cV&dV. When they have clicked unlike, the
idlers are told apart by their polarization, cH&dV and cV&dH: the reference, out of the same tags, with the
same singles, windows and losses. Without interference there are as many of either.

The unheralded dip of two such sources is flat whatever the alignment: idlers of one source bunch by as much
as those of two avoid each other. So is that of three-folds behind arms as bright as each other: the herald's
partner meets idlers of its own source as often as the other's. (`physics.md` 6 names three-folds too, which
its own section 1 does not bear out; tests/sim_instruments/test_world_pulsed_dip.py.) Neither is made a
figure of.

Accidentals are counted with each analyser's window displaced by 200 ns, whole pulses of a pulsed source
(`measurements.pulses`), and with both: what is left after subtracting the former two less the latter has both
signals in coincidence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from experiments.config.experiment import Experiment
from experiments.config.plan import MeasureHom
from experiments.config.settings import SwappingSettings
from experiments.engine.bench import Bench
from experiments.engine.events import Scan
from experiments.engine.findings import Calibrations
from experiments.engine.step import Context
from experiments.engine.tags import PS
from experiments.estimators.dip import Dip, dip_shape
from experiments.estimators.dip_ratio import fit_dip_against
from experiments.estimators.estimate import Estimate, rate
from experiments.estimators.poisson_fit import FitError
from experiments.measurements.analysers import ZZ_XX_YY, Setting
from experiments.measurements.counting_slice import CountingSlice
from experiments.measurements.dwell import Delays, SlicedDwell
from experiments.measurements.pair_tally import unknown
from experiments.measurements.pulses import far_ps, period_at_spoke
from experiments.measurements.sums import Sums
from experiments.measurements.swapping_measurement import SwappingStep

if TYPE_CHECKING:
    from timetags.analyses.hom import HomHistogram

DISPLACED = ((0, 0), (1, 0), (0, 1), (1, 1))
"""Which analysers' windows are displaced in each histogram."""
SIGNS = np.array([1, -1, -1, 1])
"""With these the histograms add up to what has both signals in coincidence."""
ENOUGH = 2000
"""With so many four-folds centre and width of the dip are fitted too; with fewer, nothing but its depth where
`tau` is given (`physics.md` 6, HOM, bias at 400 counts)."""
PARALLEL, CROSSED = 0, 1


class HomDwell(SlicedDwell["HomSlice"]):
    """A stay; `histograms` as in `HomSlice`."""

    @property
    def histograms(self) -> NDArray[np.int64]:
        first, *others = (s.histograms for s in self._slices)
        return sum(others, first)


class HomSlice(CountingSlice["HomHistogram"]):
    """The histograms of one slice, [displacement, parallel or crossed, bin]. A pair of hub clicks counts in
    the slice that both fall in. Displaced windows of the two analysers are `far_ps` away."""

    def __init__(
        self,
        parameters: MeasureHom,
        settings: SwappingSettings,
        far_ps: tuple[int, int],
        delays: Delays,
        window_ps: tuple[int, int],
    ) -> None:
        super().__init__(delays, window_ps, delays.hub)
        self._settings, self._far_ps = settings, far_ps
        self._bin_ps, self._reach_ps = round(parameters.bin * PS), round(parameters.reach * PS)
        bins = 2 * self._reach_ps // self._bin_ps
        self.histograms = np.zeros((len(DISPLACED), 2, bins), np.int64)

    def _begin(self, delays_ps: Mapping[int, int]) -> "tuple[HomHistogram, ...]":
        from timetags.analyses.coincidences import Analyser
        from timetags.analyses.hom import HomHistogram

        c_h, c_v, d_h, d_v = self._delays.hub
        width = round(self._settings.spoke_window * PS)
        centre = round(self._settings.spoke_window_centre * PS)
        return tuple(
            HomHistogram(
                [(c_h, d_h), (c_v, d_v), (c_h, d_v), (c_v, d_h)],
                [
                    Analyser(tuple(spoke), width, centre + is_far * far)
                    for spoke, is_far, far in zip(self._delays.spokes, displaced, self._far_ps, strict=True)
                ],
                delays_ps,
                bin_ps=self._bin_ps,
                range_ps=(-self._reach_ps, self._reach_ps),
            )
            for displaced in DISPLACED
        )

    def _take(self, analyses: "tuple[HomHistogram, ...]") -> None:
        for k, histogram in enumerate(analyses):
            n = histogram.counts  # pair of ports, first signal, second signal, bin
            self.histograms[k, PARALLEL] = n[0, 0, 0] + n[1, 1, 1]
            self.histograms[k, CROSSED] = n[2:, 0, 1].sum(axis=0) + n[2:, 1, 0].sum(axis=0)


@dataclass
class HomCounts:
    """Counts that do not grow by themselves; arrays as in `HomDwell`."""

    setting: str
    live_ps: int
    singles: NDArray[np.int64]
    histograms: NDArray[np.int64]

    @property
    def events(self) -> int:
        """Four-folds, of both kinds."""
        return int(self.histograms[0].sum())

    @classmethod
    def from_json(cls, entry: Mapping[str, Any], shape: tuple[int, int]) -> "HomCounts":
        """What `to_json` gave, of so many channels and bins. Raises ValueError for anything else."""
        channels, bins = shape
        try:
            singles, histograms = (np.array(entry[name], np.int64) for name in ("singles", "histograms"))
            counts = cls(str(entry["setting"]), int(entry["live_ps"]), singles, histograms)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"no counts: {error}") from error
        if singles.shape != (channels,) or histograms.shape != (len(DISPLACED), 2, bins):
            raise ValueError("counts of other detectors, or in other bins")
        return counts

    def to_json(self) -> dict[str, object]:
        return {
            "setting": self.setting,
            "live_ps": self.live_ps,
            "singles": self.singles.tolist(),
            "histograms": self.histograms.tolist(),
        }

    def add(self, more: "HomCounts") -> None:
        self.live_ps += more.live_ps
        self.singles = self.singles + more.singles
        self.histograms = self.histograms + more.histograms


class HomTally(Sums[HomDwell, HomCounts]):
    """Adds up dwells, and makes the figures of the dip."""

    def __init__(self, detectors: Sequence[str], parameters: MeasureHom, bsm_window_s: float) -> None:
        super().__init__()
        self._detectors, self._parameters, self._window_ps = tuple(detectors), parameters, bsm_window_s * PS
        self.bin_ps, reach_ps = parameters.bin * PS, parameters.reach * PS
        self.bins = round(2 * reach_ps / self.bin_ps)
        edge_ps = reach_ps - self.bin_ps / 2
        self.d_ps = np.linspace(-edge_ps, edge_ps, self.bins)

    def counts_of(self, dwell: HomDwell) -> HomCounts:
        return HomCounts(dwell.setting, dwell.live_ps, dwell.singles.copy(), dwell.histograms.copy())

    def counts_from(self, entry: Mapping[str, Any]) -> HomCounts:
        return HomCounts.from_json(entry, (len(self._detectors), self.bins))

    def nothing(self, setting: str) -> HomCounts:
        histograms = np.zeros((len(DISPLACED), 2, self.bins), np.int64)
        return HomCounts(setting, 0, np.zeros(len(self._detectors), np.int64), histograms)

    def amount(self, counts: HomCounts) -> dict[str, float]:
        return {"live_time_s": counts.live_ps / PS, "fourfolds": counts.events}

    @property
    def visibility(self) -> tuple[Estimate | None, Estimate | None]:
        """Within the window of the Bell-state measurement, 1 - parallel/crossed: raw, and with accidentals
        subtracted."""
        inside = np.abs(self.d_ps) < self._window_ps / 2
        counts = self.total.histograms[..., inside].sum(axis=-1)
        raw = _missing(counts[0].astype(float), counts[0].astype(float))
        less = _missing((SIGNS[:, None] * counts).sum(axis=0).astype(float), counts.sum(axis=0).astype(float))
        return raw, less

    @property
    def dip(self) -> Dip | None:
        """The fitted dip, in ps and raw; None while there is too little of it."""
        parallel, crossed = self.total.histograms[0].astype(float)
        tau, enough = self._parameters.tau, parallel.sum() + crossed.sum() >= ENOUGH
        if not enough and tau is None:
            return None
        try:
            return fit_dip_against(
                self.d_ps,
                parallel,
                crossed,
                bin_width=self.bin_ps,
                tau=None if tau is None else tau * PS,
                centre=None if enough else 0.0,
                ratio=1.0,  # both kinds take the same light, detectors and windows
            )
        except (FitError, ValueError):
            return None

    def to_results(self) -> dict[str, object]:
        total = self.total
        if total.live_ps == 0:
            return {}
        found: dict[str, object] = dict(unknown(MeasureHom.results))
        raw, less = self.visibility
        if raw is not None:
            found["hom_visibility"] = {
                **raw.to_json(),
                "subtracted": None if less is None else less.to_json(),
                "window_s": self._window_ps / PS,
                "takes": "equal against crossed polarizations, both signals clicked",
            }
        if (dip := self.dip) is not None:
            found["hom_dip_visibility"] = {
                **dip.visibility.to_json(),
                "chi2": dip.deviance,
                "dof": dip.freedom,
            }
            found["hom_dip_tau_ps"] = dip.tau.to_json()
            found["hom_dip_centre_ps"] = dip.centre.to_json()
        return {
            **found,
            "singles_hz": {
                name: rate(n, self.live_s).to_json()
                for name, n in zip(self._detectors, total.singles.tolist(), strict=True)
            },
            "fourfolds": total.events,
            "live_time_s": self.live_s,
            "hom_histogram": {
                "from_ps": float(self.d_ps[0] - self.bin_ps / 2),
                "bin_ps": self.bin_ps,
                "parallel": total.histograms[0, PARALLEL].tolist(),
                "crossed": total.histograms[0, CROSSED].tolist(),
            },
            **self.origins,
        }

    def scan(self) -> Scan:
        """Equal over crossed polarizations against d, as people look at a dip; bins without a reference are
        left out."""
        parallel, crossed = self.total.histograms[0].astype(np.float64)
        seen = crossed > 0
        ratio = np.asarray(parallel[seen] / crossed[seen], np.float64)
        error = (parallel[seen] + 1) / crossed[seen] * np.sqrt(1 / (parallel[seen] + 1) + 1 / crossed[seen])
        dip, d = self.dip, self.d_ps[seen]
        fit: tuple[float, ...] = ()
        summary: dict[str, object] = {"fourfolds": self.total.events}
        if dip is not None:
            depth = dip_shape(d, self.bin_ps, dip.centre.value, dip.tau.value, "exponential")
            fit = tuple((dip.level.value * (1 - dip.visibility.value * depth)).tolist())
            summary["visibility"] = dip.visibility.to_json()
            summary["tau_ps"] = dip.tau.to_json()
        return Scan(
            name="Hong-Ou-Mandel dip",
            x=tuple(d.tolist()),
            y=tuple(ratio.tolist()),
            error=tuple(error.tolist()),
            fit=fit,
            x_label="time at port c less that at port d, ps",
            y_label="four-folds, equal over crossed polarizations",
            summary=summary,
        )


class MeasureHomStep(SwappingStep[MeasureHom, HomDwell, HomTally]):
    """`measure_hom`."""

    dwells = HomDwell

    def settings(self) -> list[Setting]:
        return [ZZ_XX_YY["ZZ"]]

    def new_slice(
        self, bench: Bench, experiment: Experiment, delays: Delays, window_ps: tuple[int, int]
    ) -> HomSlice:
        settings = experiment.swapping
        first, second = (far_ps(period_at_spoke(bench.testbed, spoke)) for spoke in settings.spokes)
        return HomSlice(self.parameters, settings, (first, second), delays, window_ps)

    def new_tally(self, bench: Bench, experiment: Experiment, calibrations: Calibrations) -> HomTally:
        del calibrations
        return HomTally(bench.detectors, self.parameters, experiment.swapping.bsm_window)

    def show(self, context: Context) -> None:
        tally = self.tally(context)
        raw, _ = tally.visibility
        context.show_live(
            self.parameters, {"hom_visibility": raw}, tally.live_s, fourfolds=tally.total.events
        )

    async def finish(self, context: Context) -> None:
        await super().finish(context)
        tally = self.tally(context)
        if tally.total.events:
            context.announce(tally.scan())


def _missing(n: NDArray[np.float64], variance: NDArray[np.float64]) -> Estimate | None:
    """1 - n[0]/n[1], from counts with these variances; None without a reference. Where nothing was counted
    the variance is that of one count."""
    if n[CROSSED] <= 0:
        return None
    ratio = float(n[PARALLEL] / n[CROSSED])
    spread = max(float(variance[PARALLEL]), 1.0) + ratio**2 * float(variance[CROSSED])
    return Estimate(1 - ratio, sqrt(spread) / float(n[CROSSED]))
