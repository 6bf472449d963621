"""Two-fold correlation: histograms of the time differences between two sets of channels.

Exact and streaming: after every block, the counts are those of one pass over the whole stream so far,
wherever it was cut. All pairs within the range count, not only nearest neighbours. Differences are
t_second - t_first of delayed times; bin k holds the integers start + k bin .. start + (k+1) bin - 1.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from timetags.analyses.heralds import delay_table
from timetags.block import Channels, TagBlock, Times
from timetags.jit import kernel
from timetags.merge import merge_channels, merge_streams

Array = NDArray[np.int64]

# Tags worked on at a time: what is made of them stays in a core's cache.
_CHUNK = 131_072


class CorrelationTable:
    """One histogram for each pair of a first and a second channel, in one pass over the stream.

    - `first`, `second`: channel numbers; they may overlap (a tag is never paired with itself).
    - `delays_ps`: what is added to the times of a channel; 0 for channels that are not named.
    - `bin_ps`, `range_ps`: width of a bin, and (start, stop) of the differences, half-open. ValueError if the
      range is not a positive number of whole bins, or if a set is empty or repeats a channel.

    `table[k, l]` is the histogram (int64) of second[l] - first[k].
    """

    def __init__(
        self,
        first: Sequence[int],
        second: Sequence[int],
        delays_ps: Mapping[int, int],
        *,
        bin_ps: int,
        range_ps: tuple[int, int],
    ) -> None:
        split = _Split(first, second, delays_ps)
        self._set_up(split, _places(first), _places(second), bin_ps, range_ps)

    def _set_up(
        self, split: "_Split", rows: Array, columns: Array, bin_ps: int, range_ps: tuple[int, int]
    ) -> None:
        self._split, self._rows, self._columns = split, rows, columns
        self._bin, (self._start, self._stop) = bin_ps, range_ps
        bins = _whole_bins(bin_ps, range_ps)
        self.table = np.zeros((int(rows.max()) + 1, int(columns.max()) + 1, bins), np.int64)
        self._old_first = self._old_second = _NOTHING
        self._now = -(2**63)

    @property
    def centres_ps(self) -> NDArray[np.float64]:
        """The mean of the integer differences that a bin holds, ps."""
        return bin_centres(self._bin, (self._start, self._stop))

    def add(self, block: TagBlock) -> None:
        """Count on with the next block of the merged stream. ValueError if it starts before the last tag."""
        times, channels = block.times, block.channels
        if len(times) and times[0] < self._now:
            raise ValueError(f"a block from {times[0]} ps follows a tag at {self._now} ps")
        for begin in range(0, len(times), _CHUNK):
            self._step(times[begin : begin + _CHUNK], channels[begin : begin + _CHUNK])

    def finish(self) -> None:
        """Nothing waits: after every block all pairs so far are counted."""

    def _step(self, times: Times, channels: Channels) -> None:
        new = self._split(times, channels)
        # Each pair is counted in the step that brings the later of its two tags.
        self._join(new.first, new.second)
        self._join(new.first, self._old_second)
        self._join(self._old_first, new.second)
        if self._start <= 0 < self._stop:
            for channel, count in new.in_both:
                row, column = self._rows[channel], self._columns[channel]
                self.table[row, column, -self._start // self._bin] -= count
        # A tag to come is not before the last one; only with such can the kept ones still pair.
        self._now = int(times[-1])
        first_from = self._now + self._split.least_second_delay_ps - self._stop + 1
        second_from = self._now + self._split.least_first_delay_ps + self._start
        self._old_first = _kept(self._old_first, new.first, first_from)
        self._old_second = _kept(self._old_second, new.second, second_from)

    def _join(self, first: "_Stream", second: "_Stream") -> None:
        _join(*first, *second, self._rows, self._columns, self._start, self._bin, self.table)


class Correlation(CorrelationTable):
    """One histogram for all pairs of any first with any second channel; else as `CorrelationTable`."""

    def __init__(
        self,
        first: Collection[int],
        second: Collection[int],
        delays_ps: Mapping[int, int],
        *,
        bin_ps: int,
        range_ps: tuple[int, int],
    ) -> None:
        split = _Split(sorted(first), sorted(second), delays_ps)
        self._set_up(split, np.zeros(256, np.int64), np.zeros(256, np.int64), bin_ps, range_ps)

    @property
    def counts(self) -> Array:
        """The histogram, int64."""
        counts: Array = self.table[0, 0]
        return counts


def correlate(first: Times, second: Times, *, bin_ps: int, range_ps: tuple[int, int]) -> Array:
    """The histogram of second - first for two sorted arrays of times, ps; bins as in `Correlation`."""
    table = np.zeros((1, 1, _whole_bins(bin_ps, range_ps)), np.int64)
    one = np.zeros(256, np.int64)
    streams = [(times, np.zeros(len(times), np.uint8)) for times in (first, second)]
    _join(*streams[0], *streams[1], one, one, range_ps[0], bin_ps, table)
    counts: Array = table[0, 0]
    return counts


def bin_centres(bin_ps: int, range_ps: tuple[int, int]) -> NDArray[np.float64]:
    """The mean of the integer differences that each bin holds: half a bin less half a ps from its start."""
    start, _ = range_ps
    first_of_bin = start + bin_ps * np.arange(_whole_bins(bin_ps, range_ps))
    return first_of_bin.astype(np.float64) + (bin_ps - 1) / 2


_Stream = tuple[Times, Channels]
_NOTHING: _Stream = np.empty(0, np.int64), np.empty(0, np.uint8)


class _New(NamedTuple):
    first: _Stream
    second: _Stream
    in_both: list[tuple[int, int]]


class _Split:
    """Takes the tags of two sets of channels out of a stream, delays applied, each set in time order."""

    def __init__(self, first: Sequence[int], second: Sequence[int], delays_ps: Mapping[int, int]) -> None:
        for channels in (first, second):
            if not channels or len(set(channels)) != len(channels):
                raise ValueError(f"a set of channels names at least one, and none twice: {tuple(channels)}")
        self._first, self._second = list(first), list(second)
        self._channels = sorted({*first, *second})
        self._in_both = sorted({*first} & {*second})
        self._delays = delay_table(delays_ps)
        self._slots = np.full(256, len(self._channels), np.int64)
        self._slots[self._channels] = np.arange(len(self._channels))
        # One row per channel, and one for all tags of other channels.
        self._times = np.empty((len(self._channels) + 1, _CHUNK), np.int64)
        self._sizes = np.zeros(len(self._channels) + 1, np.int64)
        self.least_first_delay_ps = int(self._delays[self._first].min())
        self.least_second_delay_ps = int(self._delays[self._second].min())

    def __call__(self, times: Times, channels: Channels) -> _New:
        _split(times, channels, self._slots, self._delays, self._times, self._sizes)
        sizes = dict(zip(self._channels, self._sizes.tolist(), strict=False))
        arrays = {c: self._times[slot, : sizes[c]] for slot, c in enumerate(self._channels)}
        first = merge_channels([arrays[c] for c in self._first], self._first)
        second = merge_channels([arrays[c] for c in self._second], self._second)
        return _New(first, second, [(c, sizes[c]) for c in self._in_both])


def _kept(old: _Stream, new: _Stream, not_before: int) -> _Stream:
    parts = []
    for times, channels in (old, new):
        begin = np.searchsorted(times, not_before)
        parts.append((times[begin:], channels[begin:]))
    return merge_streams(parts, [0, 0])


def _places(channels: Sequence[int]) -> Array:
    places = np.zeros(256, np.int64)
    places[list(channels)] = np.arange(len(channels))
    return places


def _whole_bins(bin_ps: int, range_ps: tuple[int, int]) -> int:
    start, stop = range_ps
    if bin_ps <= 0 or stop <= start or (stop - start) % bin_ps:
        raise ValueError(f"the range {start}..{stop} ps is not a positive number of bins of {bin_ps} ps")
    return (stop - start) // bin_ps


@kernel
def _split(
    times: Times, channels: Channels, slots: Array, delays: Array, split: NDArray[np.int64], sizes: Array
) -> None:
    sizes[:] = 0
    for i in range(len(times)):
        channel = channels[i]
        slot = np.uint64(slots[channel])
        size = np.uint64(sizes[slot])
        split[slot, size] = times[i] + delays[channel]
        sizes[slot] = size + np.uint64(1)


@kernel
def _join(
    first_times: Times,
    first_channels: Channels,
    second_times: Times,
    second_channels: Channels,
    rows: Array,
    columns: Array,
    start: int,
    bin_ps: int,
    table: NDArray[np.int64],
) -> None:
    one, size = np.uint64(1), np.uint64(len(second_times))
    span, width = bin_ps * table.shape[2], np.uint64(bin_ps)
    begin = np.uint64(0)
    for i in range(len(first_times)):
        low = first_times[i] + start
        while begin < size and second_times[begin] < low:
            begin += one
        if begin == size:
            break
        k = begin
        while k < size and second_times[k] < low + span:
            bin_number = np.uint64(second_times[k] - low) // width
            table[rows[first_channels[i]], columns[second_channels[k]], bin_number] += 1
            k += one
