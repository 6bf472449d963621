"""`calibrate_detectors` with a bias unit that does not see its wires latch."""

from math import erfc, exp
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from drivers.capabilities import Limits, NanowireBias
from experiments.calibrations import detectors
from experiments.calibrations.detectors import CalibrateDetectorsStep
from experiments.config.plan import CalibrateDetectors
from tests.experiments.fakes import FakeClock, FakeInstrument

UA = 1e-6
LATCHES, RECOVERS = 16.6 * UA, 8 * UA
"""A wire that is latched stays so until its bias is far lower."""


class Wires(FakeInstrument, NanowireBias):
    channels = (1,)
    bias_limits = Limits(0.0, 20 * UA, "A")
    now, latched, enabled = 0.0, False, False

    async def set_bias(self, channel: int, current_a: float) -> None:
        self.now = current_a
        self.latched = current_a > LATCHES or (self.latched and current_a > RECOVERS)

    async def bias(self, channel: int) -> float:
        return self.now

    async def set_enabled(self, on: bool) -> None:
        self.enabled = on

    async def is_enabled(self) -> bool:
        return self.enabled

    def clicks_hz(self, light_hz: float) -> float:
        if self.latched or not self.now:
            return 0.0
        return light_hz / 2 * erfc((10 * UA - self.now) / (1.5 * UA)) + 5 + 100 * exp(self.now / UA - 18)


async def test_a_wire_that_latches_unseen_gets_the_bias_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half of full efficiency is at 10 uA, 0.98 of it at 10 + 1.5 * 1.4522 = 12.178 uA, wherever it latches;
    and it gets that bias in order to click, so it is not left latched."""
    wires, rng, light = Wires("wires", []), np.random.default_rng(2), {"hz": 0.0}

    async def tags_of(*_: object) -> dict[str, np.ndarray]:
        return {"wire": np.zeros(rng.poisson(wires.clicks_hz(light["hz"])))}

    async def light_up(*_: object) -> None:
        light["hz"] = 2e5

    monkeypatch.setattr(detectors, "tags_of", tags_of)
    monkeypatch.setattr(detectors, "light_up", light_up)
    wire = SimpleNamespace(instrument=SimpleNamespace(instrument="wires", number=1))
    bench = SimpleNamespace(
        all_of=lambda _: [], get=lambda *_: wires, testbed=SimpleNamespace(detectors={"wire": wire})
    )
    told: list[Any] = []
    kept: dict[str, Any] = {}
    context: Any = SimpleNamespace(
        bench=bench,
        seed=1,
        clock=FakeClock(),
        folder=SimpleNamespace(name="run"),
        progress=lambda _: None,
        announce=told.append,
        store_calibration=kept.__setitem__,
    )
    biases = [f"{k} uA" for k in range(2, 21)]
    step = CalibrateDetectorsStep(
        CalibrateDetectors.model_validate(
            {"unit": "wires", "bias": biases, "dwell": "1 s", "power": {"pump": "1 mW"}}
        )
    )
    await step.run(context)
    record = kept["bias of wire"]
    assert record["set"]["bias"]["value"] == pytest.approx(12.178 * UA, abs=0.05 * UA)
    assert record["latched_at"]["value"] == pytest.approx(17 * UA)
    assert record["deviance_per_dof"] < 3
    plateau = record["plateau"]
    assert abs(plateau["value"] - 2e5) < 4 * plateau["uncertainty"]
    assert wires.clicks_hz(2e5) > 1.9e5
    assert [e.event for e in told if hasattr(e, "event")] == ["latched in sweep", "calibrated"]
