"""Gates: which stretch of a tag stream goes to which analysis, decided by the tags' own time.

A tag counts when `begin_ps <= t < end_ps`, whenever and in whatever pieces it arrives: the same stream
cut into other blocks gives the same pieces in sum.
"""

import numpy as np

from timetags.analyses.analysis import Analysis
from timetags.block import Channels, TagBlock, Times


class Gate:
    """Passes the tags of one stretch of a stream on to its sinks, in a worker thread. They are finished when
    everything has come, and before a later gate sees tags of its own."""

    def __init__(self, begin_ps: int, end_ps: int, *sinks: Analysis) -> None:
        self.begin_ps, self.end_ps, self._sinks = begin_ps, end_ps, sinks
        self._closed = False
        self.finished = False
        """Whether everything has come and the sinks have done with it."""

    def offer(self, block: TagBlock) -> None:
        """Show the next block of the stream; what lies in the gate goes to the sinks."""
        if self._closed or block.start_ps >= self.end_ps or block.end_ps <= self.begin_ps:
            return
        piece = block.between(self.begin_ps, self.end_ps)
        for sink in self._sinks:
            sink.add(piece)
        if block.end_ps >= self.end_ps:
            self.finish()

    def finish(self) -> None:
        """Tell the sinks that everything has come, unless they know; also when the stream ends early."""
        if not self._closed:
            self._closed = True
            for sink in self._sinks:
                sink.finish()
            self._sinks = ()  # what is over shall not be held by who still waits for others
            self.finished = True


class Capture:
    """A sink that keeps everything, for looking at a short stretch as a whole."""

    def __init__(self) -> None:
        self._pieces: list[TagBlock] = []

    def add(self, block: TagBlock) -> None:
        self._pieces.append(TagBlock(block.times.copy(), block.channels.copy(), block.start_ps, block.end_ps))

    def finish(self) -> None:
        """Nothing is held back."""

    def tags(self) -> tuple[Times, Channels]:
        """All tags so far: times in int64 ps, sorted, and uint8 channels."""
        if not self._pieces:
            return np.empty(0, np.int64), np.empty(0, np.uint8)
        return (
            np.concatenate([p.times for p in self._pieces]),
            np.concatenate([p.channels for p in self._pieces]),
        )
