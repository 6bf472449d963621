"""Find offset and skew between the clocks of two nodes from their tags alone.

For clocks that run free: unknown offset of milliseconds, rates that differ by parts per million. The steps
are those of `physics.md` 6, "Delay and skew between nodes": a coarse search (`clocks.coarse`); a search over
skew and offset at once on the list of time differences, with ever narrower windows; straight lines through
the places of the correlation peak in ever longer stretches of tags; and last a fit of the pooled peak with
its true shape. Neither clock may wander by more than a fraction of the peak's width about a straight line
over the tags that are given; a run is followed by `clocks.track` from there on.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray

from timetags.analyses.correlate import bin_centres, correlate
from timetags.block import Times
from timetags.clocks.affine import MOST_RATE, AffineClock
from timetags.clocks.coarse import Coarse, search
from timetags.clocks.delays import FINE_HALF_RANGE_PS, FINE_PS
from timetags.clocks.peak import DelayError, Peak, fit_peak, locate

Values = NDArray[np.float64]

# The windows of the search on the list of differences: an eighth of the coarse bin, a quarter each time, down
# to this. Some times wider than any peak, so that nearly all pairs fall into one or two neighbouring ones.
_LAST_WINDOW_PS = 4_000
# The stretch of tags that lines are fitted to grows by this factor; it is cut into so many parts at most,
# each of which should hold this many pairs.
_GROWTH = 4
_PARTS = 16
_PAIRS_PER_PART = 60
_MOST_ROUNDS = 6
# Tags of the second that come so long after the first's last one, by a line that is near, cannot pair.
_MARGIN_PS = 1_000_000


@dataclass(frozen=True)
class ClocksFound:
    """How the second clock stands against the first: at the time t of the first, pairs differ by
    t_second - t_first = `delay_ps` + `skew` (t - `at_ps`), the cusp of the peak (`clocks.peak`).

    `error_ps` and `skew_error` are standard errors; they are independent, since `at_ps` is the middle of the
    pairs. `z` is the significance of the coarse search in standard deviations, in `used_ps` of tags. `peak`
    is the fit to all tags; `rate_hz` the detected pairs per second.
    """

    delay_ps: float
    error_ps: float
    skew: float
    skew_error: float
    at_ps: int
    z: float
    used_ps: int
    peak: Peak
    rate_hz: float

    def clock(self) -> AffineClock:
        """The second's clock with the first's as time-base: lines the pairs up to half a picosecond."""
        return _Line(self.delay_ps, self.skew, self.at_ps).clock()


def find_clocks(first: Times, second: Times, search_ps: int, max_skew: float) -> ClocksFound:
    """Find delay and skew of `second` against `first` (sorted times, ps).

    The delay is looked for within +-`search_ps`, the skew within +-`max_skew`. Uses as little of the tags as
    gives z > 8 for the coarse search, all for the line. ValueError unless 0 < `max_skew` <= 1e-3; DelayError
    if no significant peak is found, with what to do.
    """
    if not 0 < max_skew <= MOST_RATE:
        raise ValueError(f"the skew to search must lie between 0 and {MOST_RATE:g}, not {max_skew:g}")
    coarse = search(first, second, search_ps, max_skew)
    line = _narrowed(first, second, coarse, max_skew)
    start, whole, used = int(first[0]), int(first[-1] - first[0]) + 1, coarse.used_ps
    while True:
        end = start + used
        fit = _fitted(first[: np.searchsorted(first, end)], second, line)
        line = fit.line
        if used == whole:
            break
        used = min(_GROWTH * used, whole)
    together = min(first[-1], second[-1]) - max(first[0], second[0])
    rate = fit.peak.pairs / (max(int(together), 1) * 1e-12)
    return ClocksFound(
        line.delay_ps,
        fit.peak.position_error_ps,
        line.skew,
        fit.skew_error,
        line.at_ps,
        coarse.z,
        coarse.used_ps,
        fit.peak,
        rate,
    )


@dataclass(frozen=True)
class _Line:
    delay_ps: float
    skew: float
    at_ps: int

    def clock(self) -> AffineClock:
        # t_first - at = (t_second - at - delay) / (1 + skew)
        delay = round(self.delay_ps)
        return AffineClock(-delay, -self.skew / (1 + self.skew), self.at_ps + delay)

    def moved(self, delay_ps: float, skew: float, at_ps: int) -> "_Line":
        """The line of pairs that `clock()` brings to the base with this delay and skew left about `at_ps`."""
        here = round(self.delay_ps) + self.skew * (at_ps - self.at_ps)
        stretch = 1 + self.skew
        return _Line(here + delay_ps * stretch, self.skew + skew * stretch, at_ps)

    def partner(self, time_ps: int) -> int:
        """When the second clicks if the first does at this time."""
        return time_ps + round(self.delay_ps + self.skew * (time_ps - self.at_ps))


@dataclass(frozen=True)
class _Fit:
    line: _Line
    peak: Peak
    skew_error: float


def _narrowed(first: Times, second: Times, coarse: Coarse, max_skew: float) -> _Line:
    """The delay to nanoseconds, and a skew that lets it drift by no more over the tags used."""
    start = int(first[0])
    line = _Line(coarse.delay_ps * (1 + coarse.skew), coarse.skew, start)
    delay_range, skew_range = 2 * coarse.bin_ps, coarse.skew_step or max_skew
    times = first[: np.searchsorted(first, start + coarse.used_ps)]
    reach = delay_range + round(skew_range * coarse.used_ps)
    at, differences = _differences(times, line.clock().to_base(second), reach)
    # About the middle of the tags, where delay and skew are independent.
    middle = start + coarse.used_ps // 2
    at -= middle
    delay, skew, window = 0.0, 0.0, coarse.bin_ps // 8
    while True:
        delay, skew = _fullest(
            at, differences, (delay, delay_range), (skew, skew_range), window, coarse.used_ps
        )
        if window <= _LAST_WINDOW_PS:
            return line.moved(delay, skew, middle)
        delay_range, skew_range = 2 * window, 2 * window / coarse.used_ps
        near = np.abs(differences - delay - skew * at) < 4 * window
        at, differences = at[near], differences[near]
        window = max(window // 4, _LAST_WINDOW_PS)


def _differences(first: Times, second: Times, reach: int) -> tuple[Values, Values]:
    """All pairs with |second - first| <= reach: the first's time, and the difference."""
    begin, stop = np.searchsorted(second, first - reach), np.searchsorted(second, first + reach + 1)
    partners = stop - begin
    place = np.arange(partners.sum()) + np.repeat(begin - np.cumsum(partners) + partners, partners)
    of_first = np.repeat(first, partners)
    return of_first.astype(float), (second[place] - of_first).astype(float)


def _fullest(
    at: Values,
    differences: Values,
    delays: tuple[float, float],
    skews: tuple[float, float],
    window: int,
    used: int,
) -> tuple[float, float]:
    """Delay and skew, each a middle with +- a range, for which most differences lie in two neighbouring
    windows. Skews are tried in steps that move a pair by half a window at either end of the tags."""
    (delay, delay_range), (skew, skew_range) = delays, skews
    steps = int(np.ceil(skew_range * used / window))
    bins = int(np.ceil(2 * delay_range / window)) + 2
    low = delay - bins * window / 2
    best, found = -1, (delay, skew)
    for candidate in (skew + np.arange(-steps, steps + 1) * window / used).tolist():
        places = np.floor((differences - candidate * at - low) / window).astype(np.int64)
        counts = np.bincount(places[(places >= 0) & (places < bins)], minlength=bins)
        sums = counts[:-1] + counts[1:]
        k = int(np.argmax(sums))
        if sums[k] > best:
            best, found = int(sums[k]), (low + (k + 1) * window, candidate)
    return found


def _fitted(first: Times, second: Times, line: _Line) -> _Fit:
    """The straight line through the peak over these tags of the first, starting from a line that is near."""
    edges = np.linspace(int(first[0]), int(first[-1]) + 1, _PARTS + 1).astype(np.int64)
    cuts = np.searchsorted(first, edges)
    second = second[: np.searchsorted(second, line.partner(int(edges[-1])) + _MARGIN_PS)]
    for _ in range(_MOST_ROUNDS):
        base = line.clock().to_base(second)
        fit = _one_round(first, base, line, edges, cuts)
        change = abs(fit.line.skew - line.skew) * float(edges[-1] - edges[0])
        line = fit.line
        if change < 1:  # ps over the whole stretch: less than rounding does
            break
    return fit


def _one_round(
    first: Times, base: Times, line: _Line, edges: NDArray[np.int64], cuts: NDArray[np.int64]
) -> _Fit:
    range_ps = -FINE_HALF_RANGE_PS, FINE_HALF_RANGE_PS
    centres = bin_centres(FINE_PS, range_ps)
    parts = []
    for begin, stop in pairwise(cuts.tolist()):
        times = first[begin:stop]
        near = slice(0, 0)
        if len(times):
            near = slice(*np.searchsorted(base, [times[0] + range_ps[0], times[-1] + range_ps[1]]))
        parts.append(correlate(times, base[near], bin_ps=FINE_PS, range_ps=range_ps))
    pooled = np.sum(parts, axis=0)
    peak = fit_peak(pooled, centres, FINE_PS)
    number = int(min(max(peak.pairs // _PAIRS_PER_PART, 2), _PARTS))
    grouped = [np.sum(group, axis=0) for group in np.array_split(np.array(parts), number)]
    bounds = [group[0] for group in np.array_split(np.arange(_PARTS), number)] + [_PARTS]
    middles = (edges[bounds[:-1]] + edges[bounds[1:]]) / 2
    share = Peak(
        peak.position_ps, inf, peak.tau_signal_ps, peak.tau_idler_ps, peak.sigma_ps,
        peak.pairs / number, peak.background / number,
    )  # fmt: skip
    found = [locate(counts, centres, FINE_PS, share) for counts in grouped]
    places = [(t, *place) for t, place in zip(middles.tolist(), found, strict=True) if place is not None]
    if len(places) < 2:
        raise DelayError(
            f"the correlation peak ({peak.pairs:.0f} pairs) shows in {len(places)} of {number} parts of the "
            "tags, so nothing can be said of the clocks' rates. Take tags over a longer time, without gaps."
        )
    return _straight(places, line, peak)


def _straight(places: list[tuple[float, float, float]], line: _Line, peak: Peak) -> _Fit:
    """Weighted line through (time, position, error)."""
    times, positions, errors = np.array(places).T
    weights = errors**-2
    at = float(np.sum(weights * times) / np.sum(weights))
    lever = times - at
    skew = float(np.sum(weights * lever * positions) / np.sum(weights * lever**2))
    mean = float(np.sum(weights * positions) / np.sum(weights))
    dof = len(places) - 2
    chi2 = float(np.sum(weights * (positions - mean - skew * lever) ** 2))
    widen = sqrt(max(1.0, chi2 / dof)) if dof else 1.0
    error = widen / sqrt(float(np.sum(weights * lever**2)))
    # The pooled peak knows its shape and place together; the line only which way it moves.
    return _Fit(line.moved(peak.position_ps, skew, round(at)), peak, error)
