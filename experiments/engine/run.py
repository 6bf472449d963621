"""A run: one execution of an experiment, from opening the instruments to the safe state.

    preparing -> running <-> paused -> completed | aborted | failed

It guarantees that every way out (done, stopped, an error, an abort, a cancellation from outside) leads
through the safe state, that the folder says how it ended and why, and that a failure of one part stops the
others at once. A second cancellation does not skip any of that. What it can be asked meanwhile is in
`control`, how its steps are done in `course`.
"""

import asyncio
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from drivers.capabilities import Instrument
from experiments.config.files import LoadedExperiment
from experiments.engine.baseline import baseline, clock_status
from experiments.engine.bench import Bench
from experiments.engine.books import Books
from experiments.engine.clock import GuardedClock, RunClock, WatchedClock
from experiments.engine.control import RunControl, Stopped, Word
from experiments.engine.control_socket import SOCKET, ControlServer
from experiments.engine.course import Course
from experiments.engine.earlier import completed
from experiments.engine.environment import environment
from experiments.engine.events import (
    Finished,
    Happened,
    Observers,
    Readings,
    RunEvent,
    RunObserver,
    SafeSeen,
    StateChanged,
    StreamEvent,
)
from experiments.engine.findings import Results
from experiments.engine.interlocks import EVERY_S, Interlocks
from experiments.engine.lease import Lease
from experiments.engine.outcome import Ending, Exit, RunError, State, StorageError, ending_of, is_internal
from experiments.engine.papers import Papers
from experiments.engine.preflight import check, identify, open_all
from experiments.engine.reconnection import Reconnection
from experiments.engine.record import RunFolder
from experiments.engine.recording import Recording
from experiments.engine.registry import maker_of
from experiments.engine.run_gate import RunGate
from experiments.engine.safe_state import SafeOutcome, make_safe, safe_groups, uninterrupted
from experiments.engine.standing import Standing
from experiments.engine.step import Context
from experiments.engine.tag_files import TagFiles
from experiments.engine.task_group import TaskGroup
from experiments.engine.uptime import UptimeLedger

JOURNAL_S = 0.5
"""How often it is looked whether the journal gets to the disk."""
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
    control: RunControl | None = None,
    lease: Lease | None = None,
    resume_from: Books | None = None,
) -> RunReport:
    """Carry out an experiment on these instruments (unopened, one for each name of the testbed).

    `folder` is new and is closed at the end; `about` is what else run.json shall say; by `control` the run
    can be paused, stopped and aborted. Emission and bias exist under `lease` alone, which somebody else
    renews; without one they do as long as the run goes on. What the books of an interrupted run have is not
    measured again. Returns how the run ended; raises nothing but errors of our own making. Cancelling the
    task aborts the run.
    """
    control = control or RunControl()
    if lease is None:
        lease = Lease()
        lease.begin()
    watched = WatchedClock(GuardedClock(clock), EVERY_S)
    run = Run(loaded, instruments, watched, folder, seed, observers, about or {}, control, lease)
    run.context.books = resume_from or Books()
    try:
        control.take_charge(_cancel_of_this_task())
        await run.prepare()
        await run.carry_out()
        ending = Ending(State.COMPLETED, Exit.DONE)
    except Stopped:
        ending = run.stopped()
    except BaseException as failure:
        # Also KeyboardInterrupt and SystemExit: whatever it is, the instruments come first.
        ending = run.ending_for(failure)
        if is_internal(failure):
            ending = run.with_traceback(ending)
    finally:
        control.let_go()
        _forget_cancellation()
    return await uninterrupted(run.end(ending))


def refused(folder: RunFolder, ending: Ending) -> RunReport:
    """The report of a run that could not begin at all, in a folder that says why."""
    with suppress(StorageError):
        about = {"run": folder.name, "state": ending.state, "exit_code": int(ending.exit)}
        folder.last_words({**about, "message": ending.message})
    folder.close(ending)
    return RunReport(folder.path, ending)


class Run:
    """The state of one run."""

    def __init__(
        self,
        loaded: LoadedExperiment,
        instruments: Mapping[str, Instrument],
        clock: WatchedClock,
        folder: RunFolder,
        seed: int,
        observers: Iterable[RunObserver],
        about: Mapping[str, object],
        control: RunControl,
        lease: Lease,
    ) -> None:
        self.loaded, self.clock, self.folder, self.seed = loaded, clock, folder, seed
        self.experiment = loaded.experiment
        self.bench = Bench(loaded.testbed, instruments)
        self.control = control
        self._control_server = ControlServer(folder.path, control)
        self._observers = Observers(observers, self._observer_failed)
        self._papers = Papers(loaded, folder, seed, about)
        self._uptime = UptimeLedger()
        self._open: list[Instrument] = []
        recording = Recording(self.bench, self.experiment, clock, self.announce)
        self._reconnection = Reconnection(
            instruments,
            Standing(instruments, lambda name, values: self.announce(Readings(name, values))),
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
            tags=recording.tags,
            tag_files=TagFiles(folder.path, self.experiment.record, folder.documents.segment),
            standing=self._reconnection.standing,
            announce=self.announce,
            progress=lambda doing: self.course.progress(doing),
            safe_point=lambda: self.course.safe_point(),
            hold=lambda why, holder: control.pause(why, holder),
            results=Results(self.experiment.plan),
            store_results=lambda: self._papers.write_results(self._results(complete=False)),
        )
        self.course = Course(self.context, recording, self._reconnection, control, self._enter, self.announce)
        self._lease = lease
        self._interlocks = Interlocks(
            {**loaded.testbed.interlocks, **self.experiment.interlocks},
            instruments,
            loaded.testbed.detectors,
            clock,
            recording.singles_hz,
            self.announce,
            control,
        )
        clock.look = self._interlocks.look if self._interlocks.watched else None
        gate = RunGate(lease, self._interlocks, (loaded.testbed.limits, self.experiment.limits))
        for instrument in instruments.values():
            instrument.gate = gate

    # The three acts.

    async def prepare(self) -> None:
        """Write down what will be run, open the instruments, check everything that can be checked."""
        self._papers.begin()
        around = await asyncio.to_thread(environment, self.seed)
        self.folder.write_json("env.json", around)
        await self._enter(State.PREPARING)
        await self._open_to_control()
        await self._complete_plan()
        # Until it is known which are open, an abort asks all of them to make themselves safe.
        self._open = list(self.bench.instruments.values())
        self._open, problem = await open_all(self._open)
        if problem:
            raise problem
        self._reconnection.identities = await identify(self._open, self.loaded.testbed)
        for name, identity in self._reconnection.identities.items():
            number = identity.serial_number or "not told"
            what = f"{name}: {identity.manufacturer} {identity.model}, serial number {number}"
            self.announce(Happened("instrument", what, {"instrument": name, **asdict(identity)}))
        clocks = await clock_status(self.loaded.testbed.clocks, {i.name: i for i in self._open})
        self.folder.write_json("env.json", {**around, "clocks": clocks})
        for seen in await baseline(self._open, "before"):
            self.announce(seen)
        check(self.bench, self.experiment, self.course.steps, self.folder.path)
        await self.context.standing.note(self.bench.instruments)
        await self._interlocks.begin()

    async def carry_out(self) -> None:
        """Do the steps, one after another, while tags are collected and interlocks and lease watched beside
        them."""
        await self._enter(State.RUNNING)
        stopped: Stopped | None = None
        async with TaskGroup() as beside:
            guards = [
                beside.create_task(self._lease.lost(), name="lease"),
                beside.create_task(self._interlocks.watch(), name="interlocks"),
                beside.create_task(self._watch_journal(), name="journal"),
            ]
            try:
                await self.course.carry_out()
            except Stopped as wish:
                stopped = wish
            for guard in guards:
                guard.cancel()
        if stopped:
            raise stopped

    async def _watch_journal(self) -> None:
        """Notice a disk that takes no more, also while the run has nothing to write. By the wall clock, which
        disks keep."""
        while True:
            self.folder.documents.check()
            await asyncio.sleep(JOURNAL_S)

    async def end(self, ending: Ending) -> RunReport:
        """Make everything safe, close, and write the last words. Must not be interrupted."""
        self._lease.end("the run is over")
        with suppress(Exception):  # whatever cannot be told or written, the instruments come first
            self._say(Happened("making safe", f"making {len(self._open)} instruments safe"))
        safe = await make_safe(safe_groups(self._open, self.loaded.testbed.safe_order))
        for outcome in safe:
            self._say(SafeSeen(outcome.name, outcome.verified, outcome.problem))
        confirmed = {outcome.name for outcome in safe if outcome.verified}
        self._say(Happened("safe state", f"{len(confirmed)} of {len(safe)} instruments verified safe"))
        # Whoever did not confirm its safe state is not asked again: that would only take time.
        await self.clock.settle()
        for seen in await baseline([i for i in self._open if i.name in confirmed], "after"):
            self._say(seen)
        closing = [asyncio.create_task(i.close()) for i in self.bench.instruments.values()]
        await asyncio.wait(closing, timeout=CLOSING_S)
        if unsafe := [f"{outcome.name}: {outcome.problem}" for outcome in safe if not outcome.verified]:
            text = "\n".join(["NOT VERIFIED SAFE, go and look:", *unsafe])
            ending = replace(ending, exit=Exit.NOT_SAFE, message=f"{ending.message}\n{text}".strip())
        ending, results = await asyncio.to_thread(self._last_words, ending, safe)
        self._observers.notify(StateChanged(self.folder.name, ending.state, ending.message))
        self._observers.notify(Finished(self.folder.name, ending, results))
        self.control.entered(ending.state)
        await self._control_server.close()
        await asyncio.to_thread(self.folder.close, ending)
        return RunReport(self.folder.path, ending, results, tuple(safe))

    def stopped(self) -> Ending:
        """The ending of a run that was asked to stop and did."""
        why = f"stopped{self._doing}: {self.control.stop_why}"
        return Ending(State.COMPLETED, Exit.DONE, why, stopped=True)

    def with_traceback(self, ending: Ending) -> Ending:
        """The ending of a run that met a mistake of ours: the folder keeps what is needed to find it."""
        with suppress(Exception):  # the safe state comes after this, whatever is wrong here
            self.folder.write_text("error.txt", traceback.format_exc())
        text = "Please report it with error.txt of the run folder"
        return replace(ending, message=f"internal error{self._doing}: {ending.message}. {text}")

    def _accepted(self, ending: Ending, results: Mapping[str, object]) -> Ending:
        """The ending of a run that went well: not so well when a figure lies outside what is accepted."""
        problems = []
        for name, accept in self.experiment.accept.items():
            found = results.get(name)
            value = found.get("value") if isinstance(found, dict) else None
            problems.append(accept.problem(name, value))
        if text := "\n".join(filter(None, problems)):
            message = f"{ending.message}\noutside acceptance:\n{text}".strip()
            exit_code = Exit.OUTSIDE_ACCEPTANCE if ending.exit is Exit.DONE else ending.exit
            return replace(ending, exit=exit_code, message=message)
        return ending

    def ending_for(self, failure: BaseException) -> Ending:
        """The ending that a failure means; a cancellation from outside is an abort, whatever it broke."""
        task = asyncio.current_task()
        asked_to_stop = isinstance(failure, asyncio.CancelledError | KeyboardInterrupt)
        if asked_to_stop or (task is not None and task.cancelling()):
            why = f": {self.control.abort_why}" if self.control.abort_why else ""
            return Ending(State.ABORTED, Exit.ABORTED, f"aborted{self._doing}{why}")
        return ending_of(failure)

    @property
    def _doing(self) -> str:
        return f" in step {self.course.step.kind}" if self.course.step else ""

    async def _complete_plan(self) -> None:
        """Add what gets the steps the calibrations that they need. Raises RunError when that cannot be
        done."""
        plan = await asyncio.to_thread(
            completed, self.course.steps, self.bench, self.experiment, self.folder.path.parent, maker_of
        )
        if plan.problems:
            raise RunError("the plan cannot be carried out:\n" + "\n".join(f"  - {p}" for p in plan.problems))
        for found in plan.found:
            self.announce(Happened("earlier calibration", found))
        self.course.steps = plan.steps

    # What steps and tasks tell.

    def announce(self, event: RunEvent) -> None:
        """Put an event in the record, then tell the observers."""
        if isinstance(event, StreamEvent):
            self._record(event)
        self._uptime.take(event, self.clock.now())
        self._observers.notify(event)

    def _say(self, event: RunEvent) -> None:
        """Announce something that must be told even when the disk is full."""
        with suppress(StorageError):
            self.announce(event)

    def _record(self, event: StreamEvent) -> None:
        self.folder.documents.event(event, self.clock.now())

    def _observer_failed(self, observer: RunObserver, error: Exception) -> None:
        message = (
            f"{type(observer).__name__} failed and is not told any more: {type(error).__name__}: {error}"
        )
        with suppress(StorageError):  # an observer can never break a run, not even by failing on a full disk
            self._record(Happened("observer failed", message, level="warning"))

    async def _open_to_control(self) -> None:
        """Let others ask this run from now on, and note what they ask."""
        self.control.heard = self._heard
        try:
            await self._control_server.open()
        except OSError as error:
            message = f"this run cannot be asked from other programs, no {SOCKET} in its folder: {error}"
            self.announce(Happened("no control", message, level="warning"))

    def _heard(self, word: Word, why: str) -> None:
        self._say(Happened("asked", f"{word}: {why}", {"word": str(word), "why": why}))

    # Records.

    def _results(self, *, complete: bool) -> dict[str, object] | None:
        results = self._papers.results(self.context.results, complete=complete)
        if results is not None:
            live_s = float(str(results.get("live_time_s", 0.0)))
            results |= self._uptime.to_results(self.clock.now(), live_s)
        return results

    async def _enter(self, state: State, why: str = "") -> None:
        """Enter a state: nothing happens in it before it is on disk."""
        await asyncio.to_thread(self._papers.write_state, state)
        self.control.entered(state)
        self.announce(StateChanged(self.folder.name, state, why))
        await asyncio.to_thread(self.folder.documents.sync)

    def _last_words(self, ending: Ending, safe: list[SafeOutcome]) -> tuple[Ending, dict[str, object] | None]:
        """Everything that is still to be written, as far as the disk lets us. In a worker thread.

        Whatever sinks and sections of the results raise here, the folder says how the run ended."""
        results = None
        complete = ending.state is State.COMPLETED and not ending.stopped
        try:
            try:
                self.context.tags.close()
            finally:
                results = self._results(complete=complete)
            if results is not None:
                self._papers.write_results(results)
            if ending.state is State.COMPLETED:
                ending = self._accepted(ending, results or {})
        except Exception as error:
            ending = self._failed_at_last(ending, error)
        try:
            self._record(StateChanged(self.folder.name, ending.state, ending.message))
        except StorageError as error:
            ending = ending.without_storage(error)
        try:
            self._papers.last_words(ending, self.clock.now(), safe, self.context.tags.lost(), results)
        except StorageError as error:
            ending = ending.without_storage(error)
        return ending, results

    def _failed_at_last(self, ending: Ending, failure: Exception) -> Ending:
        """The ending of a run that was over but for its last words."""
        if isinstance(failure, StorageError):
            return ending.without_storage(failure)
        last = ending_of(failure)
        if is_internal(failure):
            last = self.with_traceback(last)
        return replace(
            ending,
            state=last.state if ending.state is State.COMPLETED else ending.state,
            exit=last.exit if ending.exit is Exit.DONE else ending.exit,
            message=f"{ending.message}\n{last.message}".strip(),
        )


def _forget_cancellation() -> None:
    """The cancellation is answered: the run ends for it. What is left to do must not be cancelled by it."""
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()


def _cancel_of_this_task() -> Callable[[], object]:
    task = asyncio.current_task()
    assert task is not None
    return task.cancel
