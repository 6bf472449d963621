"""Compile every kernel once, so that nobody has to wait for it: `make setup` calls this.

It sends a few tags through all analyses and file formats, lets every kind of light shine for a moment, and
carries out one simulated second of the shipped experiment, in a folder that is thrown away. Where the
compiled code is kept, `timetags.jit` says.
"""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bellbench.session import Session
from experiments.config.files import load_experiment
from experiments.config.plan import MeasureSwapping, PlanStep
from sim_instruments.world.rehearsal import rehearse
from timetags.analyses import warm_up as analyses
from timetags.files import warm_up as files

SHIPPED = Path(__file__).parents[1] / "configs/nyc_swapping.yaml"


def main() -> int:
    """Returns the exit code of the run."""
    print("compiling kernels (half a minute, once) ...", flush=True)  # noqa: T201
    analyses.compile_kernels()
    files.compile_kernels()
    rehearse()
    loaded = load_experiment(SHIPPED)
    plan = tuple(_shortened(step) for step in loaded.experiment.plan)
    experiment = loaded.experiment.model_copy(update={"plan": plan})
    with TemporaryDirectory() as runs:
        report = asyncio.run(Session(replace(loaded, experiment=experiment), Path(runs), seed=1).carry_out())
    print(report.ending.message or "done", flush=True)  # noqa: T201
    return report.ending.exit


def _shortened(step: PlanStep) -> PlanStep:
    if isinstance(step, MeasureSwapping):
        return step.model_copy(update={"bases": ("ZZ",), "dwell": 1.0})
    return step


if __name__ == "__main__":
    sys.exit(main())
