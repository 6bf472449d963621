"""The safe state: every instrument made safe, in order, whatever happens meanwhile.

It guarantees that each instrument is asked to make itself safe and gets its own deadline, that a
failure of one does not keep the others from being asked, that a cancellation (a second Ctrl-C) does not
cut it short, and that the outcome of each is known: an instrument that did not confirm counts as unsafe.
It is software: a hardware interlock is not replaced by it.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from drivers.capabilities import Instrument

T = TypeVar("T")

DEADLINE_S = 10.0
"""Wall time for one instrument to become safe: a new connection, a bias ramp and the reading back."""


@dataclass(frozen=True)
class SafeOutcome:
    """What became of one instrument. `problem` is empty when it confirmed its safe state."""

    name: str
    problem: str = ""

    @property
    def verified(self) -> bool:
        return not self.problem


async def make_safe(
    first: Sequence[Instrument], rest: Sequence[Instrument], deadline_s: float = DEADLINE_S
) -> list[SafeOutcome]:
    """Make the instruments of `first` safe one after another in this order, then those of `rest` all at
    once. Takes at most `deadline_s` of wall time for each of `first` and once more for `rest`.

    Never raises, neither for a failing instrument nor for a cancellation (see `uninterrupted`).
    """
    return await uninterrupted(_make_all_safe(first, rest, deadline_s))


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Carry `work` to its end although the calling task is cancelled, once or often. The cancellations are
    swallowed: only for a caller that is ending anyway, and whose work has deadlines of its own."""
    task = asyncio.create_task(work)
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None:
                current.uncancel()
    return task.result()


async def _make_all_safe(
    first: Sequence[Instrument], rest: Sequence[Instrument], deadline_s: float
) -> list[SafeOutcome]:
    outcomes = [await _make_one_safe(instrument, deadline_s) for instrument in first]
    outcomes += await asyncio.gather(*(_make_one_safe(instrument, deadline_s) for instrument in rest))
    return outcomes


async def _make_one_safe(instrument: Instrument, deadline_s: float) -> SafeOutcome:
    # Not asyncio.timeout: a driver that does not let itself be cancelled would hold up all the others.
    task = asyncio.create_task(instrument.make_safe(), name=f"make {instrument.name} safe")
    done, _ = await asyncio.wait({task}, timeout=deadline_s)
    if not done:
        task.cancel()
        task.add_done_callback(_ignore_late_result)
        return SafeOutcome(instrument.name, f"did not confirm its safe state within {deadline_s:g} s")
    if task.cancelled():
        return SafeOutcome(instrument.name, "was interrupted before it confirmed its safe state")
    failure = task.exception()
    return SafeOutcome(instrument.name, _describe(failure) if failure else "")


def _describe(failure: BaseException) -> str:
    return str(failure) or type(failure).__name__


def _ignore_late_result(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()
