"""What a run ran in: versions, commit, host. Recorded so that a result can be made again.

The status of the clocks is added once the instruments are open (see `baseline`).
"""

import platform
import re
import socket
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

DISTRIBUTION = "bellbench"


def environment(seed: int) -> dict[str, object]:
    """Everything for env.json. Takes some 10 ms, for git; what cannot be found out is None."""
    return {
        "bellbench": _version(DISTRIBUTION),
        "git": _git(),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "seed": seed,
        "packages": {name: _version(name) for name in _dependencies()},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _dependencies() -> list[str]:
    try:
        lines = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        return []
    return sorted(re.split(r"[^A-Za-z0-9_.-]", line)[0] for line in lines if "extra ==" not in line)


def _git() -> dict[str, object] | None:
    """The commit of the checkout that this code runs from, and whether tracked files differ from it."""
    here = Path(__file__).resolve().parent
    try:
        commit, changes = (
            subprocess.run(
                ["git", "-C", str(here), *arguments], capture_output=True, text=True, timeout=5, check=True
            ).stdout.strip()
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "modified": bool(changes)}
