"""A day on the simulated bench: memory stays flat. `pytest -m long`: half an hour of computing for one
source, some 90 minutes for the deployed testbed; the short form is in tests/experiments/test_memory.py."""

from pathlib import Path

import psutil
import pytest

from bellbench.session import Session
from experiments.config.files import load_experiment
from experiments.config.overrides import read_override
from experiments.engine.events import Progress, RunEvent
from sim_instruments import bench

CONFIGS = Path(__file__).parents[2] / "configs"
HOUR_S = 3600.0
OVERRIDES = {
    # A small part of the light; what is left is the work of instruments, engine and telemetry themselves. 48
    # visits of half an hour.
    "one_source_chsh": (
        "plan.0.bring_up.power.pump=500 uW",
        "plan.1.calibrate_pair_delays.duration=5 s",
        "plan.2={measure_chsh: {dwell: 30 min, rounds: 12}}",
        "plan.3={wait: {duration: 1 s}}",
        "plan.4={wait: {duration: 1 s}}",
        "published={}",
        "record.raw=0 s",
    ),
    "nyc_swapping": (
        "plan.0.bring_up.power={alice_pump: 200 uW, bob_pump: 200 uW}",
        "plan.1.calibrate_delays.duration=10 s",
        "plan.2.measure_swapping={bases: [ZZ, XX, CHSH], dwell: 30 min, rounds: 8}",
        "record.raw=0 s",
    ),
}
FLAT_BYTES = 40e6
"""What a day may add to the memory of its third hour: caches that fill, never what grows with time. A dwell
that is kept would hold more than a megabyte."""


class Scales:
    """Weighs the process once an hour of run time."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.bytes: list[int] = []

    def notify(self, event: RunEvent) -> None:
        if isinstance(event, Progress) and event.elapsed_s >= len(self.bytes) * HOUR_S:
            self.bytes.append(self._process.memory_info().rss)
            print(f"{len(self.bytes) - 1} h: {self.bytes[-1] / 1e6:.0f} MB", flush=True)  # noqa: T201


@pytest.mark.long
@pytest.mark.timeout(6 * HOUR_S)
@pytest.mark.parametrize("name", OVERRIDES)
async def test_a_day_keeps_memory_flat(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        bench, "SLICE_PS", 10**12
    )  # a quarter of the slices; what is kept does not know of them
    loaded = load_experiment(CONFIGS / f"{name}.yaml", [read_override(text) for text in OVERRIDES[name]])
    scales = Scales()
    report = await Session(loaded, tmp_path, seed=11).carry_out([scales])
    assert report.ending.exit == 0, report.ending.message
    assert len(scales.bytes) >= 24
    growth = max(scales.bytes[20:]) - scales.bytes[3]
    assert growth < FLAT_BYTES, f"{growth / 1e6:.0f} MB in {len(scales.bytes)} hours"
