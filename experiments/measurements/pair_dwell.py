"""A dwell on a pair of analysers: coincidences by outcome, and accidentals in windows beside them.

One histogram of time differences for each pair of detectors, its bins as wide as the coincidence window,
tells both: the bin in the middle is the window, and every bin far away is the same window, displaced. So
accidentals come from hundreds of displacements at the price of one. They are 200 ns to 1.2 us away or more,
on either side: beyond any correlation, dead time and afterpulse (`physics.md` 6, Figures).

Of a pulsed source only windows that are whole pulses away are alike (`measurements.pulses`). Each of those is
counted by itself, so there are fewer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from experiments.config.settings import PairSettings
from experiments.engine.tags import PS
from experiments.measurements.counting_slice import CountingSlice
from experiments.measurements.dwell import Delays, SlicedDwell
from experiments.measurements.pulses import FAR_PS

if TYPE_CHECKING:
    from timetags.analyses.correlate import CorrelationTable

SPAN_PS = 1_000_000
FEWEST = 10
"""Displaced windows begin `FAR_PS` away, or two windows, and go so much further, or this many windows."""
PEAK_BIN_PS = 50
PEAK_PS = (-6000, 6000)
"""The histogram of the correlation peak, for looking at it."""
PEAK_BINS = (PEAK_PS[1] - PEAK_PS[0]) // PEAK_BIN_PS


@dataclass(frozen=True)
class Windows:
    """A coincidence window of `width_ps`, about `centre_ps` after the correlation peak, and the same window
    displaced by `nearest` to `most` steps either way. A step is as long as the window, or, with a pulsed
    source, as the whole pulses that the window takes up: no whole number of ps."""

    width_ps: int
    centre_ps: int
    step_ps: float
    nearest: int
    most: int

    @classmethod
    def of(cls, settings: PairSettings, period_s: float | None) -> "Windows":
        """Those of a pair whose source has a pulse every `period_s` seconds, None if it is continuous."""
        width, centre = round(settings.window * PS), round(settings.window_centre * PS)
        step, more = float(width), max(SPAN_PS // width, FEWEST)
        if period_s is not None:
            step, more = ceil(width / (period_s * PS)) * period_s * PS, FEWEST
        nearest = max(ceil(FAR_PS / step), 2)
        return cls(width, centre, step, nearest, nearest + more)

    @property
    def ranges_ps(self) -> tuple[tuple[int, int], ...]:
        """Of the histograms that count them, half-open, in the order of time: windows that meet are the bins
        of one, with the undisplaced one in its middle; those that do not are each a bin of their own."""
        start, width = self.centre_ps - self.width_ps // 2, self.width_ps
        if self.step_ps == width:
            return ((start - self.most * width, start + (self.most + 1) * width),)
        far = range(self.nearest, self.most + 1)
        steps = (*(-k for k in reversed(far)), 0, *far)
        begins = [start + round(k * self.step_ps) for k in steps]
        return tuple((begin, begin + width) for begin in begins)

    @property
    def displacements(self) -> int:
        """How many displaced windows there are."""
        return 2 * (self.most - self.nearest + 1)

    def split(self, tables: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The histograms of `ranges_ps` in the last dimension as coincidences, and those of all displaced
        windows together."""
        bins = np.concatenate(tables, axis=-1)
        middle = bins.shape[-1] // 2
        beside = self.displacements // 2
        return bins[..., middle], bins[..., :beside].sum(axis=-1) + bins[..., -beside:].sum(axis=-1)


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

    def __init__(self, windows: Windows, delays: Delays, window_ps: tuple[int, int]) -> None:
        super().__init__(delays, window_ps, delays.spokes[0])
        self._windows = windows
        self.raw = np.zeros((2, 2), np.int64)
        self.displaced = np.zeros((2, 2), np.int64)
        self.peak = np.zeros(PEAK_BINS, np.int64)

    def _begin(self, delays_ps: Mapping[int, int]) -> "tuple[CorrelationTable, ...]":
        from timetags.analyses.correlate import Correlation, CorrelationTable

        width, first, second = self._windows.width_ps, self._delays.hub, self._delays.spokes[0]
        return (
            Correlation(first, second, delays_ps, bin_ps=PEAK_BIN_PS, range_ps=PEAK_PS),
            *(
                CorrelationTable(first, second, delays_ps, bin_ps=width, range_ps=range_ps)
                for range_ps in self._windows.ranges_ps
            ),
        )

    def _take(self, analyses: "tuple[CorrelationTable, ...]") -> None:
        narrow, *wide = analyses
        self.raw, self.displaced = self._windows.split([each.table for each in wide])
        self.peak = narrow.table[0, 0]
