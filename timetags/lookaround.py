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

# Tags worked on at a time: with their channels they stay in a core's cache.
_CHUNK = 65_536
_BEFORE_ALL_PS = -(2**62)
_AFTER_ALL_PS = 2**62


class Stretch(NamedTuple):
    """Part of a stream. The tags `times[first:stop]` are due; the others are their surroundings.

    The arrays are views of a buffer that the next step overwrites."""

    times: Times
    channels: Channels
    first: int
    stop: int


class Lookaround:
    """The tags of a stream, each once, with all tags from `back_ps` before to `ahead_ps` after it.

    Times in the stream must lie within +-2**61 ps (26 days), so that sums of two fit an int64.
    """

    def __init__(self, back_ps: int, ahead_ps: int) -> None:
        self._back, self._ahead = max(0, back_ps), max(0, ahead_ps)
        self._times = np.empty(2 * _CHUNK, np.int64)
        self._channels = np.empty(2 * _CHUNK, np.uint8)
        self._held = 0
        self._first = 0
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
        times, channels, end_ps = block.times, block.channels, block.end_ps
        if len(times) != len(channels):
            raise ValueError(f"{len(times)} times but {len(channels)} channels")
        if end_ps < self.end_ps or (len(times) and times[0] < self.end_ps):
            raise ValueError(
                f"blocks must come in order: one that ends at {end_ps} ps follows one that ended at "
                f"{self.end_ps} ps"
            )
        if len(times) and times[-1] >= end_ps:
            raise ValueError(f"a tag at {times[-1]} ps lies after the block's end at {end_ps} ps")
        return self._stretches(times, channels, end_ps)

    def finish(self) -> Iterator[Stretch]:
        """Give what is still held: no further tags will come, and adding some is an error."""
        return self._stretches(np.empty(0, np.int64), np.empty(0, np.uint8), _AFTER_ALL_PS)

    def _stretches(self, times: Times, channels: Channels, end_ps: int) -> Iterator[Stretch]:
        begin = 0
        while True:
            # What is carried along is copied in each step: keep the step several times longer.
            stop = min(len(times), begin + max(_CHUNK, 4 * self._held))
            self._append(times[begin:stop], channels[begin:stop])
            known_until = int(times[stop]) if stop < len(times) else end_ps
            yield from self._due(known_until)
            begin = stop
            if begin == len(times):
                return

    def _append(self, times: Times, channels: Channels) -> None:
        size = self._held + len(times)
        if size > len(self._times):
            self._times = np.concatenate([self._times[: self._held], np.empty(2 * size, np.int64)])
            self._channels = np.concatenate([self._channels[: self._held], np.empty(2 * size, np.uint8)])
        self._times[self._held : size] = times
        self._channels[self._held : size] = channels
        self._held = size

    def _due(self, known_until: int) -> Iterator[Stretch]:
        self.end_ps = known_until
        held = self._times[: self._held]
        stop = int(np.searchsorted(held, known_until - self._ahead))
        if stop > self._first:
            yield Stretch(held, self._channels[: self._held], self._first, stop)
        drop = int(np.searchsorted(held, known_until - self._ahead - self._back))
        if drop:
            left = self._held - drop
            self._times[:left] = self._times[drop : self._held]
            self._channels[:left] = self._channels[drop : self._held]
            self._held = left
        self._first = stop - drop
