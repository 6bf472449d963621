"""The peers' environment, set up on first use, and the workers in it."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HERE = Path(__file__).parent
_ENVIRONMENT = _HERE / ".environment"
_RECORD = _ENVIRONMENT / "installed.json"
_PYTHON = _ENVIRONMENT / "bin/python"

# One thread each: figures are for one core, and for one another.
_ONE_THREAD = dict.fromkeys(
    ("POLARS_MAX_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
)


class PeerError(Exception):
    """A peer cannot be used, with the reason."""


def set_up(say: Callable[[str], None]) -> dict[str, str]:
    """Make the environment if it is not there yet, as `requirements.txt` has it now.

    Returns why each package that could not be installed was not, in a line; `say` tells what takes long.
    """
    wanted = _requirements()
    if _RECORD.exists():
        record = json.loads(_RECORD.read_text())
        if record["wanted"] == wanted:
            missing: dict[str, str] = record["missing"]
            return missing
    say("setting up the environment of the peers (a minute, once)")
    venv.create(_ENVIRONMENT, with_pip=True, clear=True)
    missing = {}
    for requirement in wanted:
        say(f"  installing {requirement}")
        quietly = ["--quiet", "--disable-pip-version-check", "--no-input"]
        versions = ["--constraint", str(_HERE / "constraints.txt")]
        done = subprocess.run(
            [_PYTHON, "-m", "pip", "install", *quietly, *versions, requirement],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
            missing[requirement.partition("==")[0]] = last[0]
    _RECORD.write_text(json.dumps({"wanted": wanted, "missing": missing}))
    return missing


def _requirements() -> list[str]:
    lines = (_HERE / "requirements.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


class Peer:
    """One worker; requests as its docstring has them. A peer that crashes takes no other along."""

    def __init__(self, folder: Path) -> None:
        self._folder = Path(mkdtemp(dir=folder))
        self._process = subprocess.Popen(
            [_PYTHON, _HERE / "worker.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(self._folder / "log").open("w"),
            text=True,
            env=os.environ | _ONE_THREAD,
        )

    def ask(self, **request: Any) -> float:
        """Have something done; what it took of a core's time, s. PeerError with what the worker says, if it
        fails or ends."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise PeerError(f"its process ended with {self._process.wait()}")
        if "error" in (answered := json.loads(answer)):
            raise PeerError(answered["error"])
        return float(answered["seconds"])

    def made(self) -> list[NDArray[Any]]:
        """The arrays that the last request made."""
        path = self._folder / "made.npz"
        self.ask(save=str(path))
        with np.load(path) as arrays:
            return [arrays[name] for name in arrays.files]

    def close(self) -> None:
        """End the worker, if it has not ended."""
        self._process.communicate()


if sys.platform == "win32":
    _PYTHON = _ENVIRONMENT / "Scripts/python.exe"
