"""Pauses at safe points: where a run waits while somebody holds it.

The light stays as it is, unless the experiment says `pause: dark`: then every laser that emits is switched
off for the pause, and only the word of a person switches it on again, never an interlock that lets go. Before
the run goes on it looks whether all instruments stand as it left them. A run that waits for a person alone
does not use its clock, so that a simulated bench stands still meanwhile.
"""

from collections.abc import Awaitable, Callable

from drivers.capabilities import Laser
from drivers.errors import InstrumentError
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
        self._dark_w: dict[str, float] = {}
        """The lasers that are off for a pause, and the power in watts that each had."""

    async def reached(self, doing: str) -> float:
        """The run is at a safe point of what it is `doing`: wait while it is held. Returns for how many
        seconds of run clock; raises Stopped when it is to stop here."""
        began = self._clock.now()
        control = self._control
        # Once more when somebody holds it while it lights up; dark without a hold is after a person's word.
        while (control.holds or self._dark_w) and not control.stopping:
            if control.holds and self._context.experiment.pause == DARK:
                await self._darken()
            await self._wait()
            if not control.stopping:
                await self._light_up()
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

    async def _darken(self) -> None:
        """Switch all emission off."""
        standing = self._context.standing
        lit = [laser for laser in self._context.bench.all_of(Laser) if await laser.emission()]
        if not lit:
            return
        # All of it before the first byte: of a laser that does not answer nobody knows whether it is off.
        for laser in lit:
            power_w = float(standing.left(laser.name).values["power"])
            self._dark_w[laser.name] = min(power_w, laser.power_limits.high)  # a reading may lie beside it
            standing.lowers(laser.name)
        lasers = ", ".join(self._dark_w)
        self._control.pause(f"resume switches {lasers} on again", DARK)
        failures = [failure for laser in lit if (failure := await _switched_off(laser))]
        if failures:
            raise failures[0]
        details = {"lasers": list(self._dark_w)}
        self._context.announce(Happened("dark", f"{lasers} off for the pause", details))

    async def _light_up(self) -> None:
        """Switch on again what a pause had switched off."""
        dark_w, self._dark_w = self._dark_w, {}
        for name in dark_w:
            self._context.standing.raises(name)
        await light_up(self._context.bench, dark_w, self._clock)


async def _switched_off(laser: Laser) -> InstrumentError | RunError | None:
    """Switch a laser off; returns why it may not be."""
    try:
        await laser.set_emission(False)
        if await laser.emission():
            return RunError(f"{laser.name} ({laser.address}): still emits after it was switched off")
    except InstrumentError as error:
        return error
    return None
