"""Which run somebody means: the beginning or the end of its name, its folder, or `last`."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RUNS = Path("runs")
"""Where the folders of runs are, unless somebody says otherwise."""


class NoSuchRunError(LookupError):
    """No run is meant, or more than one; the message says what there is."""


def run_folders(runs: Path) -> list[Path]:
    """All folders of runs in `runs`, oldest first. None when there is no such folder."""
    try:
        with os.scandir(runs) as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [runs / name for name in sorted(names) if (runs / name / "run.json").exists()]


def find_run(name: str, runs: Path = RUNS) -> Path:
    """The folder of the run that `name` means: how it begins or ends, if no other does, a path to it, or
    `last` for the one that began last. Raises NoSuchRunError."""
    if os.sep in name and (Path(name) / "run.json").exists():
        return Path(name)
    folders = run_folders(runs)
    if not folders:
        raise NoSuchRunError(f"there are no runs in {runs}; --runs names another folder")
    if name == "last":
        return max(folders, key=lambda folder: (folder.name[:20], began(folder)))
    exact = [folder for folder in folders if folder.name == name]
    meant = exact or [f for f in folders if f.name.startswith(name) or f.name.endswith(f"-{name}")]
    if len(meant) == 1:
        return meant[0]
    if not meant:
        recent = ", ".join(folder.name for folder in folders[-3:])
        raise NoSuchRunError(f"no run in {runs} is named {name}...; the latest are {recent}")
    several = ", ".join(folder.name for folder in meant[:5])
    more = ", ..." if len(meant) > 5 else ""
    raise NoSuchRunError(f"{len(meant)} runs in {runs} are named {name}...: {several}{more}")


def read_about(folder: Path) -> Mapping[str, Any]:
    """What run.json says; empty when it cannot be read: a run never leaves it so, somebody else might."""
    try:
        about = json.loads((folder / "run.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}


def began(folder: Path) -> str:
    """When a run began, in UTC as run.json says."""
    return str(read_about(folder).get("began_utc", ""))
