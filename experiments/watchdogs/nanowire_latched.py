"""A nanowire has latched: it went normal under its bias and stays blind until the bias is lowered.

It shows in the electronics that measure the voltage across their wires, and else in the singles: one
detector's are gone while no other of the same unit has lost any. Remedy: its bias goes to zero and comes back
to its set-point in steps that do not drive it normal by their edge, through the run's gate like every other;
what was on before stays as it is.
"""

from collections.abc import Mapping, Sequence
from math import ceil

from drivers.capabilities import LatchSensor, NanowireBias
from experiments.config.watchdogs import NanowireLatched
from experiments.engine.bring_up import BIAS_PAUSE_S, BIAS_STEP_A, TOLERANCE
from experiments.engine.motion import settle, verify
from experiments.engine.outcome import RunError
from experiments.engine.step import Context
from experiments.watchdogs.watchdog import Alarm, CountingWatchdog, Seen

NEIGHBOURS = 0.5
"""A unit's other detectors are fine unless they have fallen below this fraction."""
COLD_S = 1.0
"""How long a wire gets without bias to become superconducting again. The wire needs nanoseconds."""
SETTLING_S = 10.0


class NanowireLatchedWatchdog(CountingWatchdog[NanowireLatched]):
    """`nanowire_latched`."""

    name = "nanowire_latched"

    async def look(self, stays: Sequence[Seen], now_ps: int, context: Context) -> Alarm | None:
        del now_ps
        for unit in context.bench.all_of(LatchSensor):
            for channel, detector in _channels(context, unit.name).items():
                if await unit.is_latched(channel):
                    reason = f"{detector} has latched, as {unit.name} has it"
                    return Alarm(reason, f"{unit.name}.{channel}", {"detector": detector})
        for stay in stays:
            if alarm := self._blind(stay, context):
                return alarm
        return None

    def _blind(self, stay: Seen, context: Context) -> Alarm | None:
        counted = self.counted(stay, context)
        for unit in context.bench.all_of(NanowireBias):
            channels = _channels(context, unit.name)
            blind = {c: d for c, d in channels.items() if self.fell(d, counted, self.settings.below)}
            neighbours = [d for d in channels.values() if d not in blind.values()]
            fine = [d for d in neighbours if not self.fell(d, counted, NEIGHBOURS)]
            if len(blind) == 1 and neighbours and fine == neighbours:
                [(channel, detector)] = blind.items()
                figures = {"detector": detector, **self.hz(detector, counted)}
                what = f"{detector} counts {figures['now_hz']:.0f} Hz after {figures['before_hz']:.0f} Hz"
                return Alarm(f"{what}, its neighbours are fine", f"{unit.name}.{channel}", figures)
        return None

    def counted(self, stay: Seen, context: Context) -> Mapping[object, tuple[int, float]]:
        bench = context.bench
        detectors = [d for unit in bench.all_of(NanowireBias) for d in _channels(context, unit.name).values()]
        return {d: (int(stay.singles[bench.channel(d)]), stay.seconds) for d in detectors}

    def changes(self, alarm: Alarm, context: Context) -> set[str]:
        del context
        return {alarm.device.rpartition(".")[0]}

    async def remedy(self, alarm: Alarm, context: Context) -> Mapping[str, object]:
        name, _, number = alarm.device.rpartition(".")
        unit, channel, clock = context.bench.get(name, NanowireBias), int(number), context.clock
        if not await unit.is_enabled():
            raise RunError(f"{name}: its bias is off, and only a person switches it on again")
        control, limits = f"bias.{channel}", unit.bias_limits
        # What the run left it at: after an interruption the wire itself stands somewhere on the ramp.
        was_a = float(context.standing.left(name).values[control])
        set_point = min(max(was_a, limits.low), limits.high)  # a reading may lie beside it
        context.standing.lowers(name, {control: 0.0})
        await unit.set_bias(channel, 0.0)
        await settle([unit], clock, SETTLING_S)
        await clock.sleep(COLD_S)
        steps = ceil(abs(set_point) / BIAS_STEP_A - 1e-9)
        for step in range(1, steps + 1):
            await unit.set_bias(channel, set_point * step / steps)
            await clock.sleep(BIAS_PAUSE_S)
        await settle([unit], clock, SETTLING_S)
        if isinstance(unit, LatchSensor) and await unit.is_latched(channel):
            raise RunError(f"{name}: channel {channel} latched again at {set_point * 1e6:g} uA")
        bias_a = await unit.bias(channel)
        verify(unit, control, set_point, bias_a, TOLERANCE * abs(set_point) + 1e-8, "A")
        return {"bias_a": bias_a}


def _channels(context: Context, unit: str) -> dict[int, str]:
    """The detectors that a unit biases, by its channel."""
    wired = context.bench.testbed.detectors.items()
    return {
        d.instrument.number: name for name, d in wired if d.instrument and d.instrument.instrument == unit
    }
