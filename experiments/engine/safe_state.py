"""The safe state: every instrument made safe, in order, whatever happens meanwhile.

Emission ends first, then detector bias goes down in a ramp, then comes the rest; a testbed file may put
instruments before all others (`safe_order`). It guarantees that each instrument is asked to make itself safe
and gets its own deadline, that one which fails or stays silent neither keeps the others from being asked nor
holds them up by more than `PATIENCE_S`, that a cancellation (a second Ctrl-C) does not cut it short, and that
the outcome of each is known: an instrument that did not confirm counts as unsafe. Meanwhile the gate of each
lets nothing be switched on or up any more. It is software: a hardware interlock is not replaced by it.
"""

# Abstract capabilities are handed to isinstance, never called (python/mypy#4717).

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from drivers.capabilities import Attenuator, Instrument, Laser, NanowireBias, Shutter, SinglePhotonDetector
from drivers.errors import InstrumentError, RefusedError

T = TypeVar("T")

DEADLINE_S = 10.0
"""Wall time for one instrument to become safe: a new connection, a bias ramp and the reading back."""
PATIENCE_S = 0.4
"""So long a group waits for the one before it; who is silent then is waited for beside. Lasers that are slow
to answer, then bias, then the rest: all have begun after 0.8 s, well inside the 2 s within which it is to be
dark (`ecosystem.md` 8). Ours to choose."""
ALL_BEGUN_S = 1.0
"""After so long every instrument has been asked, whatever the order says."""
RAMP_STEPS = 4
RAMP_S = 0.5
"""A bias goes down in equal steps, as long as that takes no longer; then at once."""

Group = Sequence[Instrument]
"""Instruments that are made safe at the same time."""


@dataclass(frozen=True)
class SafeOutcome:
    """What became of one instrument. `problem` is empty when it confirmed its safe state, `took_s` is after
    how many seconds of wall time that was known, from the beginning of the safe state."""

    name: str
    problem: str = ""
    took_s: float = 0.0

    @property
    def verified(self) -> bool:
        return not self.problem


class OnlyDown:
    """The gate of the safe state: what energises may become less than it is, and nothing else. `present` is
    how far each control may go, by its name."""

    def __init__(self) -> None:
        self.present: dict[str, float] = {}

    def check(self, instrument: Instrument, control: str, value: float | bool, *, energises: bool) -> None:
        if energises and not abs(value) <= self.present.get(control, 0.0):
            raise RefusedError(
                instrument.name, str(instrument.address), f"{control} was not set: it is being made safe"
            )


def safe_groups(instruments: Iterable[Instrument], first: Sequence[str] = ()) -> list[Group]:
    """The order in which instruments are made safe: those named in `first` one after another, then all other
    emitters and shutters together, then all other detectors, then the rest."""
    left = {instrument.name: instrument for instrument in instruments}
    groups: list[Group] = [[left.pop(name)] for name in first if name in left]
    for kinds in ((Laser, Shutter, Attenuator), (SinglePhotonDetector,), (Instrument,)):
        group = [instrument for instrument in left.values() if isinstance(instrument, kinds)]
        for instrument in group:
            del left[instrument.name]
        groups.append(group)
    return [group for group in groups if group]


async def make_safe(groups: Sequence[Group], deadline_s: float = DEADLINE_S) -> list[SafeOutcome]:
    """Make all instruments safe, one group after another, each group at once. Takes at most `deadline_s` of
    wall time after the last group has begun.

    Never raises, neither for a failing instrument nor for a cancellation (see `uninterrupted`).
    """
    return await uninterrupted(_make_all_safe(groups, deadline_s))


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


async def _make_all_safe(groups: Sequence[Group], deadline_s: float) -> list[SafeOutcome]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    gates = {instrument.name: OnlyDown() for group in groups for instrument in group}
    for group in groups:
        for instrument in group:
            instrument.gate = gates[instrument.name]
    asked: list[tuple[Instrument, asyncio.Task[float]]] = []
    for group in groups:
        tasks = [
            (i, asyncio.create_task(_make_one_safe(i, gates[i.name]), name=f"make {i.name} safe"))
            for i in group
        ]
        asked += tasks
        patience_s = min(PATIENCE_S, deadline_s, began + ALL_BEGUN_S - loop.time())
        await asyncio.wait([task for _, task in tasks], timeout=max(patience_s, 0.0))
    # Not asyncio.timeout: a driver that does not let itself be cancelled would hold up all the others.
    if waiting := [task for _, task in asked if not task.done()]:
        await asyncio.wait(waiting, timeout=deadline_s)
    return [_outcome(instrument, task, began, deadline_s) for instrument, task in asked]


async def _make_one_safe(instrument: Instrument, gate: OnlyDown) -> float:
    """Returns when it is known to be safe, by the clock of the loop."""
    if isinstance(instrument, NanowireBias):
        try:
            await _ramp_down(instrument, gate)
        except InstrumentError:
            pass  # whatever goes wrong here goes wrong again below, or did not matter
        finally:
            gate.present = {}  # from now on nothing is set but by `make_safe`, also not to where it was
    await instrument.make_safe()
    return asyncio.get_running_loop().time()


async def _ramp_down(unit: NanowireBias, gate: OnlyDown) -> None:
    """Bring every bias most of the way down, all channels together. A diode's supply ramps by itself."""
    loop = asyncio.get_running_loop()
    end = loop.time() + RAMP_S
    present = {channel: await unit.bias(channel) for channel in unit.channels}
    gate.present = {f"bias.{channel}": abs(current) for channel, current in present.items()}
    for step in range(RAMP_STEPS - 1, 0, -1):
        for channel, current in present.items():
            if loop.time() > end:
                return
            if current:
                await unit.set_bias(channel, current * step / RAMP_STEPS)


def _outcome(
    instrument: Instrument, task: asyncio.Task[float], began: float, deadline_s: float
) -> SafeOutcome:
    took_s = round(asyncio.get_running_loop().time() - began, 3)
    if not task.done():
        task.cancel()
        task.add_done_callback(_ignore_late_result)
        return SafeOutcome(instrument.name, f"did not confirm its safe state within {deadline_s:g} s", took_s)
    if task.cancelled():
        return SafeOutcome(instrument.name, "was interrupted before it confirmed its safe state", took_s)
    failure = task.exception()
    if failure is not None:
        return SafeOutcome(instrument.name, str(failure) or type(failure).__name__, took_s)
    return SafeOutcome(instrument.name, "", round(task.result() - began, 3))


def _ignore_late_result(task: asyncio.Task[float]) -> None:
    if not task.cancelled():
        task.exception()
