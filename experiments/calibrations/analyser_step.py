"""`calibrate_analyser`: how the wave plates of an analyser stand and retard, from the counts behind it in
known light.

What is found holds for all that comes after: mounts are turned so that the plates' axes are where they are
meant to be (`experiments.measurements.analysers`), and what cannot be turned away (retardance, extinction) is
known to whoever takes account of it. A later run takes it over when its section `calibrations` has `optics`.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from drivers.capabilities import RotationMount
from experiments.calibrations.analyser import (
    HWP_MEANWHILE_RAD,
    UNITS,
    AnalyserFit,
    FitError,
    fit,
    settings,
    share_of,
)
from experiments.calibrations.polarization.counting import Counts, tags_of
from experiments.calibrations.polarization.lighting import Lighting
from experiments.config.experiment import Experiment
from experiments.config.plan import CalibrateAnalyser
from experiments.engine.bench import Bench
from experiments.engine.events import Happened, Scan
from experiments.engine.motion import turn
from experiments.engine.outcome import RunError
from experiments.engine.record import utc_now
from experiments.engine.step import Context, SetPoint, Step
from experiments.estimators.analyser import AnalyserOptics
from experiments.measurements.analysers import OPTICS

POLICY = "optics"
"""The name that the section `calibrations` has for those of all analysers."""


class CalibrateAnalyserStep(Step[CalibrateAnalyser]):
    """`calibrate_analyser`."""

    needs_tags = True
    can_go_on = True

    def __init__(self, parameters: CalibrateAnalyser) -> None:
        super().__init__(parameters)
        self._lighting: Lighting | None = None
        """The same after an interruption: it knows which nanowires it has disconnected."""

    def changes(self, bench: Bench, experiment: Experiment) -> set[str]:
        del experiment
        mounts = {mount.name for mount in _mounts(bench, self.parameters.analyser)}
        return mounts | Lighting(self.parameters.led, bench).instruments

    def set_points(self, bench: Bench, experiment: Experiment) -> Iterator[SetPoint]:
        del experiment
        qwp, hwp = _mounts(bench, self.parameters.analyser)
        for first, second in settings():
            yield SetPoint(qwp.name, "angle", first, qwp.angle_limits)
            yield SetPoint(hwp.name, "angle", second, hwp.angle_limits)

    async def run(self, context: Context) -> None:
        parameters, bench = self.parameters, context.bench
        lighting = self._lighting = self._lighting or Lighting(parameters.led, bench)
        try:
            await lighting.to_probe(parameters.light, context)
            counts = await self._count(context)
            await lighting.to_photons(context)
        except BaseException:
            await lighting.shut_probes(context)
            raise
        sent = bench.testbed.beams[parameters.light.beam].polarization.stokes
        try:
            found = await asyncio.to_thread(fit, settings(), counts, sent)
        except FitError as error:
            raise RunError(f"{parameters.analyser}: {error}") from error
        use_optics(context, parameters.analyser, found.optics)
        record = _record(found)
        name = OPTICS.format(parameters.analyser)
        context.store_calibration(name, {"utc": utc_now(), "run": context.folder.name, **record})
        for scan in _scans(parameters.analyser, counts, found, sent):
            context.announce(scan)
        zeros = ", ".join(
            f"{plate} {1e3 * found.values[key]:+.2f} +- {1e3 * found.errors[key]:.2f} mrad"
            for plate, key in (("quarter-wave plate", "qwp_zero_rad"), ("half-wave plate", "hwp_zero_rad"))
        )
        message = f"zeros of {parameters.analyser}: {zeros}"
        context.announce(Happened("calibrated", message, {"calibration": name, **record}))

    async def _count(self, context: Context) -> Counts:
        """Counts (n, 2) of outputs H and V in every setting, the mounts at their own angles."""
        qwp, hwp = _mounts(context.bench, self.parameters.analyser)
        detectors = context.bench.spoke_detectors(self.parameters.analyser)
        counts = []
        for number, (first, second) in enumerate(settings()):
            context.progress(f"{self.parameters.analyser}, setting {number + 1} of {len(settings())}")
            await turn({qwp: first, hwp: second}, context.clock)
            tags = await tags_of(context, detectors, self.parameters.dwell)
            counts.append([len(tags[name]) for name in detectors])
        return np.array(counts, dtype=np.int64)


def use_optics(context: Context, analyser: str, optics: AnalyserOptics) -> None:
    """From now on, turn the mounts of an analyser so that its zeros do not matter."""
    qwp, hwp = _mounts(context.bench, analyser)
    context.bench.zeros_rad[qwp.name] = optics.qwp_zero_rad
    context.bench.zeros_rad[hwp.name] = optics.hwp_zero_rad
    context.calibrations.put(OPTICS.format(analyser), without_zeros(optics))


def without_zeros(optics: AnalyserOptics) -> AnalyserOptics:
    """What is left when the mounts are turned so that the zeros do not matter."""
    return replace(optics, qwp_zero_rad=0.0, hwp_zero_rad=0.0)


def take_over_optics(context: Context) -> None:
    """Use the calibrations of earlier runs, as the section `calibrations` allows; of analysers that the plan
    calibrates itself none. Raises RunError where one is too old or missing, unless `when_old: renew` lets it
    be."""
    policy = context.experiment.calibrations.get(POLICY)
    if policy is None:
        return
    own = {step.analyser for step in context.experiment.plan if isinstance(step, CalibrateAnalyser)}
    for analyser in context.bench.testbed.analysers:
        name = OPTICS.format(analyser)
        known = None if analyser in own else context.fresh_calibration(name)
        if known is not None and known.is_fresh(datetime.now(UTC), policy.valid_for):
            use_optics(context, analyser, optics_in(known.record))
            context.use_calibration(name, {**known.record, "taken_over": {"run": known.run}})
            message = f"{name} of {known.run}"
            details = {"calibration": name, "run": known.run}
            context.announce(Happened("calibration taken over", message, details))
        elif analyser not in own and policy.when_old == "refuse":
            raise RunError(
                f"{name}: there is no calibration that is young enough. Add calibrate_analyser to the plan, "
                "or write when_old: renew to go without"
            )


def _mounts(bench: Bench, analyser: str) -> tuple[RotationMount, RotationMount]:
    stands = bench.testbed.analysers[analyser]
    return bench.get(stands.qwp, RotationMount), bench.get(stands.hwp, RotationMount)


def _record(found: AnalyserFit) -> dict[str, object]:
    figures = {
        name.removesuffix("_rad"): {
            "value": value,
            "unit": UNITS.get(name, "rad"),
            "uncertainty": found.errors[name],
        }
        for name, value in found.values.items()
    }
    convention = "axis of a plate = angle of its mount + zero"
    return {"convention": convention, **figures, "chi2_per_dof": found.chi2_per_dof}


def optics_in(record: Mapping[str, Any]) -> AnalyserOptics:
    """What the record of a calibration says of an analyser. KeyError, TypeError or ValueError where it says
    nothing of the kind."""

    def of(name: str) -> float:
        return float(record[name]["value"])

    return AnalyserOptics(of("qwp_zero"), of("hwp_zero"), of("qwp_error"), of("hwp_error"), of("extinction"))


def _scans(
    analyser: str, counts: Counts, found: AnalyserFit, sent: tuple[float, float, float]
) -> Iterator[Scan]:
    """Both turns as people look at them: the share of output H against the angle of the plate that turned."""
    angles = np.array(settings())
    total = counts.sum(axis=1)
    shares = counts[:, 0] / total
    errors = np.sqrt((counts[:, 0] + 0.5) * (counts[:, 1] + 0.5) / (total + 1.0) ** 3)
    fitted = share_of(found, settings(), sent)
    half = len(angles) // 2
    turns: Sequence[tuple[str, slice, int]] = (
        ("half-wave plate", slice(0, half), 1),
        ("quarter-wave plate", slice(half, None), 0),
    )
    for plate, part, column in turns:
        yield Scan(
            name=f"{analyser}, {plate}",
            x=tuple(angles[part, column].tolist()),
            y=tuple(shares[part].tolist()),
            error=tuple(errors[part].tolist()),
            fit=tuple(fitted[part].tolist()),
            x_label=f"angle of the {plate}, rad",
            y_label="share of output H",
            summary={**found.values, "hwp_meanwhile_rad": HWP_MEANWHILE_RAD},
        )
