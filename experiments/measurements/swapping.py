"""`measure_swapping`: four-folds behind each setting of the two analysers, and the figures made of them.

For each setting the wave plates turn, come to rest and are read back; then tags count for the dwell, by
their own time, while the delays are tracked. In which order and for how long is said by `visits`. Results are
stored after each stay, so that an aborted run has them for what it measured.

There is a safe point between any two stays. When an instrument fails, the stay under way counts for nothing
and is made again: its tags that are on disk already are named in the record (`vetoed`). Counts go into the
books as soon as all tags of a stay are in; what the books of an interrupted run have is not measured again.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from math import inf
from typing import Any

import numpy as np

from experiments.calibrations.delay_step import TRACKED_DELAYS
from experiments.calibrations.tracking import DelayTracker
from experiments.config.dwell import Until
from experiments.config.experiment import Experiment
from experiments.config.plan import Basis, MeasureSwapping
from experiments.engine.bench import Bench
from experiments.engine.books import enter
from experiments.engine.events import Happened
from experiments.engine.motion import turn
from experiments.engine.outcome import RunError
from experiments.engine.step import Context, SetPoint, Step
from experiments.engine.tags import PS, TAIL_S
from experiments.measurements.analysers import Setting, circular, linear
from experiments.measurements.dwell import MARGIN_PS, Dwell
from experiments.measurements.tally import Counts, Tally
from experiments.measurements.visits import Stay, Visits
from timetags.clocks.track import Track

SETTINGS: dict[Basis, tuple[Setting, ...]] = {
    "ZZ": (Setting("ZZ", (linear(0), linear(0))),),
    "XX": (Setting("XX", (linear(45), linear(45))),),
    "YY": (Setting("YY", (circular(), circular())),),
    "CHSH": tuple(
        Setting(f"CHSH {i}{j}", (linear(a), linear(b)))
        for i, a in enumerate((0.0, 45.0))
        for j, b in enumerate((22.5, 67.5))
    ),
}
"""The settings of each basis; angles as in `physics.md` 5, "CHSH bookkeeping"."""


class MeasureSwappingStep(Step[MeasureSwapping]):
    """`measure_swapping`."""

    needs_tags = True
    needs_calibrations = ("delays",)
    can_go_on = True
    _dwell: Dwell | None = None
    """The one under way."""
    _visits: Visits[Setting] | None = None

    def __init__(self, parameters: MeasureSwapping) -> None:
        super().__init__(parameters)
        self._coming_in: deque[tuple[int, Dwell]] = deque()
        """Stays that are over and the visits that they belong to; their last tags may still be on the way."""

    def changes(self, bench: Bench, experiment: Experiment) -> set[str]:
        spokes = experiment.swapping.spokes
        return {mount.name for setting in self._once() for mount in setting.angles(bench, spokes)}

    def set_points(self, bench: Bench, experiment: Experiment) -> Iterator[SetPoint]:
        for setting in self._once():
            for mount, angle in setting.angles(bench, experiment.swapping.spokes).items():
                yield SetPoint(mount.name, "angle", angle, mount.angle_limits)

    async def run(self, context: Context) -> None:
        visits = self._visits = self._visits or self._begin(context)
        spokes = context.experiment.swapping.spokes
        while True:
            if visits.may_end:
                await self._wait_for_last_tags(context)
            if visits.next(inf, lambda: self._precise(context)) is None:
                break
            await context.safe_point()
            stay = visits.next(context.undisturbed_s(), lambda: False)
            assert stay is not None
            doing = f"{stay.setting.name}, {stay.visit + 1} of {len(visits)}"
            context.progress(f"{doing}: turning wave plates")
            await turn(stay.setting.angles(context.bench, spokes), context.clock)
            await self._count(context, stay, doing)
            visits.took(stay.visit, stay.seconds)
            self.safe_points += 1
            if self._decides_by_counts and len(self._coming_in) > 1:
                await context.tags.reached(self._coming_in[-2][1].end_ps + MARGIN_PS)
            self._close_books(context)
            context.store_results()
        await self.finish(context)

    async def finish(self, context: Context) -> None:
        if self._coming_in:
            await self._wait_for_last_tags(context)
        context.store_results()
        self._show(context)
        _store_track(context)

    async def interrupted(self, context: Context) -> None:
        if self._dwell is not None:
            dwell, self._dwell = self._dwell, None
            self._tally(context).veto(dwell)
            await dwell.cut_short(context.tags)
            message = f"{dwell.setting} does not count and will be measured again"
            context.announce(Happened("vetoed", message, dwell.window, "warning"))
            self._show(context)
        _record_track(context)

    def _once(self) -> list[Setting]:
        return [setting for basis in self.parameters.bases for setting in SETTINGS[basis]]

    def _begin(self, context: Context) -> Visits[Setting]:
        """The visits, with those behind it that an interrupted run has in its books."""
        parameters = self.parameters
        visits = Visits(self._once(), parameters.rounds, parameters.dwell, context.seed)
        tally, taken = self._tally(context), 0
        for entry in context.books.of(parameters):
            visit, counts = int(entry["visit"]), Counts.from_json(entry, len(context.bench.detectors))
            if not (visit < len(visits) and visits.order[visit].name == counts.setting):
                raise RunError(
                    f"visit {visit} of {context.books.run} was in {counts.setting}; here it is not. A run "
                    "can only go on with one of the same plan"
                )
            visits.took(visit, float(entry["seconds"]))
            visits.counted(visit, int(counts.fourfolds.sum()))
            tally.take_over(counts, str(entry["run"]))
            self._enter(context, entry, str(entry["run"]))
            taken += 1
        if taken:
            message = (
                f"{taken} stays are taken over, {tally.live_s:g} s of data, {tally.fourfolds} four-folds"
            )
            context.announce(Happened("taken over", message, {"run": context.books.run, "stays": taken}))
        return visits

    async def _count(self, context: Context, stay: Stay[Setting], doing: str) -> None:
        """Count for one stay. Its last tags may come in later."""
        settings = context.experiment.swapping
        tracker = context.calibrations.get(TRACKED_DELAYS, DelayTracker)
        kept = context.tag_files.around_heralds(context.bench, settings, tracker)
        channels = len(context.bench.detectors)
        name, seconds = stay.setting.name, stay.seconds
        dwell = Dwell.open(name, seconds, context.tags, channels, settings, tracker, kept)
        self._tally(context).add(dwell)
        self._dwell = dwell
        context.announce(Happened("dwell", f"{name} for {seconds:g} s", dwell.window))
        await context.let_pass(context.tags.lasts(seconds), doing, lambda: self._show(context))
        self._dwell = None
        self._coming_in.append((stay.visit, dwell))

    async def _wait_for_last_tags(self, context: Context) -> None:
        """Those of earlier stays came while the bench went on."""
        if self._coming_in:
            await context.let_pass(TAIL_S, "waiting for the last tags")
            await context.tags.reached(self._coming_in[-1][1].end_ps + MARGIN_PS)
            self._close_books(context)

    def _close_books(self, context: Context) -> None:
        """Enter the stays of which all tags have come in."""
        assert self._visits is not None
        while self._coming_in and self._coming_in[0][1].is_in:
            visit, dwell = self._coming_in.popleft()
            counts = self._tally(context).close(dwell)
            self._visits.counted(visit, int(counts.fourfolds.sum()))
            seconds = (dwell.end_ps - dwell.begin_ps) / PS
            entry = {"visit": visit, "seconds": seconds, **dwell.window, **counts.to_json()}
            self._enter(context, entry, context.folder.name)

    def _enter(self, context: Context, entry: Mapping[str, Any], run: str) -> None:
        message = (
            f"{entry['setting']}: {int(np.sum(entry['fourfolds']))} four-folds in {entry['seconds']:g} s"
        )
        enter(context.announce, self.parameters, run, message, entry)

    @property
    def _decides_by_counts(self) -> bool:
        dwell = self.parameters.dwell
        return isinstance(dwell, Until) and dwell.counts is not None

    def _precise(self, context: Context) -> bool:
        """Whether the error bars that end the measurement are small enough."""
        dwell = self.parameters.dwell
        assert isinstance(dwell, Until)
        found: Mapping[str, Any] = self._tally(context).to_results()
        errors = [(found[name]["error"], wanted) for name, wanted in (dwell.error or {}).items()]
        return all(error is not None and error <= wanted for error, wanted in errors)

    def _tally(self, context: Context) -> Tally:
        return context.results.section(self.parameters, lambda: Tally(context.bench.detectors))

    def _show(self, context: Context) -> None:
        tally = self._tally(context)
        figures = tally.figures()
        shown = {
            "swap_rate_hz": figures.swap_rate_hz,
            "chsh_s": figures.chsh_s,
            "fidelity": figures.fidelity,
            "visibility_zz": figures.visibility_zz,
            "visibility_xx": figures.visibility_xx,
        }
        context.show_live(self.parameters, shown, tally.live_s, tally.heralds, tally.fourfolds)


def _record_track(context: Context) -> dict[str, Track]:
    """Keep how the delays drifted; returns the track of each spoke."""
    tracker = context.calibrations.get(TRACKED_DELAYS, DelayTracker)
    tracks = dict(zip(context.experiment.swapping.spokes, tracker.tracks, strict=True))
    record = {spoke: [asdict(point) for point in track.points] for spoke, track in tracks.items()}
    context.store_calibration("delay_track", record)
    return tracks


def _store_track(context: Context) -> None:
    """Keep how the delays drifted, and say whether one jumped."""
    for spoke, track in _record_track(context).items():
        for point in track.points:
            if point.jumped:
                message = f"the delay of {spoke} jumped to {point.offset_ps:+.0f} ps"
                details = {"spoke": spoke, **asdict(point)}
                context.announce(Happened("delay jumped", message, details, "warning"))
