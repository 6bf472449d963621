"""Pauses at safe points: where a run waits while somebody holds it.

The light stays as it is, unless the experiment says `pause: dark`: then every laser that emits is switched
off for the pause, and only the word of a person switches it on again, never an interlock that lets go. Before
the run goes on it looks whether all instruments stand as it left them. A run that waits for a person alone
does not use its clock, so that a simulated bench stands still meanwhile.
"""

from collections.abc import Awaitable, Callable

from drivers.capabilities import Laser
from experiments.engine.bring_up import light_up
from experiments.engine.control import RunControl, Stopped
from experiments.engine.events import Happened
from experiments.engine.outcome import RunError, State
from experiments.engine.step import Context

TICK_S = 1.0
"""How often a run looks whether holds that may end by themselves have ended, in seconds of run clock."""
DARK = "dark"
"""Who holds a run whose light was switched off for a pause."""


class SafePoints:
    """The safe points of one run. `enter` makes it enter a state."""

    def __init__(
        self, control: RunControl, context: Context, enter: Callable[[State, str], Awaitable[None]]
    ) -> None:
        self._control, self._context, self._clock, self._enter = control, context, context.clock, enter

    async def reached(self, doing: str) -> float:
        """The run is at a safe point of what it is `doing`: wait while it is held. Returns for how many
        seconds of run clock; raises Stopped when it is to stop here."""
        began = self._clock.now()
        control = self._control
        while control.holds and not control.stopping:  # once more when somebody holds it while it lights up
            lit_w = await self._darken() if self._context.experiment.pause == DARK else {}
            await self._wait()
            if not control.stopping:
                await light_up(self._context.bench, lit_w, self._clock)
                await self._enter(State.RUNNING, f"{doing} goes on")
                await self._context.standing.look()
        if control.stopping:
            raise Stopped
        return self._clock.now() - began

    async def _wait(self) -> None:
        control, said = self._control, ""
        while control.holds and not control.stopping:
            if said != (why := control.why_held):
                said = why
                await self._enter(State.PAUSED, why)
                self._context.progress("paused")
            elif control.holds_pass:
                await self._clock.sleep(TICK_S)
            else:
                await control.news()

    async def _darken(self) -> dict[str, float]:
        """Switch all emission off; returns the power in watts that each laser had."""
        lit_w: dict[str, float] = {}
        for laser in self._context.bench.all_of(Laser):
            if not await laser.emission():
                continue
            power_w = float(self._context.standing.left(laser.name).values["power"])
            lit_w[laser.name] = min(power_w, laser.power_limits.high)  # a reading may lie beside it
            await laser.set_emission(False)
            if await laser.emission():
                raise RunError(f"{laser.name} ({laser.address}): still emits after it was switched off")
        if lit_w:
            lasers = ", ".join(lit_w)
            self._context.announce(Happened("dark", f"{lasers} off for the pause", {"lasers": list(lit_w)}))
            self._control.pause(f"resume switches {lasers} on again", DARK)
        return lit_w
