"""A source has lost the lock of its pump: its cell makes few pairs or none, and the laser shines as before.

It shows at once in the singles of its own analyser and in its pairs with the hub, which fall together, beyond
chance, below a fraction of what they were. Loss in its fibre leaves the singles at the analyser alone; a
blind detector leaves half of them. Remedy: the pump's power is moved away and set anew, which takes a laser
that has hopped to another mode back to the old one. The emission stays on all the time and is never switched.
"""

from collections.abc import Mapping, Sequence

from drivers.capabilities import Laser
from experiments.config.watchdogs import SourceUnlocked
from experiments.engine.motion import settle, verify
from experiments.engine.outcome import RunError
from experiments.engine.step import Context
from experiments.watchdogs.watchdog import Alarm, CountingWatchdog, Seen

AWAY_S = 1.0
SETTLING_S = 10.0
TOLERANCE = 0.05
"""Of optical power, as in `bring_up`."""


class SourceUnlockedWatchdog(CountingWatchdog[SourceUnlocked]):
    """`source_unlocked`."""

    name = "source_unlocked"

    async def look(self, stays: Sequence[Seen], now_ps: int, context: Context) -> Alarm | None:
        del now_ps
        for stay in stays:
            counted = self.counted(stay, context)
            for spoke in context.experiment.swapping.spokes:
                keys = [(spoke, "singles"), (spoke, "pairs")]
                if all(self.fell(key, counted, self.settings.below) for key in keys):
                    figures = {what: self.hz((spoke, what), counted) for _, what in keys}
                    source = source_of(spoke, context)
                    said = ", ".join(
                        f"{what} {rate['now_hz']:.0f} Hz after {rate['before_hz']:.0f} Hz"
                        for what, rate in figures.items()
                    )
                    return Alarm(f"{source} makes less light: {said} at {spoke}", source, figures)
        return None

    def counted(self, stay: Seen, context: Context) -> Mapping[object, tuple[int, float]]:
        counted: dict[object, tuple[int, float]] = {}
        for number, spoke in enumerate(context.experiment.swapping.spokes):
            channels = [context.bench.channel(d) for d in context.bench.spoke_detectors(spoke)]
            counted[spoke, "singles"] = int(stay.singles[channels].sum()), stay.seconds
            counted[spoke, "pairs"] = stay.pairs[number], stay.pairs_s
        return counted

    def changes(self, alarm: Alarm, context: Context) -> set[str]:
        return {context.bench.testbed.sources[alarm.device].pump}

    async def remedy(self, alarm: Alarm, context: Context) -> Mapping[str, object]:
        pump = context.bench.get(context.bench.testbed.sources[alarm.device].pump, Laser)
        if not await pump.emission():
            raise RunError(f"{pump.name}: emits nothing, and only a person switches it on again")
        limits = pump.power_limits
        # What it was set to; a reading may lie beside that.
        was_w = min(float(context.standing.left(pump.name).values["power"]), limits.high)
        away_w = max(was_w * (1 - self.settings.step), limits.low)
        for power_w, stay_s in ((away_w, AWAY_S), (was_w, 0.0)):
            await pump.set_power(power_w)
            await settle([pump], context.clock, SETTLING_S)
            await context.clock.sleep(stay_s)
        power_w = await pump.power()
        verify(pump, "power", was_w, power_w, TOLERANCE * was_w, "W")
        return {"power_w": power_w}


def source_of(spoke: str, context: Context) -> str:
    """The source that shines on an analyser; the configuration has made sure that there is one."""
    sources = context.bench.testbed.sources.items()
    return next(name for name, source in sources if spoke in (*source.signal, *source.idler))
