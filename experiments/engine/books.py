"""The books of a measurement: what each stay in a setting has counted, kept so that they survive a kill.

As soon as all tags of a stay are in, its counts go into the record (the event `counted`). A run that goes on
with an interrupted one gets the books of that, and of all that came before it: it takes over what is in them,
enters it in its own, and measures the rest.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from experiments.config.plan import PlanStep
from experiments.engine.events import Happened

COUNTED = "counted"
"""The event of one entry. Its details: `step` and `label` of the step, the `run` that counted it, and what
the step says of the stay."""


@dataclass(frozen=True)
class Books:
    """The entries of an earlier run in their order, by kind and label of the step; `run` is its name."""

    run: str = ""
    entries: Mapping[tuple[str, str | None], Sequence[Mapping[str, Any]]] = field(default_factory=dict)

    def of(self, step: PlanStep) -> Sequence[Mapping[str, Any]]:
        """What an earlier run has counted for this step."""
        return self.entries.get((step.kind, step.label), ())


def enter(
    announce: Callable[[Happened], None],
    step: PlanStep,
    run: str,
    message: str,
    entry: Mapping[str, object],
) -> None:
    """Put one entry into the record; `run` is the one that counted it."""
    details = {"step": step.kind, "label": step.label, "run": run, **entry}
    announce(Happened(COUNTED, message, details))
