"""What a run itself brings down is no loss of power, and comes back although it was interrupted there."""

from types import SimpleNamespace
from typing import Any

import pytest

from drivers.errors import DeadlineError
from experiments.calibrations.source import CalibrateSourceStep
from experiments.config.plan import CalibrateSource
from experiments.config.watchdogs import NanowireLatched, SourceUnlocked
from experiments.engine.outcome import RunError
from experiments.engine.reconnection import Reconnection
from experiments.engine.standing import Loss, Standing
from experiments.watchdogs.nanowire_latched import NanowireLatchedWatchdog
from experiments.watchdogs.source_unlocked import SourceUnlockedWatchdog
from experiments.watchdogs.watchdog import Alarm
from tests.experiments.fakes import FakeClock, FakeInstrument, FakeLaser, FakeNanowires

LATE = DeadlineError("it", "tcp://127.0.0.1:9", "no answer within 2 s")


class Stand:
    """One instrument that was noted, and what steps and remedies see of a run."""

    def __init__(self, instrument: FakeInstrument) -> None:
        clock = FakeClock()
        self.instrument, self.name = instrument, instrument.name
        self.standing = Standing({self.name: instrument})
        source = SimpleNamespace(pump=self.name)
        pair = SimpleNamespace(pair=lambda name: None)
        bench = SimpleNamespace(
            get=lambda name, kind: instrument, testbed=SimpleNamespace(sources={"source": source})
        )
        self.context: Any = SimpleNamespace(bench=bench, clock=clock, standing=self.standing, experiment=pair)
        self.reconnection = Reconnection(
            {self.name: instrument}, self.standing, clock, lambda event: None, 120.0
        )

    async def diagnosed(self) -> dict[str, object]:
        """What a late answer is taken for, the instrument being changed."""
        return dict(await self.reconnection.diagnose(LATE, {self.name}))


async def pump() -> tuple[Stand, FakeLaser]:
    laser = FakeLaser("pump")
    laser.on, laser.set_point = True, 0.02
    stand = Stand(laser)
    await stand.standing.note(["pump"])
    return stand, laser


async def wires() -> tuple[Stand, FakeNanowires]:
    unit = FakeNanowires("wires")
    unit.enabled, unit.currents = True, dict.fromkeys(unit.channels, 17e-6)
    stand = Stand(unit)
    await stand.standing.note(["wires"])
    return stand, unit


def late_after(instrument: Any, setter: str, times: int) -> None:
    """Let the command of this number be carried out, and its answer get lost."""
    obey, asked = getattr(instrument, setter), 0

    async def set_it(*args: Any) -> None:
        nonlocal asked
        asked += 1
        await obey(*args)
        if asked == times:
            raise LATE

    setattr(instrument, setter, set_it)


async def test_a_sweep_interrupted_at_low_power_has_lost_none() -> None:
    stand, laser = await pump()
    late_after(laser, "set_power", 1)
    step = CalibrateSourceStep(CalibrateSource.model_construct())
    with pytest.raises(DeadlineError):
        await step._measure(stand.context, laser, 0.004, "power 1 of 5")
    assert await stand.diagnosed() == {}
    laser.lose_power()
    assert await stand.diagnosed() == {
        "pump": Loss(energy=("power reads 0 W after 4 mW", "emission reads off after on"))
    }
    laser.on = True  # a person has switched it on again
    await stand.standing.note(["pump"])
    laser.set_point = 0.001
    assert await stand.diagnosed() == {"pump": Loss(energy=("power reads 1 mW after 4 mW",))}


async def test_what_was_noted_since_has_to_stay() -> None:
    stand, laser = await pump()
    stand.standing.lowers("pump", {"power": 0.0})
    await stand.standing.note(["pump"])
    laser.set_point = 0.001
    assert await stand.diagnosed() == {"pump": Loss(energy=("power reads 1 mW after 20 mW",))}


@pytest.mark.parametrize("nth", [1, 4, 8])
async def test_a_nanowire_gets_its_bias_back_although_its_remedy_was_interrupted(nth: int) -> None:
    """At zero, below half of the bias, and above."""
    stand, unit = await wires()
    late_after(unit, "set_bias", nth)
    dog, alarm = NanowireLatchedWatchdog(NanowireLatched(), None), Alarm("blind", "wires.1")  # type: ignore[arg-type]
    with pytest.raises(DeadlineError):
        await dog.remedy(alarm, stand.context)
    assert unit.currents[1] < 17e-6
    assert await stand.diagnosed() == {}
    assert await dog.remedy(alarm, stand.context) == {"bias_a": pytest.approx(17e-6)}
    assert unit.currents == dict.fromkeys(unit.channels, pytest.approx(17e-6))


async def test_a_remedy_that_leaves_less_bias_has_not_helped() -> None:
    stand, unit = await wires()
    obey = unit.set_bias

    async def weak(channel: int, current_a: float) -> None:
        await obey(channel, min(current_a, 11e-6))

    unit.set_bias = weak  # type: ignore[method-assign]
    dog = NanowireLatchedWatchdog(NanowireLatched(), None)  # type: ignore[arg-type]
    with pytest.raises(RunError, match=r"bias\.1 reads 1.1e-05 A after it was set to 1.7e-05 A"):
        await dog.remedy(Alarm("blind", "wires.1"), stand.context)


async def test_a_pump_that_is_moved_far_away_has_lost_nothing() -> None:
    stand, laser = await pump()
    late_after(laser, "set_power", 1)
    dog = SourceUnlockedWatchdog(SourceUnlocked.model_validate({"step": 0.8}), None)  # type: ignore[arg-type]
    with pytest.raises(DeadlineError):
        await dog.remedy(Alarm("dim", "source"), stand.context)
    assert await stand.diagnosed() == {}
    assert await dog.remedy(Alarm("dim", "source"), stand.context) == {"power_w": pytest.approx(0.02)}
