"""Find the delay between two nodes from their tags alone, where both clocks run at the same rate.

Pairs of photons reach two detectors with a fixed difference of times, on top of a flat floor of accidental
coincidences. The difference is first looked for over milliseconds (`clocks.coarse`), then narrowed down by
exact histograms, and last fitted with the shape that the pair source and the detectors' jitter give it
(`physics.md` 6, "Delay and skew between nodes"). Over the time used the clocks may drift apart by less than
a bin of 256 ns to be found, far less for a sharp peak; `clocks.skew` is for clocks that drift more.
"""

from dataclasses import dataclass

import numpy as np

from timetags.analyses.correlate import bin_centres, correlate
from timetags.block import Times
from timetags.clocks.coarse import search
from timetags.clocks.peak import DelayError, Peak, fit_peak

__all__ = ["DelayError", "DelayFound", "Peak", "find_delay", "fit_peak"]

# The last histogram, for the fit.
FINE_PS = 20
FINE_HALF_RANGE_PS = 15_000


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
    coarse, _, z, bin_ps, used, _ = search(first, second, search_ps, 0.0)
    # The difference may lie up to two bins either side of the coarse value: half a bin of each histogram,
    # and the sum of two neighbours.
    around = _narrow(first, second, coarse, 2 * bin_ps, 1_000)
    around = _narrow(first, second, around, 3_000, 200)
    range_ps = around - FINE_HALF_RANGE_PS, around + FINE_HALF_RANGE_PS
    counts = correlate(first, second, bin_ps=FINE_PS, range_ps=range_ps)
    peak = fit_peak(counts, bin_centres(FINE_PS, range_ps), FINE_PS)
    together = min(first[-1], second[-1]) - max(first[0], second[0])
    rate = peak.pairs / (max(int(together), 1) * 1e-12)
    return DelayFound(peak.position_ps, peak.position_error_ps, z, bin_ps, used, peak, rate)


def _narrow(first: Times, second: Times, around: int, half_range: int, bin_ps: int) -> int:
    """Where within +-`half_range` most differences are: the middle of the fullest three bins in a row."""
    bins = -(-2 * half_range // bin_ps) + 2
    start = around - bins * bin_ps // 2
    counts = correlate(first, second, bin_ps=bin_ps, range_ps=(start, start + bins * bin_ps))
    fullest = int(np.argmax(counts[:-2] + counts[1:-1] + counts[2:]))
    return start + (fullest + 1) * bin_ps + bin_ps // 2
