"""`characterize_pair`: a source as such, from singles and coincidences of both analysers at H and V.

Pair rate (raw and less accidentals, always with its window), CAR, g_SI, the fidelity that accidentals leave
of perfect pairs, heralding efficiencies and the width of the correlation. The correlation peak with the
window on it goes on record when the counting is over.
"""

from collections.abc import Mapping, Sequence
from math import hypot, sqrt

from experiments.config.experiment import Experiment
from experiments.config.plan import CharacterizePair
from experiments.config.settings import PairSettings
from experiments.engine.bench import Bench
from experiments.engine.events import Peaks
from experiments.engine.findings import Calibrations
from experiments.engine.step import Context
from experiments.engine.tags import PS
from experiments.estimators.estimate import Estimate
from experiments.estimators.heralding import Arm, car, g_si, heralding_efficiency, werner_fidelity
from experiments.measurements.analysers import ZZ_XX_YY, Setting
from experiments.measurements.pair_dwell import PEAK_BIN_PS, PEAK_PS
from experiments.measurements.pair_measurement import PairStep
from experiments.measurements.pair_tally import CountsOfPair, PairTally, unknown


class CharacterizePairStep(PairStep[CharacterizePair]):
    """`characterize_pair`."""

    live = ("pair_rate_hz", "car", "heralding_first", "heralding_second")

    def settings(self) -> list[Setting]:
        return [ZZ_XX_YY["ZZ"]]

    def new_tally(self, bench: Bench, experiment: Experiment, calibrations: Calibrations) -> "SourceTally":
        del calibrations
        pair = self.pair(experiment)
        arms = [[bench.channel(name) for name in bench.spoke_detectors(a)] for a in pair.analysers]
        darks = [self.parameters.dark_counts.get(name) for name in bench.detectors]
        return SourceTally(bench.detectors, pair, self.period_s(bench, experiment), arms, darks)

    async def finish(self, context: Context) -> None:
        await super().finish(context)
        tally = self.tally(context)
        assert isinstance(tally, SourceTally)
        if tally.total.events:
            context.announce(tally.peak("-".join(self.analysers(context.experiment))))


class SourceTally(PairTally):
    """The figures of a source. `arms` are the channels behind either analyser, `darks_hz` the dark counts of
    each channel, None where they are not known."""

    def __init__(
        self,
        detectors: Sequence[str],
        pair: PairSettings,
        period_s: float | None,
        arms: Sequence[Sequence[int]],
        darks_hz: Sequence[float | None],
    ) -> None:
        super().__init__(detectors, pair, period_s)
        self._arms, self._darks_hz = arms, darks_hz

    def figures(self) -> Mapping[str, Mapping[str, object]]:
        counts = self.total
        pairs, cells = self.coincident(counts), self.pair_counts(counts)
        ratio = car(pairs)
        found: dict[str, Mapping[str, object]] = {
            "car": {**ratio.to_json(), "takes": "(C - A)/A"},
            "g_si": g_si(cells.as_counted).to_json(),
            "fidelity_by_car": {
                **werner_fidelity(ratio).to_json(),
                "takes": "perfect pairs with unpolarised accidentals",
            },
            "accidentals_hz": pairs.accidental.times(1 / self.live_s).to_json(),
        }
        for name, herald in (("heralding_first", 1), ("heralding_second", 0)):
            known = all(self._darks_hz[channel] is not None for channel in self._arms[herald])
            takes = "less dark counts" if known else "dark counts not taken off: not known"
            try:
                efficiency = heralding_efficiency(pairs, self._arm(herald))
            except ValueError:
                found |= unknown([name])
            else:
                found[name] = {**efficiency.to_json(), "takes": takes}
        width = correlation_width_ps(counts)
        if width is None:
            return {**found, **unknown(["correlation_width_ps"])}
        return {**found, "correlation_width_ps": width.to_json()}

    def peak(self, name: str) -> Peaks:
        """The correlation peak with the window on it, on the time base of its delays."""
        centre, half = self._pair.window_centre * PS, self._pair.window * PS / 2
        return Peaks(
            name,
            PEAK_PS[0],
            PEAK_BIN_PS,
            tuple(self.total.peak.astype(float).tolist()),
            centre - half,
            centre + half,
            0.0,
            0.0,
        )

    def _arm(self, number: int) -> Arm:
        channels = self._arms[number]
        darks_hz = sum(self._darks_hz[channel] or 0.0 for channel in channels)
        darks = darks_hz * self.live_s
        return Arm(int(self.total.singles[list(channels)].sum()), Estimate(darks, sqrt(darks)))


def correlation_width_ps(counts: CountsOfPair) -> Estimate | None:
    """The standard deviation of the true delays between both clicks, detectors' jitter included, from a fit
    of the peak; None where none stands out. For the two exponentials t1 and t2 (weights t1, t2) and a
    Gaussian jitter s it is the root of 2 (t1^3 + t2^3)/(t1 + t2) - (t1 - t2)^2 + s^2. Its error is that of
    the standard deviation of so many pairs, w / sqrt(N) for an exponential."""
    from timetags.analyses.correlate import bin_centres
    from timetags.clocks.peak import DelayError, fit_peak

    try:
        peak = fit_peak(counts.peak, bin_centres(PEAK_BIN_PS, PEAK_PS), PEAK_BIN_PS)
    except DelayError:
        return None
    t1, t2 = peak.tau_signal_ps, peak.tau_idler_ps
    width = hypot(sqrt(2 * (t1**3 + t2**3) / (t1 + t2) - (t1 - t2) ** 2), peak.sigma_ps)
    return Estimate(width, width / sqrt(max(peak.pairs, 1.0)))
