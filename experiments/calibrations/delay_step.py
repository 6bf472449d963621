"""`calibrate_delays`: align all taggers and detectors from two seconds of tags.

The analysers stand at 45 deg meanwhile: each spoke detector then shares pairs with every hub detector,
whichever way the polarization goes, so that all peaks are strong and one fit ties all detectors together.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from experiments.calibrations.delays import (
    CalibrationError,
    Delay,
    DelayCalibration,
    Wire,
    calibrate_delays,
)
from experiments.calibrations.history import Calibration
from experiments.calibrations.pooled_peaks import pooled_peaks
from experiments.calibrations.tracking import DelayTracker
from experiments.config.experiment import Experiment
from experiments.config.plan import CalibrateDelays
from experiments.engine.bench import Bench
from experiments.engine.events import DelaySeen, Happened
from experiments.engine.motion import turn
from experiments.engine.outcome import RunError, StorageError
from experiments.engine.record import utc_now
from experiments.engine.step import Context, SetPoint, Step
from experiments.engine.tags import PS, TAIL_S
from experiments.measurements.analysers import Setting, linear
from timetags.clocks.track import TrackPoint

TRACKED_DELAYS = "tracked delays"
"""The calibration that goes on after the delays were found: the `DelayTracker` that follows them."""
DIAGONAL = Setting("delays", (linear(45), linear(45)))


class CalibrateDelaysStep(Step[CalibrateDelays]):
    """`calibrate_delays`."""

    needs_tags = True
    can_go_on = True
    makes_calibrations = ("delays",)

    def changes(self, bench: Bench, experiment: Experiment) -> set[str]:
        return {mount.name for mount in DIAGONAL.angles(bench, experiment.swapping.spokes)}

    def set_points(self, bench: Bench, experiment: Experiment) -> Iterator[SetPoint]:
        for mount, angle in DIAGONAL.angles(bench, experiment.swapping.spokes).items():
            yield SetPoint(mount.name, "angle", angle, mount.angle_limits)

    async def run(self, context: Context) -> None:
        bench, settings = context.bench, context.experiment.swapping
        context.progress("turning wave plates")
        await turn(DIAGONAL.angles(bench, settings.spokes), context.clock)
        begin, end = context.tags.window(self.parameters.duration)
        captures = context.tags.capture(begin, end)
        await context.let_pass(
            context.tags.lasts(self.parameters.duration) + TAIL_S, "taking tags for the delays"
        )
        await context.tags.captured(end)
        context.progress("finding the delays")
        tags = {tagger: capture.tags() for tagger, capture in captures.items()}
        wires = {name: Wire(bench.tagger_of(name), bench.channel(name)) for name in bench.detectors}
        spokes = [bench.spoke_detectors(spoke) for spoke in settings.spokes]
        hub = bench.hub_detectors(settings.bell_state_measurement)
        search_ps = round(self.parameters.search * PS)
        try:
            found = await asyncio.to_thread(
                calibrate_delays, tags, wires, spokes, hub, search_ps, self.parameters.max_skew
            )
        except CalibrationError as error:
            raise RunError(str(error)) from error
        about = delay_record(found, context.folder.name, self.parameters.duration, (begin + end) // 2)
        context.store_calibration("delays", about)
        _put_in_force(found, context, (begin + end) // 2)
        shifts = ", ".join(f"{tagger} {shift / 1e6:+.6f} us" for tagger, shift in found.shifts_ps.items())
        context.announce(Happened("calibrated", f"delays: {shifts}", {"calibration": "delays", **about}))
        by_spoke = dict(zip(settings.spokes, spokes, strict=True))
        window = settings.spoke_window, settings.spoke_window_centre
        for peaks in await asyncio.to_thread(list, pooled_peaks(found, tags, wires, by_spoke, hub, window)):
            context.announce(peaks)

    def obstacle(self, record: Mapping[str, Any], bench: Bench, experiment: Experiment) -> str:
        """Delays between taggers hold for one recording: each begins to count when it gets the word."""
        settings = experiment.swapping
        detectors = [name for spoke in settings.spokes for name in bench.spoke_detectors(spoke)]
        detectors += bench.hub_detectors(settings.bell_state_measurement)
        taggers = sorted({bench.tagger_of(name) for name in detectors})
        if len(taggers) > 1:
            return (
                f"delays between {' and '.join(taggers)} hold only for the recording that they were found in"
            )
        found = _read(record)
        unknown = [name for name in detectors if found is None or name not in found.fine]
        return f"it does not say the delay of {', '.join(unknown)}" if unknown else ""

    async def take_over(self, calibration: Calibration, context: Context) -> Mapping[str, object]:
        found = _read(calibration.record)
        assert found is not None  # `obstacle` would have said so
        age_ps = round(calibration.age_s(datetime.now(UTC)) * PS)
        # As if it had been found that long ago in this recording: the track widens with the time since.
        middle_ps = context.tags.window(0.0)[0] - age_ps
        _put_in_force(found, context, middle_ps)
        return {"middle_ps": middle_ps}


def _put_in_force(found: DelayCalibration, context: Context, time_ps: int) -> None:
    """Align the streams with delays found at `time_ps` of hub time, and follow them from there."""
    bench, settings = context.bench, context.experiment.swapping
    context.calibrations.put("delays", found)
    tracker = DelayTracker(
        [bench.channel(name) for name in bench.hub_detectors(settings.bell_state_measurement)],
        [[bench.channel(name) for name in bench.spoke_detectors(spoke)] for spoke in settings.spokes],
        {bench.channel(name): delay for name, delay in found.delays_ps().items()},
        time_ps=time_ps,
        error_ps=max(delay.error_ps for delay in found.fine.values()),
        rate_sigma=found.rate_sigma,
        on_point=tell_points(context, settings.spokes),
    )
    context.calibrations.put(TRACKED_DELAYS, tracker)
    # A tagger without a detector of this experiment has no shift of its own; any will do.
    context.tags.align({tagger: found.clock(tagger) for tagger in context.tags.feeds})


def tell_points(context: Context, spokes: Sequence[str]) -> Callable[[int, TrackPoint], None]:
    """Puts what the tracker sees, in whatever thread, on record in the event loop."""
    loop = asyncio.get_running_loop()

    def tell(spoke: int, point: TrackPoint) -> None:
        with suppress(StorageError):  # a disk that is full stops the run elsewhere
            context.announce(DelaySeen(spokes[spoke], **asdict(point)))

    def on_point(spoke: int, point: TrackPoint) -> None:
        loop.call_soon_threadsafe(tell, spoke, point)

    return on_point


def _read(record: Mapping[str, Any]) -> DelayCalibration | None:
    """The calibration that `delay_record` wrote, without its peaks; None of what is none."""
    try:
        shifts = {name: int(shift["value"]) for name, shift in record["tagger_shifts"].items()}
        fine = {
            name: Delay(float(delay["value"]), float(delay["uncertainty"]))
            for name, delay in record["detector_delays"].items()
        }
        return DelayCalibration(shifts, fine, (), float(record["chi2_per_dof"]))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def delay_record(found: DelayCalibration, run: str, seconds: float, middle_ps: int) -> dict[str, object]:
    """The calibration for calibrations.json: each value with its unit, uncertainty, time and run."""
    coarse = {
        name: {"value": shift, "unit": "ps", "uncertainty": 0} for name, shift in found.shifts_ps.items()
    }
    fine = {
        name: {"value": delay.value_ps, "unit": "ps", "uncertainty": delay.error_ps}
        for name, delay in found.fine.items()
    }
    rates = {
        name: {"value": rate.value, "unit": "1", "uncertainty": rate.error}
        for name, rate in found.rates.items()
    }
    peaks = [
        {
            "spoke": p.spoke,
            "hub": p.hub,
            "value": p.position_ps,
            "unit": "ps",
            "uncertainty": p.error_ps,
            "pairs": p.pairs,
        }
        for p in found.peaks
    ]
    return {
        "utc": utc_now(),
        "run": run,
        "taken_s": seconds,
        "middle_ps": middle_ps,
        "convention": "time on the hub's base = tagger time + tagger shift + rate (tagger time - at) + "
        "detector delay",
        "tagger_shifts": coarse,
        **({"tagger_rates": rates} if rates else {}),
        **({"tagger_rates_at_ps": {name: rate.at_ps for name, rate in found.rates.items()}} if rates else {}),
        "detector_delays": fine,
        "chi2_per_dof": found.chi2_per_dof,
        "peaks": peaks,
    }
