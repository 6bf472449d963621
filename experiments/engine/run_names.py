"""Runs by their names, as people type them: the name of a folder, the beginning or end of one, or `last`."""

from pathlib import Path

RUN_FILE = "run.json"
LAST = "last"
SHOWN = 5
"""How many names a message shows."""


class NoRunError(LookupError):
    """No run, or more than one, is meant by a name; the message says which there are."""


def find_run(runs: Path, name: str) -> Path:
    """The folder of the run that is meant, in the folder `runs`. Names begin with their UTC time, so `last`
    is the one begun last. Raises NoRunError."""
    if (Path(name) / RUN_FILE).is_file():
        return Path(name)
    try:
        folders = sorted(folder for folder in runs.iterdir() if (folder / RUN_FILE).is_file())
    except OSError:
        raise NoRunError(f"there is no folder {runs}; say with --runs where the runs are") from None
    if not folders:
        raise NoRunError(f"no run in {runs}; say with --runs where the runs are")
    if name == LAST:
        return folders[-1]
    exact = [folder for folder in folders if folder.name == name]
    found = exact or [f for f in folders if f.name.startswith(name) or f.name.endswith(f"-{name}")]
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(folder.name for folder in found[-SHOWN:])
        raise NoRunError(f"{name!r} may be {len(found)} runs in {runs}, among them {shown}; write more of it")
    shown = ", ".join(folder.name for folder in folders[-SHOWN:])
    raise NoRunError(f"no run {name!r} in {runs}; the last ones there: {shown}")
