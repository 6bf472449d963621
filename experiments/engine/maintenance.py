"""Upkeep of a bench while a measurement goes on: work that comes due again and again, and is done in its
gaps.

A measuring step says where its gaps are: it awaits `context.safe_point()` between dwells, when nothing
counts, and counts no longer at a stretch than `undisturbed_s` says. What is due then is carried out, in the
run's one task. So data never come from a bench that somebody turns at meanwhile, and no step knows what is
kept up, nor how.
"""

from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from experiments.engine.step import Context

SOON_S = 5.0
"""What comes due so soon after something that is due is carried out with it: one gap is better than two."""
SHORTEST_S = 1.0
"""A measurement is not cut into shorter pieces than this: upkeep that comes due sooner is late by so much."""


class Maintenance(Protocol):
    """One piece of upkeep. It registers itself with `Context.maintenance`, as a rule in a step of the plan
    that does it for the first time."""

    @property
    def comes_last(self) -> bool:
        """Whether it judges what the others have done in the same gap."""
        ...

    @property
    def due_at(self) -> float:
        """When it is to be carried out next, in seconds of run clock; inf for never."""
        ...

    @property
    def changes(self) -> set[str]:
        """The instruments that it may change."""
        ...

    async def carry_out(self, context: "Context") -> None:
        """Do it and come due later. Leaves the bench as it found it but for what it is there to change.
        Raises what goes wrong with an instrument; then it is still due."""
        ...


def undisturbed_s(maintenance: Iterable[Maintenance], now: float) -> float:
    """For how long a measurement that begins now may count until upkeep is due: at least `SHORTEST_S`."""
    return max(SHORTEST_S, min((each.due_at for each in maintenance), default=inf) - now)


async def carry_out_due(context: "Context") -> None:
    """Carry out all that is due, or will be soon: what has waited longest first, what judges the others
    last."""
    now = context.clock.now()
    due = [m for m in context.maintenance if m.due_at <= now + SOON_S]
    if not any(m.due_at <= now for m in due):
        return
    of_step = context.changes
    for each in sorted(due, key=lambda m: (m.comes_last, m.due_at)):
        # They stay so when it fails: the bench stands half changed then.
        context.changes = {*of_step, *each.changes}
        await each.carry_out(context)
        await context.standing.note(each.changes)
        context.changes = of_step
