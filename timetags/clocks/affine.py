"""A node's clock against a common time-base: an offset and a rate, applied to tags.

The map depends on a tag's time alone, so a stream may be cut anywhere, and it never turns two tags
round: later tags stay later or become equal (which is proved at `AffineClock`, and tested).
"""

from dataclasses import dataclass

import numpy as np

from timetags.block import Times

MOST_RATE = 1e-3
"""Clocks that differ by more than this are no clocks (a free-running quartz: 1e-5)."""
_MOST_PS = 2**61
# Tags worked on at a time: the arrays in between stay in a core's cache.
_CHUNK = 16_384


@dataclass(frozen=True)
class AffineClock:
    """base time = t + offset_ps + round(rate (t - at_ps)), t being the node's own time, all in ps.

    `rate` is what the node's clock loses per unit of its own time, |rate| <= 1e-3; at `at_ps` the two differ
    by `offset_ps` alone. Times, offset and `at_ps` must lie within +-2**61 ps (26 days).

    Times stay in order: the correction is computed in float64, in which t - at_ps is rounded to 256 ps at
    most; one step of this times 1e-3 plus the rounding of the product (below 0.25 ps) is less than 1, so
    from one picosecond to the next the rounded correction falls by no more than 1.
    """

    offset_ps: int = 0
    rate: float = 0.0
    at_ps: int = 0

    def __post_init__(self) -> None:
        if not abs(self.rate) <= MOST_RATE:
            raise ValueError(f"a clock's rate must lie within +-{MOST_RATE:g}, not {self.rate:g}")
        if max(abs(self.offset_ps), abs(self.at_ps)) > _MOST_PS:
            raise ValueError("a clock's offset and time must lie within +-2**61 ps")

    def to_base(self, times: Times) -> Times:
        """These times (int64 ps) on the time-base, as a new array."""
        if self.rate == 0:
            shifted: Times = times + self.offset_ps
            return shifted
        moved = np.empty(len(times), np.int64)
        for begin in range(0, len(times), _CHUNK):
            chunk = slice(begin, begin + _CHUNK)
            correction = (times[chunk] - self.at_ps).astype(np.float64)
            correction *= self.rate
            np.rint(correction, out=correction)
            np.add(times[chunk], self.offset_ps, out=moved[chunk])
            moved[chunk] += correction.astype(np.int64)
        return moved

    def instant(self, time_ps: int) -> int:
        """One instant on the time-base: as `to_base` for a tag at this time."""
        return time_ps + self.offset_ps + round(float(time_ps - self.at_ps) * self.rate)

    def own(self, base_ps: int) -> int:
        """The least time of the node's own whose instant is not before `base_ps`: a tag comes before the one
        if and only if it comes before the other."""
        apart = base_ps - self.offset_ps - self.at_ps
        time = base_ps - self.offset_ps - round(float(apart) * self.rate / (1 + self.rate))
        while self.instant(time) >= base_ps:
            time -= 1
        while self.instant(time) < base_ps:
            time += 1
        return time
