"""Whether a stored run is whole: tags against their hashes, documents against their counts."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from experiments.archive.journal import Journal
from experiments.archive.recovery import FINAL, held
from experiments.archive.stored import StoredRun
from experiments.engine.documents import DOCUMENTS
from experiments.engine.outcome import State

PAPERS = ("run.json", "env.json", "calibrations.json", "results.json")


@dataclass
class Verdict:
    """What was checked, and everything that is wrong, in words."""

    run: str
    segments: int = 0
    tags: int = 0
    events: dict[str, int] = field(default_factory=dict)
    """By stream."""
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """What a run that was killed leaves behind, and what is no loss: it was never acknowledged."""


def verify(run: StoredRun) -> Verdict:
    """Check everything that a run's folder holds; each byte of its tags is read."""
    verdict = Verdict(run.name)
    for name in PAPERS:
        _readable(run.path / name, verdict)
    try:
        if not run.config:
            verdict.problems.append("config.resolved.yaml is empty")
    except (OSError, yaml.YAMLError) as error:
        verdict.problems.append(f"config.resolved.yaml cannot be read: {error}")
    segments, wrong = held(run.path)
    verdict.segments = sum(map(len, segments.values()))
    verdict.tags = sum(segment.rows for found in segments.values() for segment in found)
    for problem in wrong:
        # A segment is written beside its place: what lies there was not acknowledged yet.
        (verdict.remarks if ".parquet.tmp: " in problem else verdict.problems).append(problem)
    try:
        journal = run.journal
    except OSError as error:
        verdict.problems.append(f"{DOCUMENTS}: {error.strerror}")
        return verdict
    _check_documents(run, journal, verdict)
    there = {
        (name, int(Path(segment.file).stem)): segment.rows
        for name, found in segments.items()
        for segment in found
    }
    for said in journal.segments:
        rows = there.get((said.folder, said.number))
        if rows != said.rows:
            have = "is not there" if rows is None else f"has {rows} tags"
            verdict.problems.append(
                f"{said.folder}/{said.number:08d}.parquet: {DOCUMENTS} says {said.rows} tags, but it {have}"
            )
    return verdict


def _readable(path: Path, verdict: Verdict) -> None:
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        if path.name == "run.json":
            verdict.problems.append("run.json is missing")
        return
    except (OSError, ValueError) as error:
        verdict.problems.append(f"{path.name} cannot be read: {error}")
        return
    if not isinstance(data, dict):
        verdict.problems.append(f"{path.name} holds no mapping")


def _check_documents(run: StoredRun, journal: Journal, verdict: Verdict) -> None:
    verdict.events = dict(Counter(event.stream for event in journal.events))
    ended = run.state in FINAL and run.state != State.INTERRUPTED
    for problem in journal.problems:
        # Without an end, the last line may be one that was just being written.
        torn = not ended and "is cut short" in problem
        (verdict.remarks if torn else verdict.problems).append(f"{DOCUMENTS}: {problem}")
    if journal.stop is None:
        if ended:
            verdict.problems.append(f"{DOCUMENTS}: the stop document is missing, though the run {run.state}")
        return
    if journal.stop.get("state") != run.state:
        verdict.problems.append(f"{DOCUMENTS} ends in {journal.stop.get('state')}, run.json says {run.state}")
    stated = journal.stop.get("num_events")
    for stream, count in stated.items() if isinstance(stated, dict) else ():
        if count != verdict.events.get(stream, 0):
            verdict.problems.append(
                f"{DOCUMENTS}: {verdict.events.get(stream, 0)} events of stream {stream}, not {count}"
            )
