"""The manifest of a folder of tag segments: a line for each, by which every byte of it can be checked.

`manifest.jsonl` is written after the segment that a line is about, so a crash may leave a segment without a
line, never a line without its segment.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from timetags.files.lines import append_line, objects_of, open_for_lines

MANIFEST = "manifest.jsonl"


@dataclass(frozen=True)
class Segment:
    """What the manifest says of one segment. Its tags lie in `start_ps` <= t < `end_ps`."""

    file: str
    rows: int
    start_ps: int
    end_ps: int
    lost: int
    """Tags that the instrument dropped in this time."""
    sha256: str


def append_segment(folder: Path, segment: Segment) -> None:
    """Add a line, which is on disk when this returns. An OSError leaves the manifest as it was."""
    file = open_for_lines(folder / MANIFEST)
    try:
        append_line(file, json.dumps(asdict(segment)).encode())
        os.fsync(file)
    finally:
        os.close(file)


def read_manifest(folder: Path) -> dict[str, Segment]:
    """The segments by file name, of all lines that are whole. Empty when there is no manifest."""
    try:
        with (folder / MANIFEST).open("rb") as lines:
            segments = list(map(_segment, objects_of(lines)))
    except FileNotFoundError:
        return {}
    return {segment.file: segment for segment in segments if segment is not None}


def _segment(entry: dict[str, Any]) -> Segment | None:
    kinds = {"file": str, "rows": int, "start_ps": int, "end_ps": int, "lost": int, "sha256": str}
    if any(type(entry.get(name)) is not kind for name, kind in kinds.items()):
        return None
    return Segment(**{name: entry[name] for name in kinds})


def sum_of(content: bytes) -> str:
    """The SHA-256 by which a segment is known."""
    return hashlib.sha256(content).hexdigest()
