"""How much the dashboard slows a run that somebody watches: the core's time that the run's own process
takes with it and without it, and what the dashboard takes in its process beside.

The run is the deployed experiment, shortened. Its page is read as a browser does: every event, as it comes.
"""

import asyncio
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bellbench.dashboard.beside import DashboardBeside
from bellbench.session import Session
from benchmarks.figure import Figure
from experiments.config.files import load_experiment

EXPERIMENT = Path(__file__).parents[1] / "configs/nyc_swapping.yaml"
PLAN = "{bases: [ZZ, XX, CHSH], dwell: 100 s}"
ROUNDS = 5
READER = """
import sys, urllib.request
for line in urllib.request.urlopen(sys.argv[1] + "documents"):
    pass
"""


@dataclass(frozen=True)
class Cost:
    """Core seconds of the run's process and of its dashboard, and wall seconds of both together."""

    run_s: float
    dashboard_s: float
    wall_s: float


def figures(dwell_s: float = 60.0, rounds: int = ROUNDS) -> Iterator[Figure]:
    """`dashboard.slow_down_percent` and `dashboard.share_percent`."""
    text = EXPERIMENT.read_text()
    if PLAN not in text:
        raise RuntimeError(f"{EXPERIMENT} has no plan {PLAN} any more")
    text = text.replace(PLAN, f"{{bases: [ZZ], dwell: {dwell_s:g} s}}")
    text = text.replace("testbeds/", f"{EXPERIMENT.parent}/testbeds/")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "short.yaml"
        file.write_text(text)
        carry_out(file, watched=False)  # in which kernels are loaded
        pairs = [(carry_out(file, watched=False), carry_out(file, watched=True)) for _ in range(rounds)]
    alone, watched = (median(cost.run_s for cost in costs) for costs in zip(*pairs, strict=True))
    ratios = [100 * (with_page.run_s / without.run_s - 1) for without, with_page in pairs]
    dashboard_s = median(with_page.dashboard_s for _, with_page in pairs)
    walls = [median(cost.wall_s for cost in costs) for costs in zip(*pairs, strict=True)]
    yield Figure(
        "dashboard.slow_down_percent", median(ratios),
        f"of the run's own process, {watched:.1f} s of a core beside {alone:.1f} s; from "
        f"{min(ratios):+.1f} % to {max(ratios):+.1f} % in {rounds} rounds; at the wall {walls[1]:.1f} s "
        f"beside {walls[0]:.1f} s",
    )  # fmt: skip
    yield Figure(
        "dashboard.share_percent", 100 * dashboard_s / alone,
        f"of the run's time, taken by the dashboard in its process beside: {dashboard_s:.2f} s, its start "
        "among it",
    )  # fmt: skip


def carry_out(file: Path, *, watched: bool) -> Cost:
    """One run, with a page that is read or without."""
    reader = None
    children_s = _children_s()
    began, began_run = time.perf_counter(), time.process_time()
    beside = DashboardBeside(file.parent / "runs") if watched else None
    with beside or nullcontext():
        if beside is not None:
            reader = subprocess.Popen([sys.executable, "-c", READER, beside.url])
        session = Session(load_experiment(file), file.parent / "runs", seed=1)
        report = asyncio.run(session.carry_out([beside] if beside is not None else []))
        if report.ending.exit:
            raise RuntimeError(f"the run failed: {report.ending.message}")
        run_s = time.process_time() - began_run
    wall_s = time.perf_counter() - began
    dashboard_s = _children_s() - children_s  # the reader is not waited for yet
    if reader is not None:
        reader.wait()
    return Cost(run_s, dashboard_s, wall_s)


def _children_s() -> float:
    """Core seconds of the processes begun here that have ended and were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
