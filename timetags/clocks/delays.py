"""Find the delay between two nodes from their tags alone.

Pairs of photons reach two detectors with a fixed difference of times, on top of a flat floor of accidental
coincidences. The difference is first looked for over milliseconds, by a cross-correlation of coarse
histograms, then narrowed down by exact histograms, and last fitted with the shape that the pair source and
the detectors' jitter give it (`physics.md` 6, "Delay and skew between nodes"). Clocks must run at the same
rate: over the time used, less than a bin of 256 ns of skew to be found, far less for a sharp peak.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timetags.analyses.correlate import bin_centres, correlate
from timetags.block import Times
from timetags.clocks.peak import DelayError, Peak, excess, fit_peak

__all__ = ["DelayError", "DelayFound", "Peak", "find_delay", "fit_peak"]

# The coarse search starts with bins of 256 ns over 50 ms of tags (`physics.md` 6). Its significance grows
# with time over bin width: first more time is taken, then finer bins, up to `_MOST_BINS` in all, some
# seconds of work. Long times are taken in pieces whose transforms need some 100 MB.
_COARSE_PS = 256_000
_FINEST_COARSE_PS = 16_000
_FIRST_TIME_PS = 50 * 10**9
_PIECE_BINS = 2**21
_MOST_BINS = 2**25
_ACCEPTED_Z = 8.0
# The finite record makes the correlation a trapezoid that hides the peak; the mean of so many bins around
# is taken for the floor.
_FLOOR_BINS = 301
# The last histogram, for the fit.
_FINE_PS = 20
_FINE_HALF_RANGE_PS = 15_000


@dataclass(frozen=True)
class DelayFound:
    """Where the pairs are: t_second - t_first peaks at `delay_ps` (the cusp of the peak, with its standard
    error). Adding -delay_ps to the second's times lines the two up.

    `z` is the significance of the coarse search in standard deviations, found with `coarse_bin_ps` in
    `used_ps` of tags. `peak` is the fit; `rate_hz` the detected pairs per second.
    """

    delay_ps: float
    error_ps: float
    z: float
    coarse_bin_ps: int
    used_ps: int
    peak: Peak
    rate_hz: float


def find_delay(first: Times, second: Times, search_ps: int) -> DelayFound:
    """Find the delay of `second` against `first` (sorted times, ps) within +-`search_ps`.

    Uses as little of the tags as gives z > 8 for the coarse search and all for the fine one. Peaks wider
    than about 5 ns are not fitted well. DelayError if there is no significant peak, with what to do.
    """
    if search_ps <= 0:
        raise ValueError(f"the search range must be positive, not {search_ps} ps")
    if len(first) == 0 or len(second) == 0:
        raise DelayError(
            f"no tags to correlate: {len(first)} of the first and {len(second)} of the second detector. "
            "Check that both detectors count."
        )
    coarse, z, bin_ps, used = _search(first, second, search_ps)
    # The difference may lie up to two bins either side of the coarse value: half a bin of each histogram,
    # and the sum of two neighbours.
    around = _narrow(first, second, coarse, 2 * bin_ps, 1_000)
    around = _narrow(first, second, around, 3_000, 200)
    range_ps = around - _FINE_HALF_RANGE_PS, around + _FINE_HALF_RANGE_PS
    counts = correlate(first, second, bin_ps=_FINE_PS, range_ps=range_ps)
    peak = fit_peak(counts, bin_centres(_FINE_PS, range_ps), _FINE_PS)
    together = min(first[-1], second[-1]) - max(first[0], second[0])
    rate = peak.pairs / (max(int(together), 1) * 1e-12)
    return DelayFound(peak.position_ps, peak.position_error_ps, z, bin_ps, used, peak, rate)


def _search(first: Times, second: Times, search_ps: int) -> tuple[int, float, int, int]:
    """The coarse search: delay, significance, bin width and time used."""
    whole = min(int(first[-1] - first[0]) + 1, _MOST_BINS * _COARSE_PS)
    bin_ps, used = _COARSE_PS, min(_FIRST_TIME_PS, whole)
    best = 0.0
    while True:
        delay, z = _coarse(first, second, search_ps, bin_ps, used)
        if z > _ACCEPTED_Z:
            return delay, z, bin_ps, used
        best = max(best, z)
        if used < whole:
            used = min(2 * used, whole)
        elif bin_ps > _FINEST_COARSE_PS and 2 * used // bin_ps <= _MOST_BINS:
            bin_ps //= 2
        else:
            raise DelayError(
                f"no correlation peak within +-{search_ps / 1e9:g} ms in {used * 1e-12:.3g} s of tags "
                f"({len(first)} and {len(second)} of them): the highest excess is {best:.1f} standard "
                f"deviations, {_ACCEPTED_Z:g} are needed. Check that both detectors see the same source and "
                "that nothing blocks either path, widen the search range, check that the clocks share a "
                "reference, or take more data."
            )


def _coarse(first: Times, second: Times, search_ps: int, bin_ps: int, used: int) -> tuple[int, float]:
    """The most significant lag within +-search_ps, from the first `used` ps of tags, and its z."""
    margin = _FLOOR_BINS // 2 + 1
    lags = search_ps // bin_ps + 1 + margin
    piece = max(_PIECE_BINS - 2 * lags, 2 * lags) * bin_ps
    start, end = int(first[0]), int(first[0]) + used
    correlation = np.zeros(2 * lags + 2)
    for begin in range(start, end, piece):
        correlation += _correlation(first, second, begin, min(begin + piece, end), lags, bin_ps)
    # The pairs fall into two neighbouring lags: add these.
    sums = correlation[:-1] + correlation[1:]
    floor = _running_mean(sums)
    k, z = excess(sums[margin:-margin], floor[margin:-margin])
    return (k + margin - lags) * bin_ps + bin_ps // 2, z


def _correlation(
    first: Times, second: Times, begin: int, end: int, lags: int, bin_ps: int
) -> NDArray[np.float64]:
    """Pairs per lag, from -lags to lags + 1 bins, for the tags of `first` from `begin` to `end`."""
    from scipy import fft

    # Of the second all that can pair, so that no lag loses any where the record has them.
    origin, after = begin - lags * bin_ps, end + (lags + 2) * bin_ps
    bins = (after - origin) // bin_ps + 1
    size = fft.next_fast_len(bins + lags + 2, real=True)
    one = first[slice(*np.searchsorted(first, [begin, end]))]
    other = second[slice(*np.searchsorted(second, [origin, after]))]
    spectra = [
        fft.rfft(np.bincount((times - origin) // bin_ps, minlength=bins).astype(float), size)
        for times in (one, other)
    ]
    cyclic = fft.irfft(np.conj(spectra[0]) * spectra[1], size)
    pairs: NDArray[np.float64] = np.rint(cyclic[np.arange(-lags, lags + 2)])
    return pairs


def _running_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of `_FLOOR_BINS` values around each; of fewer at the ends."""
    cumulative = np.concatenate([[0.0], np.cumsum(values)])
    place = np.arange(len(values))
    begin = np.maximum(place - _FLOOR_BINS // 2, 0)
    end = np.minimum(place + _FLOOR_BINS // 2 + 1, len(values))
    means: NDArray[np.float64] = (cumulative[end] - cumulative[begin]) / (end - begin)
    return means


def _narrow(first: Times, second: Times, around: int, half_range: int, bin_ps: int) -> int:
    """Where within +-`half_range` most differences are: the middle of the fullest three bins in a row."""
    bins = -(-2 * half_range // bin_ps) + 2
    start = around - bins * bin_ps // 2
    counts = correlate(first, second, bin_ps=bin_ps, range_ps=(start, start + bins * bin_ps))
    fullest = int(np.argmax(counts[:-2] + counts[1:-1] + counts[2:]))
    return start + (fullest + 1) * bin_ps + bin_ps // 2
