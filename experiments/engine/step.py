"""What a step is, and what it gets from the run: the bench, the clock, the tags, the record.

A step is one class with the parameters model of its kind (`experiments.config.plan`). It states what it
needs, which instruments it may change, which set-points it will use and how long it may take; the run
checks all that before anything is moved.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from drivers.capabilities import Limits
from drivers.errors import DeadlineError
from experiments.calibrations.history import Calibration, History
from experiments.config.experiment import Experiment
from experiments.config.plan import PlanStep
from experiments.engine.bench import Bench
from experiments.engine.books import Books
from experiments.engine.clock import RunClock
from experiments.engine.events import Live, Rates, RunEvent
from experiments.engine.findings import Calibrations, Results
from experiments.engine.maintenance import Maintenance, undisturbed_s
from experiments.engine.record import RunFolder
from experiments.engine.standing import Standing
from experiments.engine.tag_files import TagFiles
from experiments.engine.tags import TagCollector
from experiments.estimators.estimate import Estimate

P = TypeVar("P", bound=PlanStep)
TICK_S = 1.0
"""How often a run shows what it sees, in seconds of run clock."""
LOOK_S = 10.0
"""How often a run looks whether all instruments still stand as it left them, while it lets time pass."""


class SetPoint(NamedTuple):
    """A value that a step will set on an instrument, with the limits it must keep."""

    instrument: str
    what: str
    value: float
    limits: Limits


class StepClock:
    """The run clock within one step: refuses to sleep past the step's deadline, by DeadlineError."""

    def __init__(self, clock: RunClock, kind: str, deadline_s: float) -> None:
        self._clock, self._kind, self._deadline_s = clock, kind, deadline_s
        self._end = clock.now() + deadline_s

    def now(self) -> float:
        return self._clock.now()

    def put_off(self, seconds: float) -> None:
        """Give the step more time: the run was held meanwhile."""
        self._end += seconds

    async def sleep(self, seconds: float) -> None:
        if self._clock.now() + seconds > self._end:
            raise DeadlineError(
                f"step {self._kind}",
                "plan",
                f"not done within {self._deadline_s:g} s of run time",
                "See in documents.jsonl what it was waiting for",
            )
        await self._clock.sleep(seconds)


@dataclass
class Context:
    """What a step may use. Only the step itself sleeps on `clock`."""

    bench: Bench
    experiment: Experiment
    clock: RunClock
    seed: int
    folder: RunFolder
    tags: TagCollector
    """Collecting, when the step needs tags."""
    tag_files: TagFiles
    standing: Standing
    announce: Callable[[RunEvent], None]
    progress: Callable[[str], None]
    """Tell observers what the step does now; the run adds how long it will take."""
    safe_point: Callable[[], Awaitable[None]]
    """Say that the run may be held or stopped here, and upkeep be carried out: returns when it may go on.
    Raises `Stopped`, which a step lets pass."""
    results: Results
    hold: Callable[[str, str], object]
    """Hold the run at its next safe point until a person lets it go on: why, and in whose name."""
    store_results: Callable[[], None]
    """Write results.json from the results as they are."""
    books: Books = field(default_factory=Books)
    """What an interrupted run, with which this one goes on, has counted."""
    changes: Collection[str] = ()
    """The instruments that the present step may change."""
    recordings: int = 0
    """How many recordings have been begun: one, and one more after each time that a tag stream broke."""
    calibrations: Calibrations = field(default_factory=Calibrations)
    maintenance: list[Maintenance] = field(default_factory=list)
    """Upkeep of the bench, carried out at safe points of measuring steps."""
    _calibration_records: dict[str, object] = field(default_factory=dict)

    def store_calibration(self, name: str, record: Mapping[str, object]) -> None:
        """Write what calibrations.json says under a name, which makes it part of the history of calibrations;
        under `NAME of recording 2` and so on when it is made anew for a later recording. Numbers in it are
        `{"value", "unit", "uncertainty"}` below a quantity and what it is of; `utc` says when it was made."""
        key = name if self.recordings < 2 else f"{name} of recording {self.recordings}"
        about: dict[str, object] = {
            "name": name,
            "testbed": self.bench.testbed.testbed,
            "simulated": self.bench.testbed.simulated,
        }
        if policy := self.experiment.calibrations.get(name):
            about["valid_for_s"] = policy.valid_for
        self.use_calibration(key, {**about, **record})

    def use_calibration(self, key: str, record: Mapping[str, object]) -> None:
        """Write a calibration that is in force in this run into calibrations.json, with all that it says."""
        self._calibration_records[key] = record
        self.folder.write_json("calibrations.json", self._calibration_records)

    def fresh_calibration(self, name: str) -> Calibration | None:
        """The calibration of that name in force on this testbed, by this run or an earlier one, if it is no
        older than the section `calibrations` and the run that made it allow; else None."""
        testbed, policy = self.bench.testbed, self.experiment.calibrations.get(name)
        with History(self.folder.path.parent) as history:
            current = history.current(name, testbed.testbed, simulated=testbed.simulated)
        if current is None or not current.is_fresh(datetime.now(UTC), policy.valid_for if policy else inf):
            return None
        return current

    def undisturbed_s(self) -> float:
        """For how many seconds a measurement may count before the next safe point: until upkeep is due."""
        return undisturbed_s(self.maintenance, self.clock.now())

    def show_live(
        self,
        step: PlanStep,
        figures: Mapping[str, Estimate | None],
        live_s: float,
        heralds: int = 0,
        fourfolds: int = 0,
    ) -> None:
        """Tell observers the figures so far of the measurement under way, by the names that they will have in
        the results of this step, after `live_s` seconds of data."""
        named = {f"{step.label}.{name}" if step.label else name: found for name, found in figures.items()}
        self.announce(Live(heralds=heralds, fourfolds=fourfolds, live_s=live_s, figures=named))

    async def let_pass(self, seconds: float, doing: str, show: Callable[[], None] | None = None) -> None:
        """Sleep on the run clock, and every `TICK_S` tell how far the run is and what the detectors see.

        However the instruments stand now, they shall stand so until the end; raises InstrumentError when one
        does not. Whoever waits has set everything before."""
        await self.standing.note(self.changes)
        unseen_s = 0.0
        while seconds > 0:
            nap = min(TICK_S, seconds)
            await self.clock.sleep(nap)
            seconds, unseen_s = seconds - nap, unseen_s + nap
            if unseen_s >= LOOK_S or seconds <= 0:
                await self.standing.look()
                unseen_s = 0.0
            self.progress(doing)
            rates = self.tags.rates_hz().tolist()
            self.announce(Rates(dict(zip(self.bench.detectors, rates, strict=True))))
            if show:
                show()


class Step(ABC, Generic[P]):
    """One item of a plan."""

    needs_tags: ClassVar[bool] = False
    """Whether taggers must record while it runs."""
    needs_calibrations: ClassVar[tuple[str, ...]] = ()
    """Calibrations that an earlier step of the plan must have made."""
    makes_calibrations: tuple[str, ...] = ()
    can_go_on: ClassVar[bool] = False
    """Whether `run` may be called once more after it failed with an instrument that is back now. It then goes
    on from its last safe point. Never true of a step that switches emission or bias on."""
    safe_points: int = 0
    """How many safe points it has passed: what lies before the last one need not be done again."""

    def __init__(self, parameters: P) -> None:
        self.parameters = parameters

    def anew(self) -> "Step[Any]":
        """A step that does the same from the beginning."""
        return type(self)(self.parameters)

    @property
    def kind(self) -> str:
        return self.parameters.kind

    def records(self, experiment: Experiment) -> bool:
        """Whether taggers must record while it runs, with the settings of this experiment."""
        del experiment
        return self.needs_tags

    @property
    def deadline_s(self) -> float:
        """How long it may take, in seconds of run clock: three times the estimate and two minutes."""
        return 3 * self.parameters.estimated_s + 120.0

    @abstractmethod
    def changes(self, bench: Bench, experiment: Experiment) -> set[str]:
        """The instruments that it may change."""

    def set_points(self, bench: Bench, experiment: Experiment) -> Iterator[SetPoint]:
        """Every value that it will set, for checking before anything moves."""
        del bench, experiment
        yield from ()

    @abstractmethod
    async def run(self, context: Context) -> None:
        """Do it. Raises what went wrong; must leave nothing running when cancelled."""

    async def finish(self, context: Context) -> None:
        """The run was stopped at a safe point of `run`: bring what was measured until there to its end."""

    async def interrupted(self, context: Context) -> None:
        """The run will pause because of an instrument: forget what was measured since the last safe point."""
