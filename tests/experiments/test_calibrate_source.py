"""`calibrate_source` with an arm that sees nothing."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from experiments.calibrations import source
from experiments.calibrations.pair_delays import tracked_delays
from experiments.calibrations.source import CalibrateSourceStep
from experiments.calibrations.tracking import DelayTracker
from experiments.config.plan import CalibrateSource
from experiments.config.settings import PairSettings
from experiments.engine.bench import Bench
from experiments.engine.findings import Calibrations
from experiments.engine.outcome import RunError
from experiments.engine.standing import Standing
from tests.experiments import fakes

PAIR = PairSettings.model_validate({"analysers": ["alice_analyser", "bob_analyser"], "window": "1 ns"})


async def test_an_arm_that_does_not_click_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    laser = fakes.FakeLaser("alice_pump")
    laser.on = True
    singles = np.zeros(8, np.int64)
    singles[:2] = 1000
    dwell = SimpleNamespace(
        setting="pump at 4 mW",
        window={},
        singles=singles,
        live_ps=2 * 10**12,
        end_ps=0,
        raw=np.zeros((2, 2)),
        displaced=np.zeros((2, 2)),
        all_in=nothing,
    )
    monkeypatch.setattr(source.PairDwell, "open", lambda *_: dwell)
    calibrations = Calibrations()
    tracker = DelayTracker((0, 1), [(2, 3)], {}, time_ps=0, error_ps=1.0)
    calibrations.put(tracked_delays(PAIR.analysers), tracker)
    context: Any = SimpleNamespace(
        bench=Bench(fakes.testbed(), {"alice_pump": laser}),
        experiment=SimpleNamespace(pair=lambda _: PAIR),
        calibrations=calibrations,
        clock=fakes.FakeClock(),
        tags=SimpleNamespace(lasts=lambda s: s, reached=nothing),
        announce=lambda _: None,
        let_pass=nothing,
        standing=Standing({"alice_pump": laser}),
    )
    step = CalibrateSourceStep(CalibrateSource.model_construct(pair="pair", dwell=2.0))
    with pytest.raises(RunError, match=r"bob_h and bob_v did not click in 2 s with the pump at 4 mW\. See"):
        await step._measure(context, laser, 0.004, "power 1 of 5")
    dwell.singles = singles + 1
    point = await step._measure(context, laser, 0.004, "power 1 of 5")
    assert point.singles == (2002, 2)
    assert all(np.isfinite(each.value) for each in point.heralding)


async def nothing(*_: object) -> None: ...
