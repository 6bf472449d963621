"""Heralds: pairs of clicks at the hub that announce a swapped Bell state.

A Bell-state measurement has four detectors: cH, cV, dH, dV, where c and d are the outputs of the beam
splitter and H and V those of the polarizing beam splitter behind each. Two clicks in one of four patterns
are a herald: Psi- (cH&dV, cV&dH) or Psi+ (cH&cV, dH&dV) (`physics.md` 5). Clicks t1 and t2 are together
if -window/2 <= t1 - t2 < window/2, where t1 is the click of the detector named first. Half-open, so that a
window of w ps admits exactly w integer differences, odd or even. The herald's time is (t1 + t2)/2. All
pairs count: three clicks within a window may be several heralds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timetags.block import Channels, Times
from timetags.jit import inline_kernel, kernel
from timetags.vectors import trailing_zeros, where_close, where_equal

Array = NDArray[np.int64]

# The kept patterns, as places in (cH, cV, dH, dV), in the order of all results; first Psi-, then Psi+.
PATTERNS = ((0, 3), (1, 2), (0, 1), (2, 3))

_NOT_HUB = 4
_PATTERN_OF = np.full((5, 5), -1, np.int64)
for _pattern, (_one, _other) in enumerate(PATTERNS):
    _PATTERN_OF[_one, _other] = _PATTERN_OF[_other, _one] = _pattern


@dataclass(frozen=True, eq=False)
class HeraldRule:
    """Which clicks are a herald, as the kernel wants it.

    `hub` are the channels of cH, cV, dH, dV, and `places` maps a channel number to 0..3, its place in them,
    or 4; `delays_ps` maps it to what is added to its times; `reach_ps` bounds how far apart the two clicks
    lie in the stream itself.
    """

    hub: Channels
    places: Channels
    delays_ps: Array
    window_ps: int
    reach_ps: int
    least_delay_ps: int
    greatest_delay_ps: int

    @classmethod
    def of(cls, hub: Sequence[int], delays_ps: Mapping[int, int], window_ps: int) -> "HeraldRule":
        """The rule for the detectors on the channels `hub` (cH, cV, dH, dV) and the full window width
        `window_ps` (> 0) on t1 - t2. ValueError if a channel or the window makes no sense."""
        if len(set(hub)) != 4 or len(hub) != 4:
            raise ValueError(f"a hub has four different channels (cH, cV, dH, dV), not {tuple(hub)}")
        if window_ps <= 0:
            raise ValueError(f"the BSM window must be positive, not {window_ps} ps")
        places = np.full(256, _NOT_HUB, np.uint8)
        places[list(hub)] = np.arange(4)
        delays = delay_table(delays_ps)
        least, greatest = int(delays[list(hub)].min()), int(delays[list(hub)].max())
        return cls(
            np.array(hub, np.uint8),
            places,
            delays,
            window_ps,
            window_ps // 2 + greatest - least,
            least,
            greatest,
        )

    def find(self, times: Times, channels: Channels, first: int, stop: int) -> tuple[Array, Array]:
        """All heralds whose earlier click (in the stream's order) is one of `times[first:stop]`.

        Gives each herald's pattern (0..3) and the sum t1 + t2 of its delayed times: twice the herald's
        time, so that it stays an integer.
        """
        return _find(
            times, channels, first, stop, self.hub, self.places, self.delays_ps, self.window_ps, self.reach_ps
        )


def delay_table(delays_ps: Mapping[int, int]) -> Array:
    """Delays per channel number, 0 for channels that are not named. ValueError if one is outside 0..255."""
    table = np.zeros(256, np.int64)
    for channel, delay in delays_ps.items():
        if not 0 <= channel <= 255:
            raise ValueError(f"channel {channel} is outside 0..255")
        table[channel] = delay
    return table


@kernel
def _find(
    times: Times,
    channels: Channels,
    first: int,
    stop: int,
    hub: Channels,
    places: Channels,
    delays: Array,
    window: int,
    reach: int,
) -> tuple[Array, Array]:
    found = 0
    patterns, sums = np.empty(64, np.int64), np.empty(64, np.int64)
    # Most tags have no neighbour within reach: those of the hub that do are looked for 64 at a time.
    last = min(stop, len(times) - 1)
    one, end = np.uint64(1), np.uint64(len(times))
    for begin in range(first, last, 64):
        if begin + 64 <= last:
            at_hub = np.uint64(0)
            for k in range(4):
                at_hub |= where_equal(channels, begin, hub[k])
            near = where_close(times, begin, 1, reach) & at_hub
        else:
            near = np.uint64(0)
            for k in range(last - begin):
                near |= np.uint64(times[begin + k + 1] - times[begin + k] <= reach) << np.uint64(k)
        while near:
            # Unsigned, because numba otherwise tests each index for being negative.
            i = np.uint64(begin) + trailing_zeros(near)
            near &= near - one
            place = places[channels[i]]
            if place == _NOT_HUB:
                continue
            delayed = times[i] + delays[channels[i]]
            j = i
            while j + one < end and times[j + one] - times[i] <= reach:
                j += one
                other = places[channels[j]]
                pattern = _PATTERN_OF[place, other]
                if pattern < 0:
                    continue
                partner = times[j] + delays[channels[j]]
                difference = delayed - partner if place < other else partner - delayed
                if -window <= 2 * difference < window:
                    if found == len(sums):
                        patterns, sums = _doubled(patterns), _doubled(sums)
                    patterns[found] = pattern
                    sums[found] = delayed + partner
                    found += 1
    return patterns[:found], sums[:found]


@kernel
def _doubled(array: Array) -> Array:
    bigger = np.empty(2 * len(array), np.int64)
    for k in range(len(array)):  # to assign a slice would take seconds to compile
        bigger[k] = array[k]
    return bigger


@inline_kernel
def ceil_half(value: int) -> int:
    """The least integer that is not below value/2."""
    return -((-value) // 2)


@kernel
def seek(times: Times, value: int, near: int) -> int:
    """The place of the first time that is not below `value`, searched from the place `near` outwards
    in growing steps: cheap if it is close by."""
    # All times before `low` are below the value, none from `high` on is, once the loops are through.
    near = max(0, min(near, len(times)))
    low, high, step = near, near, 1
    while high < len(times) and times[high] < value:
        low = high + 1
        high += step
        step *= 2
    high, step = min(high, len(times)), 1
    while low > 0 and times[low - 1] >= value:
        high = low - 1
        low -= step
        step *= 2
    low = max(low, 0)
    while low < high:
        middle = (low + high) // 2
        if times[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low
