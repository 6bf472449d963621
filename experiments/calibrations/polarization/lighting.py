"""Photons out, probe in, and back: switches and shutters of one link, in an order that keeps nanowires from a
laser.

Shutters that an arrangement does not open are closed before anything is switched, and seen to be closed;
those that it opens are opened when every switch has arrived and says so. Towards a probe, switches are set in
the order of the file (away from the hub first); towards photons in the reverse order. What fails on the way
leaves the probes shut.
"""

# Abstract capabilities are handed to isinstance, never called (python/mypy#4717).

import asyncio
from contextlib import suppress

from drivers.capabilities import Attenuator, NanowireBias, Shutter
from drivers.errors import InstrumentError
from experiments.config.experiment import Experiment
from experiments.config.led_light import Arrangement, LedLight, Probe
from experiments.engine.bench import Bench
from experiments.engine.motion import settle
from experiments.engine.outcome import RunError
from experiments.engine.safe_state import PATIENCE_S
from experiments.engine.step import Context
from experiments.engine.switching import connect

OPENING_S = 5.0
"""Deadline for a shutter, in seconds of run clock."""
BIASING_S = 10.0
POLL_S = 0.01


class Lighting:
    """How the light of one link is led. What it closes or disconnects, it tells `context.standing` before."""

    def __init__(self, led: LedLight, bench: Bench) -> None:
        self._photons = led.photons
        self._bench, self._switches = bench, led.switches
        self._shutters = {name: _shutter(bench, name) for name in led.shutters}
        self._units = [bench.get(name, NanowireBias) for name in led.unbiased]
        self._dark: list[NanowireBias] = []
        """Units that were switched off for a probe and are to be switched on again."""
        self._closing: set[asyncio.Task[None]] = set()
        """Shutters that have not answered yet."""

    @property
    def instruments(self) -> set[str]:
        return {*self._switches, *self._shutters, *(unit.name for unit in self._units)}

    async def to_probe(self, probe: Probe, context: Context) -> None:
        """Let one probe in, and no other; photons and biased nanowires out."""
        self._say_it_closes(context)
        await self._shut(probe)
        for unit in self._units:
            if await unit.is_enabled():
                # Before it is asked: a command that nobody answered may have been carried out.
                context.standing.lowers(unit.name)
                if unit not in self._dark:
                    self._dark.append(unit)
                await unit.set_enabled(False)
            if await unit.is_enabled():
                raise RunError(
                    f"{unit.name} ({unit.address}): its bias is still connected; no probe is let in"
                )
        await self._lead(probe, context)

    async def to_photons(self, context: Context) -> None:
        """Let the photons in, and no probe. Raises ChangedError for nanowires that lost their bias while it
        was disconnected."""
        self._say_it_closes(context)
        await self._shut(self._photons)
        await self._lead(self._photons, context, back=True)
        for unit in tuple(self._dark):
            await unit.set_enabled(True)
            await settle([unit], context.clock, BIASING_S, POLL_S)
            await context.standing.regained(unit.name)
            self._dark.remove(unit)

    async def shut(self) -> None:
        """Close every shutter that photons do not need open, and see that they are closed."""
        await self._shut(self._photons)

    async def shut_probes(self, context: Context) -> None:
        """Close every shutter of the link, all at once, whatever else has failed and also when the caller is
        cancelled. Never raises because of an instrument, and takes `PATIENCE_S` of wall time at most: the
        safe state of a run that ends begins after this, so whoever is silent then is asked on beside it."""
        self._say_it_closes(context)
        closing = [asyncio.create_task(_close(shutter)) for shutter in self._shutters.values()]
        self._closing.update(closing)
        for task in closing:
            task.add_done_callback(self._closing.discard)
        if closing:
            await asyncio.wait(closing, timeout=PATIENCE_S)

    def _say_it_closes(self, context: Context) -> None:
        for name in self._shutters:
            context.standing.lowers(name)

    async def _shut(self, arrangement: Arrangement) -> None:
        closing = [shutter for name, shutter in self._shutters.items() if name not in arrangement.open]
        await asyncio.gather(*(shutter.set_open(False) for shutter in closing))
        for shutter, is_open in zip(
            closing, await asyncio.gather(*(s.is_open() for s in closing)), strict=True
        ):
            if is_open:
                raise RunError(f"{shutter.name} ({shutter.address}): is open after it was closed")

    async def _lead(self, arrangement: Arrangement, context: Context, *, back: bool = False) -> None:
        ways = list(arrangement.switches.items())
        await connect(dict(reversed(ways) if back else ways), self._bench, context.clock)
        opening = [self._shutters[name] for name in arrangement.open]
        await asyncio.gather(*(shutter.set_open(True) for shutter in opening))
        await settle(opening, context.clock, OPENING_S, POLL_S)


async def shut_probes(experiment: Experiment, bench: Bench) -> None:
    """Close the shutters of all probes that the experiment knows, as before any light is switched on. Raises
    RunError when one stays open."""
    for settings in experiment.compensation.values():
        await Lighting(settings, bench).shut()


async def _close(shutter: Shutter | Attenuator) -> None:
    with suppress(InstrumentError):
        await shutter.set_open(False)


def _shutter(bench: Bench, name: str) -> Shutter | Attenuator:
    instrument = bench.instruments[name]
    return bench.get(name, Attenuator) if isinstance(instrument, Attenuator) else bench.get(name, Shutter)
