"""A figure of a benchmark, and how it is measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

ROUNDS = 5


@dataclass(frozen=True)
class Figure:
    """`value` is what the name says; `text` tells it to people, with what was compared."""

    name: str
    value: float
    text: str


def interleaved(works: Sequence[Callable[[], object]], rounds: int = ROUNDS) -> list[float]:
    """Median wall time in seconds of each piece of work, all of them once per round; a first round, in
    which kernels are loaded and memory is touched, does not count."""
    times: list[list[float]] = [[] for _ in works]
    for number in range(rounds + 1):
        for work, taken in zip(works, times, strict=True):
            began = perf_counter()
            work()
            if number:
                taken.append(perf_counter() - began)
    return [median(taken) for taken in times]
