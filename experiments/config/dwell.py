"""How long a measurement stays in a setting: for a time, until it has counted enough, or until an error bar
is small enough.

    dwell: 100 s
    dwell: {counts: 1000, at_most: 1 h}
    dwell: {error: {chsh_s: 0.05}, at_most: 2 h}
"""

from collections.abc import Collection, Iterator, Mapping
from math import ceil
from typing import Annotated

from pydantic import Discriminator, Field, Strict, Tag, model_validator

from drivers.units import Seconds
from experiments.config.model import Number, Part, Positive
from experiments.config.problems import Fault, choices, show_value

EACH_OF_COUNTS_S = 10.0
EACH_OF_ERROR_S = 60.0
"""What `each` is when it is not given."""
SHORTEST_EACH_S = 2.0
"""Tags of one stretch have all come in before the next one of this length is over."""


class Until(Part):
    """A dwell that ends when enough is known. Give one of `counts` and `error`.

    `counts`: stay in each setting until so many events are counted there, looking after every `each`; at most
    `at_most` per setting. `error`: go round all settings, `each` per setting, until the standard error of
    every figure named is no greater than given, looking after each round; at most `at_most` in all.

    What was counted decides when counting ends, so rates are too high by one event: less than their error.
    """

    counts: Annotated[int, Strict(), Field(ge=1)] | None = None
    error: Annotated[dict[str, Annotated[Number, Positive]], Field(min_length=1)] | None = None
    at_most: Annotated[Seconds, Positive]
    each: Annotated[Seconds, Field(ge=SHORTEST_EACH_S)] | None = None

    @model_validator(mode="after")
    def _one_end(self) -> "Until":
        if (self.counts is None) is (self.error is None):
            raise ValueError("give one of counts and error")
        return self

    @property
    def each_s(self) -> float:
        """How long to stay in a setting at a time, in seconds."""
        return min(self.at_most, self.each or (EACH_OF_COUNTS_S if self.error is None else EACH_OF_ERROR_S))

    def faults(self, results: Collection[str]) -> Iterator[Fault]:
        """Figures in `error` that are none of these results of the step."""
        for name in self.error or ():
            if name not in results:
                message = f"{show_value(name)} is no result of this step; {choices(name, results)}"
                yield Fault(("dwell", "error", name), message, at_key=True)


Dwell = Annotated[
    Annotated[Seconds, Positive, Tag("[time]")] | Annotated[Until, Tag("[until]")],
    Discriminator(lambda data: "[until]" if isinstance(data, Mapping | Until) else "[time]"),
]
"""A dwell as a field of a step: seconds, or `Until`."""


def most_s(dwell: float | Until, settings: int, rounds: int) -> float:
    """For how many seconds a measurement with so many settings, visited `rounds` times, counts at most."""
    if not isinstance(dwell, Until):
        return dwell * settings * rounds
    if dwell.error is not None:
        return dwell.each_s * visits_of(dwell, settings, rounds)
    return dwell.at_most * settings * rounds


def visits_of(dwell: float | Until, settings: int, rounds: int) -> int:
    """How often a setting is visited at most; with an error bar to reach, as many rounds as `at_most` allows,
    and one at least."""
    if isinstance(dwell, Until) and dwell.error is not None:
        rounds = max(1, ceil(dwell.at_most / (dwell.each_s * settings) - 1e-9))
    return settings * rounds
