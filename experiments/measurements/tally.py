"""The tally of a swapping run: what was counted in which setting, and the results made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from experiments.estimators.estimate import Estimate, correlation, rate
from experiments.estimators.swapping import BELL_STATES, Figures, figures
from experiments.estimators.swapping import Counts as CountsByState

PATTERNS = ("cH&dV", "cV&dH", "cH&cV", "dH&dV")
"""The clicks that herald, in the order of the counts: the first two are Psi-, the others Psi+."""
PS = 10**12


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

    def to_json(self) -> dict[str, object]:
        arrays = {name: getattr(self, name).tolist() for name in ("singles", "heralds", "fourfolds")}
        return {"setting": self.setting, "live_ps": self.live_ps, **arrays}

    def add(self, more: Counted) -> None:
        self.live_ps += more.live_ps
        self.singles += more.singles
        self.heralds += more.heralds
        self.fourfolds += more.fourfolds


class Tally:
    """Adds up dwells by setting, those still under way as far as they are. `detectors` names the channels.

    A dwell that has come to its end is added to the sum of its setting and forgotten, so that a tally of
    many dwells is no larger than one of a few.
    """

    def __init__(self, detectors: Sequence[str]) -> None:
        self._detectors = tuple(detectors)
        self._growing: list[Counted] = []
        self._sums: dict[str, Counts] = {}
        self._earlier: dict[str, Counts] = {}
        """By run: what others have counted."""

    def add(self, dwell: Counted) -> None:
        """Count a dwell that may still grow."""
        self._growing.append(dwell)

    def veto(self, dwell: Counted) -> None:
        """Leave out a dwell that was added: something was wrong while it was counted."""
        self._growing.remove(dwell)

    def close(self, dwell: Counted) -> Counts:
        """A dwell that was added grows no more; returns what it has counted."""
        self._growing.remove(dwell)
        counts = Counts.of(dwell)
        self._sum(counts.setting).add(counts)
        return counts

    def take_over(self, counts: Counts, run: str) -> None:
        """Count what another run has counted."""
        self._sum(counts.setting).add(counts)
        self._earlier.setdefault(run, Counts.none("", len(self._detectors))).add(counts)

    @property
    def live_s(self) -> float:
        """Seconds of data taking, by the tags' time."""
        return sum(counted.live_ps for counted in self._all) / PS

    @property
    def heralds(self) -> int:
        return sum(int(counted.heralds.sum()) for counted in self._all)

    @property
    def fourfolds(self) -> int:
        return sum(int(counted.fourfolds.sum()) for counted in self._all)

    def figures(self) -> Figures:
        """The figures from what has been counted so far."""
        return figures({name: _by_state(counted) for name, counted in self._settings().items()}, self.live_s)

    def to_results(self) -> dict[str, object]:
        """Everything for results.json (see `Section`). Settings stand in the order of their names, so that
        the order of visits does not show."""
        counted = self._all
        if not counted:
            return {}
        found, detectors = self.figures(), self._detectors
        heralds = _sum([c.heralds for c in counted], (2, 2)).sum(axis=1)
        singles = _sum([c.singles for c in counted], (len(detectors),))
        settings = self._settings()
        return {
            "swap_rate_hz": _json(found.swap_rate_hz),
            "chsh_s": _json(found.chsh_s),
            "fidelity": {**_json(found.fidelity), "takes": found.fidelity_takes},
            "visibility_zz": _json(found.visibility_zz),
            "visibility_xx": _json(found.visibility_xx),
            "visibility_yy": _json(found.visibility_yy),
            **{f"chsh_s_{state}": _json(s) for state, s in found.chsh_s_by_state.items()},
            "heralds_hz": _json(self._rate(self.heralds)),
            "heralds_by_state_hz": {
                state: _json(self._rate(int(n))) for state, n in zip(BELL_STATES, heralds, strict=True)
            },
            "singles_hz": {
                name: _json(self._rate(int(n))) for name, n in zip(detectors, singles, strict=True)
            },
            "fourfolds": self.fourfolds,
            "heralds": self.heralds,
            "live_time_s": self.live_s,
            "settings": {name: _setting(settings[name]) for name in sorted(settings)},
            **self._origins(),
        }

    def _origins(self) -> dict[str, object]:
        """How much came from which run, where others have counted too."""
        if not self._earlier:
            return {}
        earlier = {run: _amount([counts]) for run, counts in sorted(self._earlier.items())}
        whole = _amount(self._all)
        here = {name: whole[name] - sum(amount[name] for amount in earlier.values()) for name in whole}
        return {"counted_in": {"this_run": here, "earlier_runs": earlier}}

    @property
    def _all(self) -> list[Counted]:
        return [*self._sums.values(), *self._growing]

    def _sum(self, setting: str) -> Counts:
        return self._sums.setdefault(setting, Counts.none(setting, len(self._detectors)))

    def _settings(self) -> dict[str, list[Counted]]:
        settings: dict[str, list[Counted]] = {}
        for counted in self._all:
            settings.setdefault(counted.setting, []).append(counted)
        return settings

    def _rate(self, counts: int) -> Estimate | None:
        return rate(counts, self.live_s) if self.live_s > 0 else None


def _setting(dwells: Sequence[Counted]) -> Mapping[str, object]:
    """One setting for results.json. `fourfolds` are [[HH, HV], [VH, VV]], the first spoke's outcome first."""
    heralds = _sum([dwell.heralds for dwell in dwells], (4,))
    fourfolds = _sum([dwell.fourfolds for dwell in dwells], (4, 2, 2))
    return {
        "live_time_s": sum(dwell.live_ps for dwell in dwells) / PS,
        "heralds": dict(zip(PATTERNS, heralds.tolist(), strict=True)),
        "fourfolds": dict(zip(PATTERNS, fourfolds.tolist(), strict=True)),
        "correlation": {
            state: correlation(int(n[0, 0] + n[1, 1]), int(n[0, 1] + n[1, 0])).to_json()
            for state, n in zip(BELL_STATES, _by_state(dwells), strict=True)
        },
    }


def _amount(counted: Sequence[Counted]) -> dict[str, float]:
    return {
        "live_time_s": sum(c.live_ps for c in counted) / PS,
        "heralds": sum(int(c.heralds.sum()) for c in counted),
        "fourfolds": sum(int(c.fourfolds.sum()) for c in counted),
    }


def _by_state(dwells: Sequence[Counted]) -> CountsByState:
    counts: CountsByState = _sum([dwell.fourfolds for dwell in dwells], (2, 2, 2, 2)).sum(axis=1)
    return counts


def _sum(arrays: Sequence[NDArray[np.int64]], shape: tuple[int, ...]) -> NDArray[np.int64]:
    total = np.zeros(shape, np.int64)
    for array in arrays:
        total += array.reshape(shape)
    return total


def _json(estimate: Estimate | None) -> dict[str, float | None]:
    return {"value": None, "error": None} if estimate is None else estimate.to_json()
