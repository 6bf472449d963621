"""Time-resolved rates: counts per channel per time bin, and where tags were lost.

Bins begin at whole multiples of their width, whatever the stream begins with, so that streams of several
taggers and of several files fall into the same bins. A rate is known to be too low where the instrument
reports lost tags; nothing is guessed in their place.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from timetags.block import Channels, TagBlock, Times, check_channels
from timetags.jit import arrays_for_kernels, kernel


class Loss(NamedTuple):
    """So many tags were dropped at unknown times from `start_ps` to `end_ps`."""

    start_ps: int
    end_ps: int
    lost: int


class RatesOverTime:
    """Counts of `channels` in bins of `bin_ps`, from the first block to the last.

    Times are taken as they come, without delays. Memory grows with the length of the stream: 8 bytes per
    channel and bin. ValueError if the bin is not positive, or a channel repeats or does not fit a uint8.
    """

    def __init__(self, channels: Sequence[int], bin_ps: int) -> None:
        if bin_ps <= 0:
            raise ValueError(f"a bin must be positive, not {bin_ps} ps")
        check_channels(channels)
        if len(set(channels)) != len(channels):
            raise ValueError(f"no channel may be named twice: {list(channels)}")
        self._bin = bin_ps
        self._rows = np.full(256, -1, np.int64)
        self._rows[list(channels)] = np.arange(len(channels))
        # The counts of each channel, and in a last row the time covered; columns are made ahead of need.
        self._table = np.zeros((len(channels) + 1, 0), np.int64)
        self._first: int | None = None
        self._stop = self._end_ps = 0
        self.losses: list[Loss] = []

    @property
    def starts_ps(self) -> NDArray[np.int64]:
        """Where each bin begins."""
        return np.arange(self._first or 0, self._stop, dtype=np.int64) * self._bin

    @property
    def counts(self) -> NDArray[np.int64]:
        """Tags by channel (in the order given) and bin."""
        return self._table[:-1, : self._bins]

    @property
    def live_ps(self) -> NDArray[np.int64]:
        """How much of each bin blocks have covered; the first and last one may be covered in part."""
        live: NDArray[np.int64] = self._table[-1, : self._bins]
        return live

    @property
    def rates_hz(self) -> NDArray[np.float64]:
        """Counts over covered time, 1/s, by channel and bin; nan where nothing was covered."""
        live = self.live_ps * 1e-12
        rates = np.full(self.counts.shape, np.nan)
        np.divide(self.counts, live, out=rates, where=live > 0)
        return rates

    @property
    def lossy(self) -> NDArray[np.bool_]:
        """By bin: whether tags may be missing, because some were lost in a block that touches it."""
        lossy = np.zeros(self._bins, np.bool_)
        for loss in self.losses:
            first = loss.start_ps // self._bin - (self._first or 0)
            lossy[first : (loss.end_ps - 1) // self._bin + 1 - (self._first or 0)] = True
        return lossy

    def add(self, block: TagBlock) -> None:
        """Count on with the next block. ValueError if it begins before the end of the one before."""
        if self._first is not None and block.start_ps < self._end_ps:
            raise ValueError(f"a block from {block.start_ps} ps follows one that ended at {self._end_ps} ps")
        if block.lost:
            self.losses.append(Loss(block.start_ps, block.end_ps, block.lost))
        if block.end_ps <= block.start_ps:
            return
        if self._first is None:
            self._first = block.start_ps // self._bin
        self._stop, self._end_ps = (block.end_ps - 1) // self._bin + 1, block.end_ps
        if self._bins > self._table.shape[1]:
            more = np.zeros((len(self._table), 2 * self._bins - self._table.shape[1]), np.int64)
            self._table = np.concatenate([self._table, more], axis=1)
        _cover(block.start_ps, block.end_ps, self._first, self._bin, self._table[-1])
        _count(*arrays_for_kernels(block), self._rows, self._first, self._bin, self._table)

    def finish(self) -> None:
        """Nothing waits."""

    @property
    def _bins(self) -> int:
        return self._stop - (self._first or 0)


@kernel
def _cover(start: int, end: int, first: int, bin_ps: int, live: NDArray[np.int64]) -> None:
    for place in range(start // bin_ps, (end - 1) // bin_ps + 1):
        live[place - first] += min(end, (place + 1) * bin_ps) - max(start, place * bin_ps)


@kernel
def _count(
    times: Times,
    channels: Channels,
    rows: NDArray[np.int64],
    first: int,
    bin_ps: int,
    table: NDArray[np.int64],
) -> None:
    # A division is only needed where a bin ends, which most tags do not see.
    column, bin_end = 0, -(2**62)
    for i in range(len(times)):
        if times[i] >= bin_end:
            place = times[i] // bin_ps
            column, bin_end = place - first, (place + 1) * bin_ps
        row = rows[channels[i]]
        if row >= 0:
            table[row, column] += 1
