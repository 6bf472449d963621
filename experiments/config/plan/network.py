"""Steps over many pairs of nodes, one after the other."""

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Strict

from experiments.config.inventory import Inventory
from experiments.config.model import Name
from experiments.config.plan.measuring import MeasureInSettings, SeekDelays
from experiments.config.plan.pairs import CalibratePairDelays, MeasureChsh, MeasureVisibility
from experiments.config.plan.step import PlanStep
from experiments.config.problems import Fault, choices, show_value
from experiments.config.settings import Sections


def _each_once(pairs: tuple[Name, ...]) -> tuple[Name, ...]:
    if len(set(pairs)) < len(pairs):
        twice = next(name for name in pairs if pairs.count(name) > 1)
        raise ValueError(f"{twice} stands there twice; for more data choose a longer dwell, or rounds")
    return pairs


class MeasurePairs(MeasureInSettings, SeekDelays):
    """For each of `pairs`, in an order shuffled by the run's seed: set the switches, find the delays from
    tags of `duration`, with `compensate` turn the links of the section `compensation` that are judged by this
    pair, then measure. A pair without a correlation peak is tried once more at the end, and then left out."""

    kind = "measure_pairs"
    results = ("pairs_measured", "pair_rate_hz_least", "fidelity_lower_least", "chsh_s_least")
    pairs: Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(_each_once)]
    measure: Literal["visibility", "chsh"] = "visibility"
    state: Literal["Phi+", "Phi-", "Psi+", "Psi-"] = "Phi+"
    compensate: Annotated[bool, Strict()] = False

    @cached_property
    def measured(self) -> dict[str, MeasureVisibility | MeasureChsh]:
        """What is measured on each pair, as a step of its own."""
        step = MeasureVisibility if self.measure == "visibility" else MeasureChsh
        return {
            pair: step.model_construct(pair=pair, dwell=self.dwell, rounds=self.rounds, state=self.state)
            for pair in self.pairs
        }

    @property
    def parts(self) -> tuple[PlanStep, ...]:
        return (self, *self.measured.values())

    def delays(self, pair: str) -> CalibratePairDelays:
        """How the delays of a pair are found, as a step of its own."""
        return CalibratePairDelays.model_construct(
            pair=pair, duration=self.duration, search=self.search, max_skew=self.max_skew
        )

    def faults(self, inventory: Inventory, sections: Sections) -> Iterator[Fault]:
        yield from super().faults(inventory, sections)
        names = sections.declared.get("pairs", ())
        for number, pair in enumerate(self.pairs):
            if pair not in names:
                yield Fault(
                    ("pairs", number), f"{show_value(pair)} is no pair of pairs; {choices(pair, names)}"
                )
        if self.compensate and not any(link.pair in self.pairs for link in sections.compensation.values()):
            yield Fault(
                ("compensate",), "no link of the section compensation is judged by one of these pairs"
            )

    @property
    def settings(self) -> int:
        return sum(step.settings for step in self.measured.values())

    @property
    def recording_s(self) -> float:
        return sum(step.recording_s + self.duration for step in self.measured.values())

    @property
    def estimated_s(self) -> float:
        return sum(step.estimated_s + self.duration for step in self.measured.values())
