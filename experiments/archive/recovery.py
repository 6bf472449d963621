"""Runs whose process is gone: marked as interrupted, with what their folders hold.

It guarantees that a run that is alive is never touched, also while it starts or ends; that two processes
that recover at once do it once; and that nothing but run.json is written, as a whole. What cannot be
written (a folder of somebody else) is left as it is.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.archive.finding import read_about, run_folders
from experiments.engine.outcome import State
from experiments.engine.process import is_gone
from experiments.engine.record import TAGS, json_file, replace_whole, utc_now
from timetags.files.manifest import MANIFEST, Segment

FINAL = frozenset(str(state) for state in State if state.final)
GUARDIAN = "guardian.json"
"""In the folder of a run whose guardian had to act: why, and what became of each instrument."""
REASON = "its process is gone: killed, or the computer went down"


@dataclass(frozen=True)
class Recovered:
    """A run that was found dead just now."""

    run: str
    message: str


def is_dead(about: Mapping[str, Any]) -> bool:
    """Whether what run.json says is of a run that did not end and whose process is gone for sure."""
    process = about.get("process")
    return about.get("state") not in FINAL and isinstance(process, dict) and is_gone(process)


def recover_all(runs: Path) -> list[Recovered]:
    """Look at all runs of a folder, and mark the dead ones."""
    return recover(run_folders(runs))


def recover(folders: Iterable[Path]) -> list[Recovered]:
    """Mark the dead ones of these runs; what cannot be written is left as it is."""
    found = []
    for folder in folders:
        if is_dead(read_about(folder)):
            with suppress(OSError):
                if recovered := _recover(folder):
                    found.append(recovered)
    return found


def _recover(folder: Path) -> Recovered | None:
    with _alone(folder) as first:
        # The run may have ended well between the reading and its death, or somebody else was here before.
        about = read_about(folder)
        if not first or not is_dead(about):
            return None
        segments, wrong = held(folder)
        tags = {name: _summary(found) for name, found in segments.items()}
        count, rows = (sum(part[what] for part in tags.values()) for what in ("segments", "rows"))
        message = (
            f"{_reason(folder)}. It was {about.get('state')}; {rows:,} tags in {count} segments are whole"
        )
        if wrong:
            message += f", {len(wrong)} are not"
        replace_whole(
            folder / "run.json",
            json_file(
                {
                    **about,
                    "state": State.INTERRUPTED,
                    "interrupted_in": about.get("state"),
                    "message": message,
                    "recovered_utc": utc_now(),
                    "tags": tags,
                    "damage": wrong,
                }
            ),
        )
        with suppress(OSError):
            (folder / ".reserve").unlink()
        return Recovered(folder.name, message)


def _reason(folder: Path) -> str:
    """Why a run is dead: what the guardian wrote that made its bench safe, where one was there."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads((folder / GUARDIAN).read_bytes())["message"])
    return REASON


def tag_folders(run: Path) -> list[Path]:
    """The folders of tag segments of a run."""
    tags = run / TAGS
    return sorted({path.parent for name in ("*.parquet", MANIFEST) for path in tags.rglob(name)})


def held(run: Path) -> tuple[dict[str, list[Segment]], list[str]]:
    """What a run's folder holds of tags, each segment read and compared with its SHA-256: the whole segments
    by folder, and what is wrong, in words."""
    from timetags.files.segments import verify_segments

    segments: dict[str, list[Segment]] = {}
    wrong: list[str] = []
    for folder in tag_folders(run):
        name = str(folder.relative_to(run))
        segments[name], problems = verify_segments(folder)
        wrong += [f"{name}/{problem}" for problem in problems]
    return segments, wrong


def _summary(segments: Sequence[Segment]) -> dict[str, Any]:
    return {
        "segments": len(segments),
        "rows": sum(segment.rows for segment in segments),
        "lost": sum(segment.lost for segment in segments),
        "start_ps": min((segment.start_ps for segment in segments), default=None),
        "end_ps": max((segment.end_ps for segment in segments), default=None),
    }


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether nobody else is recovering this run now. The lock goes with the process that holds it."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)
