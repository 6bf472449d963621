"""Compile every kernel that a run uses, once, so that no run has to wait for it: `make setup` calls this.

It carries out one simulated second of the shipped experiment, in a folder that is thrown away. The compiled
code is kept beside the sources, or in NUMBA_CACHE_DIR where they cannot be written.
"""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bellbench.session import Session
from experiments.config.files import load_experiment
from experiments.config.plan import MeasureSwapping, PlanStep

SHIPPED = Path(__file__).parents[1] / "configs/nyc_swapping.yaml"


def main() -> int:
    """Returns the exit code of the run."""
    print("compiling kernels (half a minute, once) ...", flush=True)  # noqa: T201
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
