"""Add delays to the channels of a stream, and put it into time order again.

For analyses that must see delayed tags in the order of their delayed times. Most need not: they add the
delays where they compare, which costs nothing.
"""

from collections.abc import Mapping

import numpy as np

from timetags.analyses.heralds import delay_table
from timetags.block import Channels, TagBlock, Times
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
        groups = self._groups[block.channels]
        for group, (times, channels) in enumerate(self._waiting):
            own = groups == group
            self._waiting[group] = (
                np.concatenate([times, block.times[own] + self._delays[group]]),
                np.concatenate([channels, block.channels[own]]),
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
