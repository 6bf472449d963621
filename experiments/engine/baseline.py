"""How all instruments stand before a run switches anything on and after it has made everything safe.

Every control and reading but counts, of all instruments at once, within a deadline of its own: an instrument
that does not answer keeps nobody waiting, and the record says why nothing is known of it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Literal

from drivers.capabilities import ClockMonitor, Instrument
from drivers.errors import InstrumentError, RefusedError
from experiments.config.testbed import Clock
from experiments.engine.events import Baseline

DEADLINE_S = 5.0
"""Wall time for everything that one instrument has to say."""
COUNTS = ("1", "Hz")
"""Units of readings that an instrument must count for first, which takes it a second or more."""


async def baseline(instruments: Sequence[Instrument], phase: Literal["before", "after"]) -> list[Baseline]:
    """How these instruments, which are open, stand now. Never raises."""
    tasks = [asyncio.create_task(_read(instrument)) for instrument in instruments]
    if tasks:
        await asyncio.wait(tasks, timeout=DEADLINE_S)
    found = []
    for instrument, task in zip(instruments, tasks, strict=True):
        values: Mapping[str, float | bool] = {}
        if task.done() and not task.cancelled():
            values, problem = task.result()
        else:
            task.cancel()
            problem = f"not all read within {DEADLINE_S:g} s"
        found.append(Baseline(phase, instrument.name, values, problem))
    return found


async def _read(instrument: Instrument) -> tuple[dict[str, float | bool], str]:
    """The values, and what kept others from being read."""
    values: dict[str, float | bool] = {}
    for control in instrument.controls():
        if control.write is None and control.unit in COUNTS:
            continue
        try:
            values[control.name] = await control.read()
        except RefusedError:
            continue  # nothing to be read in its present state
        except InstrumentError as error:
            return values, str(error)
        except Exception as error:  # a driver's mistake must not keep a run from its end
            return values, f"{type(error).__name__}: {error}"
    return values, ""


async def clock_status(
    clocks: Mapping[str, Clock], instruments: Mapping[str, Instrument]
) -> dict[str, dict[str, object]]:
    """What the clocks of a testbed say of themselves, for env.json: whether each follows its reference, where
    it has a monitor that tells. `instruments` are those that are open. Never raises."""
    found: dict[str, dict[str, object]] = {}
    for name, clock in clocks.items():
        found[name] = {"taggers": list(clock.taggers), "monitor": clock.monitor, "locked": None}
        monitor = instruments.get(clock.monitor) if clock.monitor else None
        if isinstance(monitor, ClockMonitor):
            try:
                async with asyncio.timeout(DEADLINE_S):
                    found[name] |= asdict(await monitor.status())
            except (InstrumentError, TimeoutError) as error:
                found[name]["problem"] = str(error) or f"no answer within {DEADLINE_S:g} s"
    return found
