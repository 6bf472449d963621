"""`calibrate_detectors`: efficiency and dark counts of each channel of a bias unit against its bias, and the
bias that it gets.

First in the dark, with every laser off, then with the light that this step switches on: dark counts are taken
before there is any light, and nothing has to be blocked. Biases come in shuffled order, so that light that
fades is not taken for a slope. Bias goes up in small steps, as in a bring-up. A nanowire that latches is
brought back to zero; that bias and all above it are left out, of this channel alone. Where the electronics
cannot tell, every wire begins each point at zero, so that none stays latched, and it is known by its clicks.
"""

# Abstract capabilities are handed to isinstance, never called (python/mypy#4717).

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from math import ceil, inf, sqrt

import numpy as np

from drivers.capabilities import DiodeBias, Laser, LatchSensor, Limits, NanowireBias, SinglePhotonDetector
from experiments.calibrations.polarization.counting import tags_of
from experiments.config.experiment import Experiment
from experiments.config.plan import CalibrateDetectors
from experiments.engine.bench import Bench
from experiments.engine.bring_up import BIAS_PAUSE_S, BIAS_STEP_A, LASER_S, TOLERANCE, light_up
from experiments.engine.events import Happened, Scan
from experiments.engine.motion import settle, verify
from experiments.engine.outcome import RunError
from experiments.engine.record import utc_now
from experiments.engine.step import Context, SetPoint, Step
from experiments.estimators.bias_sweep import (
    BiasFit,
    BiasPoint,
    BiasSweep,
    Kind,
    fit_bias,
    latched_at,
    operating_point,
)
from experiments.estimators.poisson_fit import FitError

CALIBRATION = "bias of {}"
"""The calibration of a detector: its curves and the bias that it was given."""
_SHUFFLE = 0xB1A5

Swept = dict[int, dict[float, int]]
"""Counts by channel and bias."""


class CalibrateDetectorsStep(Step[CalibrateDetectors]):
    """`calibrate_detectors`. It switches light on, so it does not go on after a failure."""

    needs_tags = True

    def changes(self, bench: Bench, experiment: Experiment) -> set[str]:
        del bench, experiment
        return {self.parameters.unit, *self.parameters.power}

    def set_points(self, bench: Bench, experiment: Experiment) -> Iterator[SetPoint]:
        del experiment
        unit = bench.get(self.parameters.unit, SinglePhotonDetector)
        for value in self.parameters.points:
            yield SetPoint(unit.name, "bias", value, Biases(unit).limits)
        for name, power in self.parameters.power.items():
            yield SetPoint(name, "power", power, bench.get(name, Laser).power_limits)

    async def run(self, context: Context) -> None:
        parameters, bench = self.parameters, context.bench
        for laser in bench.all_of(Laser):
            if await laser.emission():
                raise RunError(
                    f"{laser.name} emits, and dark counts are taken in the dark. Let {self.kind} switch "
                    "lasers on by its `power`, and leave them out of bring_up before it"
                )
        unit = Biases(bench.get(parameters.unit, SinglePhotonDetector))
        behind = {
            detector.instrument.number: name
            for name, detector in bench.testbed.detectors.items()
            if detector.instrument and detector.instrument.instrument == parameters.unit
        }
        await unit.switch_on()
        latched = dict.fromkeys(behind, inf)
        dark = await self._sweep(context, unit, behind, latched, "in the dark")
        await unit.go_to(dict.fromkeys(behind, 0.0), context)
        await light_up(bench, parameters.power, context.clock)
        lit = await self._sweep(context, unit, behind, latched, "with light")
        if unit.latches_unseen:
            await unit.go_to(dict.fromkeys(behind, 0.0), context)
        chosen: dict[int, BiasPoint] = {}
        for channel, detector in behind.items():
            sweep = _usable(dark[channel], lit[channel], latched[channel], parameters)
            if unit.latches_unseen and (bias := latched_at(sweep)) is not None:
                latched[channel] = bias
                _tell_latched(context, detector, bias, unit, "by its clicks with light")
                sweep = _usable(dark[channel], lit[channel], bias, parameters)
            try:
                fit = await asyncio.to_thread(fit_bias, sweep, unit.kind)
                chosen[channel] = operating_point(fit, parameters.plateau, parameters.most_dark)
            except FitError as error:
                raise RunError(f"{detector}, channel {channel} of {parameters.unit}: {error}") from error
            self._keep(context, detector, sweep, fit, chosen[channel], latched[channel])
        over = parameters.breakdown or 0.0
        await unit.go_to({channel: point.bias + over for channel, point in chosen.items()}, context)
        await unit.verify()
        if again := await unit.latched(behind):
            names = ", ".join(behind[channel] for channel in again)
            raise RunError(
                f"{names} latched at the bias that was chosen. Ask for a lower `plateau`, or less light"
            )

    async def _sweep(
        self,
        context: Context,
        unit: "Biases",
        behind: Mapping[int, str],
        latched: dict[int, float],
        how: str,
    ) -> Swept:
        """Counts of each channel at each bias, as far as it did not latch there or below."""
        counts: Swept = {channel: {} for channel in behind}
        points = sorted(set(self.parameters.points))
        rng = np.random.default_rng([context.seed, _SHUFFLE])
        for number, bias in enumerate(rng.permutation(points).tolist(), 1):
            at = {channel: bias for channel in behind if bias < latched[channel]}
            if not at:
                continue
            if unit.latches_unseen:
                await unit.go_to(dict.fromkeys(behind, 0.0), context)
            await unit.go_to({**dict.fromkeys(behind, 0.0), **at}, context)
            context.progress(f"{self.parameters.unit} {how}, bias {number} of {len(points)}")
            tags = await tags_of(context, list(behind.values()), self.parameters.dwell)
            for channel in await unit.latched(at):
                latched[channel] = min(latched[channel], bias)
                _tell_latched(context, behind[channel], bias, unit, how)
                await unit.go_to({channel: 0.0}, context)
            for channel in at:
                if bias < latched[channel]:
                    counts[channel][bias] = len(tags[behind[channel]])
        return counts

    def _keep(
        self,
        context: Context,
        detector: str,
        sweep: BiasSweep,
        fit: BiasFit,
        point: BiasPoint,
        latched: float,
    ) -> None:
        parameters = self.parameters
        unit = "A" if parameters.bias else "V"
        over = parameters.breakdown or 0.0
        plateau_error_hz = fit.widening * fit.plateau_hz.error
        record: dict[str, object] = {
            "utc": utc_now(),
            "run": context.folder.name,
            "set": {
                "bias": {"value": point.bias + over, "unit": unit},
                "efficiency": {
                    "value": point.efficiency,
                    "unit": "1",
                    "uncertainty": point.efficiency * plateau_error_hz / fit.plateau_hz.value,
                },
                "dark_counts": {
                    "value": point.dark_hz,
                    "unit": "Hz",
                    "uncertainty": fit.widening * sqrt(point.dark_hz * sweep.seconds + 1) / sweep.seconds,
                },
                "takes": "efficiency relative to the plateau",
            },
            "plateau": {"value": fit.plateau_hz.value, "unit": "Hz", "uncertainty": plateau_error_hz},
            "latched_at": None if latched == inf else {"value": latched, "unit": unit},
            "deviance_per_dof": fit.deviance / max(fit.freedom, 1),
        }
        name = CALIBRATION.format(detector)
        context.store_calibration(name, record)
        message = (
            f"{detector} at {point.bias + over:.4g} {unit}: {point.efficiency:.3f} of its full efficiency, "
            f"{point.dark_hz:.0f} dark counts/s"
        )
        context.announce(Happened("calibrated", message, {"calibration": name, **record}))
        light = sweep.lit - sweep.dark
        for what, counts, curve in (
            ("clicks for light", light, fit.light_hz(sweep.bias)),
            ("dark counts", sweep.dark, fit.dark_hz(sweep.bias)),
        ):
            variance = sweep.lit + sweep.dark if what == "clicks for light" else sweep.dark
            context.announce(
                Scan(
                    name=f"{detector}, {what} against bias",
                    x=tuple((sweep.bias + over).tolist()),
                    y=tuple((counts / sweep.seconds).tolist()),
                    error=tuple((np.sqrt(variance + 1) / sweep.seconds).tolist()),
                    fit=tuple(curve.tolist()),
                    x_label=f"bias, {unit}",
                    y_label=f"{what} per second",
                    summary={
                        "set": point.bias + over,
                        "efficiency": point.efficiency,
                        "dark_hz": point.dark_hz,
                    },
                )
            )


class Biases:
    """A bias unit of either kind: nanowires by their current, diodes by their voltage."""

    def __init__(self, unit: SinglePhotonDetector) -> None:
        self._unit = unit
        self._now: dict[int, float] = {}

    @property
    def kind(self) -> Kind:
        return "nanowire" if isinstance(self._unit, NanowireBias) else "avalanche_diode"

    @property
    def latches_unseen(self) -> bool:
        """Whether a channel may latch, and nobody tells."""
        return isinstance(self._unit, NanowireBias) and not isinstance(self._unit, LatchSensor)

    @property
    def limits(self) -> Limits:
        if isinstance(self._unit, NanowireBias):
            return self._unit.bias_limits
        assert isinstance(self._unit, DiodeBias)  # `CalibrateDetectors.faults` refuses any other
        return self._unit.bias_voltage_limits

    async def switch_on(self) -> None:
        """Every channel at the lowest bias, and connected."""
        for channel in self._unit.channels:
            await self._set(channel, self.limits.low)
        if isinstance(self._unit, NanowireBias):
            await self._unit.set_enabled(True)

    async def go_to(self, wanted: Mapping[int, float], context: Context) -> None:
        """Take these channels to these biases, nanowires in small steps on the way up, and wait until they
        are there. What is below the limits becomes the lowest bias."""
        wanted = {channel: max(bias, self.limits.low) for channel, bias in wanted.items()}
        begin = {channel: self._now[channel] for channel in wanted}
        rise = max((wanted[channel] - begin[channel] for channel in wanted), default=0.0)
        steps = max(ceil(rise / BIAS_STEP_A - 1e-9), 1) if self.kind == "nanowire" else 1
        for step in range(1, steps + 1):
            for channel, bias in wanted.items():
                if bias != begin[channel]:
                    await self._set(channel, begin[channel] + (bias - begin[channel]) * step / steps)
            if step < steps:
                await context.clock.sleep(BIAS_PAUSE_S)
        await settle([self._unit], context.clock, LASER_S)

    async def verify(self) -> None:
        """RunError unless every channel reads back what it was set to."""
        for channel, asked in self._now.items():
            found = await self._read(channel)
            within = TOLERANCE * abs(asked) + 1e-8
            verify(self._unit, f"bias of channel {channel}", asked, found, within, self.limits.unit)

    async def latched(self, channels: Iterable[int]) -> list[int]:
        """Which of these have latched, as far as the electronics can tell."""
        unit = self._unit
        if not isinstance(unit, LatchSensor):
            return []
        return [channel for channel in channels if await unit.is_latched(channel)]

    async def _set(self, channel: int, bias: float) -> None:
        if isinstance(self._unit, NanowireBias):
            await self._unit.set_bias(channel, bias)
        elif isinstance(self._unit, DiodeBias):
            await self._unit.set_bias_voltage(channel, bias)
        self._now[channel] = bias

    async def _read(self, channel: int) -> float:
        if isinstance(self._unit, NanowireBias):
            return await self._unit.bias(channel)
        assert isinstance(self._unit, DiodeBias)
        return await self._unit.bias_voltage(channel)


def _tell_latched(context: Context, detector: str, bias: float, unit: Biases, how: str) -> None:
    message = f"{detector} latched at {bias:.4g} {unit.limits.unit} {how}; it goes no higher"
    details = {"detector": detector, "bias": bias}
    context.announce(Happened("latched in sweep", message, details, "warning"))


def _usable(
    dark: Mapping[float, int], lit: Mapping[float, int], latched: float, parameters: CalibrateDetectors
) -> BiasSweep:
    """The points below the bias at which the channel latched; of diodes over their breakdown."""
    biases = sorted(bias for bias in dark.keys() & lit.keys() if bias < latched)
    over = parameters.breakdown or 0.0
    return BiasSweep(
        np.array([bias - over for bias in biases]),
        np.array([lit[bias] for bias in biases], float),
        np.array([dark[bias] for bias in biases], float),
        parameters.dwell,
    )
