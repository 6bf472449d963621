"""A run: one execution of an experiment, from opening the instruments to the safe state.

    preparing -> running <-> paused -> completed | aborted | failed

It guarantees that every way out (done, an error, a cancellation from outside such as Ctrl-C) leads through
the safe state, that the folder says how it ended and why, and that a failure of one part stops the others
at once. A second cancellation does not skip any of that. A run pauses while an instrument that lost its power
or its line comes back (see `reconnection`), and goes on from its step's last safe point.
"""

# Abstract capabilities are handed to isinstance, never called (python/mypy#4717).

import asyncio
import traceback
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from drivers.capabilities import Instrument, TimeTagger
from drivers.errors import InstrumentError
from experiments.config.files import LoadedExperiment
from experiments.engine.baseline import baseline, clock_status
from experiments.engine.bench import Bench
from experiments.engine.clock import GuardedClock, RunClock
from experiments.engine.environment import environment
from experiments.engine.events import (
    Finished,
    Happened,
    Observers,
    Progress,
    RunEvent,
    RunObserver,
    SafeSeen,
    StateChanged,
    StepBegan,
    StepEnded,
    StreamEvent,
)
from experiments.engine.feed import Feed
from experiments.engine.findings import Results
from experiments.engine.outcome import Ending, Exit, RunError, State, StorageError, ending_of, is_internal
from experiments.engine.papers import Papers
from experiments.engine.preflight import check, identify, open_all
from experiments.engine.reconnection import Reconnection, Wrong, reason_of, start_afresh
from experiments.engine.record import RunFolder
from experiments.engine.registry import make_step
from experiments.engine.safe_state import SafeOutcome, make_safe, safe_groups, uninterrupted
from experiments.engine.standing import Standing
from experiments.engine.step import Context, Step, StepClock
from experiments.engine.tag_files import TagFiles
from experiments.engine.tags import PS, TagCollector

CLOSING_S = 10.0
"""Wall time for all instruments to close their lines."""


@dataclass(frozen=True)
class RunReport:
    """How a run went. `folder` is None for one that did not even get so far as to have one."""

    folder: Path | None
    ending: Ending
    results: Mapping[str, object] | None = None
    safe: tuple[SafeOutcome, ...] = ()


async def execute(
    loaded: LoadedExperiment,
    instruments: Mapping[str, Instrument],
    clock: RunClock,
    folder: RunFolder,
    *,
    seed: int,
    observers: Iterable[RunObserver] = (),
    about: Mapping[str, object] | None = None,
) -> RunReport:
    """Carry out an experiment on these instruments (unopened, one for each name of the testbed).

    `folder` is new and is closed at the end; `about` is what else run.json shall say. Returns how the run
    ended; raises nothing but errors of our own making. Cancelling the task aborts the run.
    """
    run = Run(loaded, instruments, GuardedClock(clock), folder, seed, observers, about or {})
    try:
        await run.prepare()
        await run.carry_out()
        ending = Ending(State.COMPLETED, Exit.DONE)
    except BaseException as failure:
        # Also KeyboardInterrupt and SystemExit: whatever it is, the instruments come first.
        ending = run.ending_for(failure)
        if is_internal(failure):
            ending = run.with_traceback(ending)
        _forget_cancellation()
    return await uninterrupted(run.end(ending))


class Run:
    """The state of one run."""

    def __init__(
        self,
        loaded: LoadedExperiment,
        instruments: Mapping[str, Instrument],
        clock: RunClock,
        folder: RunFolder,
        seed: int,
        observers: Iterable[RunObserver],
        about: Mapping[str, object],
    ) -> None:
        self.loaded, self.clock, self.folder, self.seed = loaded, clock, folder, seed
        self.experiment = loaded.experiment
        self.bench = Bench(loaded.testbed, instruments)
        self.steps = [make_step(parameters) for parameters in self.experiment.plan]
        self._observers = Observers(observers, self._observer_failed)
        self._papers = Papers(loaded, folder, seed, about)
        self._open: list[Instrument] = []
        self._collecting = False
        self._collecting_since = 0.0
        self._left = deque(range(len(self.steps)))
        """The steps of the plan that are to be done, the present one first."""
        self._step: Step[Any] | None = None
        self._step_began = 0.0
        self._left_after_step = 0.0
        self._feeds = [
            Feed(tagger, inputs, len(self.bench.detectors))
            for tagger in self.bench.all_of(TimeTagger)
            if (inputs := self.bench.inputs(tagger.name))
        ]
        self._reconnection = Reconnection(
            instruments,
            Standing(instruments),
            clock,
            self.announce,
            self.experiment.reconnection.deadline,
        )
        self.context = Context(
            bench=self.bench,
            experiment=self.experiment,
            clock=clock,
            seed=seed,
            folder=folder,
            tags=TagCollector(self._feeds, self._reference_tagger(), clock, self._tags_lost),
            tag_files=TagFiles(folder.path, self.experiment.record, folder.documents.segment),
            standing=self._reconnection.standing,
            announce=self.announce,
            progress=self._progress,
            results=Results(self.experiment.plan),
            store_results=lambda: self._papers.write_results(
                self._papers.results(self.context.results, complete=False)
            ),
        )

    # The three acts.

    async def prepare(self) -> None:
        """Write down what will be run, open the instruments, check everything that can be checked."""
        self._papers.begin()
        around = await asyncio.to_thread(environment, self.seed)
        self.folder.write_json("env.json", around)
        await self._enter(State.PREPARING)
        # Until it is known which are open, an abort asks all of them to make themselves safe.
        self._open = list(self.bench.instruments.values())
        self._open, problem = await open_all(self._open)
        if problem:
            raise problem
        self._reconnection.identities = await identify(self._open)
        for name, identity in self._reconnection.identities.items():
            what = f"{name}: {identity.manufacturer} {identity.model}, serial number {identity.serial_number}"
            self.announce(Happened("instrument", what, {"instrument": name, **asdict(identity)}))
        clocks = await clock_status(self.loaded.testbed.clocks, {i.name: i for i in self._open})
        self.folder.write_json("env.json", {**around, "clocks": clocks})
        for seen in await baseline(self._open, "before"):
            self.announce(seen)
        check(self.bench, self.experiment, self.steps, self.folder.path)
        await self.context.standing.note(self.bench.instruments)

    async def carry_out(self) -> None:
        """Do the steps, one after another, while tags are collected beside them."""
        await self._enter(State.RUNNING)
        while self._left:
            try:
                async with asyncio.TaskGroup() as beside:
                    await self._go_on(beside)
            except ExceptionGroup as failure:
                if not self._left or not (wrong := await self._diagnose(failure)):
                    raise
                await self._pause(wrong, recording_is_lost=True)
        self.announce(Progress("done", self.clock.now(), 0.0))

    async def end(self, ending: Ending) -> RunReport:
        """Make everything safe, close, and write the last words. Must not be interrupted."""
        self._say(Happened("making safe", f"making {len(self._open)} instruments safe"))
        safe = await make_safe(safe_groups(self._open, self.loaded.testbed.safe_order))
        for outcome in safe:
            self._say(SafeSeen(outcome.name, outcome.verified, outcome.problem))
        verified = sum(outcome.verified for outcome in safe)
        self._say(Happened("safe state", f"{verified} of {len(safe)} instruments verified safe"))
        # Whoever did not confirm its safe state is not asked again: that would only take time.
        confirmed = {outcome.name for outcome in safe if outcome.verified}
        for seen in await baseline([i for i in self._open if i.name in confirmed], "after"):
            self._say(seen)
        closing = [asyncio.create_task(i.close()) for i in self.bench.instruments.values()]
        await asyncio.wait(closing, timeout=CLOSING_S)
        if ending.exit is Exit.DONE:
            ending = self._accepted(ending)
        if unsafe := [f"{outcome.name}: {outcome.problem}" for outcome in safe if not outcome.verified]:
            text = "\n".join(["NOT VERIFIED SAFE, go and look:", *unsafe])
            ending = Ending(ending.state, Exit.NOT_SAFE, f"{ending.message}\n{text}".strip())
        ending, results = await asyncio.to_thread(self._last_words, ending, safe)
        self._observers.notify(StateChanged(self.folder.name, ending.state, ending.message))
        self._observers.notify(Finished(self.folder.name, ending, results))
        await asyncio.to_thread(self.folder.close, ending)
        return RunReport(self.folder.path, ending, results, tuple(safe))

    def with_traceback(self, ending: Ending) -> Ending:
        """The ending of a run that met a mistake of ours: the folder keeps what is needed to find it."""
        with suppress(StorageError):
            self.folder.write_text("error.txt", traceback.format_exc())
        doing = f" in step {self._step.kind}" if self._step else ""
        text = f"internal error{doing}: {ending.message}. Please report it with error.txt of the run folder"
        return Ending(ending.state, ending.exit, text)

    def _accepted(self, ending: Ending) -> Ending:
        """The ending of a run that went well: not so well when a figure lies outside what is accepted."""
        results = self._papers.results(self.context.results, complete=True) or {}
        problems = []
        for name, accept in self.experiment.accept.items():
            found = results.get(name)
            value = found.get("value") if isinstance(found, dict) else None
            problems.append(accept.problem(name, value))
        if text := "\n".join(filter(None, problems)):
            return Ending(ending.state, Exit.OUTSIDE_ACCEPTANCE, f"outside acceptance:\n{text}")
        return ending

    def ending_for(self, failure: BaseException) -> Ending:
        """The ending that a failure means; a cancellation from outside is an abort, whatever it broke."""
        task = asyncio.current_task()
        asked_to_stop = isinstance(failure, asyncio.CancelledError | KeyboardInterrupt)
        if asked_to_stop or (task is not None and task.cancelling()):
            doing = f" in step {self._step.kind}" if self._step else ""
            return Ending(State.ABORTED, Exit.ABORTED, f"aborted{doing}")
        return ending_of(failure)

    # What steps and tasks tell.

    def announce(self, event: RunEvent) -> None:
        """Put an event in the record, then tell the observers."""
        if isinstance(event, StreamEvent):
            self._record(event)
        self._observers.notify(event)

    def _say(self, event: RunEvent) -> None:
        """Announce something that must be told even when the disk is full."""
        with suppress(StorageError):
            self.announce(event)

    def _record(self, event: StreamEvent) -> None:
        self.folder.documents.event(event, self.clock.now())

    def _progress(self, doing: str) -> None:
        now = self.clock.now()
        left = self._left_after_step
        if self._step:
            left += max(0.0, self._step.parameters.estimated_s - (now - self._step_began))
        self.announce(Progress(doing, now, left))

    def _tags_lost(self, tagger: str, tags: int) -> None:
        message = f"{tagger} dropped {tags} tags"
        details = {"instrument": tagger, "tags": tags}
        self.announce(Happened("tags lost", message, details, "warning"))

    def _observer_failed(self, observer: RunObserver, error: Exception) -> None:
        message = (
            f"{type(observer).__name__} failed and is not told any more: {type(error).__name__}: {error}"
        )
        with suppress(StorageError):  # an observer can never break a run, not even by failing on a full disk
            self._record(Happened("observer failed", message, level="warning"))

    # Steps.

    async def _go_on(self, beside: asyncio.TaskGroup) -> None:
        """Do what is left of the plan, with one recording."""
        while self._left:
            number = self._left[0]
            self._step = self.steps[number]
            self.context.changes = self._step.changes(self.bench, self.experiment)
            if self._step.needs_tags and not self._collecting:
                await self._start_collecting(beside)
            await self._do(self._step, number + 1)
            self._left.popleft()
        if self._collecting:
            await self.context.tags.stop()

    async def _do(self, step: Step[Any], number: int) -> None:
        self._step_began = self.clock.now()
        self._left_after_step = sum(s.parameters.estimated_s for s in self.steps[number:])
        count, estimated_s = len(self.steps), step.parameters.estimated_s
        self.announce(StepBegan(number, count, step.kind, estimated_s))
        while True:
            self._progress(step.kind)
            self.context.clock = StepClock(self.clock, step.kind, step.deadline_s)
            try:
                await step.run(self.context)
                await self.context.standing.note(self.context.changes)
                break
            except (InstrumentError, RunError) as failure:
                wrong = await self._diagnose(failure)
                if not wrong or (self._collecting and not wrong.keys().isdisjoint(self.context.tags.feeds)):
                    raise
            await self._pause(wrong)
        self.announce(StepEnded(number, count, step.kind, self.clock.now() - self._step_began))
        await asyncio.to_thread(self.folder.documents.sync)

    async def _diagnose(self, failure: Exception) -> Wrong:
        """The instruments because of which the run shall pause; none when the failure is to end it."""
        step, task = self._step, asyncio.current_task()
        if step is None or not step.can_go_on or (task is not None and task.cancelling()):
            return {}
        return await self._reconnection.diagnose(failure, self.context.changes)

    async def _pause(self, wrong: Wrong, *, recording_is_lost: bool = False) -> None:
        """Wait until these instruments are back. After a tag stream broke, its recording is given up, and
        what was calibrated in it comes first on the plan again."""
        assert self._step is not None
        self._reconnection.count(wrong, (self._step, self._step.safe_points))
        await self._step.interrupted(self.context)
        await self._enter(
            State.PAUSED, "; ".join(f"{name}: {reason_of(what)}" for name, what in wrong.items())
        )
        self._progress("paused")
        if recording_is_lost:
            await self._give_up_recording()
        await self._reconnection.bring_back(wrong, self.context.changes)
        await self._enter(State.RUNNING, f"{self._step.kind} goes on from its last safe point")

    async def _give_up_recording(self) -> None:
        await asyncio.to_thread(self.context.tags.close)
        await asyncio.gather(*(start_afresh(feed.tagger) for feed in self._feeds))
        self._collecting = False
        again = [
            n for n in range(self._left[0]) if self.steps[n].needs_tags and self.steps[n].makes_calibrations
        ]
        for number in again:
            self.steps[number] = make_step(self.experiment.plan[number])
        self._left.extendleft(reversed(again))

    async def _start_collecting(self, beside: asyncio.TaskGroup) -> None:
        now = self.clock.now()
        if self.context.recordings:
            # Times go on where they would be: each has one meaning in the whole run.
            origin_ps = round((now - self._collecting_since) * PS)
            self._feeds = [feed.again(origin_ps) for feed in self._feeds]
            self.context.tags = TagCollector(
                self._feeds, self._reference_tagger(), self.clock, self._tags_lost
            )
        else:
            self._collecting_since = now
        self.context.recordings += 1
        self.context.tag_files.keep_raw(self._feeds)
        await self.context.tags.start()
        self._collecting = True
        beside.create_task(self.context.tags.run(), name="collect tags")
        self.announce(Happened("recording", f"{len(self._feeds)} taggers are recording"))

    def _reference_tagger(self) -> str:
        """The tagger whose time merged tags have: that of the Bell-state measurement, of the first analyser
        of the first pair where there is none, or any. Empty on a bench without a tagger."""
        if settings := self.experiment.settings:
            return self.bench.tagger_of(self.bench.hub_detectors(settings.bell_state_measurement)[0])
        for pair in self.experiment.pairs.values():
            return self.bench.tagger_of(self.bench.spoke_detectors(pair.analysers[0])[0])
        return next((feed.name for feed in self._feeds), "")

    # Records.

    async def _enter(self, state: State, why: str = "") -> None:
        """Enter a state: nothing happens in it before it is on disk."""
        await asyncio.to_thread(self._papers.write_state, state)
        self.announce(StateChanged(self.folder.name, state, why))
        await asyncio.to_thread(self.folder.documents.sync)

    def _last_words(self, ending: Ending, safe: list[SafeOutcome]) -> tuple[Ending, dict[str, object] | None]:
        """Everything that is still to be written, as far as the disk lets us. In a worker thread."""
        results = None
        try:
            try:
                self.context.tags.close()
            finally:
                results = self._papers.results(self.context.results, complete=ending.state is State.COMPLETED)
            if results is not None:
                self._papers.write_results(results)
            self._record(StateChanged(self.folder.name, ending.state, ending.message))
        except StorageError as error:
            ending = ending.without_storage(error)
        try:
            self._papers.last_words(ending, self.clock.now(), safe, self.context.tags.lost(), results)
        except StorageError as error:
            ending = ending.without_storage(error)
        return ending, results


def _forget_cancellation() -> None:
    """The cancellation is answered: the run ends for it. What is left to do must not be cancelled by it."""
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()
