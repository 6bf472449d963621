"""Preflight: everything that can be known before something moves, all problems named at once."""

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from drivers.capabilities import Identity, Instrument
from drivers.errors import InstrumentError
from experiments.config.experiment import Experiment
from experiments.config.interlock_checks import set_point_problem
from experiments.config.testbed import Testbed
from experiments.engine.bench import Bench
from experiments.engine.outcome import OpenError, RunError, StorageError
from experiments.engine.step import Step

ROOM_BYTES = 200_000_000
"""Free disk space that any run wants: journal, results, tags around heralds."""
RAW_BYTES_PER_S = 60_000_000
"""For raw tags: 20 million per second at 2.9 bytes each (`timetags.md`), more than any testbed here makes."""


async def open_all(instruments: Sequence[Instrument]) -> tuple[list[Instrument], OpenError | None]:
    """Open all instruments at once. Returns those that are open, and one error that names all others."""
    results = await asyncio.gather(*(i.open() for i in instruments), return_exceptions=True)
    problems = _problems(instruments, results)
    opened = [i for i, result in zip(instruments, results, strict=True) if result is None]
    heading = f"{len(problems)} of {len(instruments)} instruments could not be opened"
    return opened, OpenError(heading, problems) if problems else None


async def identify(instruments: Sequence[Instrument], testbed: Testbed) -> dict[str, Identity]:
    """Ask every instrument who it is. OpenError names all that did not say, or are not those that the testbed
    expects."""
    results = await asyncio.gather(*(i.identity() for i in instruments), return_exceptions=True)
    if problems := _problems(instruments, results):
        raise OpenError(f"{len(problems)} instruments did not say who they are", problems)
    found = {i.name: r for i, r in zip(instruments, results, strict=True) if isinstance(r, Identity)}
    if strangers := [wrong for name, who in found.items() for wrong in _unexpected(name, who, testbed)]:
        raise OpenError("not the instruments that the testbed expects", strangers)
    return found


def _unexpected(name: str, who: Identity, testbed: Testbed) -> Iterator[str]:
    """What an instrument says of itself that its entry in the testbed does not."""
    entry = testbed.instruments[name]
    for what in ("serial_number", "firmware"):
        wanted, said = getattr(entry.expect, what, None), getattr(who, what)
        if wanted is not None and said != wanted:
            words = what.replace("_", " ")
            yield f"{name} ({entry.address}): {words} {said!r}, expected {wanted!r}"


def check(bench: Bench, experiment: Experiment, steps: Sequence[Step[Any]], runs: Path) -> None:
    """Set-points against limits, room on the disk. Raises RunError with everything that is wrong, or
    StorageError when only room is missing."""
    problems = set_point_problems(bench, experiment, steps)
    if len(bench.detectors) > 256:
        problems.append(f"{len(bench.detectors)} detectors; tags have room for 256 channels")
    if problems:
        raise RunError("the plan cannot be carried out:\n" + "\n".join(f"  - {p}" for p in problems))
    with StorageError.when(f"a run folder in {runs}"):
        free = shutil.disk_usage(runs).free
    if missing := no_room(free, room_bytes(experiment), runs):
        raise StorageError(missing)


def room_bytes(experiment: Experiment) -> int:
    """Disk space that a run of this experiment may need at most, in bytes."""
    recording_s = sum(step.recording_s for step in experiment.plan)
    raw_s = recording_s if experiment.record.tags == "raw" else experiment.record.raw
    return ROOM_BYTES + round(RAW_BYTES_PER_S * raw_s)


def no_room(free: int, needed: int, runs: Path) -> str:
    """What is wrong when so many bytes are free and so many needed, or nothing."""
    if free >= needed:
        return ""
    return (
        f"{free / 1e9:.1f} GB free in {runs}, {needed / 1e9:.1f} GB may be needed. Free some space, choose "
        "another disk with --runs, or record fewer tags"
    )


def set_point_problems(bench: Bench, experiment: Experiment, steps: Sequence[Step[Any]]) -> list[str]:
    """Every value that a step would set outside the limits of its instrument or of the files. Opens
    nothing."""
    problems = []
    for step in steps:
        for name, what, value, limits in step.set_points(bench, experiment):
            if value not in limits:
                problems.append(f"{step.kind}: {what} of {name} would be {value:g}, outside {limits}")
            problems += [
                f"{step.kind}: {what} of {name} would be {wrong}"
                for held in (bench.testbed.limits, experiment.limits)
                if (wrong := set_point_problem(held, bench.instruments[name], what, value))
            ]
    return problems


def _problems(instruments: Sequence[Instrument], results: Sequence[object]) -> list[str]:
    problems = []
    for instrument, result in zip(instruments, results, strict=True):
        if isinstance(result, InstrumentError):
            problems.append(str(result))
        elif isinstance(result, Exception):
            problems.append(f"{instrument.name} ({instrument.address}): {type(result).__name__}: {result}")
        elif isinstance(result, BaseException):
            raise result
    return problems
