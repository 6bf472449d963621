"""See each tag of a stream together with its surroundings, wherever the stream was cut into blocks.

An analysis that looks back and ahead of a tag cannot work on a block alone. `Lookaround` holds a tag back
until everything up to `ahead_ps` after it has arrived, and keeps what is up to `back_ps` before the tags
still held. Each tag is due exactly once, and whether it is due when does not depend on the cuts' effect
on its surroundings: those are always complete.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from timetags.block import Channels, TagBlock, Times
from timetags.jit import arrays_for_kernels

# Tags in a stretch: enough that what is done once for each does not count, and few enough to be kept in a
# shared cache between the steps of an analysis.
_CHUNK = 262_144
_BEFORE_ALL_PS = -(2**62)
_AFTER_ALL_PS = 2**62


class Stretch(NamedTuple):
    """Part of a stream. The tags `times[first:stop]` are due; the others are their surroundings.

    The arrays are views of the block or of what was kept of earlier ones: read them before the next step."""

    times: Times
    channels: Channels
    first: int
    stop: int


class Lookaround:
    """The tags of a stream, each once, with all tags from `back_ps` before to `ahead_ps` after it.

    Only what must wait for the next block is copied; the inside of a block is given as it stands. Times in
    the stream must lie within +-2**61 ps (26 days), so that sums of two fit an int64.
    """

    def __init__(self, back_ps: int, ahead_ps: int) -> None:
        self._back, self._ahead = max(0, back_ps), max(0, ahead_ps)
        self._held = _Held()
        self._waiting = 0
        self.end_ps = _BEFORE_ALL_PS

    @property
    def due_until_ps(self) -> int:
        """Every tag before this time has been due; no other has."""
        return self.end_ps - self._ahead

    def add(self, block: TagBlock) -> Iterator[Stretch]:
        """Take the next block and give the stretches that have become due. Exhaust the iterator before the
        next call.

        ValueError if the block holds a tag before the end of the one before, or at or after its own end.
        (That times are sorted is not checked.)
        """
        times, channels = arrays_for_kernels(block)
        if len(times) != len(channels):
            raise ValueError(f"{len(times)} times but {len(channels)} channels")
        if block.end_ps < self.end_ps or (len(times) and times[0] < self.end_ps):
            raise ValueError(
                f"blocks must come in order: one that ends at {block.end_ps} ps follows one that ended at "
                f"{self.end_ps} ps"
            )
        if len(times) and times[-1] >= block.end_ps:
            raise ValueError(f"a tag at {times[-1]} ps lies after the block's end at {block.end_ps} ps")
        return self._stretches(times, channels, block.end_ps)

    def finish(self) -> Iterator[Stretch]:
        """Give what is still held: no further tags will come, and adding some is an error."""
        return self._stretches(np.empty(0, np.int64), np.empty(0, np.uint8), _AFTER_ALL_PS)

    def _stretches(self, times: Times, channels: Channels, end_ps: int) -> Iterator[Stretch]:
        self.end_ps = end_ps
        first, held = 0, len(self._held)
        if held:
            # From `apart` on, tags of the block lie too far behind the held ones to see them. Those before
            # it and the held ones form a seam, with as much of the block as they look ahead to.
            last = int(self._held.times[-1])
            apart = int(np.searchsorted(times, last + self._back, "right"))
            last = int(times[apart - 1]) if apart else last
            seam = int(np.searchsorted(times, last + self._ahead, "right"))
            self._held.append(times[:seam], channels[:seam])
            if seam == len(times):
                times, channels, first = self._held.times, self._held.channels, self._waiting
            else:
                if held + apart > self._waiting:
                    yield Stretch(self._held.times, self._held.channels, self._waiting, held + apart)
                self._held.drop(len(self._held))
                first = apart
        end = int(np.searchsorted(times, end_ps - self._ahead))
        for begin in range(first, end, _CHUNK):
            stop = min(begin + _CHUNK, end)
            low = int(np.searchsorted(times, times[begin] - self._back))
            high = int(np.searchsorted(times, times[stop - 1] + self._ahead, "right"))
            yield Stretch(times[low:high], channels[low:high], begin - low, stop - low)
        drop = int(np.searchsorted(times, end_ps - self._ahead - self._back))
        if len(self._held):
            self._held.drop(drop)
        else:
            self._held.append(times[drop:], channels[drop:])
        self._waiting = max(first, end) - drop


class _Held:
    """The tags at the end of the stream so far, in arrays that grow as needed and are reused."""

    def __init__(self) -> None:
        self._times, self._channels = np.empty(1024, np.int64), np.empty(1024, np.uint8)
        self._begin = self._end = 0

    def __len__(self) -> int:
        return self._end - self._begin

    @property
    def times(self) -> Times:
        return self._times[self._begin : self._end]

    @property
    def channels(self) -> Channels:
        return self._channels[self._begin : self._end]

    def append(self, times: Times, channels: Channels) -> None:
        end = self._end + len(times)
        if end > len(self._times):
            # Twice what is needed, so that each tag is moved about once however small the blocks are.
            room = max(1024, 2 * (len(self) + len(times)))
            old_times, old_channels = self.times, self.channels
            self._times, self._channels = np.empty(room, np.int64), np.empty(room, np.uint8)
            self._begin, self._end, end = 0, len(old_times), len(old_times) + len(times)
            self._times[: self._end], self._channels[: self._end] = old_times, old_channels
        self._times[self._end : end] = times
        self._channels[self._end : end] = channels
        self._end = end

    def drop(self, number: int) -> None:
        """Forget the oldest."""
        self._begin += number
