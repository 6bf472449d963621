"""What sinks have in common that count one slice of a dwell by comparing times of clicks."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

import numpy as np

from experiments.measurements.dwell import Delays
from timetags.analyses.analysis import Analysis
from timetags.block import TagBlock

A = TypeVar("A", bound=Analysis)


class CountingSlice(ABC, Generic[A]):
    """A sink: analyses of one slice, with the delays of its middle. They see more tags than those of the
    slice; what they find counts in the slice that the clicks of the `owners`, some channels, fall in."""

    def __init__(self, delays: Delays, window_ps: tuple[int, int], owners: Sequence[int]) -> None:
        self._delays, self._window_ps, self._owners = delays, window_ps, owners
        self._analyses: tuple[A, ...] | None = None

    @abstractmethod
    def _begin(self, delays_ps: Mapping[int, int]) -> tuple[A, ...]:
        """The analyses, with these delays by channel."""

    @abstractmethod
    def _take(self, analyses: tuple[A, ...]) -> None:
        """Take over what they have counted so far."""

    def add(self, block: TagBlock) -> None:
        if self._analyses is None:  # only with the first tags: by then the look before has been taken
            self._analyses = self._begin(self._delays.delays_at(sum(self._window_ps) // 2))
        piece = self._own(block)
        for analysis in self._analyses:
            analysis.add(piece)
        self._take(self._analyses)

    def finish(self) -> None:
        if self._analyses is not None:
            for analysis in self._analyses:
                analysis.finish()
            self._take(self._analyses)
            self._analyses = None  # their buffers are large, and a long run has many slices

    def _own(self, block: TagBlock) -> TagBlock:
        """The block without clicks of the owners that belong to the slices before and after."""
        begin, end = self._window_ps
        if begin <= block.start_ps and block.end_ps <= end:
            return block
        keep = ~np.isin(block.channels, self._owners) | ((begin <= block.times) & (block.times < end))
        return TagBlock(block.times[keep], block.channels[keep], block.start_ps, block.end_ps, block.lost)
