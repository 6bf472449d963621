"""Delays between all detectors of a swapping experiment, found from their tags and nothing else.

Each tagger has a clock of its own, each spoke a fibre of its own, each detector a cable of its own. Photon
pairs tell them all: for each spoke the correlation with the hub is first looked for over the whole search
range, which gives one coarse shift per tagger; then the peak of each pair of a spoke's and a hub's detector
is fitted, and all fits together give one fine delay per detector by weighted least squares. After shift and
delay the hub's detectors are aligned among themselves, and for each spoke detector the peak of the
correlation with the hub (the cusp, not the centroid, which lies t1 - t2 away: `physics.md` 6) stands at zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt

import numpy as np

from timetags.block import Channels, Times
from timetags.clocks.affine import AffineClock
from timetags.clocks.track import RATE_SIGMA

BIN_PS = 20
FEWEST_TAGS = 1000
"""Fewer tags than this hold no delay: detectors that see light click some 10,000 times a second."""
HALF_RANGE_PS = 15_000
"""Bins and half width of the histogram of one pair of detectors, about the spoke's coarse delay."""


class CalibrationError(Exception):
    """The delays could not be found; the message says of which detectors and what to do."""


@dataclass(frozen=True)
class Wire:
    """Where a detector's tags are: in which tagger's stream, under which channel."""

    tagger: str
    channel: int


@dataclass(frozen=True)
class PairPeak:
    """The fitted correlation peak of a spoke and a hub detector: position of t_spoke - t_hub in the
    taggers' own times with its standard error, in ps, and the pairs in it."""

    spoke: str
    hub: str
    position_ps: float
    error_ps: float
    pairs: float


@dataclass(frozen=True)
class Delay:
    """A fine delay and its standard error, in ps."""

    value_ps: float
    error_ps: float


@dataclass(frozen=True)
class ClockRate:
    """What a tagger's clock loses against the hub's per unit of its own time, with its standard error; both
    differ by the tagger's shift alone at `at_ps` of its own time."""

    value: float
    error: float
    at_ps: int


@dataclass(frozen=True)
class DelayCalibration:
    """What brings all tags to one time base. `clock(tagger)` maps all its times, by `shifts_ps` and where its
    clock runs free by `rates`; then `fine[detector]` is added to those of one detector."""

    shifts_ps: Mapping[str, int]
    fine: Mapping[str, Delay]
    peaks: tuple[PairPeak, ...]
    chi2_per_dof: float
    """Of the least-squares fit; errors are already widened by its root where it is above 1."""
    rates: Mapping[str, ClockRate] = field(default_factory=dict)
    """Of taggers whose rates were looked for; the others run alike."""

    def clock(self, tagger: str) -> AffineClock:
        """The clock of a tagger with the hub's as time base."""
        rate = self.rates.get(tagger, ClockRate(0.0, 0.0, 0))
        return AffineClock(self.shifts_ps.get(tagger, 0), rate.value, rate.at_ps)

    @property
    def rate_sigma(self) -> float:
        """How much faster or slower than calibrated a clock may still run, in ps/s, for a track."""
        return max([RATE_SIGMA, *(2e12 * rate.error for rate in self.rates.values())])

    def delays_ps(self) -> dict[str, int]:
        """The fine delay of each detector in whole ps, to be added to its times."""
        return {name: round(delay.value_ps) for name, delay in self.fine.items()}


def calibrate_delays(
    tags: Mapping[str, tuple[Times, Channels]],
    wires: Mapping[str, Wire],
    spokes: Sequence[Sequence[str]],
    hub: Sequence[str],
    search_ps: int,
    max_skew: float = 0.0,
) -> DelayCalibration:
    """Find all delays from the `tags` of each tagger (own time, the same nominal stretch).

    `wires` says where each detector's tags are; `spokes` lists the detectors of each spoke, `hub` those of
    the hub, all on one tagger, the first of which is the reference (delay 0). Coarse delays are looked for
    within +-`search_ps`. Spokes may share a tagger with each other or with the hub; the fine delays then
    hold what one shift cannot. With `max_skew` the taggers' clocks run free: rates up to +-`max_skew` against
    the hub's are looked for too, of those that no other spoke has told; peaks stand in times of the right
    rate then. Raises CalibrationError.
    """
    from timetags.merge import merge_channels

    rates: dict[str, ClockRate] = {}
    times = {name: _of_channel(*tags[wire.tagger], wire.channel) for name, wire in wires.items()}
    pooled_hub, _ = merge_channels([times[name] for name in hub], range(len(hub)))
    shifts = {wires[hub[0]].tagger: 0}
    peaks: list[PairPeak] = []
    for spoke in spokes:
        pooled, _ = merge_channels([times[name] for name in spoke], range(len(spoke)))
        tagger = wires[spoke[0]].tagger
        if max_skew > 0 and tagger not in shifts:
            coarse, rate = _coarse_and_rate(pooled_hub, pooled, (search_ps, max_skew), spoke)
            rates[tagger] = rate
            for name, wire in wires.items():
                if wire.tagger == tagger:
                    times[name] = AffineClock(0, rate.value, rate.at_ps).to_base(times[name])
        else:
            coarse = _coarse(pooled_hub, pooled, search_ps, spoke)
        shifts.setdefault(tagger, -coarse)
        peaks += [
            peak
            for one in spoke
            for other in hub
            if (peak := _fit(one, times[one], other, times[other], coarse)) is not None
        ]
    detectors = [*hub, *(name for spoke in spokes for name in spoke)]
    shift_of = {name: shifts[wires[name].tagger] for name in detectors}
    fine, chi2_per_dof = _least_squares(detectors, peaks, shift_of)
    return DelayCalibration(shifts, fine, tuple(peaks), chi2_per_dof, rates)


def _of_channel(times: Times, channels: Channels, channel: int) -> Times:
    chosen: Times = times[channels == channel]
    return chosen


def _coarse(hub: Times, spoke: Times, search_ps: int, names: Sequence[str]) -> int:
    from timetags.clocks.delays import DelayError, find_delay

    _check_clicks(hub, spoke, names)
    try:
        return round(find_delay(hub, spoke, search_ps).delay_ps)
    except DelayError as error:
        raise CalibrationError(f"no delay between {' and '.join(names)} and the hub: {error}") from error


def _coarse_and_rate(
    hub: Times, spoke: Times, search: tuple[int, float], names: Sequence[str]
) -> tuple[int, ClockRate]:
    from timetags.clocks.peak import DelayError
    from timetags.clocks.skew import find_clocks

    _check_clicks(hub, spoke, names)
    try:
        found = find_clocks(hub, spoke, *search)
    except DelayError as error:
        raise CalibrationError(f"no delay between {' and '.join(names)} and the hub: {error}") from error
    clock = found.clock()
    return -clock.offset_ps, ClockRate(clock.rate, found.skew_error, clock.at_ps)


def _check_clicks(hub: Times, spoke: Times, names: Sequence[str]) -> None:
    for where, seen in (("the hub's detectors", hub), (f"{' and '.join(names)}", spoke)):
        if len(seen) < FEWEST_TAGS:
            raise CalibrationError(
                f"{where} hardly click: {len(seen)} tags in all. Check their bias, the thresholds of their "
                "tagger, and that light reaches them"
            )


def _fit(spoke: str, spoke_times: Times, hub: str, hub_times: Times, coarse_ps: int) -> PairPeak | None:
    """The peak of one pair of detectors, or None: with crossed polarizations there may be none."""
    from timetags.analyses.correlate import bin_centres, correlate
    from timetags.clocks.peak import DelayError, fit_peak

    around = (coarse_ps - HALF_RANGE_PS, coarse_ps + HALF_RANGE_PS)
    counts = correlate(hub_times, spoke_times, bin_ps=BIN_PS, range_ps=around)
    try:
        peak = fit_peak(counts, bin_centres(BIN_PS, around), BIN_PS)
    except DelayError:
        return None
    return PairPeak(spoke, hub, peak.position_ps, peak.position_error_ps, peak.pairs)


def _least_squares(
    detectors: Sequence[str], peaks: Sequence[PairPeak], shift_of: Mapping[str, int]
) -> tuple[dict[str, Delay], float]:
    """Fine delays D with D_spoke - D_hub = -(position + shift_spoke - shift_hub) for each peak, and D = 0 for
    the first detector."""
    free = {name: k for k, name in enumerate(detectors[1:])}
    if lost := _not_connected(detectors, peaks):
        raise CalibrationError(
            f"no correlation peak ties {', '.join(lost)} to the others. See whether these detectors count "
            "and whether light reaches them, or take tags for longer"
        )
    matrix = np.zeros((len(peaks), len(free)))
    wanted = np.zeros(len(peaks))
    for row, peak in enumerate(peaks):
        weight = 1 / peak.error_ps
        if peak.spoke in free:
            matrix[row, free[peak.spoke]] = weight
        if peak.hub in free:
            matrix[row, free[peak.hub]] = -weight
        wanted[row] = -weight * (peak.position_ps + shift_of[peak.spoke] - shift_of[peak.hub])
    solution = np.linalg.lstsq(matrix, wanted)[0]
    covariance = np.linalg.inv(matrix.T @ matrix)
    dof = len(peaks) - len(free)
    chi2_per_dof = float(np.sum((matrix @ solution - wanted) ** 2)) / dof if dof else 1.0
    widen = sqrt(max(1.0, chi2_per_dof))
    fine = {detectors[0]: Delay(0.0, 0.0)}
    fine |= {name: Delay(float(solution[k]), widen * sqrt(covariance[k, k])) for name, k in free.items()}
    return fine, chi2_per_dof


def _not_connected(detectors: Sequence[str], peaks: Sequence[PairPeak]) -> list[str]:
    """The detectors that no chain of peaks leads to from the first one."""
    known, grown = {detectors[0]}, True
    while grown:
        ties = [{peak.spoke, peak.hub} for peak in peaks]
        more = {name for tie in ties if tie & known for name in tie}
        grown = not more <= known
        known |= more
    return [name for name in detectors if name not in known]
