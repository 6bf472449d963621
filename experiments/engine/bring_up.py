"""Bring-up: from cold and dark to a bench that clicks; and the step that only waits.

Order, and why:

1. thresholds of the taggers, and the wavelengths that power meters correct for: nothing depends on them, and
   a wrong one shows at once;
2. what moves is homed, all together, and wave plates go to zero, while there is no light that the search for
   zero could send through every polarization;
3. detector bias, ramped up in the dark: a nanowire that latches now has a fault of its own, and light that
   comes later never meets a half-biased one;
4. laser emission last: if anything before fails, nothing has emitted, and it is the exact reverse of the
   safe state, which ends emission first. A laser starts at its lowest power, then goes to its set-point.

Everything set is read back, and a value that is not what was asked for ends the run.
"""

# Abstract capabilities are handed to isinstance, never called (python/mypy#4717).

import asyncio
from collections.abc import Iterator, Mapping
from math import ceil

from drivers.capabilities import (
    DelayLine,
    Laser,
    LatchSensor,
    NanowireBias,
    PolarizationController,
    PowerMeter,
    RotationMount,
    TimeTagger,
)
from experiments.calibrations.analyser_step import take_over_optics
from experiments.calibrations.polarization.lighting import shut_probes
from experiments.config.experiment import Experiment
from experiments.config.lightpaths import ends
from experiments.config.plan import BringUp, Wait
from experiments.engine.bench import Bench
from experiments.engine.clock import RunClock
from experiments.engine.motion import settle, turn, verify
from experiments.engine.outcome import RunError
from experiments.engine.step import Context, SetPoint, Step

BIAS_STEP_A = 2e-6
BIAS_PAUSE_S = 0.1
"""A bias goes up by at most 2 uA in 0.1 s, so that a nanowire is not driven normal by the edge."""
HOMING_S = 120.0
"""Deadline for homing. A K10CR1 needs 35 s for a whole turn at its 10 deg/s; paddles are faster."""
LASER_S = 10.0
WAIT_S = 60.0
"""What was waited is not waited again after an interruption, in pieces of so many seconds of run clock."""
HOLD_S = 10.0
"""A wait can be held or stopped so often, in seconds of run clock."""
WAVELENGTH_M = 1e-9
"""Nearer than this to that of its light, the wavelength of a power meter is left as it is."""
TOLERANCE = 0.02
"""How far a value read back may be from its set-point, relative to it: rounding by an instrument's
electronics is far below, a set-point not taken far above."""
POWER_TOLERANCE = 0.05
"""The same for optical power, which a laser head measures or computes from its current."""


class BringUpStep(Step[BringUp]):
    """`bring_up`: thresholds, homing, bias, light."""

    def changes(self, bench: Bench, experiment: Experiment) -> set[str]:
        named = self.parameters.threshold.keys() | self.parameters.bias.keys() | self.parameters.power.keys()
        shutters = {name for link in experiment.compensation.values() for name in link.shutters}
        return named | shutters | {i.name for i in (*_moving(bench), *_wavelengths_m(bench))}

    def set_points(self, bench: Bench, experiment: Experiment) -> Iterator[SetPoint]:
        del experiment
        for name, volts in self.parameters.threshold.items():
            yield SetPoint(name, "threshold", volts, bench.get(name, TimeTagger).threshold_limits)
        for name, amperes in self.parameters.bias.items():
            yield SetPoint(name, "bias", amperes, bench.get(name, NanowireBias).bias_limits)
        for name, watts in self.parameters.power.items():
            yield SetPoint(name, "power", watts, bench.get(name, Laser).power_limits)
        for mount in bench.all_of(RotationMount):
            yield SetPoint(mount.name, "angle", 0.0, mount.angle_limits)

    async def run(self, context: Context) -> None:
        bench, clock = context.bench, context.clock
        take_over_optics(context)
        await shut_probes(context.experiment, bench)
        context.progress("setting thresholds")
        for name, volts in self.parameters.threshold.items():
            await _set_threshold(bench, bench.get(name, TimeTagger), volts)
        await _tune_meters(bench)
        context.progress("homing all that moves")
        await _home(bench, clock)
        await _may_be_energised(context)
        context.progress("ramping detector bias")
        await _ramp_bias(bench, self.parameters.bias, clock)
        await _may_be_energised(context)
        context.progress("switching lasers on")
        await light_up(bench, self.parameters.power, clock)


class WaitStep(Step[Wait]):
    """`wait`: let time pass."""

    can_go_on = True

    def changes(self, bench: Bench, experiment: Experiment) -> set[str]:
        del bench, experiment
        return set()

    async def run(self, context: Context) -> None:
        while (left_s := self.parameters.duration - self.safe_points * WAIT_S) > 0:
            left_s = min(WAIT_S, left_s)
            while left_s > 0:
                await context.safe_point()
                nap_s = min(HOLD_S, left_s, context.undisturbed_s())
                await context.let_pass(nap_s, "waiting")
                left_s -= nap_s
            self.safe_points += 1


async def _may_be_energised(context: Context) -> None:
    """A safe point: wait here while somebody holds the run."""
    await context.standing.note(context.changes)
    await context.safe_point()


def _moving(bench: Bench) -> list[RotationMount | PolarizationController | DelayLine]:
    return [
        *bench.all_of(RotationMount),
        *bench.all_of(PolarizationController),
        *bench.all_of(DelayLine),
    ]


async def _set_threshold(bench: Bench, tagger: TimeTagger, volts: float) -> None:
    wired = [d.tagger.number for d in bench.testbed.detectors.values() if d.tagger.instrument == tagger.name]
    for input_ in sorted(wired):
        await tagger.set_threshold(input_, volts)
        found = await tagger.threshold(input_)
        verify(tagger, f"threshold of input {input_}", volts, found, TOLERANCE * abs(volts) + 1e-3, "V")


def _wavelengths_m(bench: Bench) -> dict[PowerMeter, float]:
    """The wavelength in metres of the light that each power meter sees. One that may see several is not here:
    nobody knows which is meant."""
    seen: dict[str, set[float]] = {}
    for beam in bench.testbed.beams.values():
        for end in ends(bench.testbed, beam.path):
            seen.setdefault(end, set()).add(beam.wavelength)
    return {
        meter: next(iter(seen[meter.name]))
        for meter in bench.all_of(PowerMeter)
        if len(seen.get(meter.name, ())) == 1
    }


async def _tune_meters(bench: Bench) -> None:
    """A meter that corrects for another wavelength shows a power that is wrong by as much as its sensor's
    responsivities differ, which may be several times."""
    for meter, wavelength_m in _wavelengths_m(bench).items():
        if abs(await meter.wavelength() - wavelength_m) > WAVELENGTH_M:
            await meter.set_wavelength(wavelength_m)
            verify(meter, "wavelength", wavelength_m, await meter.wavelength(), WAVELENGTH_M, "m")


async def _home(bench: Bench, clock: RunClock) -> None:
    moving = _moving(bench)
    homed = await asyncio.gather(*(i.is_homed() for i in moving))
    lost = [i for i, known in zip(moving, homed, strict=True) if not known]
    await asyncio.gather(*(i.home() for i in lost))
    await settle(lost, clock, HOMING_S)
    for instrument in lost:
        if not await instrument.is_homed():
            raise RunError(
                f"{instrument.name} ({instrument.address}): came to rest without finding its zero. "
                "See whether something blocks it, then run again"
            )
    mounts = bench.all_of(RotationMount)
    await turn(dict.fromkeys(mounts, 0.0), clock)


async def _ramp_bias(bench: Bench, bias_a: dict[str, float], clock: RunClock) -> None:
    """All channels of all units together, in equal steps, so that the last one lands on the set-point."""
    units = [(bench.get(name, NanowireBias), current) for name, current in bias_a.items()]
    for unit, _ in units:
        for channel in unit.channels:
            await unit.set_bias(channel, 0.0)
        await unit.set_enabled(True)
    steps = max((ceil(abs(current) / BIAS_STEP_A - 1e-9) for _, current in units), default=0)
    for step in range(1, steps + 1):
        for unit, current in units:
            for channel in unit.channels:
                await unit.set_bias(channel, current * step / steps)
        await clock.sleep(BIAS_PAUSE_S)
    await settle([unit for unit, _ in units], clock, LASER_S)
    for unit, current in units:
        for channel in unit.channels:
            found = await unit.bias(channel)
            verify(unit, f"bias of channel {channel}", current, found, TOLERANCE * abs(current) + 1e-8, "A")
            if isinstance(unit, LatchSensor) and await unit.is_latched(channel):
                raise RunError(
                    f"{unit.name} ({unit.address}): channel {channel} latched in the dark at "
                    f"{current * 1e6:g} uA. Lower its bias in the plan, or look for light that leaks in"
                )


async def light_up(bench: Bench, power_w: Mapping[str, float], clock: RunClock) -> None:
    """Switch these lasers on, each at its lowest power first, then at the power given, in watts."""
    lasers = [(bench.get(name, Laser), power) for name, power in power_w.items()]
    for laser, _ in lasers:
        await laser.set_power(laser.power_limits.low)
        await laser.set_emission(True)
    await settle([laser for laser, _ in lasers], clock, LASER_S)
    for laser, power in lasers:
        await laser.set_power(power)
    await settle([laser for laser, _ in lasers], clock, LASER_S)
    for laser, power in lasers:
        if not await laser.emission():
            raise RunError(
                f"{laser.name} ({laser.address}): does not emit although it was switched on. "
                "Check its key, interlock and button"
            )
        verify(laser, "power", power, await laser.power(), POWER_TOLERANCE * power, "W")
