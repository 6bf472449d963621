"""What all measurements in settings of two analysers share: turn, count, look after the bench, turn on.

For each setting the wave plates turn, come to rest and are read back; then tags count for the dwell, by
their own time, while the delays are tracked. In which order and for how long is said by `visits`. Results are
stored after each stay, so that an aborted run has them for what it measured.

There is a safe point between any two stays. When an instrument fails, the stay under way counts for nothing
and is made again: its tags that are on disk already are named in the record (`vetoed`). Counts go into the
books as soon as all tags of a stay are in, and, where watchdogs look on, no earlier than they have found it
fine: what they find bad is measured again, and so is a stay that a broken recording cut short. What the books
of an interrupted run have is not.
"""

from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from math import inf
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from experiments.calibrations.delay_search import Detectors
from experiments.calibrations.tracking import DelayTracker
from experiments.config.dwell import Until
from experiments.config.experiment import Experiment
from experiments.config.plan import MeasureInSettings
from experiments.engine.bench import Bench
from experiments.engine.books import enter
from experiments.engine.events import Happened
from experiments.engine.findings import Calibrations, Results
from experiments.engine.motion import turn
from experiments.engine.outcome import RunError
from experiments.engine.step import Context, SetPoint, Step
from experiments.engine.tags import PS
from experiments.measurements.analysers import Setting
from experiments.measurements.dwell import Delays, SlicedDwell
from experiments.measurements.sums import Sums
from experiments.measurements.visits import Mark, Stay, Visits
from timetags.analyses.analysis import Analysis
from timetags.clocks.track import Track

M = TypeVar("M", bound=MeasureInSettings)
D = TypeVar("D", bound=SlicedDwell[Any])
T = TypeVar("T", bound=Sums[Any, Any])


class Watch(Protocol):
    """Watchdogs that look at every stay, at safe points (see `experiments.watchdogs.watch`)."""

    holds_run: bool
    """Whether the run is to be held before anything else is measured."""

    @property
    def fine_until_ps(self) -> int:
        """Stays that end until then, in hub time, are known to be fine."""
        ...

    @property
    def has_judged_all(self) -> bool: ...
    def follow(self, dwell: Any) -> None: ...
    def forget(self, dwell: Any) -> None: ...
    def come_due(self) -> None: ...
    def go_on(self) -> None: ...
    def end(self) -> None: ...


@dataclass(eq=False)
class ComingIn:
    """A stay that is over and not in the books. Its last tags may still be on the way."""

    visit: int
    dwell: Any
    before: Mark
    recording: int
    events: int | None = None
    """What it has counted, once the visits know."""


class MeasuringStep(Step[M], Generic[M, D, T]):
    """A step that measures so. What it counts and what it makes of the counts is a subclass's to say, to a
    run and, afterwards, to who counts the stored tags again."""

    needs_tags = True
    can_go_on = True
    events: ClassVar[str]
    """What is counted, for people: `four-folds`."""
    window_names: ClassVar[tuple[str, ...]]
    """The windows that it takes from its section of the experiment, as they are called there."""
    keeps_heralds: ClassVar[bool] = False
    """Whether a run that keeps the tags around heralds keeps those of this measurement."""
    dwells: type[D]
    """The kind of its dwells."""
    _dwell: D | None = None
    """The one under way."""
    _visits: Visits[Setting] | None = None

    def __init__(self, parameters: M) -> None:
        super().__init__(parameters)
        self._coming_in: deque[ComingIn] = deque()
        self._watch: Watch | None = None

    # What a measurement says.

    @abstractmethod
    def settings(self) -> list[Setting]:
        """Every setting once."""

    @abstractmethod
    def analysers(self, experiment: Experiment) -> tuple[str, str]:
        """The two analysers, by name."""

    @abstractmethod
    def detectors(self, bench: Bench, experiment: Experiment) -> Detectors:
        """Whose tags it compares with whose."""

    @abstractmethod
    def delays(self, experiment: Experiment) -> str:
        """The name on record of the calibration of their delays."""

    @abstractmethod
    def tracker(self, context: Context) -> DelayTracker:
        """What follows these delays, in the order of `detectors`."""

    @abstractmethod
    def new_slice(
        self, bench: Bench, experiment: Experiment, delays: Delays, window_ps: tuple[int, int]
    ) -> Analysis:
        """A sink that counts one slice of a dwell, with the delays of its middle."""

    @abstractmethod
    def new_tally(self, bench: Bench, experiment: Experiment, calibrations: Calibrations) -> T:
        """An empty section of the results."""

    @abstractmethod
    def with_windows(self, experiment: Experiment, windows: Mapping[str, float]) -> Experiment:
        """The experiment with other windows for this measurement: by their name, in seconds."""

    @abstractmethod
    def show(self, context: Context) -> None:
        """Tell observers the figures so far."""

    def watch(self, context: Context) -> Watch | None:
        """The watchdogs that shall look on, registered as upkeep; None for none."""
        del context
        return None

    async def prepare(self, context: Context) -> None:
        """What is to be done before the first setting, and again after each pause."""

    # What is the same for all.

    @property
    def counting(self) -> "tuple[MeasuringStep[Any, Any, Any], ...]":
        """The measurements that it consists of."""
        return (self,)

    def section(
        self, bench: Bench, experiment: Experiment, calibrations: Calibrations, results: Results
    ) -> T:
        """The section of the results that it adds to."""
        return results.section(self.parameters, lambda: self.new_tally(bench, experiment, calibrations))

    def tally(self, context: Context) -> T:
        """The same in a run."""
        return self.section(context.bench, context.experiment, context.calibrations, context.results)

    def open_dwell(self, context: Context, setting: str, seconds: float) -> D:
        """Begin to count for so long, now."""
        bench, experiment, tracker = context.bench, context.experiment, self.tracker(context)
        kept: list[Analysis] = []
        if self.keeps_heralds:
            kept = context.tag_files.around_heralds(bench, experiment.swapping, tracker)
        slice_of = partial(self.new_slice, bench, experiment, tracker)
        channels = len(bench.detectors)
        return self.dwells.open(setting, seconds, context.tags, channels, tracker, slice_of, kept)

    def changes(self, bench: Bench, experiment: Experiment) -> set[str]:
        analysers = self.analysers(experiment)
        return {mount.name for setting in self.settings() for mount in setting.angles(bench, analysers)}

    def set_points(self, bench: Bench, experiment: Experiment) -> Iterator[SetPoint]:
        for setting in self.settings():
            for mount, angle in setting.angles(bench, self.analysers(experiment)).items():
                yield SetPoint(mount.name, "angle", angle, mount.angle_limits)

    async def run(self, context: Context) -> None:
        visits = self._visits = self._visits or self._begin(context)
        analysers = self.analysers(context.experiment)
        await self.prepare(context)
        await self._forget_cut_short(context)
        if self._watch is None:
            self._watch = self.watch(context)
        else:
            self._watch.go_on()
        while True:
            if visits.may_end:
                await self._wait_for_last_tags(context)
            if visits.next(inf, lambda: self._precise(context)) is None:
                if self._watch is None or self._watch.has_judged_all:
                    break
                await self._wait_for_last_tags(context)
                self._watch.come_due()
                await context.safe_point()
                continue
            await context.safe_point()
            if self._watch is not None and self._watch.holds_run:
                continue
            stay = visits.next(context.undisturbed_s(), lambda: False)
            assert stay is not None
            doing = f"{stay.setting.name}, {stay.visit + 1} of {len(visits)}"
            context.progress(f"{doing}: turning wave plates")
            await turn(stay.setting.angles(context.bench, analysers), context.clock)
            await self._count(context, stay, doing)
            visits.took(stay.visit, stay.seconds)
            self.safe_points += 1
            if (self._decides_by_counts or self._watch) and len(self._coming_in) > 1:
                await self._all_in(context, self._coming_in[-2])
            self._close_books(context)
            context.store_results()
        await self.finish(context)

    async def finish(self, context: Context) -> None:
        if self._watch is not None:
            self._watch.end()
            self._watch = None
        if self._coming_in:
            await self._wait_for_last_tags(context)
        context.store_results()
        self.show(context)
        for name, track in self._record_tracks(context).items():
            for point in track.points:
                if point.jumped:
                    message = f"the delay of {name} jumped to {point.offset_ps:+.0f} ps"
                    details = {"spoke": name, **asdict(point)}
                    context.announce(Happened("delay jumped", message, details, "warning"))

    async def interrupted(self, context: Context) -> None:
        if self._dwell is not None:
            dwell, self._dwell = self._dwell, None
            await self._veto(context, dwell)
            self.show(context)
        self._record_tracks(context)

    async def forget_since(self, context: Context, since_ps: int) -> float:
        """Stays that end after this hub time do not count and are made again, those that are not in the books
        yet. Returns how many seconds of data they were."""
        bad = [stay for stay in self._coming_in if stay.dwell.end_ps > since_ps]
        if not bad:
            return 0.0
        assert self._visits is not None
        counted = [(stay.visit, stay.events) for stay in bad if stay.events is not None]
        self._visits.back_to(bad[0].before, counted)
        for stay in bad:
            self._coming_in.remove(stay)
            await self._veto(context, stay.dwell)
        return float(sum(stay.dwell.end_ps - stay.dwell.begin_ps for stay in bad)) / PS

    async def _forget_cut_short(self, context: Context) -> None:
        """Forget the stays whose last tags were on their way when their recording broke."""
        for stay in self._coming_in:
            dwell = stay.dwell
            if stay.recording != context.recordings and dwell.live_ps < dwell.end_ps - dwell.begin_ps:
                await self.forget_since(context, dwell.begin_ps)
                return

    async def _veto(self, context: Context, dwell: D) -> None:
        if self._watch is not None:
            self._watch.forget(dwell)
        self.tally(context).veto(dwell)
        await dwell.cut_short(context.tags)
        message = f"{dwell.setting} does not count and will be measured again"
        context.announce(Happened("vetoed", message, dwell.window, "warning"))

    def _begin(self, context: Context) -> Visits[Setting]:
        """The visits, with those behind it that an interrupted run has in its books."""
        parameters = self.parameters
        visits = Visits(self.settings(), parameters.rounds, parameters.dwell, context.seed)
        tally, taken, events = self.tally(context), 0, 0
        for entry in context.books.of(parameters):
            visit, counts = int(entry["visit"]), tally.counts_from(entry)
            if not (visit < len(visits) and visits.order[visit].name == counts.setting):
                raise RunError(
                    f"visit {visit} of {context.books.run} was in {counts.setting}; here it is not. A run "
                    "can only go on with one of the same plan"
                )
            visits.took(visit, float(entry["seconds"]))
            visits.counted(visit, counts.events)
            tally.take_over(counts, str(entry["run"]))
            self._enter(context, entry, counts.events, str(entry["run"]))
            taken, events = taken + 1, events + counts.events
        if taken:
            message = f"{taken} stays are taken over, {tally.live_s:g} s of data, {events} {self.events}"
            context.announce(Happened("taken over", message, {"run": context.books.run, "stays": taken}))
        return visits

    async def _count(self, context: Context, stay: Stay[Setting], doing: str) -> None:
        """Count for one stay. Its last tags may come in later."""
        name, seconds = stay.setting.name, stay.seconds
        assert self._visits is not None
        before = self._visits.mark
        dwell = self.open_dwell(context, name, seconds)
        if self._watch is not None:
            self._watch.follow(dwell)
        self.tally(context).add(dwell)
        self._dwell = dwell
        about = {"step": self.kind, "label": self.parameters.label, **dwell.window}
        context.announce(Happened("dwell", f"{name} for {seconds:g} s", about))
        await context.let_pass(context.tags.lasts(seconds), doing, lambda: self.show(context))
        self._dwell = None
        self._coming_in.append(ComingIn(stay.visit, dwell, before, context.recordings))

    async def _wait_for_last_tags(self, context: Context) -> None:
        """Those of earlier stays came while the bench went on."""
        if self._coming_in:
            await self._all_in(context, self._coming_in[-1])
            self._close_books(context)

    async def _all_in(self, context: Context, stay: ComingIn) -> None:
        """Wait for all tags of a stay. Of a recording that is over nothing comes any more."""
        if stay.recording == context.recordings:
            await stay.dwell.all_in(context)

    def _close_books(self, context: Context) -> None:
        """Tell the visits of the stays of which all tags have come in, since what is counted decides how they
        go on, and enter those of them which nobody finds bad any more, which may take far longer to know."""
        assert self._visits is not None
        for stay in self._coming_in:
            if stay.events is None and stay.dwell.is_in:
                stay.events = self.tally(context).counts_of(stay.dwell).events
                self._visits.counted(stay.visit, stay.events)
        fine_until_ps = inf if self._watch is None else self._watch.fine_until_ps
        while self._coming_in and self._coming_in[0].dwell.is_in:
            if self._coming_in[0].dwell.end_ps > fine_until_ps:
                break
            stay = self._coming_in.popleft()
            counts = self.tally(context).close(stay.dwell)
            seconds = (stay.dwell.end_ps - stay.dwell.begin_ps) / PS
            entry = {"visit": stay.visit, "seconds": seconds, **stay.dwell.window, **counts.to_json()}
            self._enter(context, entry, counts.events, context.folder.name)

    def _enter(self, context: Context, entry: Mapping[str, Any], events: int, run: str) -> None:
        message = f"{entry['setting']}: {events} {self.events} in {entry['seconds']:g} s"
        enter(context.announce, self.parameters, run, message, entry)

    @property
    def _decides_by_counts(self) -> bool:
        dwell = self.parameters.dwell
        return isinstance(dwell, Until) and dwell.counts is not None

    def _precise(self, context: Context) -> bool:
        """Whether the error bars that end the measurement are small enough."""
        dwell = self.parameters.dwell
        assert isinstance(dwell, Until)
        found: Mapping[str, Any] = self.tally(context).to_results()
        errors = [(found.get(name, {}).get("error"), wanted) for name, wanted in (dwell.error or {}).items()]
        return all(error is not None and error <= wanted for error, wanted in errors)

    def _record_tracks(self, context: Context) -> Mapping[str, Track]:
        """Keep how the delays drifted, by the name of each spoke."""
        spokes = self.detectors(context.bench, context.experiment).spokes
        tracks = dict(zip(spokes, self.tracker(context).tracks, strict=True))
        record = {spoke: [asdict(point) for point in track.points] for spoke, track in tracks.items()}
        whose = self.delays(context.experiment).removeprefix("delays")
        context.store_calibration(f"delay_track{whose}", record)
        return tracks
