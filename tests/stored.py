"""Stored runs for tests: folders as a run leaves them, made by hand or by a run of the toy bench."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from experiments.engine.books import Books
from experiments.engine.documents import Documents
from experiments.engine.events import RunObserver, StateChanged
from experiments.engine.outcome import Ending, Exit, State
from experiments.engine.process import this_process
from experiments.engine.record import RunFolder
from experiments.engine.run import execute
from tests.experiments.fakes import PLAN, ToyBench, experiment
from timetags.block import TagBlock
from timetags.files.segments import SegmentWriter


@contextmanager
def process_that_is_killed() -> Iterator[dict[str, Any]]:
    """What run.json says of a process that is killed at the end."""
    program = "import json, time; from experiments.engine.process import this_process\n"
    program += "print(json.dumps(this_process()), flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield json.loads(process.stdout.readline())
        process.kill()


def make_folder(
    runs: Path, name: str, state: str = "completed", process: dict[str, Any] | None = None, **about: Any
) -> Path:
    """A run's folder with two segments of five tags, and a journal that fits the state."""
    folder = runs / name
    folder.mkdir(parents=True)
    ended = State(state).final and state != "interrupted"
    said = {
        "run": name,
        "experiment": "toy",
        "state": state,
        "process": process or this_process(),
        "began_utc": "2026-11-22T03:10:07.000Z",
        **about,
    }
    (folder / "run.json").write_text(json.dumps(said))
    (folder / "config.resolved.yaml").write_text(
        "experiment: {plan: []}\ntestbed: {detectors: {a: {}, b: {}}}"
    )
    journal = Documents(folder / "documents.jsonl")
    journal.start({"run": name})
    journal.event(StateChanged(name, State.RUNNING), 0.0)
    with SegmentWriter(
        folder / "tags/heralds", span_ps=1, on_segment=lambda s: journal.segment("tags/heralds", s)
    ) as writer:
        for number in range(2):
            begin = number * 10**12
            times = begin + np.arange(5, dtype=np.int64) * 10**11
            writer.append(TagBlock(times, np.full(5, number, np.uint8), begin, begin + 10**12))
    if ended:
        journal.event(StateChanged(name, State(state)), 2.0)
        journal.stop(Ending(State(state), Exit.DONE))
    else:
        (folder / ".reserve").write_bytes(b"room")
    journal.close()
    return folder


async def toy_run(
    runs: Path,
    bench: ToyBench | None = None,
    *,
    plan: Any = PLAN,
    resume_from: Books | None = None,
    observers: Sequence[RunObserver] = (),
    **more: Any,
) -> Path:
    """The folder of a run on the toy bench."""
    bench = bench or ToyBench()
    folder = RunFolder.create(runs, "toy_swapping")
    report = await execute(
        experiment(plan, **more),
        bench.instruments,
        bench.clock,
        folder,
        seed=7,
        resume_from=resume_from,
        observers=observers,
    )
    assert report.folder
    return report.folder
