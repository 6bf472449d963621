"""`scan_hom_delay`: two pulsed sources made to arrive together, by the Hong-Ou-Mandel dip over a delay line.

The line stands in one arm, in front of the hub. At each delay, in shuffled order so that a slow drift is not
taken for a slope, clicks of equal polarization behind both outputs are counted, together with those of the
heralds. Where the pulses meet there are fewest. Counts are put in relation to the singles of both outputs,
since a line loses more light at some places than at others. The fit's centre is the calibration; the line is
left there, or where it was.

The dip of two heralded photons is as deep as they are pure and alike. Without heralds, or with one, half of
all coincidences come from one source alone and do not dip: with equal thermal sources of purity P it is
P / (2 + P) deep, a third at best (`physics.md` 1, thermal extras). So visibilities of different folds cannot
be compared; the results say how many.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from drivers.capabilities import DelayLine
from experiments.calibrations.delay_step import TRACKED_DELAYS
from experiments.calibrations.hom_delay_dwell import HomDelayDwell, HomDelaySlice, signs
from experiments.calibrations.tracking import DelayTracker
from experiments.config.experiment import Experiment
from experiments.config.plan import ScanHomDelay
from experiments.config.plan.interference import arms_through
from experiments.engine.bench import Bench
from experiments.engine.events import Happened, Scan
from experiments.engine.motion import settle, turn, verify
from experiments.engine.outcome import RunError
from experiments.engine.record import utc_now
from experiments.engine.step import Context, SetPoint, Step
from experiments.engine.tags import PS
from experiments.estimators.dip import Dip
from experiments.estimators.dip_scan import DipScan
from experiments.estimators.estimate import Estimate
from experiments.estimators.poisson_fit import FitError
from experiments.measurements.analysers import ZZ_XX_YY
from experiments.measurements.pulses import period_at_spoke

CALIBRATION = "HOM delay"
ALIKE = ZZ_XX_YY["ZZ"]
MOVING_S = 60.0
"""Deadline for the line, in seconds of run clock: 200 mm at 20 mm/s take ten."""
CLEAR = 5.0
"""A dip is one when its visibility is so many standard errors above nothing."""
_SHUFFLE = 0xD1B
"""Tells the random numbers for the order of delays from others made of the same seed."""


@dataclass(frozen=True)
class Point:
    """What was counted with the line at one delay, in seconds: coincidences by displacement as in
    `HomDelaySlice`, singles of cH, cV, dH, dV, and for how long."""

    delay_s: float
    counts: NDArray[np.int64]
    hub_singles: NDArray[np.int64]
    live_s: float

    @property
    def exposure(self) -> float:
        """Chance coincidences of equal polarization, for a window of a second: in relation to these what is
        counted depends on the delay alone."""
        c_h, c_v, d_h, d_v = self.hub_singles.astype(float).tolist()
        return float((c_h * d_h + c_v * d_v) / self.live_s)


@dataclass(frozen=True)
class Fitted:
    """The dip, in ps: as it was counted, and without accidentals where they can be told apart."""

    raw: Dip
    net: Dip | None


class HomScan:
    """The points of a scan and what they say."""

    def __init__(self, parameters: ScanHomDelay, heralds: int) -> None:
        self._parameters, self._heralds = parameters, heralds
        self.points: list[Point] = []
        self.fitted: Fitted | None = None

    def fit(self) -> Fitted:
        """Fit all points. FitError where there is no clear dip among them."""
        parameters, scan = self._parameters, self._counts()
        tau = None if parameters.width is None else parameters.width * PS
        raw = scan.fit(parameters.shape, tau)
        if not raw.visibility.value > CLEAR * raw.visibility.error:
            v = raw.visibility
            raise FitError(
                f"no dip stands out between {parameters.start * PS:g} and {parameters.stop * PS:g} ps "
                f"(visibility {v.value:.3f} +- {v.error:.3f}). Scan further, or dwell longer"
            )
        if not (isfinite(raw.centre.error) and raw.centre.error < raw.tau.value):
            raise FitError("the scan does not say where its dip has its centre. Scan further")
        net = scan.fit_without_accidentals(raw, parameters.shape, tau) if self._heralds else None
        self.fitted = Fitted(raw, net)
        return self.fitted

    def _counts(self) -> DipScan:
        points = sorted(self.points, key=lambda point: point.delay_s)
        counts = np.array([point.counts for point in points])
        exposures = np.array([point.exposure for point in points])
        return DipScan(
            np.array([point.delay_s * PS for point in points]),
            counts[:, 0].astype(float),
            exposures / exposures.mean(),
            -(counts[:, 1:] @ signs(self._heralds)[1:]).astype(float),
            counts[:, 1:].sum(axis=1).astype(float),
        )

    def to_results(self) -> dict[str, object]:
        if not self.points:
            return {}
        scan, folds = self._counts(), 2 + self._heralds
        unknown = {"value": None, "error": None}
        found: dict[str, object] = dict.fromkeys(ScanHomDelay.results, unknown)
        if self.fitted is not None:
            raw, net = self.fitted.raw, self.fitted.net
            found = {
                "hom_scan_visibility": {
                    **raw.visibility.to_json(),
                    "subtracted": None if net is None else net.visibility.to_json(),
                    "folds": folds,
                    "window_s": self._parameters.window,
                    "takes": f"{folds}-folds of equal polarization against those far from the dip",
                    "chi2": raw.deviance,
                    "dof": raw.freedom,
                },
                "hom_scan_centre_ps": raw.centre.to_json(),
                "hom_scan_width_ps": raw.tau.to_json(),
            }
        return {
            **found,
            "hom_scan": {
                "delay_ps": scan.positions.tolist(),
                "coincidences": scan.counts.tolist(),
                "accidentals": scan.accidentals.tolist(),
                "exposure": scan.exposures.tolist(),
            },
            "live_time_s": sum(point.live_s for point in self.points),
        }

    def scan(self) -> Scan:
        """Coincidences over those far from the dip; while nothing is fitted, over their mean."""
        counted, fitted = self._counts(), self.fitted
        level = fitted.raw.level.value if fitted else float(counted.counts.mean()) or 1.0
        per = counted.exposures * level
        fit: tuple[float, ...] = ()
        summary: dict[str, object] = {"folds": 2 + self._heralds, "coincidences": counted.counts.sum()}
        if fitted:
            fit = tuple(fitted.raw.at(counted.positions, self._parameters.shape).tolist())
            summary |= {
                "visibility": fitted.raw.visibility.to_json(),
                "centre_ps": fitted.raw.centre.to_json(),
                "width_ps": fitted.raw.tau.to_json(),
            }
            if fitted.net is not None:
                summary["visibility_without_accidentals"] = fitted.net.visibility.to_json()
        return Scan(
            name="Hong-Ou-Mandel dip over the delay",
            x=tuple(counted.positions.tolist()),
            y=tuple((counted.counts / per).tolist()),
            error=tuple((np.sqrt(counted.counts + 1) / per).tolist()),
            fit=fit,
            x_label=f"delay of {self._parameters.delay_line}, ps",
            y_label=f"{2 + self._heralds}-folds, relative to those far from the dip",
            summary=summary,
        )


class LatestScan:
    """A section of the results: of several scans, coarse and fine, the last one counts."""

    scan: HomScan | None = None

    def to_results(self) -> dict[str, object]:
        return {} if self.scan is None else self.scan.to_results()


class ScanHomDelayStep(Step[ScanHomDelay]):
    """`scan_hom_delay`."""

    needs_tags = True
    needs_calibrations = ("delays",)
    can_go_on = True

    def __init__(self, parameters: ScanHomDelay) -> None:
        super().__init__(parameters)
        self._own: HomScan | None = None
        self._coming_in: HomDelayDwell | None = None
        """The dwell under way, or of which the last tags are still on their way."""
        self._before_s: float | None = None
        """Where the line was."""
        self._at_s = 0.0
        self._stands_s = 0.0
        """Where it is, and where it was when the delays of the tags were last right."""

    def changes(self, bench: Bench, experiment: Experiment) -> set[str]:
        mounts = ALIKE.angles(bench, experiment.swapping.spokes)
        return {mount.name for mount in mounts} | {self.parameters.delay_line}

    def set_points(self, bench: Bench, experiment: Experiment) -> Iterator[SetPoint]:
        for mount, angle in ALIKE.angles(bench, experiment.swapping.spokes).items():
            yield SetPoint(mount.name, "angle", angle, mount.angle_limits)
        line = bench.get(self.parameters.delay_line, DelayLine)
        for delay in (self.parameters.start, self.parameters.stop):
            yield SetPoint(line.name, "delay", delay, line.delay_limits)

    async def run(self, context: Context) -> None:
        parameters, scan = self.parameters, self._scan(context)
        line = context.bench.get(parameters.delay_line, DelayLine)
        if not await line.is_homed():
            raise RunError(f"{line.name} does not know its zero; let bring_up home it before {self.kind}")
        self._stands_s = self._at_s = await line.delay()
        if self._before_s is None:
            self._before_s = self._at_s
        await turn(ALIKE.angles(context.bench, context.experiment.swapping.spokes), context.clock)
        rng = np.random.default_rng([context.seed, _SHUFFLE])
        order = rng.permutation(parameters.delays).tolist()
        for number, delay in enumerate(order[len(scan.points) :], len(scan.points) + 1):
            await context.safe_point()
            doing = f"delay {number} of {len(order)}"
            context.progress(f"{doing}: moving {line.name}")
            await self._go(context, line, delay)
            await self._take(context)
            await self._count(context, f"{line.name} at {delay * PS:.4g} ps", doing)
        await self._take(context)
        try:
            fitted = await asyncio.to_thread(scan.fit)
        except FitError as error:
            context.announce(scan.scan())
            context.store_results()
            raise RunError(f"{self.kind}: {error}") from error
        rest = fitted.raw.centre.value / PS if parameters.go_to_dip else self._before_s
        await self._go(context, line, rest)
        self._follow(context)
        self._keep(context, scan, fitted)

    async def finish(self, context: Context) -> None:
        """What was counted until here goes on record; too little is left unfitted."""
        await self._take(context)
        scan = self._scan(context)
        if scan.points:
            context.announce(scan.scan())
            context.store_results()

    async def interrupted(self, context: Context) -> None:
        if self._coming_in is not None:
            dwell, self._coming_in = self._coming_in, None
            await dwell.cut_short(context.tags)
            message = f"{dwell.setting} does not count and will be measured again"
            context.announce(Happened("vetoed", message, dwell.window, "warning"))

    async def _go(self, context: Context, line: DelayLine, delay_s: float) -> None:
        """Send the line there, wait until it stands and read back where."""
        await line.set_delay(delay_s)
        await settle([line], context.clock, MOVING_S)
        self._at_s = await line.delay()
        verify(line, "delay", delay_s, self._at_s, self.parameters.spacing / 4, "s")

    def _follow(self, context: Context) -> None:
        """Photons of this arm come later at the hub than before: its spoke's tags are the earlier."""
        tracker = context.calibrations.get(TRACKED_DELAYS, DelayTracker)
        spokes = context.experiment.swapping.spokes
        [arm] = arms_through(context.bench.testbed, spokes, self.parameters.delay_line)
        by_ps = -(self._at_s - self._stands_s) * PS
        tracker.shift(arm, by_ps)
        self._stands_s = self._at_s
        # So that whoever counts the stored tags again can follow too.
        details = {"spoke": spokes[arm], "by_ps": by_ps, "time_ps": context.tags.now_ps}
        context.announce(Happened("delay moved", f"{spokes[arm]} is {by_ps:+.0f} ps later", details))

    async def _count(self, context: Context, setting: str, doing: str) -> None:
        parameters, experiment = self.parameters, context.experiment
        self._follow(context)
        tracker = context.calibrations.get(TRACKED_DELAYS, DelayTracker)
        settings, heralds = experiment.swapping, self._heralds(experiment)
        # That of both sources: `ScanHomDelay.faults` refuses others.
        period_s = period_at_spoke(context.bench.testbed, settings.spokes[0])
        assert period_s is not None

        def slice_of(window_ps: tuple[int, int]) -> HomDelaySlice:
            return HomDelaySlice(settings, heralds, parameters.window, period_s, tracker, window_ps)

        channels = len(context.bench.detectors)
        self._coming_in = dwell = HomDelayDwell.open(
            setting, parameters.dwell, context.tags, channels, tracker, slice_of
        )
        context.announce(Happened("sweep point", setting, dwell.window))
        await context.let_pass(context.tags.lasts(parameters.dwell), doing)

    async def _take(self, context: Context) -> None:
        """Wait for the last tags of the dwell before, and keep its counts."""
        if (dwell := self._coming_in) is None:
            return
        await dwell.all_in(context)
        bench, measurement = context.bench, context.experiment.swapping.bell_state_measurement
        hub = [bench.channel(name) for name in bench.hub_detectors(measurement)]
        self._coming_in = None
        point = Point(self._stands_s, dwell.counts, dwell.singles[hub], dwell.live_ps / PS)
        self._scan(context).points.append(point)
        self.safe_points += 1

    def _scan(self, context: Context) -> HomScan:
        if self._own is None:
            self._own = HomScan(self.parameters, len(self._heralds(context.experiment)))
        context.results.section(self.parameters, LatestScan).scan = self._own
        return self._own

    def _heralds(self, experiment: Experiment) -> list[int]:
        """The spokes that herald, by their numbers."""
        spokes, named = experiment.swapping.spokes, self.parameters.heralds
        return [k for k, spoke in enumerate(spokes) if named is None or spoke in named]

    def _keep(self, context: Context, scan: HomScan, fitted: Fitted) -> None:
        line = self.parameters.delay_line
        raw, net = fitted.raw, fitted.net
        record: dict[str, object] = {
            "utc": utc_now(),
            "run": context.folder.name,
            "folds": 2 + len(self._heralds(context.experiment)),
            "centre": {line: _quantity(raw.centre, "ps")},
            "width": {line: _quantity(raw.tau, "ps")},
            "visibility": {
                "raw": _quantity(raw.visibility, "1"),
                **({} if net is None else {"without accidentals": _quantity(net.visibility, "1")}),
            },
            "left_at": {line: {"value": self._at_s * PS, "unit": "ps"}},
        }
        context.store_calibration(CALIBRATION, record)
        centre, depth = raw.centre, raw.visibility
        message = (
            f"the dip is at {centre.value:.4g} +- {centre.error:.2g} ps of {line}, {depth.value:.3f} +- "
            f"{depth.error:.3f} deep in {record['folds']}-folds; the line is at {self._at_s * PS:.4g} ps"
        )
        context.announce(Happened("calibrated", message, {"calibration": CALIBRATION, **record}))
        context.announce(scan.scan())
        context.store_results()


def _quantity(estimate: Estimate, unit: str) -> dict[str, object]:
    return {"value": estimate.value, "unit": unit, "uncertainty": estimate.error}
