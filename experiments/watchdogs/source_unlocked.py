"""A source has lost the lock of its pump: its cell makes few pairs or none, and the laser shines as before.

It shows at once in the singles of the analysers that it alone lights and in its pairs, which fall together,
beyond chance, below a fraction of what they were. Loss in a fibre leaves the singles at the other end of the
pairs alone; a blind detector leaves half of them. Remedy: the pump's power is moved away and set anew, which
takes a laser that has hopped to another mode back to the old one. The emission stays on all the time and is
never switched.

On a pair both analysers must have lost their light. Where noise outshines it at one of them, nobody can tell.
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
            for line in self.subject.lines:
                shows = [*(f"singles of {analyser}" for analyser in line.lit), "pairs"]
                keys = {what: (line.name, what) for what in shows}
                if line.source and all(self.fell(key, counted, self.settings.below) for key in keys.values()):
                    figures = {what: self.hz(key, counted) for what, key in keys.items()}
                    said = ", ".join(
                        f"{what} {rate['now_hz']:.0f} Hz after {rate['before_hz']:.0f} Hz"
                        for what, rate in figures.items()
                    )
                    return Alarm(f"{line.source} makes less light: {said}", line.source, figures)
        return None

    def counted(self, stay: Seen, context: Context) -> Mapping[object, tuple[int, float]]:
        counted: dict[object, tuple[int, float]] = {}
        for line, pairs in zip(self.subject.lines, stay.pairs, strict=True):
            for analyser, detectors in line.lit.items():
                counted[line.name, f"singles of {analyser}"] = self.singles(stay, detectors, context)
            counted[line.name, "pairs"] = pairs, stay.pairs_s
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
        context.standing.lowers(pump.name, {"power": away_w})
        for power_w, stay_s in ((away_w, AWAY_S), (was_w, 0.0)):
            await pump.set_power(power_w)
            await settle([pump], context.clock, SETTLING_S)
            await context.clock.sleep(stay_s)
        power_w = await pump.power()
        verify(pump, "power", was_w, power_w, TOLERANCE * was_w, "W")
        return {"power_w": power_w}
