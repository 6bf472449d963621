"""The tally of a measurement on a pair of analysers: what was counted in which setting, raw and beside it."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.config.settings import PairSettings
from experiments.estimators.estimate import Estimate, rate
from experiments.estimators.heralding import Coincident, PairRate, pair_rate
from experiments.estimators.pair_counts import PairCounts
from experiments.measurements.pair_dwell import PEAK_BINS, PairDwell, Windows
from experiments.measurements.sums import PS, Sums

_ARRAYS = ("singles", "raw", "displaced", "peak")


@dataclass
class CountsOfPair:
    """Counts of a setting that do not grow by themselves. Arrays as in `PairDwell`."""

    setting: str
    live_ps: int
    singles: NDArray[np.int64]
    raw: NDArray[np.int64]
    displaced: NDArray[np.int64]
    peak: NDArray[np.int64]

    @property
    def events(self) -> int:
        """Coincidences."""
        return int(self.raw.sum())

    @classmethod
    def none(cls, setting: str, channels: int) -> "CountsOfPair":
        return cls(setting, 0, *(np.zeros(shape, np.int64) for shape in _shapes(channels)))

    @classmethod
    def from_json(cls, entry: Mapping[str, Any], channels: int) -> "CountsOfPair":
        """What `to_json` gave. Raises ValueError for anything else."""
        try:
            arrays = [np.array(entry[name], np.int64) for name in _ARRAYS]
            counts = cls(str(entry["setting"]), int(entry["live_ps"]), *arrays)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"no counts: {error}") from error
        if [array.shape for array in arrays] != _shapes(channels):
            raise ValueError("counts of other detectors")
        return counts

    def to_json(self) -> dict[str, object]:
        arrays = {name: getattr(self, name).tolist() for name in _ARRAYS}
        return {"setting": self.setting, "live_ps": self.live_ps, **arrays}

    def add(self, more: "CountsOfPair") -> None:
        self.live_ps += more.live_ps
        for name in _ARRAYS:
            setattr(self, name, getattr(self, name) + getattr(more, name))


def _shapes(channels: int) -> list[tuple[int, ...]]:
    return [(channels,), (2, 2), (2, 2), (PEAK_BINS,)]


class PairTally(Sums[PairDwell, CountsOfPair]):
    """Adds up dwells by setting (see `Sums`). `detectors` names the channels; the pair's source has a pulse
    every `period_s` seconds, None if it is continuous."""

    def __init__(self, detectors: Sequence[str], pair: PairSettings, period_s: float | None) -> None:
        super().__init__()
        self._detectors, self._pair = tuple(detectors), pair
        self._displacements = Windows.of(pair, period_s).displacements

    @abstractmethod
    def figures(self) -> Mapping[str, Mapping[str, object]]:
        """What this measurement is made for, by the names of its results: each with `value` and `error`, raw,
        and what else there is to say. Called when something was counted."""

    def counts_of(self, dwell: PairDwell) -> CountsOfPair:
        arrays = [getattr(dwell, name).copy() for name in _ARRAYS]
        return CountsOfPair(dwell.setting, dwell.live_ps, *arrays)

    def counts_from(self, entry: Mapping[str, Any]) -> CountsOfPair:
        return CountsOfPair.from_json(entry, len(self._detectors))

    def nothing(self, setting: str) -> CountsOfPair:
        return CountsOfPair.none(setting, len(self._detectors))

    def amount(self, counts: CountsOfPair) -> dict[str, float]:
        return {"live_time_s": counts.live_ps / PS, "coincidences": counts.events}

    def pair_counts(self, counts: CountsOfPair) -> PairCounts:
        """The coincidences by outcome, as estimators want them."""
        return PairCounts(counts.raw, counts.displaced, self._displacements)

    def coincident(self, counts: CountsOfPair) -> Coincident:
        """All outcomes together."""
        return Coincident(counts.events, int(counts.displaced.sum()), self._displacements)

    @property
    def by_setting_as_pairs(self) -> dict[str, PairCounts]:
        return {name: self.pair_counts(counts) for name, counts in self.by_setting.items()}

    @property
    def pair_rate(self) -> PairRate:
        """Over all settings. Something must have been counted."""
        return pair_rate(self.coincident(self.total), self.live_s, self._pair.window)

    def to_results(self) -> dict[str, object]:
        settings, total = self.by_setting, self.total
        if total.live_ps == 0:
            return {}
        return {
            **self.figures(),
            "pair_rate_hz": self.pair_rate.to_json(),
            "singles_hz": {
                name: rate(n, self.live_s).to_json()
                for name, n in zip(self._detectors, total.singles.tolist(), strict=True)
            },
            "coincidences": total.events,
            "displaced_windows": self._displacements,
            "live_time_s": self.live_s,
            "settings": {name: self._setting(counts) for name, counts in settings.items()},
            **self.origins,
        }

    def shown(self, names: Sequence[str]) -> dict[str, Estimate | None]:
        """These of the figures, raw, for observers."""
        if self.total.live_ps == 0:
            return dict.fromkeys(names)
        figures: Mapping[str, Mapping[str, Any]] = {
            **self.figures(),
            "pair_rate_hz": self.pair_rate.to_json(),
        }
        return {name: _estimate(figures.get(name)) for name in names}

    def _setting(self, counts: CountsOfPair) -> dict[str, object]:
        """One setting for results.json: counts are [[HH, HV], [VH, VV]], the first analyser's outcome
        first."""
        pairs = self.pair_counts(counts)
        return {
            "live_time_s": counts.live_ps / PS,
            "coincidences": counts.raw.tolist(),
            "accidentals": pairs.accidentals.tolist(),
            "correlation": pairs.both(lambda cells: cells.correlation).to_json(),
        }


def _estimate(found: Mapping[str, Any] | None) -> Estimate | None:
    return None if found is None or found["value"] is None else Estimate(found["value"], found["error"])


def unknown(names: Sequence[str]) -> dict[str, Mapping[str, object]]:
    """These figures as results say them while they cannot be told."""
    return {name: {"value": None, "error": None} for name in names}
