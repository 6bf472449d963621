"""Calibrations of earlier runs: what a plan needs and does not make is taken over, or made first.

Before anything is opened the steps of a plan are completed as the section `calibrations` says: where a step
needs a calibration that none before it makes, the one in force (`experiments.calibrations.history`) is taken
over by a step of its own, if it is young enough and still means something on this bench. Else, with
`when_old: renew`, the step that makes it comes first, with its default parameters; with `refuse` the run is
refused.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from experiments.calibrations.history import Calibration, History
from experiments.config.estimate import show_duration
from experiments.config.experiment import Experiment
from experiments.config.plan import PlanStep
from experiments.engine.bench import Bench
from experiments.engine.events import Happened
from experiments.engine.step import Context, Step


@runtime_checkable
class Reusable(Protocol):
    """A step whose calibration a later run may take over."""

    def obstacle(self, record: Mapping[str, Any], bench: Bench, experiment: Experiment) -> str:
        """Why a calibration that such a step once made means nothing here, or nothing."""
        ...

    async def take_over(self, calibration: Calibration, context: Context) -> Mapping[str, object]:
        """Put it in force in this run, as the step does with its own. Returns what of its record is another
        here."""
        ...


class TakingOver(PlanStep):
    """The parameters of `TakeOver`; no plan in a file has it."""

    kind = "take_over"


class TakeOver(Step[TakingOver]):
    """Takes a calibration over that an earlier run made, in the recording that the plan goes on with."""

    needs_tags = True

    def __init__(self, calibration: Calibration, maker: Step[Any]) -> None:
        super().__init__(TakingOver())
        self.calibration, self._maker = calibration, maker
        self.makes_calibrations = (calibration.name,)

    def anew(self) -> Step[Any]:
        return self._maker

    def changes(self, bench: Bench, experiment: Experiment) -> set[str]:
        del bench, experiment
        return set()

    async def run(self, context: Context) -> None:
        assert isinstance(self._maker, Reusable)
        taken, age_s = self.calibration, self.calibration.age_s(datetime.now(UTC))
        other = await self._maker.take_over(taken, context)
        context.use_calibration(
            taken.name, {**taken.record, **other, "taken_over": {"run": taken.run, "age_s": age_s}}
        )
        message = f"{taken.name} of {taken.run}, {show_duration(age_s)} old"
        details = {"calibration": taken.name, "run": taken.run, "utc": taken.utc, "age_s": age_s}
        context.announce(Happened("calibration taken over", message, details))


@dataclass
class Completed:
    """The steps of a plan with those that get it the calibrations it lacks; why it lacks some still; and what
    was done about each, for people."""

    steps: list[Step[Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)


def completed(
    steps: Sequence[Step[Any]],
    bench: Bench,
    experiment: Experiment,
    runs: Path,
    maker_of: Callable[[str], Step[Any] | None],
) -> Completed:
    """Complete the steps of a plan with calibrations of the runs in a folder."""
    done = Completed()
    made: set[str] = set()
    for step in steps:
        for name in step.needs_calibrations:
            if name not in made:
                _find(name, step, bench, experiment, runs, maker_of, done)
                made.add(name)
        done.steps.append(step)
        made.update(step.makes_calibrations)
    return done


def _find(
    name: str,
    step: Step[Any],
    bench: Bench,
    experiment: Experiment,
    runs: Path,
    maker_of: Callable[[str], Step[Any] | None],
    done: Completed,
) -> None:
    policy, maker = experiment.calibrations.get(name), maker_of(name)
    if policy is None or maker is None:
        missing = f"{step.kind} needs the calibration of {name}, which no earlier step of the plan makes"
        done.problems.append(missing)
        return
    with History(runs) as history:
        testbed = bench.testbed
        current = history.current(name, testbed.testbed, simulated=testbed.simulated)
    why = _why_not(name, current, policy.valid_for, maker, bench, experiment)
    if current and not why:
        done.steps.append(TakeOver(current, maker))
        age = show_duration(current.age_s(datetime.now(UTC)))
        done.found.append(f"{name}: that of {current.run}, {age} old")
    elif policy.when_old == "renew":
        done.steps.append(maker)
        done.found.append(f"{name}: {why}; {maker.kind} comes first")
    else:
        done.problems.append(
            f"{step.kind} needs the calibration of {name}: {why}. Run an experiment with {maker.kind}, add "
            "it to the plan, or write when_old: renew"
        )


def _why_not(
    name: str,
    current: Calibration | None,
    valid_for_s: float,
    maker: Step[Any],
    bench: Bench,
    experiment: Experiment,
) -> str:
    """Why the calibration in force cannot be used, or nothing."""
    if current is None:
        return "no run has made one"
    if not isinstance(maker, Reusable):
        return f"{name} holds only in the run that makes it"
    now = datetime.now(UTC)
    if not current.is_fresh(now, valid_for_s):
        age_s, valid_s = current.age_s(now), min(valid_for_s, current.valid_for_s or inf)
        age = "of an unknown age" if age_s == inf else f"{show_duration(age_s)} old"
        return f"that of {current.run} is {age}, it holds for {show_duration(valid_s)}"
    return maker.obstacle(current.record, bench, experiment)
