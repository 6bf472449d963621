"""The coarse search: roughly where, within milliseconds, the pairs of two streams are.

Histograms of both streams are correlated by Fourier transform; the running mean is taken for the floor,
and the lag that stands out most is accepted above 8 standard deviations (`physics.md` 6). If the clocks may
differ in rate, the search scans skews, in steps that let a pair drift by no more than a bin either way.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from timetags.block import Times
from timetags.clocks.affine import AffineClock
from timetags.clocks.peak import DelayError, excess

Values = NDArray[np.float64]

# The search starts with bins of 256 ns over 50 ms of tags (`physics.md` 6). Its significance grows with time
# over bin width: first more time is taken, then finer bins, up to `_MOST_BINS` in all and for all skews
# together, some seconds of work. Long times are taken in pieces whose transforms need some 100 MB.
_COARSE_PS = 256_000
_FINEST_COARSE_PS = 16_000
_FIRST_TIME_PS = 50 * 10**9
_PIECE_BINS = 2**21
_MOST_BINS = 2**25
_MOST_SCANNED = 2**26
_ACCEPTED_Z = 8.0
# The finite record makes the correlation a trapezoid that hides the peak; the mean of so many bins around
# is taken for the floor.
_FLOOR_BINS = 301


class Coarse(NamedTuple):
    """What the search found in the first `used_ps` of tags: with `skew` taken out of the second's times,
    about the first's first tag, pairs differ by `delay_ps`, to within two bins (`bin_ps`).

    `skew_step` is the distance to the next skew that was tried, 0 if there was one only."""

    delay_ps: int
    skew: float
    z: float
    bin_ps: int
    used_ps: int
    skew_step: float


def search(first: Times, second: Times, search_ps: int, max_skew: float) -> Coarse:
    """Look for pairs with |second - first| <= `search_ps` and a skew of up to +-`max_skew` (0: equal clocks).

    Uses as little of the tags as gives z > 8. ValueError if a limit makes no sense; DelayError, with what
    to do, if there is no significant peak.
    """
    if search_ps <= 0:
        raise ValueError(f"the search range must be positive, not {search_ps} ps")
    if len(first) == 0 or len(second) == 0:
        raise DelayError(
            f"no tags to correlate: {len(first)} of the first and {len(second)} of the second detector. "
            "Check that both detectors count."
        )
    whole = min(int(first[-1] - first[0]) + 1, _MOST_BINS * _COARSE_PS)
    bin_ps, used = _COARSE_PS, min(_FIRST_TIME_PS, whole)
    best = 0.0
    while True:
        found = _best(first, second, search_ps, bin_ps, used, max_skew)
        if found.z > _ACCEPTED_Z:
            return found
        best = max(best, found.z)
        longer = min(2 * used, whole)
        if used < whole and _affordable(longer, bin_ps, max_skew):
            used = longer
        elif bin_ps > _FINEST_COARSE_PS and _affordable(used, bin_ps // 2, max_skew):
            bin_ps //= 2
        else:
            raise DelayError(
                f"no correlation peak within +-{search_ps / 1e9:g} ms in {used * 1e-12:.3g} s of tags "
                f"({len(first)} and {len(second)} of them): the highest excess is {best:.1f} standard "
                f"deviations, {_ACCEPTED_Z:g} are needed. Check that both detectors see the same source and "
                "that nothing blocks either path, widen the search range, check that the clocks share a "
                "reference, or take more data."
            )


def _affordable(used: int, bin_ps: int, max_skew: float) -> bool:
    bins = used // bin_ps
    return bins <= _MOST_BINS and (
        max_skew == 0 or bins * len(_skews(used, bin_ps, max_skew)) <= _MOST_SCANNED
    )


def _skews(used: int, bin_ps: int, max_skew: float) -> Values:
    """The skews to try: none further than half a step from one of them, a step being 2 bins / time used."""
    number = max(1, int(np.ceil(max_skew * used / bin_ps)))
    return max_skew * (2 * np.arange(number) + 1 - number) / number


def _best(first: Times, second: Times, search_ps: int, bin_ps: int, used: int, max_skew: float) -> Coarse:
    """The most significant lag within +-search_ps of all skews, from the first `used` ps of tags."""
    margin = _FLOOR_BINS // 2 + 1
    lags = search_ps // bin_ps + 1 + margin
    piece = max(_PIECE_BINS - 2 * lags, 2 * lags) * bin_ps
    start, end = int(first[0]), int(first[0]) + used
    skews = _skews(used, bin_ps, max_skew)
    seconds = [_without_skew(second, skew, start, end + (lags + 2) * bin_ps) for skew in skews.tolist()]
    correlations = np.zeros((len(skews), 2 * lags + 2))
    for begin in range(start, end, piece):
        _correlate(first, seconds, (begin, min(begin + piece, end)), lags, bin_ps, correlations)
    found = []
    for skew, correlation in zip(skews.tolist(), correlations, strict=True):
        # The pairs fall into two neighbouring lags: add these.
        sums = correlation[:-1] + correlation[1:]
        floor = _running_mean(sums)
        k, z = excess(sums[margin:-margin], floor[margin:-margin])
        delay = (k + margin - lags) * bin_ps + bin_ps // 2
        step = 2 * max_skew / len(skews) if len(skews) > 1 else 0.0
        found.append(Coarse(delay, skew, z, bin_ps, used, step))
    return max(found, key=lambda one: one.z)


def _without_skew(second: Times, skew: float, start: int, end: int) -> Times:
    """The times of the second detector as they would be without this skew, as far as they can pair."""
    if skew == 0:
        return second
    after = end + round(abs(skew) * (end - start))
    return AffineClock(0, -skew / (1 + skew), start).to_base(second[: np.searchsorted(second, after)])


def _correlate(
    first: Times,
    seconds: list[Times],
    stretch: tuple[int, int],
    lags: int,
    bin_ps: int,
    correlations: Values,
) -> None:
    """Add up pairs per lag, from -lags to lags + 1 bins, for the tags of `first` within `stretch`."""
    from scipy import fft

    begin, end = stretch
    # Of the second all that can pair, so that no lag loses any where the record has them.
    origin, after = begin - lags * bin_ps, end + (lags + 2) * bin_ps
    bins = (after - origin) // bin_ps + 1
    size = fft.next_fast_len(bins + lags + 2, real=True)

    def spectrum(times: Times, begin: int, end: int) -> NDArray[np.complex128]:
        inside = times[slice(*np.searchsorted(times, [begin, end]))]
        counts = np.bincount((inside - origin) // bin_ps, minlength=bins)
        transformed: NDArray[np.complex128] = fft.rfft(counts.astype(float), size)
        return transformed

    one = np.conj(spectrum(first, begin, end))
    for second, correlation in zip(seconds, correlations, strict=True):
        cyclic = fft.irfft(one * spectrum(second, origin, after), size)
        correlation += np.rint(cyclic[np.arange(-lags, lags + 2)])


def _running_mean(values: Values) -> Values:
    """The mean of `_FLOOR_BINS` values around each; of fewer at the ends."""
    cumulative = np.concatenate([[0.0], np.cumsum(values)])
    place = np.arange(len(values))
    begin = np.maximum(place - _FLOOR_BINS // 2, 0)
    end = np.minimum(place + _FLOOR_BINS // 2 + 1, len(values))
    means: Values = (cumulative[end] - cumulative[begin]) / (end - begin)
    return means
