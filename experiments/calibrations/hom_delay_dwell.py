"""A dwell of a delay scan: clicks of equal polarization behind both outputs of the hub, together with those
of none, one or both spokes.

Spokes that herald must have clicked with that polarization. Accidentals are the same with the windows of the
spokes displaced by whole pulses: between pulses there is nothing, so that any other displacement would find
none. Without heralds there are no accidentals to be told apart: photons of both sources, unpaired as they
are, make the dip.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from experiments.config.settings import SwappingSettings
from experiments.engine.tags import PS
from experiments.measurements.counting_slice import CountingSlice
from experiments.measurements.dwell import Delays, SlicedDwell
from experiments.measurements.pulses import far_ps

if TYPE_CHECKING:
    from timetags.analyses.hom import HomHistogram


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


class HomDelaySlice(CountingSlice["HomHistogram"]):
    """Coincidences of one slice, by displacement. `heralds` are the numbers of the spokes that must have
    clicked, `window_s` the full width of all times, `period_s` that of the pulses. Two clicks at the hub
    count in the slice that both fall in."""

    def __init__(
        self,
        settings: SwappingSettings,
        heralds: Sequence[int],
        window_s: float,
        period_s: float,
        delays: Delays,
        window_ps: tuple[int, int],
    ) -> None:
        super().__init__(delays, window_ps, delays.hub)
        self._settings, self._heralds = settings, tuple(heralds)
        self._width_ps = 2 * round(window_s * PS / 2)
        self._displacements = list(product((0, far_ps(period_s)), repeat=len(self._heralds)))
        self.counts = np.zeros(len(self._displacements), np.int64)

    def _begin(self, delays_ps: Mapping[int, int]) -> "tuple[HomHistogram, ...]":
        from timetags.analyses.coincidences import Analyser
        from timetags.analyses.hom import HomHistogram

        c_h, c_v, d_h, d_v = self._delays.hub
        centre = round(self._settings.spoke_window_centre * PS)
        return tuple(
            HomHistogram(
                [(c_h, d_h), (c_v, d_v)],
                [
                    Analyser(tuple(self._delays.spokes[spoke]), self._width_ps, centre + away)
                    for spoke, away in zip(self._heralds, displaced, strict=True)
                ],
                delays_ps,
                bin_ps=self._width_ps,
                range_ps=(-self._width_ps // 2, self._width_ps // 2),
            )
            for displaced in self._displacements
        )

    def _take(self, analyses: "tuple[HomHistogram, ...]") -> None:
        for k, histogram in enumerate(analyses):
            n = histogram.counts[..., 0]  # pair of ports, outcome of each herald
            self.counts[k] = sum(n[(p,) * n.ndim] for p in (0, 1)) if self._heralds else n.sum()
