"""The correlations of all pairs of many channels, in one walk over the stream.

Each tag is compared with those that follow within the range, whatever their channels, so the work grows with
the number of coincidences and not with that of pairs. For one pair, `analyses.correlate` is faster.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from timetags.analyses.correlate import bin_centres, whole_bins
from timetags.analyses.heralds import delay_table
from timetags.block import Channels, TagBlock, Times
from timetags.jit import kernel
from timetags.lookaround import Lookaround, Stretch
from timetags.retime import Retimer
from timetags.vectors import trailing_zeros, where_close

Array = NDArray[np.int64]
Counts = NDArray[np.uint32]

# Differences that wait for their bins, of which up to 64 are added at a time.
_HITS = 4_096


class AllPairs:
    """One histogram of time differences for each pair of different channels.

    - `channels`: at least two; `pairs` are all (first, second) with the first before the second in them.
    - `delays_ps`: what is added to the times of a channel; 0 for channels that are not named.
    - `bin_ps`, `range_ps`: as in `analyses.correlate.CorrelationTable`.

    Tags wait until their partners have come, so counts are complete after `finish`. Times must lie within
    +-2**60 ps (13 days). ValueError if there are not two channels, or one repeats or does not fit a uint8.
    """

    def __init__(
        self,
        channels: Sequence[int],
        delays_ps: Mapping[int, int],
        *,
        bin_ps: int,
        range_ps: tuple[int, int],
    ) -> None:
        if len(channels) < 2 or len(set(channels)) != len(channels):
            raise ValueError(f"pairs are made of two or more different channels, not {tuple(channels)}")
        self.pairs = list(combinations(channels, 2))
        self._bin, self._range = bin_ps, range_ps
        delays = delay_table(delays_ps)[list(channels)]
        spread = int(delays.max() - delays.min())
        self._reach = max(-range_ps[0], range_ps[1] - 1, 0)
        # If the delays spread no wider than the range, tags are compared as they stand, out to where delays
        # can bring them together. Otherwise that would be many for nothing: they are put in order before.
        self._retimer = None
        if spread > self._reach:
            self._retimer = Retimer(dict(zip(channels, delays.tolist(), strict=True)))
            delays, spread = np.zeros_like(delays), 0
        self._reach += spread
        self._stream = Lookaround(back_ps=0, ahead_ps=self._reach)
        self._rules = _Rules.of(channels, delays, range_ps)
        self._counts = np.zeros((len(self.pairs), whole_bins(bin_ps, range_ps)), np.int64)
        # Counted in 32 bits, so that the histograms fit a nearer cache. One row more is for what is no pair.
        self._recent = np.zeros((len(self.pairs) + 1, self._counts.shape[1]), np.uint32)
        self._most = 0

    @property
    def counts(self) -> Array:
        """The histograms so far, int64, in the order of `pairs`: of the second's times less the first's."""
        self._counts += self._recent[:-1]
        self._recent[:] = 0
        self._most = 0
        return self._counts

    @property
    def centres_ps(self) -> NDArray[np.float64]:
        """The mean of the integer differences that a bin holds, ps."""
        return bin_centres(self._bin, self._range)

    def add(self, block: TagBlock) -> None:
        """Count on with the next block of the merged stream (undelayed). ValueError if it starts before the
        last one's end."""
        self._count(self._stream.add(block if self._retimer is None else self._retimer.add(block)))

    def finish(self) -> None:
        """Count what still waits."""
        if self._retimer is not None:
            self._count(self._stream.add(self._retimer.finish()))
        self._count(self._stream.finish())

    def _count(self, stretches: Iterable[Stretch]) -> None:
        for times, channels, first, stop in stretches:
            self._most += _walk(
                times, channels, first, stop, *self._rules, self._reach, self._bin, self._recent
            )  # fmt: skip
            # A walk over one stretch adds less than 2**31 differences, or takes hours.
            if self._most >= 2**31:
                _ = self.counts


class _Rules(NamedTuple):
    """What to do with a tag of channel c and a later one of channel d, as the kernel wants it.

    Their code is places[c] * (number of places) + places[d], where channels that take no part share a place.
    Then sign * (difference of the undelayed times) + offset is how far their difference lies from the start
    of the range, which has `spans` ps, and `rows` is the histogram; spans is 0 for what is no pair.
    """

    places: Array
    signs: Array
    offsets: Array
    spans: NDArray[np.uint64]
    rows: Array

    @classmethod
    def of(cls, channels: Sequence[int], delays: Array, range_ps: tuple[int, int]) -> "_Rules":
        number, (start, stop) = len(channels), range_ps
        places = np.full(256, number)
        places[list(channels)] = np.arange(number)
        shape = number + 1, number + 1
        signs, offsets = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        spans, rows = np.zeros(shape, np.uint64), np.full(shape, number * (number - 1) // 2)
        for row, (first, second) in enumerate(combinations(range(number), 2)):
            for sign, tags in ((1, (first, second)), (-1, (second, first))):
                signs[tags], rows[tags], spans[tags] = sign, row, stop - start
                offsets[tags] = delays[second] - delays[first] - start
        return cls(places, signs.ravel(), offsets.ravel(), spans.ravel(), rows.ravel())


_ZERO, _ONE, _BLOCK = (np.uint64(n) for n in (0, 1, 64))


@kernel
def _walk(
    times: Times,
    channels: Channels,
    first: int,
    stop: int,
    places: Array,
    signs: Array,
    offsets: Array,
    spans: NDArray[np.uint64],
    rows: Array,
    reach: int,
    bin_ps: int,
    counts: Counts,
) -> int:
    apart, codes, size, added = np.empty(_HITS, np.int64), np.empty(_HITS, np.int64), _ZERO, 0
    number = np.int64(np.sqrt(len(signs)))
    full, end = np.uint64(_HITS) - _BLOCK, np.uint64(len(times))
    begin, last = np.uint64(first), np.uint64(stop)
    while begin < last:
        # Sixty-four tags and their next neighbours; then their second neighbours, until none is in reach.
        ahead = _ONE
        while begin + ahead < end:
            if begin + _BLOCK <= last and begin + ahead + _BLOCK <= end:
                near = where_close(times, begin, ahead, reach)
            else:
                near = _ZERO
                for k in range(min(_BLOCK, last - begin, end - ahead - begin)):
                    close = times[begin + k + ahead] - times[begin + k] <= reach
                    near |= np.uint64(close) << np.uint64(k)
            if near == _ZERO:
                break
            while near:
                one = begin + trailing_zeros(near)
                near &= near - _ONE
                apart[size] = times[one + ahead] - times[one]
                codes[size] = places[channels[one]] * number + places[channels[one + ahead]]
                size += _ONE
            if size > full:
                _add_differences(apart[:size], codes[:size], signs, offsets, spans, rows, bin_ps, counts)
                added += int(size)
                size = _ZERO
            ahead += _ONE
        begin += _BLOCK
    _add_differences(apart[:size], codes[:size], signs, offsets, spans, rows, bin_ps, counts)
    return added + int(size)


@kernel
def _add_differences(
    apart: Array,
    codes: Array,
    signs: Array,
    offsets: Array,
    spans: NDArray[np.uint64],
    rows: Array,
    bin_ps: int,
    counts: Counts,
) -> None:
    # In small steps over all differences, of which each but the last is vector code.
    inverse, spare = 1.0 / bin_ps, np.int64(len(counts) - 1)
    for k in range(len(apart)):
        code = np.uint64(codes[k])
        apart[k] = apart[k] * signs[code] + offsets[code]
        codes[k] = rows[code] if np.uint64(apart[k]) < spans[code] else spare
    for k in range(len(apart)):
        # As in `band_join`: exact, and far faster than a division.
        apart[k] = np.int64((apart[k] + 0.5) * inverse) if codes[k] != spare else 0
    for k in range(len(apart)):
        counts[np.uint64(codes[k]), np.uint64(apart[k])] += np.uint32(1)
