"""`balance_arms` through drivers on a simulated bench, one arm of which loses more light, as it was told."""

import asyncio
import json
from math import log10
from pathlib import Path

import pytest

from bellbench.session import Session
from experiments.config.files import load_experiment
from tests.recorded import events

CONFIGS = Path(__file__).parents[2] / "configs"
ALICE, BOB = 0.45, 0.30
"""Of the idlers that set out; everything behind is common to both arms or alike."""
TESTBED = f"""
include: [local.yaml]
testbed: uneven
simulation:
  sources:
    alice_source: {{pair_rate: 200 kHz, unpaired_signal_rate: 0 Hz, unpaired_idler_rate: 0 Hz}}
    bob_source:
      {{pair_rate: 200 kHz, unpaired_signal_rate: 0 Hz, unpaired_idler_rate: 0 Hz, idler_transmission: {BOB}}}
"""
EXPERIMENT = """
experiment: balance
testbed: uneven.yaml
settings:
  spokes: [alice_analyser, bob_analyser]
  bell_state_measurement: hub_bsm
  bsm_window: 600 ps
  spoke_window: 1600 ps
plan:
  - bring_up:
      power: {alice_pump: 20 mW, bob_pump: 20 mW}
      bias: {spoke_nanowires: 17 uA, hub_nanowires: 17 uA}
      threshold: {spoke_tagger: 100 mV, hub_tagger: 100 mV}
  - balance_arms: {dwell: 200 ms, adjust: true}
record: {tags: none, raw: 0 s}
"""


def test_the_brighter_arm_is_found_and_made_as_dark_as_the_other(tmp_path: Path) -> None:
    """Limits are 5.5 standard errors (of a difference of two for the second): by chance once in 10^7."""
    (tmp_path / "balance.yaml").write_text(EXPERIMENT)
    (tmp_path / "uneven.yaml").write_text(TESTBED)
    (tmp_path / "local.yaml").write_text((CONFIGS / "testbeds/local.yaml").read_text())
    session = Session(load_experiment(tmp_path / "balance.yaml"), tmp_path / "runs", seed=8)
    report = asyncio.run(session.carry_out())
    assert report.ending.exit == 0, report.ending.message
    assert report.folder is not None
    found = json.loads((report.folder / "calibrations.json").read_text())["balance of arms"]

    before, after = found["before"], found["after"]
    expected = 10 * log10(ALICE / BOB)
    error = before["excess"]["uncertainty"]
    # Counts of 0.2 s: 200 kHz of pairs, the hub's optics 0.79 and detectors 0.90.
    counts = [200e3 * arm * 0.79 * 0.90 * 0.2 for arm in (ALICE, BOB)]
    assert error == pytest.approx(10 / 2.302585 * sum(1 / n for n in counts) ** 0.5, rel=0.05)
    assert before["excess"]["value"] == pytest.approx(expected, abs=5.5 * error)
    both = 2 * ALICE * BOB / (ALICE + BOB) ** 2
    assert before["from_both"]["value"] == pytest.approx(both, abs=0.005)

    assert after["excess"]["value"] == pytest.approx(0, abs=5.5 * 2**0.5 * after["excess"]["uncertainty"])
    assert after["from_both"]["value"] == pytest.approx(0.5, abs=0.001)
    power = {spoke: entry["value"] for spoke, entry in found["pump_power"].items()}
    assert power["bob_analyser"] == pytest.approx(20e-3, rel=0.01)
    assert power["alice_analyser"] == pytest.approx(20e-3 * BOB / ALICE, rel=0.03)
    [told] = [e for e in events(report.folder, "happened") if e["event"] == "calibrated"]
    assert "the arm of alice_analyser is" in told["message"]
