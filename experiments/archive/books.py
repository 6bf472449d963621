"""The books of a stored run, for one that goes on with it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.archive.journal import read_journal
from experiments.engine.books import COUNTED, Books


def read_books(run: Path) -> Books:
    """What the run in a folder has counted, also what it took over from others. What is damaged is left out.
    Raises OSError when its journal cannot be read at all."""
    entries: dict[tuple[str, str | None], list[Mapping[str, Any]]] = {}
    for entry in read_journal(run).happened(COUNTED):
        step, label = entry.get("step"), entry.get("label")
        if isinstance(step, str) and isinstance(label, str | None):
            entries.setdefault((step, label), []).append(entry)
    return Books(run.name, entries)
