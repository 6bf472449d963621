"""A dwell of a delay scan: clicks of equal polarization behind both outputs of the hub, together with those
of none, one or both spokes.

Spokes that herald must have clicked with that polarization. Accidentals are the same with the windows of the
spokes displaced by whole pulses: between pulses there is nothing, so that any other displacement would find
none. Without heralds there are no accidentals to be told apart: photons of both sources, unpaired as they
are, make the dip.
"""

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from experiments.config.settings import SwappingSettings
from experiments.engine.tags import PS
from experiments.measurements.dwell import Delays, SlicedDwell
from timetags.block import TagBlock

if TYPE_CHECKING:
    from timetags.analyses.hom import HomHistogram

FAR_PS = 200_000
"""Displaced windows are about so far away: beyond any correlation, dead time and afterpulse (`physics.md` 6,
Figures)."""


class HomDelayDwell(SlicedDwell["HomDelaySlice"]):
    """A stay at one delay; `counts` as in `HomDelaySlice`."""

    @property
    def counts(self) -> NDArray[np.int64]:
        first, *others = (s.counts for s in self._slices)
        return sum(others, first)


def signs(heralds: int) -> NDArray[np.int64]:
    """With these the counts of all displacements add up to those that have every herald's partner in them:
    one for each of `displacements`, the first for none displaced."""
    return np.array([(-1) ** sum(each) for each in product((0, 1), repeat=heralds)])


class HomDelaySlice:
    """A sink: coincidences of one slice, by displacement, with the delays of its middle. `heralds` are the
    numbers of the spokes that must have clicked, `window_s` the full width of all times, `period_s` that of
    the pulses. Two clicks at the hub count in the slice that both fall in."""

    def __init__(
        self,
        settings: SwappingSettings,
        heralds: Sequence[int],
        window_s: float,
        period_s: float,
        delays: Delays,
        window_ps: tuple[int, int],
    ) -> None:
        self._settings, self._heralds, self._delays = settings, tuple(heralds), delays
        self._width_ps, self._window_ps = 2 * round(window_s * PS / 2), window_ps
        pulses = -(-FAR_PS // round(period_s * PS))
        self._displacements = list(product((0, round(pulses * period_s * PS)), repeat=len(self._heralds)))
        self._found: list[HomHistogram] | None = None
        self.counts = np.zeros(len(self._displacements), np.int64)

    def add(self, block: TagBlock) -> None:
        if self._found is None:
            self._found = [self._histogram(displaced) for displaced in self._displacements]
        piece = self._own_clicks(block)
        for histogram in self._found:
            histogram.add(piece)
        self._take()

    def finish(self) -> None:
        if self._found is not None:
            for histogram in self._found:
                histogram.finish()
            self._take()
            self._found = None  # their buffers are large, and a long run has many slices

    def _take(self) -> None:
        for k, histogram in enumerate(self._found or ()):
            n = histogram.counts[..., 0]  # pair of ports, outcome of each herald
            self.counts[k] = sum(n[(p,) * n.ndim] for p in (0, 1)) if self._heralds else n.sum()

    def _own_clicks(self, block: TagBlock) -> TagBlock:
        """The block without hub clicks that belong to the slices before and after."""
        begin, end = self._window_ps
        if begin <= block.start_ps and block.end_ps <= end:
            return block
        hub = np.isin(block.channels, self._delays.hub)
        keep = ~hub | ((begin <= block.times) & (block.times < end))
        return TagBlock(block.times[keep], block.channels[keep], block.start_ps, block.end_ps, block.lost)

    def _histogram(self, displaced: Sequence[int]) -> "HomHistogram":
        """With the delays of now: called with the first tags, when the look before has been taken."""
        from timetags.analyses.coincidences import Analyser
        from timetags.analyses.hom import HomHistogram

        c_h, c_v, d_h, d_v = self._delays.hub
        centre = round(self._settings.spoke_window_centre * PS)
        return HomHistogram(
            [(c_h, d_h), (c_v, d_v)],
            [
                Analyser(tuple(self._delays.spokes[spoke]), self._width_ps, centre + away)
                for spoke, away in zip(self._heralds, displaced, strict=True)
            ],
            self._delays.delays_at(sum(self._window_ps) // 2),
            bin_ps=self._width_ps,
            range_ps=(-self._width_ps // 2, self._width_ps // 2),
        )
