"""What all calibrations of delays share: the delays are found in tags of some seconds, go on record, and are
followed from then on."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from experiments.calibrations.delays import (
    CalibrationError,
    ClockRate,
    Delay,
    DelayCalibration,
    Wire,
    calibrate_delays,
)
from experiments.calibrations.pooled_peaks import pooled_peaks
from experiments.calibrations.tracking import DelayTracker
from experiments.config.plan import SeekDelays
from experiments.engine.bench import Bench
from experiments.engine.events import DelaySeen
from experiments.engine.outcome import RunError, StorageError
from experiments.engine.record import utc_now
from experiments.engine.step import Context
from experiments.engine.tags import PS, TAIL_S
from timetags.block import Channels, Times
from timetags.clocks.track import TrackPoint


@dataclass(frozen=True)
class Detectors:
    """Whose delays are looked for: those of each spoke against those of the hub, by their names."""

    spokes: Mapping[str, Sequence[str]]
    hub: Sequence[str]


@dataclass(frozen=True)
class Found:
    """Delays, and the tags that they were found in: of each tagger, around `middle_ps` of hub time."""

    delays: DelayCalibration
    tags: Mapping[str, tuple[Times, Channels]]
    wires: Mapping[str, Wire]
    middle_ps: int


async def find_delays(parameters: SeekDelays, detectors: Detectors, context: Context) -> Found:
    """Take tags and find the delays in them. Raises RunError where they cannot be found."""
    bench, tags = context.bench, context.tags
    begin, end = tags.window(parameters.duration)
    captures = tags.capture(begin, end)
    await context.let_pass(tags.lasts(parameters.duration) + TAIL_S, "taking tags for the delays")
    await tags.captured(end)
    context.progress("finding the delays")
    taken = {tagger: capture.tags() for tagger, capture in captures.items()}
    wires = {name: Wire(bench.tagger_of(name), bench.channel(name)) for name in bench.detectors}
    spokes, search_ps = list(detectors.spokes.values()), round(parameters.search * PS)
    try:
        delays = await asyncio.to_thread(
            calibrate_delays, taken, wires, spokes, detectors.hub, search_ps, parameters.max_skew
        )
    except CalibrationError as error:
        raise RunError(str(error)) from error
    return Found(delays, taken, wires, (begin + end) // 2)


async def show_peaks(
    found: Found,
    delays: DelayCalibration,
    detectors: Detectors,
    window_s: tuple[float, float],
    context: Context,
) -> None:
    """Tell observers the peaks in the tags as they lie with these delays."""
    for peaks in await asyncio.to_thread(
        list, pooled_peaks(delays, found.tags, found.wires, detectors.spokes, detectors.hub, window_s)
    ):
        context.announce(peaks)


def follow(delays: DelayCalibration, detectors: Detectors, time_ps: int, context: Context) -> DelayTracker:
    """What follows these delays, found at `time_ps` of hub time, and puts what it sees on record."""
    on_point = _tell_points(context, list(detectors.spokes))
    return tracker_of(delays, detectors, time_ps, context.bench, on_point=on_point)


def tracker_of(
    delays: DelayCalibration,
    detectors: Detectors,
    time_ps: int,
    bench: Bench,
    more_ps: Mapping[str, int] | None = None,
    on_point: Callable[[int, TrackPoint], None] | None = None,
) -> DelayTracker:
    """A tracker as it is before any look; `more_ps` is added to the delays of detectors."""
    more_ps = more_ps or {}
    return DelayTracker(
        [bench.channel(name) for name in detectors.hub],
        [[bench.channel(name) for name in spoke] for spoke in detectors.spokes.values()],
        {bench.channel(name): delay + more_ps.get(name, 0) for name, delay in delays.delays_ps().items()},
        time_ps=time_ps,
        error_ps=max(delay.error_ps for delay in delays.fine.values()),
        rate_sigma=delays.rate_sigma,
        on_point=on_point,
    )


def _tell_points(context: Context, spokes: Sequence[str]) -> Callable[[int, TrackPoint], None]:
    """Puts what the tracker sees, in whatever thread, on record in the event loop."""
    loop = asyncio.get_running_loop()

    def tell(spoke: int, point: TrackPoint) -> None:
        with suppress(StorageError):  # a disk that is full stops the run elsewhere
            context.announce(DelaySeen(spokes[spoke], **asdict(point)))

    def on_point(spoke: int, point: TrackPoint) -> None:
        loop.call_soon_threadsafe(tell, spoke, point)

    return on_point


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


def read_delays(record: Mapping[str, Any]) -> DelayCalibration:
    """The calibration that `delay_record` wrote, without its peaks. AttributeError, KeyError, TypeError or
    ValueError where it is no such thing."""
    shifts = {name: int(shift["value"]) for name, shift in record["tagger_shifts"].items()}
    fine = {
        name: Delay(float(delay["value"]), float(delay["uncertainty"]))
        for name, delay in record["detector_delays"].items()
    }
    rates = {
        name: ClockRate(float(rate["value"]), float(rate["uncertainty"]), record["tagger_rates_at_ps"][name])
        for name, rate in record.get("tagger_rates", {}).items()
    }
    return DelayCalibration(shifts, fine, (), float(record["chi2_per_dof"]), rates)
