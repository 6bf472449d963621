"""Add delays to the channels of a stream, and put it into time order again.

For analyses that must see delayed tags in the order of their delayed times. Most need not: they add the
delays where they compare, which costs nothing.
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from timetags.analyses.heralds import delay_table
from timetags.analyses.rates import count
from timetags.block import Channels, TagBlock, Times
from timetags.jit import arrays_for_kernels, kernel
from timetags.merge import merge_streams


class Retimer:
    """Makes a stream of one whose channels are delayed by `delays_ps` (0 for those not named).

    The new stream covers the time of the old one moved by the least delay, and at the end goes on to its
    last tag. Tags wait until no earlier one can come: for the spread of the delays. Of equal times, those of
    the lower delay come first.
    """

    def __init__(self, delays_ps: Mapping[int, int]) -> None:
        # Channels of equal delay stay in order among themselves: a group each.
        self._delays, self._groups = np.unique(delay_table(delays_ps), return_inverse=True)
        self._waiting: list[tuple[Times, Channels]] = [
            (np.empty(0, np.int64), np.empty(0, np.uint8)) for _ in self._delays
        ]
        # Where a block is split into groups: made once, since new memory costs more than the work.
        self._split: tuple[Times, Channels] = self._waiting[0]
        self._given_until: int | None = None
        self._now = 0

    def add(self, block: TagBlock) -> TagBlock:
        """Take the next block, and give what can have no earlier tags after it. ValueError if the block
        starts before the last one's end."""
        if self._given_until is None:
            self._given_until = block.start_ps + int(self._delays[0])
        elif block.start_ps < self._now:
            raise ValueError(f"a block from {block.start_ps} ps follows one that ended at {self._now} ps")
        self._now = block.end_ps
        if len(block) > len(self._split[0]):
            self._split = np.empty(len(block), np.int64), np.empty(len(block), np.uint8)
        ends = _split(*arrays_for_kernels(block), self._groups, self._delays, *self._split).tolist()
        for group, (begin, end) in enumerate(pairwise([0, *ends])):
            times, channels = self._waiting[group]
            self._waiting[group] = (
                np.concatenate([times, self._split[0][begin:end]]),
                np.concatenate([channels, self._split[1][begin:end]]),
            )
        return self._before(block.end_ps + int(self._delays[0]), block.lost)

    def finish(self) -> TagBlock:
        """Give the rest. No block can follow."""
        last = max((int(times[-1]) for times, _ in self._waiting if len(times)), default=None)
        end = self._given_until or 0
        return self._before(end if last is None else last + 1, 0)

    def _before(self, end_ps: int, lost: int) -> TagBlock:
        start_ps = end_ps if self._given_until is None else self._given_until
        ready = []
        for group, (times, channels) in enumerate(self._waiting):
            end = np.searchsorted(times, end_ps)
            ready.append((times[:end], channels[:end]))
            self._waiting[group] = times[end:], channels[end:]
        self._given_until = end_ps
        return TagBlock(*merge_streams(ready, [0] * len(ready)), start_ps, end_ps, lost)


@kernel
def _split(
    times: Times,
    channels: Channels,
    groups: NDArray[np.int64],
    delays: NDArray[np.int64],
    split_times: Times,
    split_channels: Channels,
) -> NDArray[np.int64]:
    """Put the tags of each group one behind the other, with delayed times; give where each group ends."""
    counts = np.zeros(256, np.int64)
    count(channels, counts)
    places = np.zeros(len(delays) + 1, np.int64)
    for channel in range(256):
        places[groups[channel] + 1] += counts[channel]
    for group in range(len(delays)):
        places[group + 1] += places[group]
    for i in range(len(times)):
        group = groups[channels[i]]
        place = np.uint64(places[group])
        split_times[place] = times[i] + delays[group]
        split_channels[place] = channels[i]
        places[group] += 1
    # Each has moved to where the next began.
    return places[:-1]
