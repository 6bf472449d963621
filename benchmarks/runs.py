"""A thousand runs in the catalogue: how long a list of them takes, the first time and from then on.

Their run.json are as large as those of a real run; their tags are not read for a list.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.figure import ROUNDS, Figure
from experiments.archive.catalogue import CATALOGUE, Catalogue
from experiments.engine.record import json_file

RUNS = 1000
FIGURES = ("swap_rate_hz", "chsh_s", "fidelity", "visibility_zz", "visibility_xx", "heralds_hz")


def figures(runs: int = RUNS) -> Iterator[Figure]:
    """`runs.list_s`, `runs.rebuild_s` and `runs.command_s`."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        make_runs(folder, runs)

        def look() -> None:
            with Catalogue(folder) as catalogue:
                assert len(catalogue.entries()) == runs

        def rebuild() -> None:
            (folder / CATALOGUE).unlink(missing_ok=True)
            look()

        def command() -> None:
            program = Path(sys.executable).with_name("bellbench")
            done = subprocess.run(
                [program, "runs", "list", "--runs", folder], capture_output=True, check=True, text=True
            )
            assert len(done.stdout.splitlines()) == runs

        size = os.path.getsize(next(folder.glob("*/run.json")))  # noqa: PTH202
        yield Figure(
            "runs.rebuild_s", _median(rebuild), f"the catalogue of {runs} runs made anew, {size} bytes each"
        )
        yield Figure("runs.list_s", _median(look), f"a list of {runs} runs from the catalogue, all looked at")
        yield Figure(
            "runs.command_s", _median(command), f"`bellbench runs list` of {runs} runs, as a program"
        )


def make_runs(folder: Path, runs: int) -> None:
    """So many folders of runs that are over, a minute after each other."""
    for number in range(runs):
        began = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime(1.79e9 + 60 * number))
        run = folder / f"{began}-nyc_swapping-{number:04x}"
        run.mkdir(parents=True)
        about = {
            "run": run.name,
            "experiment": "nyc_swapping" if number % 4 else "bell_test",
            "title": "Entanglement swapping over deployed fibre",
            "testbed": "nyc",
            "state": "completed" if number % 10 else "failed",
            "seed": number,
            "began_utc": f"{began[:10]}T{began[11:19].replace('-', ':')}.000Z",
            "run_time_s": 700.0,
            "message": "" if number % 10 else "alice_pump (tcp://10.0.0.1:1998): no answer within 2 s",
            "safe_state": [{"name": f"instrument_{k}", "problem": ""} for k in range(14)],
            "tags_lost": {"alice_tagger": 0, "bob_tagger": 0, "hub_tagger": 0},
            "figures": {name: {"value": 2.4, "error": 0.05} for name in FIGURES},
        }
        (run / "run.json").write_text(json_file(about), encoding="utf-8")
        (run / "results.json").write_text(json.dumps({}), encoding="utf-8")


def _median(work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return median(times)
