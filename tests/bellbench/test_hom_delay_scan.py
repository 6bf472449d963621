"""The shipped scan of a delay line, on shorter pulses, brighter and with fewer points, in a minute or less:
what it finds against the closed formula of the dip of two pulsed sources.

Limits are 5.5 standard errors, each passed by chance once in 2e7.
"""

import asyncio
import json
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bellbench.session import Session
from experiments.config.files import load_experiment
from tests.recorded import events

CONFIGS = Path(__file__).parents[2] / "configs"
SIGMAS = 5.5
PATCH = 97.0
TAU, WIDTH, PULSES_HZ, PAIRS_HZ, OVERLAP = 20.0, 15.0, 10e6, 500e3, 0.90
"""Two standard deviations, in ps: of the signal's time after the idler, and of their mean in a pulse."""
TESTBED = f"""
include: [local_pulsed.yaml]
testbed: brighter
sources:
  alice_source: {{repetition_rate: 10 MHz}}
  bob_source: {{repetition_rate: 10 MHz}}
simulation:
  sources:
    alice_source: &brighter
      pair_rate: 500 kHz
      pulse_width: {WIDTH} ps
      biphoton: {{tau_signal: {TAU} ps}}
      state: {{fidelity: 1.0}}
      signal_transmission: 0.9
      idler_transmission: 0.9
      unpaired_signal_rate: 0 Hz
      unpaired_idler_rate: 0 Hz
    bob_source: *brighter
  fibres:
    bob_patch: {{delay: {PATCH} ps}}
"""


def prepared(folder: Path, **changes: Any) -> Path:
    scan = {
        "delay_line": "alice_delay", "start": "15 ps", "stop": "165 ps", "points": 11, "dwell": "500 ms",
        "window": "5 ns", **changes,
    }  # fmt: skip
    text = (CONFIGS / "hom_delay_scan.yaml").read_text()
    before, after = text.index("  - calibrate_delays"), text.index("record:")
    plan = f"  - calibrate_delays: {{duration: 500 ms}}\n  - scan_hom_delay: {json.dumps(scan)}\n"
    text = text[:before] + plan + text[after:]
    (folder / "scan.yaml").write_text(text.replace("testbeds/local_pulsed.yaml", "bed.yaml"))
    (folder / "bed.yaml").write_text(TESTBED)
    for name in ("local_pulsed.yaml", "local.yaml"):
        (folder / name).write_text((CONFIGS / "testbeds" / name).read_text())
    return folder / "scan.yaml"


def carry_out(file: Path, seed: int) -> tuple[dict[str, Any], dict[str, Any], Path]:
    report = asyncio.run(Session(load_experiment(file), file.parent / "runs", seed=seed).carry_out())
    assert report.ending.exit == 0, report.ending.message
    assert report.folder is not None
    found = (json.loads((report.folder / name).read_text()) for name in ("results.json", "calibrations.json"))
    results, calibrations = found
    return results, calibrations, report.folder


def agrees(found: dict[str, Any], expected: float, allowance: float = 0.0) -> None:
    assert abs(found["value"] - expected) < SIGMAS * found["error"] + allowance, f"{found} is not {expected}"


def visibilities() -> tuple[float, float]:
    """Of four-folds in which both signals and both idlers are H (or all V): as counted, and with those taken
    off that lack a herald's partner. From exact moments over the Schmidt modes, see "Heralded dip of two
    pulsed sources" in tests/validation/pulses.py; each polarization has half of the pairs."""
    mu = PAIRS_HZ / PULSES_HZ / 2
    ratio = (2 * WIDTH - TAU) / (2 * WIDTH + TAU)
    modes = mu * (1 - ratio**2) * ratio ** (2 * np.arange(60))  # of a Gaussian: a geometric series
    q = modes * (1 + modes)

    def fourfolds(overlap: float) -> float:
        true = (q.sum() ** 2 - overlap * (q**2).sum()) / 2
        one = 2 * mu * (mu * q.sum() + (1 - overlap) / 2 * (modes * q).sum())
        return float(true + one + mu**2 * (mu**2 + (1 - overlap) / 2 * (modes**2).sum()))

    return 1 - fourfolds(OVERLAP) / fourfolds(0.0), OVERLAP * float((q**2).sum() / q.sum() ** 2)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_dip_is_found_and_the_line_left_there(tmp_path: Path) -> None:
    results, calibrations, folder = carry_out(prepared(tmp_path), seed=3)
    visibility, (raw, less) = results["hom_scan_visibility"], visibilities()
    # Of several photons of a pulse a detector tells one: of first order in the pairs per pulse.
    agrees(visibility, raw, PAIRS_HZ / PULSES_HZ)
    agrees(visibility["subtracted"], less)
    assert visibility["subtracted"]["error"] > visibility["error"]
    assert visibility["folds"] == 4
    # psi(s, t) is Gaussian in both: so is the overlap of two idlers over the delay between them.
    agrees(results["hom_scan_width_ps"], sqrt(2 * WIDTH**2 + TAU**2 / 2))
    agrees(results["hom_scan_centre_ps"], PATCH)
    assert results["hom_scan_centre_ps"]["error"] < 1.5

    found = calibrations["HOM delay"]
    assert found["centre"]["alice_delay"]["value"] == results["hom_scan_centre_ps"]["value"]
    assert found["left_at"]["alice_delay"]["value"] == pytest.approx(
        results["hom_scan_centre_ps"]["value"], abs=0.01
    )
    [scan] = events(folder, "scan")
    assert scan["x"] == sorted(scan["x"])
    assert len(scan["x"]) == len(scan["fit"]) == 11
    assert min(scan["y"]) < 0.5 < max(scan["y"])
    places = [event["message"] for event in events(folder, "happened") if event["event"] == "sweep point"]
    assert len(places) == 11
    assert places != sorted(places, key=lambda text: float(text.split()[-2]))  # in shuffled order
    assert not [event for event in events(folder, "happened") if event["event"] == "delay jumped"]
