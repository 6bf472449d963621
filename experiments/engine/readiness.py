"""Readiness: whether a run could begin now, as far as that can be known without changing anything.

What `bellbench check --full` finds. Without hardware: set-points of every step at every point of a sweep, the
order of steps with the calibrations that they need and their ages, time, room on the disk, secrets. With
hardware: whether every instrument answers and is the one that is meant, clocks that follow their references,
interlocks. Every finding is reached whatever the others are, and nothing is set on any instrument.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivers.capabilities import Instrument
from experiments.config.estimate import estimate, show_duration
from experiments.config.experiment import Experiment
from experiments.config.files import LoadedExperiment
from experiments.config.interlocks import Interlock
from experiments.config.references import resolve
from experiments.config.testbed import Testbed
from experiments.engine import events
from experiments.engine.baseline import clock_status
from experiments.engine.bench import Bench
from experiments.engine.clock import WallClock
from experiments.engine.control import RunControl
from experiments.engine.earlier import completed
from experiments.engine.interlocks import Interlocks, Status
from experiments.engine.outcome import Exit, OpenError
from experiments.engine.preflight import identify, no_room, open_all, room_bytes, set_point_problems
from experiments.engine.registry import make_step, maker_of

CONFIG = 2
"""The exit code for what the files have to say differently, as everywhere on the command line."""
WORST_FIRST = (int(Exit.NOT_SAFE), int(Exit.INSTRUMENT), int(Exit.STORAGE), CONFIG)


@dataclass(frozen=True)
class Finding:
    """What was looked at, what is wrong with it, and what there is to say of it when nothing is. `exit` is
    the exit code of the command where something is wrong."""

    topic: str
    problems: tuple[str, ...]
    found: str
    exit: int

    @property
    def ok(self) -> bool:
        return not self.problems


def exit_code(findings: Sequence[Finding]) -> int:
    """The exit code of all findings: that of the worst, 0 where all is well."""
    wrong = [finding.exit for finding in findings if not finding.ok]
    return min(wrong, key=WORST_FIRST.index, default=0)


def of_plan(loaded: LoadedExperiment, runs: Path) -> Iterator[Finding]:
    """What can be known without hardware, for a run with its folder in `runs`."""
    points = loaded.points or (loaded,)
    benches = [Bench(point.testbed, point.inventory.drivers) for point in points]
    steps = [[make_step(parameters) for parameters in point.experiment.plan] for point in points]

    problems: list[str] = []
    number = 0
    for point, bench, plan in zip(points, benches, steps, strict=True):
        number += sum(1 for step in plan for _ in step.set_points(bench, point.experiment))
        problems += _at(point, set_point_problems(bench, point.experiment, plan))
    yield Finding("set-points", tuple(problems), f"{number} within their limits{_in_all(points)}", CONFIG)

    problems, found = [], []
    for point, bench, plan in zip(points, benches, steps, strict=True):
        done = completed(plan, bench, point.experiment, runs, maker_of)
        problems += _at(point, done.problems)
        found += done.found
    said = "; ".join(dict.fromkeys(found)) or "made by the plan itself, or not needed"
    yield Finding("calibrations", tuple(dict.fromkeys(problems)), said, CONFIG)

    durations = [estimate(point.experiment, point.testbed).duration_s for point in points]
    yield Finding("time", (), f"about {show_duration(sum(durations))}{_in_all(points)}", 0)
    yield _room([point.experiment for point in points], runs)
    yield _secrets([point.experiment for point in points])


async def of_bench(
    testbed: Testbed, interlocks: Mapping[str, Interlock], instruments: Mapping[str, Instrument]
) -> list[Finding]:
    """What the instruments say, which this opens; closing them is the caller's. `interlocks` are those of the
    experiment, besides the testbed's."""
    opened, unreached = await open_all(list(instruments.values()))
    problems = list(unreached.problems) if unreached else []
    try:
        found = await identify(opened, testbed)
    except OpenError as error:
        problems += error.problems
        found = {}
    expected = sum(testbed.instruments[name].expect is not None for name in found)
    who = f"{len(found)} answer" + (f", {expected} of them as the testbed expects" if expected else "")
    findings = [Finding("instruments", tuple(problems), who, int(Exit.INSTRUMENT))]
    findings.append(await _clocks(testbed, {instrument.name: instrument for instrument in opened}))
    findings.append(await _interlocks({**testbed.interlocks, **interlocks}, testbed, instruments))
    return findings


def _at(point: LoadedExperiment, problems: Sequence[str]) -> list[str]:
    return [f"{point.point}: {problem}" if point.point else problem for problem in problems]


def _in_all(points: Sequence[Any]) -> str:
    return f" at {len(points)} points" if len(points) > 1 else ""


def _room(experiments: Sequence[Experiment], runs: Path) -> Finding:
    needed = sum(map(room_bytes, experiments))
    # A folder that the first run makes will lie on the disk of the nearest one that is there.
    there = next(folder for folder in (runs.absolute(), *runs.absolute().parents) if folder.exists())
    try:
        free = shutil.disk_usage(there).free
    except OSError as error:
        problem = f"{there}: {error.strerror}"
        return Finding("disk", (problem,), "", int(Exit.STORAGE))
    missing = no_room(free, needed, runs)
    said = f"{needed / 1e9:.1f} GB may be needed, {free / 1e9:.1f} GB are free for {runs}"
    return Finding("disk", (missing,) if missing else (), said, int(Exit.STORAGE))


def _secrets(experiments: Sequence[Experiment]) -> Finding:
    told = [experiment.telemetry for experiment in experiments]
    named = [reference for each in told for reference in (each.username, each.password) if reference]
    references = dict.fromkeys(named)
    problems = []
    for reference in references:
        try:
            resolve(reference)
        except LookupError as error:
            problems.append(str(error))
    return Finding(
        "secrets", tuple(problems), f"{len(references)} can be had" if references else "none needed", CONFIG
    )


async def _clocks(testbed: Testbed, instruments: Mapping[str, Instrument]) -> Finding:
    problems, unwatched = [], 0
    for name, status in (await clock_status(testbed.clocks, instruments)).items():
        unwatched += status["monitor"] is None
        if problem := status.get("problem"):
            problems.append(f"{name}: {problem}")
        elif status["monitor"] is not None and status["locked"] is not True:
            says = (
                "does not follow its reference" if status["locked"] is False else "is not known to be locked"
            )
            problems.append(f"{name} {says}, as {status['monitor']} has it")
    watched = len(testbed.clocks) - unwatched
    said = f"{watched} of {len(testbed.clocks)} have a monitor, and follow their references"
    said = said if testbed.clocks else "none in the testbed"
    return Finding("clocks", tuple(problems), said, int(Exit.INSTRUMENT))


async def _interlocks(
    interlocks: Mapping[str, Interlock],
    testbed: Testbed,
    instruments: Mapping[str, Instrument],
) -> Finding:
    """One look at all interlocks that can be judged while no tags are recorded."""
    told: dict[str, str] = {}

    def note(event: events.Interlock) -> None:
        told[event.name] = event.message

    watch = Interlocks(
        interlocks, instruments, testbed.detectors, WallClock(), lambda: None, note, RunControl()
    )
    await watch.first_look()
    judged = [watched for watched in watch.watched if not watched.needs_tags]
    problems = [told[w.name] for w in judged if w.blocks]
    warned = [told[w.name] for w in judged if w.status is not Status.OK and not w.blocks]
    said = f"{len(judged)} of {len(watch.watched)} looked at, nothing speaks against switching on"
    said = said if watch.watched else "none in the files"
    return Finding("interlocks", tuple(problems), "; ".join([said, *warned]), int(Exit.NOT_SAFE))
