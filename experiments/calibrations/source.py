"""`calibrate_source`: the pump power of a pair source for a wanted rate, at a wanted fidelity.

The pump is swept in shuffled order, so that a slow drift is not taken for a slope. At each power both
analysers stand at H and V, whose four outcomes together count every pair, whichever way the fibres turn its
polarization. Rate and fidelity come as one operating point (`testbeds.md` 8, trap b), which is then set and
measured once more: what is found there is kept beside what the fit expects.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np

from drivers.capabilities import Laser
from experiments.calibrations.pair_delays import tracked_delays
from experiments.calibrations.tracking import DelayTracker
from experiments.config.experiment import Experiment
from experiments.config.plan import CalibrateSource
from experiments.config.settings import PairSettings, source_of_pair
from experiments.engine.bench import Bench
from experiments.engine.bring_up import LASER_S, POWER_TOLERANCE
from experiments.engine.events import Happened, Scan
from experiments.engine.motion import settle, turn, verify
from experiments.engine.outcome import RunError
from experiments.engine.record import utc_now
from experiments.engine.step import Context, SetPoint, Step
from experiments.engine.switching import connect
from experiments.engine.tags import PS
from experiments.estimators.estimate import Estimate, rate
from experiments.estimators.heralding import Arm, Coincident, car, heralding_efficiency
from experiments.estimators.poisson_fit import FitError
from experiments.estimators.pump_sweep import OperatingPoint, PumpFit, PumpSweep, fit_pump, power_for
from experiments.measurements.analysers import ZZ_XX_YY
from experiments.measurements.pair_dwell import PairDwell, PairSlice, Windows
from experiments.measurements.pulses import period_of_pair

CALIBRATION = "source {}"
_SHUFFLE = 0x90133
"""Tells the random numbers for the order of powers from others made of the same seed."""


@dataclass(frozen=True)
class Point:
    """What was counted at one pump power, in `seconds`: singles of both arms, coincidences in the window and
    in displaced ones."""

    power_w: float
    seconds: float
    singles: tuple[int, int]
    pairs: Coincident

    @property
    def rate_hz(self) -> Estimate:
        """True coincidences."""
        return self.pairs.true.times(1 / self.seconds)

    @property
    def heralding(self) -> tuple[Estimate, Estimate]:
        """Of the first analyser's photon by the second's click, and the other way round; dark counts are not
        taken off. ValueError where nothing clicks."""
        first, second = (Arm(n, Estimate(0.0, 0.0)) for n in self.singles)
        return heralding_efficiency(self.pairs, second), heralding_efficiency(self.pairs, first)

    def to_json(self) -> dict[str, object]:
        first, second = self.heralding
        return {
            "power": {"value": self.power_w, "unit": "W"},
            "singles": [
                {"value": n / self.seconds, "unit": "Hz", "uncertainty": n**0.5 / self.seconds}
                for n in self.singles
            ],
            "coincidences_raw": _quantity(rate(self.pairs.counted, self.seconds), "Hz"),
            "true_coincidences": _quantity(self.rate_hz, "Hz"),
            "car": _quantity(car(self.pairs), "1"),
            "heralding_first": _quantity(first, "1"),
            "heralding_second": _quantity(second, "1"),
        }


class CalibrateSourceStep(Step[CalibrateSource]):
    """`calibrate_source`."""

    needs_tags = True
    needs_calibrations = ("pair delays",)
    can_go_on = True

    def __init__(self, parameters: CalibrateSource) -> None:
        super().__init__(parameters)
        self._points: list[Point] = []
        self._dwell: PairDwell | None = None

    def changes(self, bench: Bench, experiment: Experiment) -> set[str]:
        pair = experiment.pair(self.parameters.pair)
        mounts = ZZ_XX_YY["ZZ"].angles(bench, pair.analysers)
        return {mount.name for mount in mounts} | set(pair.switches) | {self._pump(bench, experiment)[1].name}

    def set_points(self, bench: Bench, experiment: Experiment) -> Iterator[SetPoint]:
        pair = experiment.pair(self.parameters.pair)
        for mount, angle in ZZ_XX_YY["ZZ"].angles(bench, pair.analysers).items():
            yield SetPoint(mount.name, "angle", angle, mount.angle_limits)
        _, pump = self._pump(bench, experiment)
        for power in self.parameters.powers:
            yield SetPoint(pump.name, "power", power, pump.power_limits)

    async def run(self, context: Context) -> None:
        parameters, bench = self.parameters, context.bench
        source, pump = self._pump(bench, context.experiment)
        pair = context.experiment.pair(parameters.pair)
        if not await pump.emission():
            raise RunError(f"{pump.name} does not emit; switch it on in bring_up before {self.kind}")
        await connect(pair.switches, bench, context.clock)
        await turn(ZZ_XX_YY["ZZ"].angles(bench, pair.analysers), context.clock)
        order = (
            np.random.default_rng([context.seed, _SHUFFLE]).permutation(sorted(parameters.powers)).tolist()
        )
        for power in order[len(self._points) :]:
            await context.safe_point()
            doing = f"{source}, power {len(self._points) + 1} of {len(order)}"
            self._points.append(await self._measure(context, pump, power, doing))
            self.safe_points += 1
        try:
            fit = await asyncio.to_thread(self._fitted, pair, period_of_pair(bench.testbed, pair))
            chosen = power_for(fit, parameters.rate, parameters.fidelity)
        except FitError as error:
            raise RunError(f"{source}: {error}") from error
        found = await self._measure(context, pump, chosen.power_w, f"{source} at its operating point")
        self._keep(context, source, fit, chosen, found)

    async def interrupted(self, context: Context) -> None:
        if self._dwell is not None:
            dwell, self._dwell = self._dwell, None
            await dwell.cut_short(context.tags)
            message = f"{dwell.setting} does not count and will be measured again"
            context.announce(Happened("vetoed", message, dwell.window, "warning"))

    async def _measure(self, context: Context, pump: Laser, power_w: float, doing: str) -> Point:
        parameters, bench = self.parameters, context.bench
        pair = context.experiment.pair(parameters.pair)
        context.standing.lowers(pump.name, {"power": power_w})
        await pump.set_power(power_w)
        await settle([pump], context.clock, LASER_S)
        verify(pump, "power", power_w, await pump.power(), POWER_TOLERANCE * power_w, "W")
        tracker = context.calibrations.get(tracked_delays(pair.analysers), DelayTracker)

        windows = Windows.of(pair, period_of_pair(bench.testbed, pair))

        def slice_of(window_ps: tuple[int, int]) -> PairSlice:
            return PairSlice(windows, tracker, window_ps)

        dwell = self._dwell = PairDwell.open(
            f"pump at {power_w * 1e3:.4g} mW",
            parameters.dwell,
            context.tags,
            len(bench.detectors),
            tracker,
            slice_of,
        )
        context.announce(Happened("sweep point", dwell.setting, dwell.window))
        await context.let_pass(context.tags.lasts(parameters.dwell), doing)
        await dwell.all_in(context)
        self._dwell = None
        first, second = (_singles(dwell, bench, analyser) for analyser in pair.analysers)
        pairs = Coincident(int(dwell.raw.sum()), int(dwell.displaced.sum()), windows.displacements)
        return Point(power_w, dwell.live_ps / PS, (first, second), pairs)

    def _fitted(self, pair: PairSettings, period_s: float | None) -> PumpFit:
        points = sorted(self._points, key=lambda point: point.power_w)
        sweep = PumpSweep(
            np.array([point.power_w for point in points]),
            np.array([point.singles[0] for point in points], float),
            np.array([point.singles[1] for point in points], float),
            np.array([point.pairs.counted for point in points], float),
            points[0].seconds,
            pair.window,
            # Of a continuous source the window itself tells what is accidental, and better.
            None if period_s is None else np.array([point.pairs.displaced for point in points], float),
            points[0].pairs.displacements,
        )
        return fit_pump(sweep, self.parameters.perfect)

    def _keep(
        self, context: Context, source: str, fit: PumpFit, chosen: OperatingPoint, found: Point
    ) -> None:
        points = sorted(self._points, key=lambda point: point.power_w)
        record: dict[str, object] = {
            "utc": utc_now(),
            "run": context.folder.name,
            "window": {"value": fit.window_s, "unit": "s"},
            "set": {
                "power": {"value": chosen.power_w, "unit": "W"},
                "true_coincidences": _quantity(_widened(chosen.rate_hz, fit), "Hz"),
                "car": _quantity(_widened(chosen.car, fit), "1"),
                "fidelity": _quantity(_widened(chosen.fidelity, fit), "1"),
                "takes": "what accidentals leave of pairs whose own fidelity is the step's `perfect`",
            },
            "found_there": found.to_json(),
            "deviance_per_dof": fit.deviance / max(fit.freedom, 1),
            "points": [point.to_json() for point in points],
        }
        context.store_calibration(CALIBRATION.format(source), record)
        message = (
            f"{source} at {chosen.power_w * 1e3:.4g} mW: {found.rate_hz.value:.4g} pairs/s with a CAR of "
            f"{car(found.pairs).value:.4g} (expected {chosen.rate_hz.value:.4g} and {chosen.car.value:.4g}, "
            f"fidelity {chosen.fidelity.value:.4f})"
        )
        details = {"calibration": CALIBRATION.format(source), **record}
        context.announce(Happened("calibrated", message, details))
        expected = [fit.at(point.power_w) for point in points]
        for name, label, measured, curve in (
            (
                "pairs",
                "true coincidences per second",
                [p.rate_hz for p in points],
                [e.rate_hz for e in expected],
            ),
            (
                "CAR",
                "coincidences over accidentals",
                [car(p.pairs) for p in points],
                [e.car for e in expected],
            ),
            ("heralding by the second", "C/S", [p.heralding[0] for p in points], []),
            ("heralding by the first", "C/S", [p.heralding[1] for p in points], []),
        ):
            context.announce(
                Scan(
                    name=f"{source}, {name} against pump power",
                    x=tuple(point.power_w for point in points),
                    y=tuple(each.value for each in measured),
                    error=tuple(each.error for each in measured),
                    fit=tuple(each.value for each in curve),
                    x_label="pump power, W",
                    y_label=label,
                    summary={"set_power_w": chosen.power_w},
                )
            )

    def _pump(self, bench: Bench, experiment: Experiment) -> tuple[str, Laser]:
        pair = experiment.pair(self.parameters.pair)
        source = source_of_pair(bench.testbed, pair.analysers, pair.switches)
        assert source is not None  # a pair without one is refused by `PairSettings.faults`
        return source, bench.get(bench.testbed.sources[source].pump, Laser)


def _singles(dwell: PairDwell, bench: Bench, analyser: str) -> int:
    """Those of both outputs. RunError where there are none, since no heralding can be told then."""
    detectors = bench.spoke_detectors(analyser)
    singles = int(dwell.singles[[bench.channel(name) for name in detectors]].sum())
    if singles == 0:
        raise RunError(
            f"{' and '.join(detectors)} did not click in {dwell.live_ps / PS:g} s with the {dwell.setting}. "
            "See whether they are biased, wired to their inputs of the tagger, and above its thresholds"
        )
    return singles


def _quantity(estimate: Estimate, unit: str) -> dict[str, object]:
    return {"value": estimate.value, "unit": unit, "uncertainty": estimate.error}


def _widened(estimate: Estimate, fit: PumpFit) -> Estimate:
    """With an error for how well the model fits: dead time bends the curves, and counts are many."""
    return Estimate(estimate.value, estimate.error * sqrt(max(1.0, fit.deviance / max(fit.freedom, 1))))
