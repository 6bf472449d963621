"""Kernels of the correlation: take a channel out of a stream, and pair two sorted arrays within a band.

Both jump from hit to hit (`timetags.vectors`): a channel is one tag in eight or fewer, and partners within
the band are rarer still, so a loop that looks at every tag, or advances a cursor tag by tag, would spend
its time in branches that the processor cannot foresee.
"""

import numpy as np
from numpy.typing import NDArray

from timetags.analyses.heralds import seek
from timetags.block import Channels, Times
from timetags.jit import kernel
from timetags.vectors import population, trailing_zeros, where_equal, where_within

Array = NDArray[np.int64]

# Differences that wait for their bins; they stay in a core's nearest cache.
_HITS = 2048

# Indices are unsigned because numba otherwise tests each for being negative.
_ONE, _FOUR, _SEVEN, _EIGHT, _BLOCK = (np.uint64(n) for n in (1, 4, 7, 8, 64))


@kernel
def take_channel(times: Times, channels: Channels, channel: int, delay: int, taken: Array) -> int:
    """Write the times of a channel, delay added, to `taken`; returns how many. Up to three elements behind
    them are overwritten too."""
    size, i, end = np.uint64(0), np.uint64(0), np.uint64(len(times))
    while i + _BLOCK <= end:
        found = where_equal(channels, i, np.uint8(channel))
        stop = size + population(found)
        # Four at a time, without asking whether there are as many: the loop's length is foreseen more often.
        while size < stop:
            for k in range(4):
                taken[size + np.uint64(k)] = times[i + (trailing_zeros(found) & np.uint64(63))] + delay
                found &= found - _ONE
            size += _FOUR
        size = stop
        i += _BLOCK
    while i < end:
        if channels[i] == channel:
            taken[size] = times[i] + delay
            size += _ONE
        i += _ONE
    return int(size)


@kernel
def add_pairs(first: Times, second: Times, start: int, bin_ps: int, counts: Array) -> None:
    """Add to `counts` (n,) how many pairs of sorted times have start + k bin <= second - first < start +
    (k + 1) bin, for each k. The range must be shorter than 2**50 ps."""
    hits, size = np.empty(_HITS, np.int64), np.uint64(0)
    full = np.uint64(_HITS) - _BLOCK
    span = bin_ps * len(counts)
    first_end, second_end = np.uint64(len(first)), np.uint64(len(second))
    # Whole blocks of eight against whole blocks of eight; what is left over comes after.
    first_whole, second_whole = first_end // _EIGHT * _EIGHT, second_end // _EIGHT * _EIGHT
    i, begin = np.uint64(0), np.uint64(0)
    while i < first_whole:
        low, high = first[i] + start, first[i + _SEVEN] + start + span
        while begin < second_whole and second[begin + _SEVEN] < low:
            begin += _EIGHT
        if begin == second_whole:
            break
        k = begin
        while k < second_whole and second[k] < high:
            found = np.uint64(0)
            for a in range(8):
                found |= where_within(second, k, first[i + np.uint64(a)] + start, span) << np.uint64(8 * a)
            # Two at a time, as in `take_channel`.
            stop = size + population(found)
            while size < stop:
                for h in range(2):
                    place = trailing_zeros(found) & np.uint64(63)
                    one, other = first[i + place // _EIGHT], second[k + place % _EIGHT]
                    hits[size + np.uint64(h)] = other - one - start
                    found &= found - _ONE
                size += np.uint64(2)
            size = stop
            if size > full:
                _add_hits(hits[:size], bin_ps, counts)
                size = np.uint64(0)
            k += _EIGHT
        i += _EIGHT
    _add_hits(hits[:size], bin_ps, counts)
    _add_few(first[first_whole:], second, start, bin_ps, counts)
    # The same with the roles changed: second - first = (-first) - (-second).
    for time in second[second_whole:]:
        j = np.uint64(seek(first, time - start - span + 1, 0))
        while j < first_whole and first[j] + start <= time:
            counts[(time - first[j] - start) // bin_ps] += 1
            j += _ONE


@kernel
def _add_few(first: Times, second: Times, start: int, bin_ps: int, counts: Array) -> None:
    for time in first:
        low = time + start
        j, end = seek(second, low, 0), len(second)
        while j < end and second[j] - low < bin_ps * len(counts):
            counts[(second[j] - low) // bin_ps] += 1
            j += 1


@kernel
def _add_hits(hits: Array, bin_ps: int, counts: Array) -> None:
    # A division of integers costs more than all else. The product is off from the quotient q by at most
    # q 2**-52, and (d + 1/2)/bin is at least 1/(2 bin) from any whole number: right for d < 2**50.
    inverse = 1.0 / bin_ps
    for k in range(len(hits)):
        hits[k] = np.int64((hits[k] + 0.5) * inverse)
    for k in range(len(hits)):
        counts[np.uint64(hits[k])] += 1
