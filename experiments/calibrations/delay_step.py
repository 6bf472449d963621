"""`calibrate_delays`: align all taggers and detectors from two seconds of tags.

The analysers stand at 45 deg meanwhile: each spoke detector then shares pairs with every hub detector,
whichever way the polarization goes, so that all peaks are strong and one fit ties all detectors together.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from experiments.calibrations.delay_search import (
    Detectors,
    delay_record,
    find_delays,
    follow,
    read_delays,
    show_peaks,
)
from experiments.calibrations.delays import DelayCalibration
from experiments.calibrations.history import Calibration
from experiments.config.experiment import Experiment
from experiments.config.plan import CalibrateDelays
from experiments.config.settings import SwappingSettings
from experiments.engine.bench import Bench
from experiments.engine.events import Happened
from experiments.engine.motion import turn
from experiments.engine.step import Context, SetPoint, Step
from experiments.engine.tags import PS
from experiments.measurements.analysers import Setting, linear

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
        detectors = _detectors(bench, settings)
        found = await find_delays(self.parameters, detectors, context)
        about = delay_record(found.delays, context.folder.name, self.parameters.duration, found.middle_ps)
        context.store_calibration("delays", about)
        _put_in_force(found.delays, context, found.middle_ps)
        shifts = ", ".join(
            f"{tagger} {shift / 1e6:+.6f} us" for tagger, shift in found.delays.shifts_ps.items()
        )
        context.announce(Happened("calibrated", f"delays: {shifts}", {"calibration": "delays", **about}))
        window = settings.spoke_window, settings.spoke_window_centre
        await show_peaks(found, found.delays, detectors, window, context)

    def obstacle(self, record: Mapping[str, Any], bench: Bench, experiment: Experiment) -> str:
        """Delays between taggers hold for one recording: each begins to count when it gets the word."""
        named = _detectors(bench, experiment.swapping)
        detectors = [*(name for spoke in named.spokes.values() for name in spoke), *named.hub]
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


def _detectors(bench: Bench, settings: SwappingSettings) -> Detectors:
    spokes = {spoke: bench.spoke_detectors(spoke) for spoke in settings.spokes}
    return Detectors(spokes, bench.hub_detectors(settings.bell_state_measurement))


def _put_in_force(found: DelayCalibration, context: Context, time_ps: int) -> None:
    """Align the streams with delays found at `time_ps` of hub time, and follow them from there."""
    context.calibrations.put("delays", found)
    detectors = _detectors(context.bench, context.experiment.swapping)
    tracker = follow(found, detectors, time_ps, context)
    context.calibrations.put(TRACKED_DELAYS, tracker)
    # A tagger without a detector of this experiment has no shift of its own; any will do.
    context.tags.align({tagger: found.clock(tagger) for tagger in context.tags.feeds})


def _read(record: Mapping[str, Any]) -> DelayCalibration | None:
    """The calibration of a record; None of what is none."""
    try:
        return read_delays(record)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
