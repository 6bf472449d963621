"""A dwell on a pair of analysers: coincidences by outcome, and accidentals in windows beside them.

One histogram of time differences for each pair of detectors, its bins as wide as the coincidence window,
tells both: the bin in the middle is the window, and every bin far away is the same window, displaced. So
accidentals come from hundreds of displacements at the price of one. They are 200 ns to 1.2 us away or more,
on either side: beyond any correlation, dead time and afterpulse (`physics.md` 6, Figures).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from experiments.config.settings import PairSettings
from experiments.engine.tags import PS
from experiments.measurements.counting_slice import CountingSlice
from experiments.measurements.dwell import Delays, SlicedDwell

if TYPE_CHECKING:
    from timetags.analyses.correlate import CorrelationTable

NEAREST_PS = 200_000
SPAN_PS = 1_000_000
FEWEST = 10
"""Displaced windows begin this far away, or two windows, and go so much further, or this many windows."""
PEAK_BIN_PS = 50
PEAK_PS = (-6000, 6000)
"""The histogram of the correlation peak, for looking at it."""
PEAK_BINS = (PEAK_PS[1] - PEAK_PS[0]) // PEAK_BIN_PS


@dataclass(frozen=True)
class Windows:
    """The bins of a histogram that has a coincidence window of `width_ps` as its middle bin, about
    `centre_ps` after the correlation peak. Displaced windows are the bins from `nearest` to `most` away from
    it."""

    width_ps: int
    centre_ps: int
    nearest: int
    most: int

    @classmethod
    def of(cls, settings: PairSettings) -> "Windows":
        width = round(settings.window * PS)
        nearest = max(-(-NEAREST_PS // width), 2)
        more = max(SPAN_PS // width, FEWEST)
        return cls(width, round(settings.window_centre * PS), nearest, nearest + more)

    @property
    def range_ps(self) -> tuple[int, int]:
        """Of the whole histogram, half-open."""
        start = self.centre_ps - self.width_ps // 2 - self.most * self.width_ps
        return start, start + (2 * self.most + 1) * self.width_ps

    @property
    def displacements(self) -> int:
        """How many displaced windows there are."""
        return 2 * (self.most - self.nearest + 1)

    def split(self, table: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Histograms in the last dimension as coincidences, and those of all displaced windows together."""
        far = np.abs(np.arange(-self.most, self.most + 1)) >= self.nearest
        return table[..., self.most], table[..., far].sum(axis=-1)


class PairDwell(SlicedDwell["PairSlice"]):
    """A stay in a measurement on a pair."""

    @property
    def raw(self) -> NDArray[np.int64]:
        """Coincidences by outcome at the first and at the second analyser (H, V): (2, 2)."""
        return sum((s.raw for s in self._slices), np.zeros((2, 2), np.int64))

    @property
    def displaced(self) -> NDArray[np.int64]:
        """Those of all displaced windows together, (2, 2)."""
        return sum((s.displaced for s in self._slices), np.zeros((2, 2), np.int64))

    @property
    def peak(self) -> NDArray[np.int64]:
        """The histogram of all outcomes about the correlation peak, (PEAK_BINS,)."""
        return sum((s.peak for s in self._slices), np.zeros(PEAK_BINS, np.int64))


class PairSlice(CountingSlice["CorrelationTable"]):
    """The histograms of one slice. A pair counts in the slice that the click at the second analyser
    falls in."""

    def __init__(self, settings: PairSettings, delays: Delays, window_ps: tuple[int, int]) -> None:
        super().__init__(delays, window_ps, delays.spokes[0])
        self._windows = Windows.of(settings)
        self.raw = np.zeros((2, 2), np.int64)
        self.displaced = np.zeros((2, 2), np.int64)
        self.peak = np.zeros(PEAK_BINS, np.int64)

    def _begin(self, delays_ps: Mapping[int, int]) -> "tuple[CorrelationTable, ...]":
        from timetags.analyses.correlate import Correlation, CorrelationTable

        windows, first, second = self._windows, self._delays.hub, self._delays.spokes[0]
        return (
            CorrelationTable(first, second, delays_ps, bin_ps=windows.width_ps, range_ps=windows.range_ps),
            Correlation(first, second, delays_ps, bin_ps=PEAK_BIN_PS, range_ps=PEAK_PS),
        )

    def _take(self, analyses: "tuple[CorrelationTable, ...]") -> None:
        wide, narrow = analyses
        self.raw, self.displaced = self._windows.split(wide.table)
        self.peak = narrow.table[0, 0]
