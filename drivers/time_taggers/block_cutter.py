"""Cuts a stream of tags, which comes in pieces of any size, into blocks of one length.

Taggers on one bench want blocks of about the same length, so that none waits for another (see
`experiments.engine.tags`). A block is given out when the stream has come beyond its end.
"""

from collections import deque

import numpy as np

from timetags.block import Channels, TagBlock, Times

PERIOD_PS = 500_000_000_000
"""Length of a block: half a second, as that of the ID900's sub-acquisitions."""
RATE_BLOCKS = 2
"""A count rate is that of so many blocks, a second."""


class BlockCutter:
    """Block k covers k * `period_ps` <= t < (k + 1) * `period_ps`, but for the last one."""

    def __init__(self, period_ps: int = PERIOD_PS) -> None:
        self._period_ps = period_ps
        self._start_ps = 0
        self._reached_ps = 0
        self._lost = 0
        self._pieces: list[tuple[Times, Channels]] = []
        self._latest: deque[TagBlock] = deque(maxlen=RATE_BLOCKS)

    def put(self, times: Times, channels: Channels, reached_ps: int, lost: int = 0) -> None:
        """Take the next tags, sorted; none that comes later is before `reached_ps`. ValueError when they are
        not so."""
        from timetags.files.order import is_sorted

        if len(times):
            if times[0] < self._reached_ps or not is_sorted(times):
                raise ValueError("tags are not in the order of time")
            self._pieces.append((times, channels))
            self._reached_ps = int(times[-1])
        self._reached_ps = max(self._reached_ps, reached_ps)
        self._lost += lost

    def next_block(self) -> TagBlock | None:
        """The next block, None while the stream has not come to its end."""
        end_ps = self._start_ps + self._period_ps
        return self._cut(end_ps) if self._reached_ps >= end_ps else None

    def last_block(self) -> TagBlock | None:
        """What is left behind the last whole block, up to where the stream has come; None for nothing."""
        latest_ps = max((int(times[-1]) for times, _ in self._pieces if len(times)), default=-1)
        end_ps = max(self._reached_ps, latest_ps + 1)
        return self._cut(end_ps) if end_ps > self._start_ps or self._lost else None

    def rate_hz(self, channel: int) -> float:
        """Tags per second on one channel in the blocks given out last; 0.0 before the first."""
        span_ps = sum(block.end_ps - block.start_ps for block in self._latest)
        tags = sum(np.count_nonzero(block.channels == channel) for block in self._latest)
        return tags / (span_ps * 1e-12) if span_ps else 0.0

    def _cut(self, end_ps: int) -> TagBlock:
        times = np.concatenate([np.empty(0, np.int64), *(times for times, _ in self._pieces)])
        channels = np.concatenate([np.empty(0, np.uint8), *(channels for _, channels in self._pieces)])
        n = int(np.searchsorted(times, end_ps))
        block = TagBlock(times[:n], channels[:n], self._start_ps, end_ps, self._lost)
        self._pieces = [(times[n:], channels[n:])]
        self._start_ps, self._lost = end_ps, 0
        self._latest.append(block)
        return block
