"""The heralded Hong-Ou-Mandel visibility of the two parameter sets (physics.md 5, last row of its table): by
exact moments, and in long runs of `measure_hom` through every layer, as the shipped files have it."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bellbench.session import Session
from experiments.config.files import load_experiment
from tests.acceptance.moments import fourfolds_of
from tests.sim_instruments.two_arms import LOCAL, NYC, Column

CONFIGS = Path(__file__).parents[2] / "configs"
NOTE = {"local": (0.780, 0.02), "nyc": (0.813, 0.03)}
"""By the note's own calculation of moments (`Wick`), and the band within which a run is accepted."""
H, V = (np.diag(np.eye(2)[k]).astype(np.complex128) for k in (0, 1))


def visibility(column: Column) -> tuple[float, float]:
    """1 - parallel / reference, both signals clicking: the reference being the same four-folds of idlers that
    share no mode (the note's), and crossed polarizations of unlike signals (ours)."""
    rates = fourfolds_of(column)
    # By symmetry cV & dV with both signals V come as often, and all crossed ones alike; there are twice as
    # many of these, since both ways in which signals can be unlike count.
    parallel, apart = (rates(H, H, overlap)[0, 2] for overlap in (column.mode_overlap, 0.0))
    crossed = 2 * rates(H, V, column.mode_overlap)[0, 3]
    return 1 - parallel / apart, 1 - parallel / crossed


@pytest.mark.parametrize(
    ("name", "column"), [pytest.param("local", LOCAL, marks=pytest.mark.long), ("nyc", NYC)]
)
def test_moments_give_the_predicted_visibility(name: str, column: Column) -> None:
    apart, crossed = visibility(column)
    assert apart == pytest.approx(NOTE[name][0], abs=0.004)
    assert crossed == pytest.approx(apart, abs=0.01)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("name", "dwell_s"), [("local", 60), ("nyc", 3600)])
def test_a_long_run_has_the_predicted_visibility(name: str, dwell_s: int, tmp_path: Path) -> None:
    """`measure_hom` on the shipped testbeds; fibres hold the polarization still, as the prediction has it.
    Held to the note's band alone: the run's own error is 0.01 or less."""
    text = (CONFIGS / f"{name}_swapping.yaml").read_text()
    plan = f"  - measure_hom: {{dwell: {dwell_s} s}}\nrecord: {{tags: none}}\n"
    (tmp_path / "hom.yaml").write_text(text[: text.index("  - measure_swapping")] + plan)
    (tmp_path / "testbeds").mkdir()
    bed = (CONFIGS / f"testbeds/{name}.yaml").read_text().splitlines()
    (tmp_path / f"testbeds/{name}.yaml").write_text(
        "\n".join(line for line in bed if "polarization_diffusion" not in line)
    )
    report = asyncio.run(
        Session(load_experiment(tmp_path / "hom.yaml"), tmp_path / "runs", seed=4).carry_out()
    )
    assert report.ending.exit == 0, report.ending.message
    assert report.results is not None
    found: Any = report.results["hom_visibility"]
    assert found["value"] == pytest.approx(NOTE[name][0], abs=NOTE[name][1]), found
