"""Visits: in which order a measurement visits its settings, how long it stays, and when it has enough.

The order of the settings is shuffled anew in each round by the run's seed, so that a slow drift does not
favour one of them. A visit may be counted in several stays, and a stay that did not count is made again. What
was decided from counts depends on them alone: on those of all stays but the latest, whose tags are still on
their way, or on everything once all tags are in. So the same tags lead to the same visits. Counts decide as
soon as they are in, also where somebody has yet to find them good; what turns out bad is taken back.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from experiments.config.dwell import Until, visits_of

_SHUFFLE = 0x5A77
"""Tells the random numbers for the order of settings from others made of the same seed."""
_EPSILON_S = 1e-6

S = TypeVar("S")


@dataclass(frozen=True)
class Stay(Generic[S]):
    """One stretch of counting: visit `visit` (from 0), in `setting`, for `seconds`."""

    visit: int
    setting: S
    seconds: float


class Mark(NamedTuple):
    """How far a measurement is: the present visit, and how many seconds of it have been stayed."""

    visit: int
    seconds: float


class Visits(Generic[S]):
    """The visits of one measurement."""

    def __init__(self, settings: Sequence[S], rounds: int, dwell: float | Until, seed: int) -> None:
        rng = np.random.default_rng([seed, _SHUFFLE])
        self._dwell, self._a_round = dwell, len(settings)
        count = visits_of(dwell, len(settings), rounds) // len(settings)
        self.order = [settings[k] for _ in range(count) for k in rng.permutation(len(settings))]
        self._visit = 0
        self._seconds = 0.0
        self._counts: dict[int, int] = {}
        """By visit."""

    def next(self, longest_s: float, precise: Callable[[], bool]) -> Stay[S] | None:
        """The next stay, of at most `longest_s`; None when the measurement has enough. `precise()` says
        whether all error bars are small enough, and is asked after a round."""
        while self._visit < len(self.order):
            if (left_s := self._left_s()) > _EPSILON_S:
                if self._ends_a_round and precise():
                    return None
                return Stay(self._visit, self.order[self._visit], min(left_s, longest_s))
            self._visit, self._seconds = self._visit + 1, 0.0
        return None

    @property
    def may_end(self) -> bool:
        """Whether `next` will ask for error bars: all tags should be in by then."""
        return self._left_s() <= _EPSILON_S and (self._visit + 1) % self._a_round == 0 and self._by_error

    def took(self, visit: int, seconds: float) -> None:
        """A stay is over, after so many seconds; its counts may come later. Stays come in the order of
        their visits."""
        if visit > self._visit:
            self._visit, self._seconds = visit, 0.0
        if visit == self._visit:
            self._seconds += seconds

    def counted(self, visit: int, counts: int) -> None:
        """What a stay has counted."""
        self._counts[visit] = self._counts.get(visit, 0) + counts

    @property
    def mark(self) -> Mark:
        """How far it is now."""
        return Mark(self._visit, self._seconds)

    def back_to(self, mark: Mark, counted: Iterable[tuple[int, int]] = ()) -> None:
        """All stays since then do not count, and are made again. Those of them that have been `counted`, by
        visit and counts, are taken back."""
        self._visit, self._seconds = mark
        for visit, counts in counted:
            self._counts[visit] -= counts

    def __len__(self) -> int:
        """How many visits there are at most."""
        return len(self.order)

    @property
    def _by_error(self) -> bool:
        return isinstance(self._dwell, Until) and self._dwell.error is not None

    @property
    def _ends_a_round(self) -> bool:
        """Whether the present visit, not begun yet, is the first after a round."""
        return self._by_error and self._visit > 0 and self._visit % self._a_round == 0 and not self._seconds

    def _left_s(self) -> float:
        """How long the present visit goes on at most until there is something to decide."""
        if not isinstance(self._dwell, Until):
            return self._dwell - self._seconds
        if self._dwell.counts is None:
            return self._dwell.each_s - self._seconds
        if self._counts.get(self._visit, 0) >= self._dwell.counts:
            return 0.0
        return min(self._dwell.each_s, self._dwell.at_most - self._seconds)
