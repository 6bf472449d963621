"""`calibrate_pair_delays`: align the detectors behind two analysers that share photon pairs.

Found as those of a swapping experiment are, coarse to fine (`calibrations.delays`), with the first analyser
in the place of the hub. The analysers stand at 0 and 45 deg meanwhile: then each detector of the one shares
pairs with each of the other, unless the fibres happen to turn the one basis into the other. What is found
goes on being tracked while measurements count.

Taggers that several pairs share keep the shift that the first of them gave them; the fine delays of the
others hold the rest. So a measurement on one pair does not spoil the calibration of another. Of clocks that
run free this cannot be said: with `max_skew` a calibration is in force until that of another pair.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from experiments.calibrations.delay_search import (
    Detectors,
    delay_record,
    find_delays,
    follow,
    show_peaks,
)
from experiments.calibrations.delays import Delay, DelayCalibration, Wire
from experiments.config.experiment import Experiment
from experiments.config.plan import CalibratePairDelays
from experiments.engine.bench import Bench
from experiments.engine.events import Happened
from experiments.engine.motion import turn
from experiments.engine.step import Context, SetPoint, Step
from experiments.engine.switching import connect
from experiments.measurements.analysers import Setting, linear
from timetags.clocks.affine import AffineClock

MIXED = Setting("pair delays", (linear(0), linear(45)))
_SHIFTS = "shifts of taggers"


def tracked_delays(analysers: tuple[str, str]) -> str:
    """The name of the calibration that goes on after the delays of these analysers were found: the
    `DelayTracker` that follows them."""
    return f"tracked delays of {' and '.join(analysers)}"


@dataclass(frozen=True)
class _Shifts:
    """What is added to the times of each tagger in one recording, in ps."""

    recording: int
    by_tagger: Mapping[str, int]
    pairs: tuple[tuple[str, str], ...]
    """The pairs of analysers whose delays were found with these."""


class CalibratePairDelaysStep(Step[CalibratePairDelays]):
    """`calibrate_pair_delays`."""

    needs_tags = True
    can_go_on = True
    makes_calibrations = ("pair delays",)

    def changes(self, bench: Bench, experiment: Experiment) -> set[str]:
        pair = experiment.pair(self.parameters.pair)
        return {mount.name for mount in MIXED.angles(bench, pair.analysers)} | set(pair.switches)

    def set_points(self, bench: Bench, experiment: Experiment) -> Iterator[SetPoint]:
        for mount, angle in MIXED.angles(bench, experiment.pair(self.parameters.pair).analysers).items():
            yield SetPoint(mount.name, "angle", angle, mount.angle_limits)

    async def run(self, context: Context) -> None:
        bench, pair = context.bench, context.experiment.pair(self.parameters.pair)
        context.progress("leading the light, turning wave plates")
        await connect(pair.switches, bench, context.clock)
        await turn(MIXED.angles(bench, pair.analysers), context.clock)
        first, second = (bench.spoke_detectors(analyser) for analyser in pair.analysers)
        detectors = Detectors({pair.analysers[1]: second}, first)
        taken = await find_delays(self.parameters, detectors, context)
        known = context.calibrations.find(_SHIFTS, _Shifts)
        if known and (known.recording != context.recordings or self.parameters.max_skew > 0):
            for other in known.pairs:
                context.calibrations.withdraw(tracked_delays(other))
            known = None
        earlier, pairs = (known.by_tagger, known.pairs) if known else ({}, ())
        found = with_shifts(taken.delays, taken.wires, (first[0], second[0]), earlier)
        shifts = {**earlier, **found.shifts_ps}
        context.calibrations.put(
            _SHIFTS, _Shifts(context.recordings, shifts, tuple({*pairs, pair.analysers}))
        )
        # A tagger without a detector of a pair has no shift of its own; any will do.
        clocks = {name: AffineClock(shifts.get(name, 0)) for name in context.tags.feeds}
        context.tags.align(clocks | {name: found.clock(name) for name in found.shifts_ps})
        about = delay_record(found, context.folder.name, self.parameters.duration, taken.middle_ps)
        both = " and ".join(pair.analysers)
        context.store_calibration(f"delays of {both}", about)
        tracker = follow(found, detectors, taken.middle_ps, context)
        context.calibrations.put(tracked_delays(pair.analysers), tracker)
        behind_ps = total_delay_ps(found, taken.wires, second[0]) - total_delay_ps(
            found, taken.wires, first[0]
        )
        message = f"delays of {both}: {-behind_ps / 1e6:+.6f} us"
        context.announce(Happened("calibrated", message, {"calibration": f"delays of {both}", **about}))
        await show_peaks(taken, found, detectors, (pair.window, pair.window_centre), context)


def total_delay_ps(found: DelayCalibration, wires: Mapping[str, Wire], detector: str) -> float:
    """What the calibration adds to the times of a detector, in ps."""
    return found.shifts_ps[wires[detector].tagger] + found.fine[detector].value_ps


def with_shifts(
    found: DelayCalibration, wires: Mapping[str, Wire], ends: tuple[str, str], known: Mapping[str, int]
) -> DelayCalibration:
    """The same calibration with the shifts that its taggers have already; fine delays hold the rest. `ends`
    is a detector of either analyser. Where neither tagger has a shift, nothing changes."""
    taggers = [wires[name].tagger for name in ends]
    moved = next((known[t] - found.shifts_ps[t] for t in taggers if t in known), 0)
    shifts = {t: known.get(t, shift + moved) for t, shift in found.shifts_ps.items()}
    fine = {
        name: Delay(
            delay.value_ps + found.shifts_ps[wires[name].tagger] + moved - shifts[wires[name].tagger],
            delay.error_ps,
        )
        for name, delay in found.fine.items()
    }
    return replace(found, shifts_ps=shifts, fine=fine)
