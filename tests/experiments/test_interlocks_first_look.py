"""The first look at interlocks: slow and late readings are waited for, and no longer than they may be old."""

import asyncio

import pytest

from drivers.errors import DeadlineError
from experiments.engine.interlocks import InterlockError
from tests.experiments.test_interlocks import HOT, Rig


async def test_the_first_look_waits_for_a_slow_reading_and_asks_again_after_a_late_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A counter needs a second for each reading: longer than a look waits for it, less than `fresh`."""
    monkeypatch.setattr("experiments.engine.interlocks.READING_S", 0.01)
    rig = Rig(hot={**HOT, "action": "abort"}, lit={"when": "laser.power > 25 mW", "action": "abort"})
    rig.meter.watts, rig.laser.on = 200e-6, True
    counted, asked = asyncio.Event(), 0
    measure, looks = rig.meter.power, rig.interlocks._read_all

    async def slow() -> float:
        await counted.wait()
        return await measure()

    async def late_once() -> float:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise DeadlineError("laser", "nowhere", "no answer within 2 s")
        return 20e-3

    async def read_all() -> None:
        await looks()
        counted.set()  # after a look that was in vain

    monkeypatch.setattr(rig.meter, "power", slow)
    monkeypatch.setattr(rig.laser, "power", late_once)
    monkeypatch.setattr(rig.interlocks, "_read_all", read_all)
    await rig.interlocks.begin()
    assert rig.told == []
    assert not rig.interlocks.why_not


async def test_the_first_look_waits_no_longer_than_a_signal_may_be_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("experiments.engine.interlocks.READING_S", 0.01)
    rig = Rig(hot={**HOT, "action": "abort"})
    hot = rig.interlocks.watched[0]
    hot.interlock = hot.interlock.model_copy(update={"fresh": 0.0})
    monkeypatch.setattr(rig.meter, "power", asyncio.Event().wait)
    with pytest.raises(InterlockError, match=r"hot has tripped: not known so far \(meter.power not known\)"):
        await rig.interlocks.begin()
