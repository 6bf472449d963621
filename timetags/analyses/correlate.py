"""Two-fold correlation: histograms of the time differences between two sets of channels.

Exact and streaming: after every block, the counts are those of one pass over the whole stream so far,
wherever it was cut. All pairs within the range count, not only nearest neighbours. Differences are
t_second - t_first of delayed times; bin k holds the integers start + k bin .. start + (k+1) bin - 1.

The work grows with the number of pairs of channels; `analyses.allpairs` is for many of them.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from timetags.analyses.band_join import add_pairs, take_channel
from timetags.analyses.heralds import delay_table, seek
from timetags.block import Channels, TagBlock, Times
from timetags.jit import arrays_for_kernels, kernel

Array = NDArray[np.int64]

# Tags worked on at a time: what is taken out of them stays in a core's cache.
_CHUNK = 131_072
# Room behind the tags of a channel that `take_channel` may write to.
_MARGIN = 8
# Longer ranges would need wider arithmetic than `add_pairs` has.
_LONGEST_PS = 2**50


class CorrelationTable:
    """One histogram for each pair of a first and a second channel, in one pass over the stream.

    - `first`, `second`: channel numbers; they may overlap (a tag is never paired with itself).
    - `delays_ps`: what is added to the times of a channel; 0 for channels that are not named.
    - `bin_ps`, `range_ps`: width of a bin, and (start, stop) of the differences, half-open. ValueError if the
      range is not a positive number of whole bins or 2**50 ps (19 minutes) or longer, or if a set is empty or
      repeats a channel.

    `table[k, l]` is the histogram (int64) of second[l] - first[k]. Times must lie within +-2**61 ps.
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
        self.table = np.zeros((len(first), len(second), whole_bins(bin_ps, range_ps)), np.int64)
        rows = np.arange(len(first) * len(second)).reshape(len(first), len(second))
        self._set_up(first, second, rows, delays_ps, bin_ps, range_ps)

    def _set_up(
        self,
        first: Sequence[int],
        second: Sequence[int],
        rows: Array,
        delays_ps: Mapping[int, int],
        bin_ps: int,
        range_ps: tuple[int, int],
    ) -> None:
        """`rows[k, l]` is the histogram of first[k] and second[l], counted over the whole table."""
        for channels in (first, second):
            if not channels or len(set(channels)) != len(channels):
                raise ValueError(f"a set of channels names at least one, and none twice: {tuple(channels)}")
        self._bin, (self._start, self._stop) = bin_ps, range_ps
        self._channels = np.array(sorted({*first, *second}), np.uint8)
        self._delays = delay_table(delays_ps)[self._channels]
        slots = {channel: slot for slot, channel in enumerate(self._channels.tolist())}
        self._pairs = np.array(
            [
                (slots[one], slots[other], rows[k, l])
                for k, one in enumerate(first)
                for l, other in enumerate(second)  # noqa: E741
            ],
            np.int64,
        )
        # A tag to come has at least the time of the last one: only tags that can pair with it are kept.
        self._keep_from = np.full(len(slots), np.iinfo(np.int64).max)
        first_delays, second_delays = self._delays[self._pairs[:, 0]], self._delays[self._pairs[:, 1]]
        np.minimum.at(self._keep_from, self._pairs[:, 0], second_delays - self._stop + 1)
        np.minimum.at(self._keep_from, self._pairs[:, 1], first_delays + self._start)
        # A row per channel: the tags kept and those of this step, delayed, of which there are `sizes`.
        self._times = np.empty((len(slots), 2 * _CHUNK), np.int64)
        self._sizes = np.zeros(len(slots), np.int64)
        self._now = -(2**63)

    @property
    def centres_ps(self) -> NDArray[np.float64]:
        """The mean of the integer differences that a bin holds, ps."""
        return bin_centres(self._bin, (self._start, self._stop))

    def add(self, block: TagBlock) -> None:
        """Count on with the next block of the merged stream. ValueError if it starts before the last tag."""
        times, channels = arrays_for_kernels(block)
        if len(times) and times[0] < self._now:
            raise ValueError(f"a block from {times[0]} ps follows a tag at {self._now} ps")
        for begin in range(0, len(times), _CHUNK):
            self._step(times[begin : begin + _CHUNK], channels[begin : begin + _CHUNK])

    def finish(self) -> None:
        """Nothing waits: after every block all pairs so far are counted."""

    def _step(self, times: Times, channels: Channels) -> None:
        room = int(self._sizes.max()) + len(times) + _MARGIN
        if room > self._times.shape[1]:
            self._times = np.pad(self._times, ((0, 0), (0, 2 * room - self._times.shape[1])))
        self._now = int(times[-1])
        _count(
            times,
            channels,
            self._channels,
            self._delays,
            self._pairs,
            self._times,
            self._sizes,
            self._keep_from + self._now,
            self._start,
            self._bin,
            self.table.reshape(-1, self.table.shape[2]),
        )


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
        self.table = np.zeros((1, 1, whole_bins(bin_ps, range_ps)), np.int64)
        rows = np.zeros((len(first), len(second)), np.int64)
        self._set_up(sorted(first), sorted(second), rows, delays_ps, bin_ps, range_ps)

    @property
    def counts(self) -> Array:
        """The histogram, int64."""
        counts: Array = self.table[0, 0]
        return counts


def correlate(first: Times, second: Times, *, bin_ps: int, range_ps: tuple[int, int]) -> Array:
    """The histogram of second - first for two sorted arrays of times, ps; bins as in `Correlation`."""
    counts = np.zeros(whole_bins(bin_ps, range_ps), np.int64)
    one, other = (np.require(times, np.int64, ["C", "W"]) for times in (first, second))
    add_pairs(one, other, range_ps[0], bin_ps, counts)
    return counts


def bin_centres(bin_ps: int, range_ps: tuple[int, int]) -> NDArray[np.float64]:
    """The mean of the integer differences that each bin holds: half a bin less half a ps from its start."""
    start, _ = range_ps
    first_of_bin = start + bin_ps * np.arange(whole_bins(bin_ps, range_ps))
    return first_of_bin.astype(np.float64) + (bin_ps - 1) / 2


def whole_bins(bin_ps: int, range_ps: tuple[int, int]) -> int:
    """The number of bins of a range; ValueError if it is not a positive whole one, or the range too long."""
    start, stop = range_ps
    if bin_ps <= 0 or stop <= start or (stop - start) % bin_ps:
        raise ValueError(f"the range {start}..{stop} ps is not a positive number of bins of {bin_ps} ps")
    if stop - start >= _LONGEST_PS:
        raise ValueError(f"the range {start}..{stop} ps is longer than {_LONGEST_PS} ps")
    return (stop - start) // bin_ps


@kernel
def _count(
    times: Times,
    channels: Channels,
    taken: Channels,
    delays: Array,
    pairs: Array,
    kept: NDArray[np.int64],
    sizes: Array,
    keep_from: Array,
    start: int,
    bin_ps: int,
    table: NDArray[np.int64],
) -> None:
    old = np.empty(len(sizes), np.int64)
    for slot in range(len(taken)):
        old[slot] = sizes[slot]
        sizes[slot] += take_channel(times, channels, taken[slot], delays[slot], kept[slot, old[slot] :])
    for pair in range(len(pairs)):
        one, other, row = pairs[pair, 0], pairs[pair, 1], pairs[pair, 2]
        # Each pair of tags is counted in the step that brings the later of the two.
        new_first = kept[one, old[one] : sizes[one]]
        new_second = kept[other, old[other] : sizes[other]]
        add_pairs(new_first, kept[other, : sizes[other]], start, bin_ps, table[row])
        add_pairs(kept[one, : old[one]], new_second, start, bin_ps, table[row])
        if one == other and start <= 0 < start + bin_ps * table.shape[1]:
            table[row, -start // bin_ps] -= len(new_first)  # each with itself
    for slot in range(len(taken)):
        drop = seek(kept[slot, : sizes[slot]], keep_from[slot], 0)
        sizes[slot] -= drop
        for k in range(sizes[slot]):  # to assign slices would take seconds to compile
            kept[slot, k] = kept[slot, drop + k]
