"""The tally of a swapping run: what was counted in which setting, and the results made of it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from experiments.estimators.estimate import Estimate, correlation, rate
from experiments.estimators.swapping import BELL_STATES, Counts, Figures, figures

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


class Tally:
    """Adds up dwells by setting, those still under way as far as they are. `detectors` names the channels."""

    def __init__(self, detectors: Sequence[str]) -> None:
        self._detectors = tuple(detectors)
        self._dwells: list[Counted] = []

    def add(self, dwell: Counted) -> None:
        self._dwells.append(dwell)

    def veto(self, dwell: Counted) -> None:
        """Leave out a dwell that was added: something was wrong while it was counted."""
        self._dwells.remove(dwell)

    @property
    def live_s(self) -> float:
        """Seconds of data taking, by the tags' time."""
        return sum(dwell.live_ps for dwell in self._dwells) / PS

    @property
    def heralds(self) -> int:
        return sum(int(dwell.heralds.sum()) for dwell in self._dwells)

    @property
    def fourfolds(self) -> int:
        return sum(int(dwell.fourfolds.sum()) for dwell in self._dwells)

    def figures(self) -> Figures:
        """The figures from what has been counted so far."""
        return figures({name: _by_state(dwells) for name, dwells in self._settings().items()}, self.live_s)

    def to_results(self) -> dict[str, object]:
        """Everything for results.json (see `Section`). Settings stand in the order of their names, so that
        the order of visits does not show."""
        if not self._dwells:
            return {}
        found, detectors = self.figures(), self._detectors
        heralds = _sum([dwell.heralds for dwell in self._dwells], (2, 2)).sum(axis=1)
        singles = _sum([dwell.singles for dwell in self._dwells], (len(detectors),))
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
        }

    def _settings(self) -> dict[str, list[Counted]]:
        settings: dict[str, list[Counted]] = {}
        for dwell in self._dwells:
            settings.setdefault(dwell.setting, []).append(dwell)
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


def _by_state(dwells: Sequence[Counted]) -> Counts:
    counts: Counts = _sum([dwell.fourfolds for dwell in dwells], (2, 2, 2, 2)).sum(axis=1)
    return counts


def _sum(arrays: Sequence[NDArray[np.int64]], shape: tuple[int, ...]) -> NDArray[np.int64]:
    total = np.zeros(shape, np.int64)
    for array in arrays:
        total += array.reshape(shape)
    return total


def _json(estimate: Estimate | None) -> dict[str, float | None]:
    return {"value": None, "error": None} if estimate is None else estimate.to_json()
