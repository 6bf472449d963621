"""`measure_swapping`: four-folds behind each setting of the two analysers, and the figures made of them.

For each setting the wave plates turn, come to rest and are read back; then tags count for the dwell, by
their own time, while the delays are tracked. Settings come in an order that the run's seed shuffles anew
in each round, so that a slow drift does not favour one of them. Results are stored after each setting, so
that an aborted run has them for what it measured.

There is a safe point between any two settings. When an instrument fails, the dwell under way counts for
nothing and is measured again: its tags that are on disk already are named in the journal (`vetoed`).
"""

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np

from experiments.calibrations.delay_step import TRACKED_DELAYS
from experiments.calibrations.tracking import DelayTracker
from experiments.config.experiment import Experiment
from experiments.config.plan import Basis, MeasureSwapping
from experiments.engine.bench import Bench
from experiments.engine.events import Happened
from experiments.engine.motion import turn
from experiments.engine.step import Context, SetPoint, Step
from experiments.engine.tags import TAIL_S
from experiments.measurements.analysers import Setting, circular, linear
from experiments.measurements.dwell import MARGIN_PS, Dwell
from experiments.measurements.tally import Tally
from timetags.clocks.track import Track

_SHUFFLE = 0x5A77
"""Tells the random numbers for the order of settings from others made of the same seed."""


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
    _counted_until_ps = 0
    """End of the last dwell, in hub time."""

    def changes(self, bench: Bench, experiment: Experiment) -> set[str]:
        spokes = experiment.swapping.spokes
        return {mount.name for setting in self._once() for mount in setting.angles(bench, spokes)}

    def set_points(self, bench: Bench, experiment: Experiment) -> Iterator[SetPoint]:
        for setting in self._once():
            for mount, angle in setting.angles(bench, experiment.swapping.spokes).items():
                yield SetPoint(mount.name, "angle", angle, mount.angle_limits)

    def order(self, seed: int) -> list[Setting]:
        """The settings as they will be visited, over all rounds."""
        rng = np.random.default_rng([seed, _SHUFFLE])
        settings = self._once()
        return [settings[k] for _ in range(self.parameters.rounds) for k in rng.permutation(len(settings))]

    async def run(self, context: Context) -> None:
        order, spokes = self.order(context.seed), context.experiment.swapping.spokes
        while self.safe_points < len(order):
            setting = order[self.safe_points]
            doing = f"{setting.name}, {self.safe_points + 1} of {len(order)}"
            context.progress(f"{doing}: turning wave plates")
            await turn(setting.angles(context.bench, spokes), context.clock)
            await self._count(context, setting, doing)
            self.safe_points += 1
            context.store_results()
        # The last tags are still on their way; those of earlier dwells came while the bench went on.
        await context.let_pass(TAIL_S, "waiting for the last tags")
        await context.tags.reached(self._counted_until_ps + MARGIN_PS)
        context.store_results()
        self._show(context)
        _store_track(context)

    async def interrupted(self, context: Context) -> None:
        if self._dwell is not None:
            dwell, self._dwell = self._dwell, None
            self._tally(context).veto(dwell)
            await dwell.cut_short(context.tags)
            window = {"setting": dwell.setting, "begin_ps": dwell.begin_ps, "end_ps": dwell.end_ps}
            message = f"{dwell.setting} does not count and will be measured again"
            context.announce(Happened("vetoed", message, window, "warning"))
            self._show(context)
        _record_track(context)

    def _once(self) -> list[Setting]:
        return [setting for basis in self.parameters.bases for setting in SETTINGS[basis]]

    async def _count(self, context: Context, setting: Setting, doing: str) -> None:
        """Count for one dwell. Its last tags may come in later."""
        seconds, settings = self.parameters.dwell, context.experiment.swapping
        tracker = context.calibrations.get(TRACKED_DELAYS, DelayTracker)
        kept = context.tag_files.around_heralds(context.bench, settings, tracker)
        channels = len(context.bench.detectors)
        dwell = Dwell.open(setting.name, seconds, context.tags, channels, settings, tracker, kept)
        self._tally(context).add(dwell)
        self._dwell = dwell
        window = {"setting": setting.name, "begin_ps": dwell.begin_ps, "end_ps": dwell.end_ps}
        context.announce(Happened("dwell", f"{setting.name} for {seconds:g} s", window))
        await context.let_pass(context.tags.lasts(seconds), doing, lambda: self._show(context))
        self._dwell, self._counted_until_ps = None, dwell.end_ps

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
