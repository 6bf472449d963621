"""The loop cut down to three nodes: each pair of nodes is measured through its switches, from a cold start in
which the taggers' clocks run free."""

import asyncio
import json
from pathlib import Path

import pytest

from bellbench.session import Session
from experiments.config.files import load, load_experiment
from experiments.config.plan import result_names
from tests.experiments.small_loop import small_loop

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.timeout(300)
def test_every_pair_of_nodes_is_measured(tmp_path: Path) -> None:
    """Clocks are off by 1 ppm either way, start latencies by up to 5 ms. Visibilities are those of the
    source: 2 % white and 2 % coloured noise, splitters with 30 dB, and few accidentals."""
    small_loop(tmp_path, 3, frequency_error=1e-6)
    text = (tmp_path / "chattanooga_loop.yaml").read_text()
    text = text.replace("duration: 1 s", "duration: 500 ms\n    max_skew: 5.0e-06")
    text = text.replace("dwell: 4 s", "dwell: 500 ms")
    assert "max_skew" in text
    (tmp_path / "chattanooga_loop.yaml").write_text(text)
    session = Session(load_experiment(tmp_path / "chattanooga_loop.yaml"), tmp_path / "runs", seed=2)
    report = asyncio.run(session.carry_out())
    assert report.ending.exit == 0, report.ending.message
    assert report.folder is not None
    results = json.loads((report.folder / "results.json").read_text())
    assert results["pairs_measured"] == {"value": 3, "error": 0.0, "of": 3}
    assert set(results["node_pairs"]) == {"n1_n2", "n1_n3", "n2_n3"}
    for pair in results["node_pairs"]:
        lower, upper = results[f"{pair}.fidelity_lower"], results[f"{pair}.fidelity_upper"]
        # 0.98 * 0.98 of the state is pure; leakage of the splitters takes 4e-3 of a correlation.
        assert lower["subtracted"]["value"] - 5.5 * lower["error"] < 0.975
        assert upper["subtracted"]["value"] + 5.5 * upper["error"] > 0.96
        assert lower["value"] > 0.88
    least = results["fidelity_lower_least"]
    assert least["value"] == min(results[f"{p}.fidelity_lower"]["value"] for p in results["node_pairs"])
    rates = json.loads((report.folder / "calibrations.json").read_text())
    found = rates["delays of n1_analyser and n2_analyser"]["tagger_rates"]["n2_tagger"]
    # The errors of the clocks' frequencies are drawn, 1e-6 wide each.
    assert 1e-8 < abs(found["value"]) < 5e-6
    assert found["uncertainty"] < 2e-9


def test_the_shipped_loop_measures_all_pairs() -> None:
    loaded = load(CONFIGS / "chattanooga_loop.yaml")
    (step,) = [step for step in loaded.experiment.plan if step.kind == "measure_pairs"]  # type: ignore[union-attr]
    nodes = range(1, 11)
    assert set(step.pairs) == {f"n{a}_n{b}" for a in nodes for b in nodes if a < b}  # type: ignore[attr-defined]
    assert "n3_n7.fidelity_lower" in result_names(loaded.experiment.plan)  # type: ignore[union-attr]
