"""Steps that measure: settings of two analysers, how long in each and how often, and what comes of it."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Strict

from drivers.units import Seconds
from experiments.config.dwell import Dwell, Until, most_s, visits_of
from experiments.config.inventory import Inventory
from experiments.config.model import Number, Positive
from experiments.config.plan.step import PlanStep, SwappingStep
from experiments.config.problems import Fault
from experiments.config.settings import Sections

SETTING_S = 7.0
"""An estimate for one setting of the analysers: a wave plate turns by up to 45 degrees at 10 deg/s and
20 deg/s^2 (thorlabs_k10cr1.md), plus two seconds for talking."""


class SeekDelays(PlanStep):
    """Find delays in tags of `duration`, within +-`search` of each other. Where the taggers' clocks run free,
    rates up to +-`max_skew` of each other are looked for too."""

    duration: Annotated[Seconds, Positive] = 2.0
    search: Annotated[Seconds, Positive] = 10e-3
    max_skew: Annotated[Number, Field(ge=0, le=1e-3)] = 0.0
    """0: the clocks run alike, since they follow one reference."""

    @property
    def recording_s(self) -> float:
        return self.duration


class MeasureInSettings(PlanStep):
    """Count in each setting of two analysers, `dwell` per setting, `rounds` times over. A dwell until an
    error bar is reached has as many rounds as it needs."""

    dwell: Dwell
    rounds: Annotated[int, Strict(), Field(ge=1)] = 1

    def faults(self, inventory: Inventory, sections: Sections) -> Iterator[Fault]:
        yield from super().faults(inventory, sections)
        if isinstance(self.dwell, Until):
            yield from self.dwell.faults(self.results)

    @property
    @abstractmethod
    def settings(self) -> int:
        """How many different settings of the analysers there are."""

    @property
    def recording_s(self) -> float:
        return most_s(self.dwell, self.settings, self.rounds)

    @property
    def estimated_s(self) -> float:
        return self.recording_s + SETTING_S * visits_of(self.dwell, self.settings, self.rounds)


Basis = Literal["ZZ", "XX", "YY", "CHSH"]
SETTINGS_OF: Mapping[Basis, int] = {"ZZ": 1, "XX": 1, "YY": 1, "CHSH": 4}
"""How many settings of the two analysers each basis takes."""


def _each_once(bases: tuple[Basis, ...]) -> tuple[Basis, ...]:
    if len(set(bases)) < len(bases):
        raise ValueError(
            f"{', '.join(bases)} names one twice; for more data choose a longer dwell, or rounds"
        )
    return bases


class MeasureSwapping(MeasureInSettings, SwappingStep):
    """Count four-folds in each basis, `dwell` per setting of the analysers, `rounds` times over. A dwell
    until an error bar is reached has as many rounds as it needs."""

    kind = "measure_swapping"
    needs = ("calibrate_delays",)
    results = (
        "swap_rate_hz",
        "chsh_s",
        "fidelity",
        "visibility_zz",
        "visibility_xx",
        "visibility_yy",
        "heralds_hz",
    )
    bases: Annotated[tuple[Basis, ...], Field(min_length=1), AfterValidator(_each_once)]

    @property
    def settings(self) -> int:
        return sum(SETTINGS_OF[basis] for basis in self.bases)
