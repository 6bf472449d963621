"""What the steps of a run have found: calibrations for the steps that come after, sections of the results.

Neither knows a particular kind of measurement. A calibration is an object under a name; who takes it says of
which type it must be. A section is an object of a measurement's own that grows while it counts and says on
demand what results.json shall have of it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from experiments.config.plan import PlanStep, result_name
from experiments.engine.outcome import RunError

T = TypeVar("T")


class Calibrations:
    """The calibrations of one run by name."""

    def __init__(self) -> None:
        self._found: dict[str, object] = {}

    def put(self, name: str, calibration: object) -> None:
        """Keep a calibration, in place of an older one of that name."""
        self._found[name] = calibration

    def withdraw(self, name: str) -> None:
        """Forget a calibration that does not hold any more."""
        self._found.pop(name, None)

    def get(self, name: str, kind: type[T]) -> T:
        """The latest calibration of that name. Raises RunError where there is none, TypeError where it is of
        another type."""
        found = self.find(name, kind)
        if found is None:
            raise RunError(f"the calibration of {name} is needed here, and no step before has made it")
        return found

    def find(self, name: str, kind: type[T]) -> T | None:
        """The same; None where there is none."""
        found = self._found.get(name)
        if found is not None and not isinstance(found, kind):
            raise TypeError(f"the calibration of {name} is a {type(found).__name__}, not a {kind.__name__}")
        return found


class Section(Protocol):
    """The results of one measurement, which may still grow."""

    def to_results(self) -> Mapping[str, object]:
        """What results.json says of it: figures as `{"value", "error"}`, both null for what cannot be told
        yet. Empty as long as nothing was measured. It depends on the tags and on nothing else."""
        ...


S = TypeVar("S", bound=Section)


class Results:
    """The sections of one run's results, in the order of its `plan`."""

    def __init__(self, plan: Sequence[PlanStep]) -> None:
        self._sections: dict[tuple[str, str | None], Section | None] = {
            (step.kind, step.label): None for step in plan
        }

    def section(self, step: PlanStep, make: Callable[[], S]) -> S:
        """The section that a step adds to; steps of one kind with the same label share it. `make` makes it
        when it is first asked for, and must make the same type for all of them."""
        key = (step.kind, step.label)
        found = self._sections.get(key)
        if found is None:
            found = self._sections[key] = make()
        return found  # type: ignore[return-value]  # of this kind of step, hence of this type

    def to_json(self) -> dict[str, object]:
        """All sections in one, each quantity under its `result_name`; empty when nothing was measured."""
        merged: dict[str, object] = {}
        for (kind, label), section in self._sections.items():
            if section is not None:
                for quantity, value in section.to_results().items():
                    merged[result_name(kind, label, quantity, merged)] = value
        return merged
