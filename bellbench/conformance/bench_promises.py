"""What every driver promises, seen from behind the wire of its simulator: what the instrument does to the
light, what has been sent to it, and silence and late answers at will."""

import asyncio

import pytest

from bellbench.conformance.faults import recover
from bellbench.conformance.promises import outside, readings, set_points
from bellbench.conformance.stand import BRISK_S, NAME, BenchStand, Subject
from drivers.errors import InstrumentError, LimitError

__all__ = [
    "test_a_cancelled_question_leaves_the_line_in_step",
    "test_opening_has_no_side_effect",
    "test_outside_the_limits_nothing_is_sent",
    "test_silence_ends_at_the_deadline_and_names_the_instrument",
    "test_state_does_not_leak_between_benches",
]


async def test_opening_has_no_side_effect(stand: BenchStand) -> None:
    before = stand.light()
    await stand.driver.open()
    await stand.bench.advance(1.0)
    assert stand.light() == before
    assert not stand.sim.moving


async def test_outside_the_limits_nothing_is_sent(stand: BenchStand) -> None:
    await stand.prepare()
    limited = [c for c in stand.settable() if c.limits is not None]
    before = stand.light()
    stand.sim.faults.silent = True  # what was sent and waited for would end at the deadline instead
    for control in limited:
        assert control.write is not None
        assert control.limits is not None
        for value in outside(control.limits):
            with pytest.raises(LimitError, match=NAME):
                await control.write(value)
    await stand.bench.advance(1.0)
    assert stand.light() == before


async def test_silence_ends_at_the_deadline_and_names_the_instrument(stand: BenchStand) -> None:
    await stand.driver.open()
    before = await readings(stand)
    await stand.hasten()
    stand.sim.faults.silent = True
    with pytest.raises(InstrumentError, match=NAME):
        await stand.driver.identity()
    stand.sim.faults.silent = False
    assert (await recover(stand)).keys() == before.keys()


async def test_a_cancelled_question_leaves_the_line_in_step(stand: BenchStand) -> None:
    await stand.hasten(BRISK_S)
    identity = await stand.driver.identity()
    before = await readings(stand)
    stand.sim.faults.late = 1
    asking = asyncio.create_task(stand.driver.identity())
    await asyncio.wait([asking], timeout=0.02)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    stand.sim.faults.late = 0
    assert (await readings(stand)).keys() == before.keys()
    assert await stand.driver.identity() == identity


async def test_state_does_not_leak_between_benches(subject: Subject) -> None:
    async with subject.stand() as first:
        fresh = first.light()
        await first.prepare()
        for control in first.settable():
            assert control.write is not None
            await control.write(set_points(control.limits)[1] if control.limits else True)
        await first.settle()
    async with subject.stand() as second:
        assert second.light() == fresh
