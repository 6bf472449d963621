"""Polarization judged by photon pairs whose detectors have cables of unequal lengths."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from experiments.calibrations.delays import Delay, DelayCalibration
from experiments.calibrations.pair_delays import tracked_delays
from experiments.calibrations.polarization import counting, photon_sensors
from experiments.calibrations.polarization.counting import PairPeak
from experiments.calibrations.polarization.photon_sensors import PairsAtAnalysers
from experiments.calibrations.tracking import DelayTracker
from experiments.config.compensation import Compensation
from experiments.config.settings import PairSettings
from experiments.engine.bench import Bench
from experiments.engine.findings import Calibrations
from experiments.engine.outcome import RunError
from tests.experiments import fakes

DETECTORS = ("alice_h", "alice_v", "bob_h", "bob_v")
ANALYSERS = ("alice_analyser", "bob_analyser")
LATE_PS = {"alice_h": 0, "alice_v": 1500, "bob_h": 40_000_000, "bob_v": 40_001_500}
"""Fibre and cables; those of both V are 30 cm longer."""


@pytest.fixture(autouse=True)
def within_100_us(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked through takes time."""
    monkeypatch.setattr(counting, "SEARCH_PS", 10**8)


def clicks(unlike: float, late_ps: dict[str, int] = LATE_PS) -> dict[str, np.ndarray]:
    """Of 20000 pairs in a second, such a share with unlike outcomes."""
    rng, n = np.random.default_rng(5), 20_000
    born, first = rng.integers(0, 10**12, n), rng.integers(0, 2, n)
    second = np.where(rng.random(n) < unlike, 1 - first, first)
    found = {}
    for side, outcome in (("alice", first), ("bob", second)):
        for k, output in enumerate("hv"):
            name, its = f"{side}_{output}", born[outcome == k]
            found[name] = np.sort(its + rng.normal(0, 100, len(its)).astype(np.int64) + late_ps[name])
    return found


@pytest.mark.parametrize("calibrated", ["pair delays", "delays"])
async def test_outputs_of_unequal_cables_are_compared_as_calibrated(
    monkeypatch: pytest.MonkeyPatch, calibrated: str
) -> None:
    """A link behind which ZZ and XX are 0.2: a QBER of 0.4, not none."""
    tags = clicks(0.4)

    async def tags_of(*_: object) -> dict[str, np.ndarray]:
        return tags

    async def turn(*_: object) -> None: ...

    monkeypatch.setattr(photon_sensors, "tags_of", tags_of)
    monkeypatch.setattr(photon_sensors, "turn", turn)
    calibrations = Calibrations()
    if calibrated == "pair delays":
        bench = Bench(fakes.testbed(), {})
        by_channel = {bench.channel(name): -late for name, late in LATE_PS.items()}
        channels = tuple(by_channel)
        tracker = DelayTracker(channels[:2], [channels[2:]], by_channel, time_ps=0, error_ps=1.0)
        calibrations.put(tracked_delays(ANALYSERS), tracker)
    else:
        fine = {name: Delay(-late, 1.0) for name, late in LATE_PS.items()}
        calibrations.put("delays", DelayCalibration({}, fine, (), 1.0))
    bench = Bench(fakes.testbed(), dict(fakes.ToyBench().mounts))
    pair = PairSettings.model_construct(analysers=ANALYSERS, window=1e-9, window_centre=0.0, switches={})
    settings = Compensation.model_construct(state="Phi+", dwell=1.0)
    lighting: Any = SimpleNamespace(instruments=set())
    context: Any = SimpleNamespace(
        bench=bench, calibrations=calibrations, clock=None, tags=SimpleNamespace(now_ps=10**12)
    )
    found = await PairsAtAnalysers(settings, pair, bench, lighting).look(context)
    assert found.error == pytest.approx(0.4, abs=5 * (0.24 / 40_000) ** 0.5)


async def test_outcomes_beside_the_window_are_not_taken_for_none() -> None:
    """Nothing is calibrated: HV and VH would be missing, and any link have no QBER."""
    tags = clicks(0.5)
    with pytest.raises(RunError, match=r"alice_. and bob_. are .1\d\d\d ps from .* calibrate_pair_delays"):
        await PairPeak().coincidences(tags, DETECTORS[:2], DETECTORS[2:], 1000, 0)
    equal = clicks(0.5, {name: 40_000_000 * name.startswith("bob") for name in DETECTORS})
    counts = await PairPeak().coincidences(equal, DETECTORS[:2], DETECTORS[2:], 1000, 0)
    assert counts[0, 1] + counts[1, 0] == pytest.approx(10_000, abs=500)
