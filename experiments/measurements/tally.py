"""The tally of a swapping run: what was counted in which setting, and the results made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from experiments.estimators.estimate import Estimate, correlation, rate
from experiments.estimators.swapping import BELL_STATES, Figures, figures
from experiments.estimators.swapping import Counts as CountsByState
from experiments.measurements.sums import PS, Sums

PATTERNS = ("cH&dV", "cV&dH", "cH&cV", "dH&dV")
"""The clicks that herald, in the order of the counts: the first two are Psi-, the others Psi+."""


class Counted(Protocol):
    """Counts of one stay in one setting, maybe still growing (see `Dwell`)."""

    setting: str

    @property
    def live_ps(self) -> int: ...
    @property
    def singles(self) -> NDArray[np.int64]: ...
    @property
    def heralds(self) -> NDArray[np.int64]: ...
    @property
    def fourfolds(self) -> NDArray[np.int64]: ...


@dataclass
class Counts:
    """Counts of a setting that do not grow by themselves. Arrays as in `Dwell`."""

    setting: str
    live_ps: int
    singles: NDArray[np.int64]
    heralds: NDArray[np.int64]
    fourfolds: NDArray[np.int64]

    @classmethod
    def of(cls, counted: Counted) -> "Counts":
        """What was counted until now."""
        return cls(
            counted.setting,
            counted.live_ps,
            counted.singles.copy(),
            counted.heralds.copy(),
            counted.fourfolds.copy(),
        )

    @classmethod
    def none(cls, setting: str, channels: int) -> "Counts":
        zeros = (np.zeros(shape, np.int64) for shape in ((channels,), (4,), (4, 2, 2)))
        return cls(setting, 0, *zeros)

    @classmethod
    def from_json(cls, entry: Mapping[str, Any], channels: int) -> "Counts":
        """What `to_json` gave. Raises ValueError for anything else."""
        try:
            arrays = [np.array(entry[name], np.int64) for name in ("singles", "heralds", "fourfolds")]
            counts = cls(str(entry["setting"]), int(entry["live_ps"]), *arrays)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"no counts: {error}") from error
        if [array.shape for array in arrays] != [(channels,), (4,), (4, 2, 2)]:
            raise ValueError("counts of other detectors")
        return counts

    @property
    def events(self) -> int:
        """Four-folds."""
        return int(self.fourfolds.sum())

    def to_json(self) -> dict[str, object]:
        arrays = {name: getattr(self, name).tolist() for name in ("singles", "heralds", "fourfolds")}
        return {"setting": self.setting, "live_ps": self.live_ps, **arrays}

    def add(self, more: Counted) -> None:
        self.live_ps += more.live_ps
        self.singles += more.singles
        self.heralds += more.heralds
        self.fourfolds += more.fourfolds


class Tally(Sums[Counted, Counts]):
    """Adds up dwells by setting (see `Sums`). `detectors` names the channels."""

    def __init__(self, detectors: Sequence[str]) -> None:
        super().__init__()
        self._detectors = tuple(detectors)

    def counts_of(self, dwell: Counted) -> Counts:
        return Counts.of(dwell)

    def counts_from(self, entry: Mapping[str, Any]) -> Counts:
        return Counts.from_json(entry, len(self._detectors))

    def nothing(self, setting: str) -> Counts:
        return Counts.none(setting, len(self._detectors))

    def amount(self, counts: Counts) -> dict[str, float]:
        return {
            "live_time_s": counts.live_ps / PS,
            "heralds": int(counts.heralds.sum()),
            "fourfolds": counts.events,
        }

    @property
    def heralds(self) -> int:
        return int(self.total.heralds.sum())

    @property
    def fourfolds(self) -> int:
        return self.total.events

    def figures(self) -> Figures:
        """The figures from what has been counted so far."""
        return figures({name: _by_state(counts) for name, counts in self.by_setting.items()}, self.live_s)

    def to_results(self) -> dict[str, object]:
        settings = self.by_setting
        if not settings:
            return {}
        found, total = self.figures(), self.total
        heralds = total.heralds.reshape(2, 2).sum(axis=1).tolist()
        return {
            "swap_rate_hz": _json(found.swap_rate_hz),
            "chsh_s": _json(found.chsh_s),
            "fidelity": {**_json(found.fidelity), "takes": found.fidelity_takes},
            "visibility_zz": _json(found.visibility_zz),
            "visibility_xx": _json(found.visibility_xx),
            "visibility_yy": _json(found.visibility_yy),
            **{f"chsh_s_{state}": _json(s) for state, s in found.chsh_s_by_state.items()},
            "heralds_hz": _json(self._rate(int(total.heralds.sum()))),
            "heralds_by_state_hz": {
                state: _json(self._rate(n)) for state, n in zip(BELL_STATES, heralds, strict=True)
            },
            "singles_hz": {
                name: _json(self._rate(n))
                for name, n in zip(self._detectors, total.singles.tolist(), strict=True)
            },
            "fourfolds": total.events,
            "heralds": int(total.heralds.sum()),
            "live_time_s": self.live_s,
            "settings": {name: _setting(counts) for name, counts in settings.items()},
            **self.origins,
        }

    def _rate(self, counts: int) -> Estimate | None:
        return rate(counts, self.live_s) if self.live_s > 0 else None


def _setting(counts: Counts) -> Mapping[str, object]:
    """One setting for results.json. `fourfolds` are [[HH, HV], [VH, VV]], the first spoke's outcome first."""
    return {
        "live_time_s": counts.live_ps / PS,
        "heralds": dict(zip(PATTERNS, counts.heralds.tolist(), strict=True)),
        "fourfolds": dict(zip(PATTERNS, counts.fourfolds.tolist(), strict=True)),
        "correlation": {
            state: correlation(int(n[0, 0] + n[1, 1]), int(n[0, 1] + n[1, 0])).to_json()
            for state, n in zip(BELL_STATES, _by_state(counts), strict=True)
        },
    }


def _by_state(counts: Counts) -> CountsByState:
    """Psi- and Psi+, each of two patterns, by outcomes."""
    found: CountsByState = counts.fourfolds.reshape(2, 2, 2, 2).sum(axis=1)
    return found


def _json(estimate: Estimate | None) -> dict[str, float | None]:
    return {"value": None, "error": None} if estimate is None else estimate.to_json()
