"""Leading the photons of a pair to its analysers: the optical switches that its settings name."""

# Abstract capabilities are handed to isinstance, never called (python/mypy#4717).

from drivers.capabilities import OpticalSwitch
from experiments.config.settings import PairSettings
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


async def lead_light(pair: PairSettings, bench: Bench, clock: RunClock) -> None:
    """Connect all switches as the pair wants them, and see that they are. What they connect besides stays.
    RunError where one connects otherwise."""
    moved = False
    for name, wanted in pair.switches.items():
        switch = bench.get(name, OpticalSwitch)
        stands = await switch.connections()
        moves = {i: o for i, o in wanted.items() if stands.get(i) != o}
        for input_, output in moves.items():
            await switch.connect(input_, output)
        if moves:
            moved = True
            await settle([switch], clock, SWITCHING_S, POLL_S)
        stands = await switch.connections()
        if any(stands.get(i) != o for i, o in wanted.items()):
            raise RunError(
                f"{switch.name} ({switch.address}): connects {dict(stands)} after it was set to {wanted}. "
                "See whether somebody else controls it"
            )
    if moved:
        await clock.sleep(MIRRORS_S)
