"""A dwell: what is counted while the analysers stand in one setting."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from experiments.calibrations.delays import DelayCalibration
from experiments.config.experiment import SwappingSettings
from experiments.engine.bench import Bench
from experiments.engine.gates import Singles, Sink
from experiments.engine.tags import PS, TagCollector
from timetags.block import TagBlock

MARGIN_PS = 1_000_000_000
"""Tags up to 1 ms around a dwell are shown to the four-fold finder, which counts heralds inside the dwell
alone: a herald at its border still finds its spokes' tags. Far below the guard around a dwell (50 ms)."""


class Dwell:
    """One stay in one setting, from `begin_ps` to `end_ps` of hub time; its counts grow as tags come in."""

    def __init__(
        self, setting: str, window_ps: tuple[int, int], singles: Singles, fourfolds: "FourfoldSink"
    ) -> None:
        self.setting = setting
        self.begin_ps, self.end_ps = window_ps
        self._singles, self._fourfolds = singles, fourfolds

    @classmethod
    def open(
        cls,
        setting: str,
        seconds: float,
        tags: TagCollector,
        bench: Bench,
        settings: SwappingSettings,
        delays: DelayCalibration,
        more: Sequence[Sink],
    ) -> "Dwell":
        """Begin a dwell of `seconds` now; `more` sinks see what the four-fold finder sees."""
        begin, end = tags.window(seconds)
        singles = Singles(len(bench.detectors))
        fourfolds = FourfoldSink(bench, settings, delays, (begin, end))
        tags.open_gate(begin, end, singles)
        tags.open_gate(begin - MARGIN_PS, end + MARGIN_PS, fourfolds, *more)
        return cls(setting, (begin, end), singles, fourfolds)

    @property
    def live_ps(self) -> int:
        """Time counted so far."""
        return self._singles.live_ps

    @property
    def singles(self) -> NDArray[np.int64]:
        """Singles by channel."""
        return self._singles.counts

    @property
    def heralds(self) -> NDArray[np.int64]:
        """Heralds by pattern, shape (4,)."""
        return self._fourfolds.finder.pattern_heralds

    @property
    def fourfolds(self) -> NDArray[np.int64]:
        """Four-folds by pattern, outcome at the first spoke, outcome at the second (H, V): (4, 2, 2)."""
        return self._fourfolds.finder.pattern_counts


class FourfoldSink:
    """Feeds the four-fold finder of `timetags` with the windows of an experiment."""

    def __init__(
        self, bench: Bench, settings: SwappingSettings, delays: DelayCalibration, window_ps: tuple[int, int]
    ) -> None:
        from timetags.fourfold import HeraldedFourfolds

        first, second = ([bench.channel(d) for d in bench.spoke_detectors(s)] for s in settings.spokes)
        self.finder = HeraldedFourfolds(
            [bench.channel(name) for name in bench.hub_detectors(settings.bell_state_measurement)],
            ((first[0], first[1]), (second[0], second[1])),
            {bench.channel(name): delay for name, delay in delays.delays_ps().items()},
            bsm_window_ps=round(settings.bsm_window * PS),
            spoke_window_ps=round(settings.spoke_window * PS),
            spoke_centre_ps=round(settings.spoke_window_centre * PS),
            gate_ps=window_ps,
        )

    def add(self, block: TagBlock) -> None:
        self.finder.add(block.times, block.channels, block.end_ps)

    def finish(self) -> None:
        self.finder.finish()
