"""Optical switches, set and seen to be set."""

# Abstract capabilities are handed to isinstance, never called (python/mypy#4717).

from collections.abc import Mapping

from drivers.capabilities import OpticalSwitch
from experiments.engine.bench import Bench
from experiments.engine.clock import RunClock
from experiments.engine.motion import settle
from experiments.engine.outcome import RunError

SWITCHING_S = 5.0
"""Deadline for a switch, in seconds of run clock; they take some milliseconds."""
POLL_S = 0.01
MIRRORS_S = 0.03
"""Rest after a switch shows new connections: one that shows them before its mirrors have turned needs 10 to
25 ms (polatis_switch.md)."""


async def connect(wanted: Mapping[str, Mapping[int, int]], bench: Bench, clock: RunClock) -> None:
    """Connect inputs to outputs, switch after switch in this order, and wait until light goes that way. What
    they connect besides stays. RunError where one connects otherwise."""
    moved = False
    for name, ways in wanted.items():
        switch = bench.get(name, OpticalSwitch)
        stands = await switch.connections()
        moves = {i: o for i, o in ways.items() if stands.get(i) != o}
        if not moves:
            continue
        moved = True
        for input_, output in moves.items():
            await switch.connect(input_, output)
        await settle([switch], clock, SWITCHING_S, POLL_S)
        stands = await switch.connections()
        if any(stands.get(i) != o for i, o in ways.items()):
            raise RunError(
                f"{switch.name} ({switch.address}): connects {dict(stands)} after it was set to "
                f"{dict(ways)}. See whether somebody else controls it"
            )
    if moved:
        await clock.sleep(MIRRORS_S)
