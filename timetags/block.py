"""The block: a piece of a tag stream, the unit in which tags travel from taggers to analyses."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]
Channels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class TagBlock:
    """All tags of a stream with `start_ps <= time < end_ps`.

    `times` are int64 picoseconds, sorted ascending; `channels` are uint8, of the same length. `lost`
    counts tags that the instrument reports as dropped within the block.
    """

    times: Times
    channels: Channels
    start_ps: int
    end_ps: int
    lost: int = 0

    def __len__(self) -> int:
        return len(self.times)

    def between(self, begin_ps: int, end_ps: int) -> "TagBlock":
        """The part with `begin_ps <= time < end_ps`, as views. What was lost is not known to lie inside, so
        its `lost` is 0."""
        begin_ps, end_ps = max(self.start_ps, begin_ps), min(self.end_ps, end_ps)
        i, j = np.searchsorted(self.times, (begin_ps, end_ps))
        return TagBlock(self.times[i:j], self.channels[i:j], begin_ps, max(begin_ps, end_ps))


def check_channels(channels: Iterable[int]) -> None:
    """ValueError if one of these is no channel number, 0 to 255."""
    for channel in channels:
        if not 0 <= channel <= 255:
            raise ValueError(f"channel {channel} is outside 0..255")
