"""Scans: any counting repeated at each position of something that moves, a delay stage for one.

What belongs to a position is decided by the tags' own time, so the counts do not depend on how the stream was
cut into blocks or on when it arrived.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from timetags.analyses.accidentals import Counting
from timetags.block import TagBlock

C = TypeVar("C", bound=Counting)


@dataclass(frozen=True)
class Stop(Generic[C]):
    """A stay at `position` (in whatever unit) from `begin_ps` to `end_ps`, half-open, and its analysis."""

    position: float
    begin_ps: int
    end_ps: int
    analysis: C


class Scan(Generic[C]):
    """One analysis for each stop of a scan.

    `make(gate_ps)` builds the analysis of a stop that lasts from gate_ps[0] to gate_ps[1], which it should
    take as its gate; it is shown all tags from `margin_ps` before to `margin_ps` after, more than its
    windows and delays reach.
    """

    def __init__(self, make: Callable[[tuple[int, int]], C], *, margin_ps: int = 0) -> None:
        self._make, self._margin = make, margin_ps
        self._ahead: list[Stop[C]] = []
        self._seen_ps: int | None = None
        self.stops: list[Stop[C]] = []

    def stop_at(self, position: float, begin_ps: int, end_ps: int) -> None:
        """Add a stop, before the scan or while it goes on. ValueError if it does not last, or if tags of it
        or its margin have been seen."""
        if begin_ps >= end_ps:
            raise ValueError(f"a stop from {begin_ps} to {end_ps} ps does not last")
        if self._seen_ps is not None and begin_ps - self._margin < self._seen_ps:
            raise ValueError(
                f"a stop from {begin_ps} ps comes late: tags until {self._seen_ps} ps are through"
            )
        stop = Stop(position, begin_ps, end_ps, self._make((begin_ps, end_ps)))
        self.stops.append(stop)
        self._ahead.append(stop)

    def add(self, block: TagBlock) -> None:
        """Count on with the next block; stops that it passes are finished."""
        for stop in self._ahead:
            if block.end_ps > stop.begin_ps - self._margin:
                stop.analysis.add(block.between(stop.begin_ps - self._margin, stop.end_ps + self._margin))
            if block.end_ps >= stop.end_ps + self._margin:
                stop.analysis.finish()
        self._seen_ps = block.end_ps
        self._ahead = [stop for stop in self._ahead if block.end_ps < stop.end_ps + self._margin]

    def finish(self) -> None:
        """Finish the stops that the stream did not pass."""
        for stop in self._ahead:
            stop.analysis.finish()
        self._ahead = []

    @property
    def positions(self) -> NDArray[np.float64]:
        """By stop."""
        return np.array([stop.position for stop in self.stops])

    @property
    def counts(self) -> NDArray[np.int64]:
        """The counts so far of each stop's analysis, one row each. ValueError while there is no stop."""
        return np.stack([stop.analysis.counts for stop in self.stops])

    @property
    def rates_hz(self) -> NDArray[np.float64]:
        """The counts over the whole length of their stops, 1/s; right for stops that are past."""
        seconds = np.array([(stop.end_ps - stop.begin_ps) * 1e-12 for stop in self.stops])
        rates: NDArray[np.float64] = self.counts / seconds.reshape(-1, *[1] * (self.counts.ndim - 1))
        return rates
