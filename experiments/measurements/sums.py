"""Sums of what dwells count, by setting: those still under way as far as they are, those that are over once.

A dwell that has come to its end is added to the sum of its setting and forgotten, so that a tally of many
dwells is no larger than one of a few. Counts that an earlier run made are told apart, and told of.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, Protocol, TypeVar

PS = 10**12


class Counts(Protocol):
    """Counts of one setting that do not grow by themselves."""

    setting: str
    live_ps: int

    @property
    def events(self) -> int:
        """How many of what the measurement is about."""
        ...

    def add(self, more: Any) -> None:
        """Add counts of the same kind, of whichever setting."""
        ...

    def to_json(self) -> dict[str, object]:
        """For the books of a run."""
        ...


C = TypeVar("C", bound=Counts)
D_contra = TypeVar("D_contra", contravariant=True)


class Sums(ABC, Generic[D_contra, C]):
    """Adds up dwells of type D, each of which has counts of type C. A section of a run's results."""

    def __init__(self) -> None:
        self._growing: list[D_contra] = []
        self._sums: dict[str, C] = {}
        self._earlier: dict[str, C] = {}
        """By run: what others have counted."""

    @abstractmethod
    def counts_of(self, dwell: D_contra) -> C:
        """What a dwell has counted until now."""

    @abstractmethod
    def counts_from(self, entry: Mapping[str, Any]) -> C:
        """What `Counts.to_json` has put into the books. ValueError for anything else."""

    @abstractmethod
    def nothing(self, setting: str) -> C:
        """Counts of nothing in a setting, to be added to."""

    @abstractmethod
    def amount(self, counts: C) -> Mapping[str, float]:
        """How much that is, by names as in the results."""

    @abstractmethod
    def to_results(self) -> Mapping[str, object]:
        """Everything for results.json (see `engine.findings.Section`)."""

    def add(self, dwell: D_contra) -> None:
        """Count a dwell that may still grow."""
        self._growing.append(dwell)

    def veto(self, dwell: D_contra) -> None:
        """Leave out a dwell that was added: something was wrong while it was counted."""
        self._growing.remove(dwell)

    def close(self, dwell: D_contra) -> C:
        """A dwell that was added grows no more; returns what it has counted."""
        self._growing.remove(dwell)
        counts = self.counts_of(dwell)
        self._sum(counts.setting).add(counts)
        return counts

    def take_over(self, counts: C, run: str) -> None:
        """Count what another run has counted."""
        self._sum(counts.setting).add(counts)
        self._earlier.setdefault(run, self.nothing("")).add(counts)

    @property
    def live_s(self) -> float:
        """Seconds of data taking, by the tags' time."""
        return self.total.live_ps / PS

    @property
    def total(self) -> C:
        """All settings together."""
        total = self.nothing("")
        for counts in self.by_setting.values():
            total.add(counts)
        return total

    @property
    def by_setting(self) -> dict[str, C]:
        """What was counted in each setting until now. Settings stand in the order of their names, so that
        the order of visits does not show."""
        found: dict[str, C] = {}
        for counts in (*self._sums.values(), *map(self.counts_of, self._growing)):
            found.setdefault(counts.setting, self.nothing(counts.setting)).add(counts)
        return dict(sorted(found.items()))

    @property
    def origins(self) -> dict[str, object]:
        """How much came from which run, where others have counted too; else empty."""
        if not self._earlier:
            return {}
        earlier = {run: self.amount(counts) for run, counts in sorted(self._earlier.items())}
        whole = self.amount(self.total)
        here = {name: whole[name] - sum(amount[name] for amount in earlier.values()) for name in whole}
        return {"counted_in": {"this_run": here, "earlier_runs": earlier}}

    def _sum(self, setting: str) -> C:
        return self._sums.setdefault(setting, self.nothing(setting))
