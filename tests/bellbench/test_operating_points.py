"""Operating points by sweeps, on the shipped experiment with shorter dwells: each against what the light
field and the detectors were told, and nothing else."""

import asyncio
import json
from pathlib import Path

import pytest

from bellbench.session import Session
from experiments.config.files import load_experiment
from tests.recorded import events

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.timeout(300)
def test_operating_points_of_nanowires_and_source(tmp_path: Path) -> None:
    (tmp_path / "testbeds").mkdir()
    text = (CONFIGS / "source_bring_up.yaml").read_text()
    for old, new in {
        "dwell: 1 s": "dwell: 300 ms",
        "dwell: 4 s": "dwell: 500 ms",
        "duration: 2 s": "duration: 500 ms",
        "dwell: 10 s": "dwell: 1 s",
        "powers: [4 mW, 8 mW, 12 mW, 16 mW, 20 mW, 24 mW]": "powers: [6 mW, 12 mW, 18 mW, 24 mW]",
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    (tmp_path / "source_bring_up.yaml").write_text(text)
    testbed = (CONFIGS / "testbeds/one_source.yaml").read_text()
    (tmp_path / "testbeds/one_source.yaml").write_text(testbed)
    session = Session(load_experiment(tmp_path / "source_bring_up.yaml"), tmp_path / "runs", seed=5)
    report = asyncio.run(session.carry_out())
    assert report.ending.exit == 0, report.ending.message
    assert report.folder is not None
    found = json.loads((report.folder / "calibrations.json").read_text())
    results = json.loads((report.folder / "results.json").read_text())

    # The source: what was asked for is what comes, as another step counts it. Pairs go with the power.
    chosen = found["source source"]["set"]
    rate = results["pair_rate_hz"]["subtracted"]
    assert rate["value"] == pytest.approx(
        8000, abs=5.5 * (rate["error"] + chosen["true_coincidences"]["uncertainty"])
    )
    singles = [p["value"] for p in found["source source"]["found_there"]["singles"]]
    accidentals = singles[0] * singles[1] * 2.5e-9
    assert chosen["car"]["value"] == pytest.approx(8000 / accidentals, rel=0.03)
    share = 1 / (1 + accidentals / 8000)
    assert chosen["fidelity"]["value"] == pytest.approx(0.25 + share * (0.99 - 0.25), abs=0.002)

    # The detectors: each at the bias where erfc reaches the share that was asked for.
    for name in ("bob_h", "bob_v"):
        point = found[f"bias of {name}"]["set"]
        assert point["efficiency"]["value"] == pytest.approx(0.95, abs=0.01)
        assert 9e-6 < point["bias"]["value"] < 18e-6
        assert point["dark_counts"]["value"] < 100
    names = {scan["name"] for scan in events(report.folder, "scan")}
    assert {"bob_h, clicks for light against bias", "source, CAR against pump power"} <= names
