"""What every driver promises when nothing is wrong with the wire."""

import asyncio
import math

import pytest

from bellbench.conformance.stand import NAME, Stand, Subject
from drivers.capabilities import Control, Limits
from drivers.errors import InstrumentError, LimitError, RefusedError

__all__ = [
    "test_a_cancelled_question_leaves_the_line_in_step",
    "test_every_set_point_reads_back",
    "test_it_can_be_made_safe_at_any_moment_and_twice",
    "test_it_closes_twice_and_opens_again",
    "test_it_says_who_it_is",
    "test_opening_has_no_side_effect",
    "test_outside_the_limits_nothing_is_sent",
    "test_silence_ends_at_the_deadline_and_names_the_instrument",
    "test_state_does_not_leak_between_benches",
]

RELATIVE, OF_RANGE = 5e-3, 2e-3
"""How far a value read back may be from the one set; rounding by an instrument's electronics is far
below."""


def near(control: Control, found: float, wanted: float) -> bool:
    assert control.limits is not None
    span = control.limits.high - control.limits.low
    return abs(found - wanted) <= max(RELATIVE * abs(wanted), OF_RANGE * span if math.isfinite(span) else 0.0)


def set_points(limits: Limits) -> list[float]:
    """Both ends, the middle, and one that is no round number; whole numbers where the limits count things,
    and whole steps where they have some."""
    low = limits.low if math.isfinite(limits.low) else -1.0
    high = limits.high if math.isfinite(limits.high) else 1.0
    points = [low, high, (low + high) / 2, low + 0.618 * (high - low)]
    if limits.step:
        return [low + round((point - low) / limits.step) * limits.step for point in points]
    return [float(round(point)) for point in points] if limits.unit == "1" else points


async def readings(stand: Stand) -> dict[str, float | bool]:
    """What can be read of all controls; what the instrument refuses to say now is left out."""
    values = {}
    for control in stand.driver.controls():
        try:
            values[control.name] = await stand.read(control)
        except RefusedError:
            continue
    return values


async def test_it_says_who_it_is(stand: Stand) -> None:
    await stand.driver.open()
    identity = await stand.driver.identity()
    assert identity.manufacturer
    assert identity.model
    assert await stand.driver.identity() == identity


async def test_opening_has_no_side_effect(stand: Stand) -> None:
    before = stand.light()
    await stand.driver.open()
    await stand.bench.advance(1.0)
    assert stand.light() == before
    assert not stand.sim.moving


async def test_every_set_point_reads_back(stand: Stand) -> None:
    await stand.prepare()
    for control in stand.settable():
        assert control.write is not None
        if control.limits is None:
            for flag in (True, False):
                await control.write(flag)
                await stand.settle()
                assert await stand.read(control) is flag, control.name
            continue
        assert control.limits.unit == control.unit, control.name
        for wanted in set_points(control.limits):
            await control.write(wanted)
            await stand.settle()
            found = await stand.read(control)
            assert near(control, found, wanted) or _dark(control, found), (control.name, wanted, found)


def _dark(control: Control, found: float | bool) -> bool:
    """What a laser emits, or a bias is, while it is switched off: the set-point shows when it is on."""
    return control.energises and found == 0.0


async def test_outside_the_limits_nothing_is_sent(stand: Stand) -> None:
    await stand.prepare()
    limited = [c for c in stand.settable() if c.limits is not None]
    before = stand.light()
    stand.sim.faults.silent = True  # what was sent and waited for would end at the deadline instead
    for control in limited:
        assert control.write is not None
        assert control.limits is not None
        low, high = control.limits.low, control.limits.high
        span = high - low if math.isfinite(high - low) else 1.0
        for outside in (low - 0.1 * span - 1e-12, high + 0.1 * span + 1e-12, math.nan):
            if control.unit == "1":
                outside = math.floor(outside) if outside < low else high + 1.0
            if math.isfinite(outside) or math.isnan(outside):
                with pytest.raises(LimitError, match=NAME):
                    await control.write(outside)
    await stand.bench.advance(1.0)
    assert stand.light() == before


async def test_silence_ends_at_the_deadline_and_names_the_instrument(stand: Stand) -> None:
    stand.hasten()
    await stand.driver.open()
    before = await readings(stand)
    stand.sim.faults.silent = True
    with pytest.raises(InstrumentError, match=NAME):
        await stand.driver.identity()
    stand.sim.faults.silent = False
    await stand.driver.identity()
    after = await readings(stand)
    assert after.keys() == before.keys()


async def test_a_cancelled_question_leaves_the_line_in_step(stand: Stand) -> None:
    stand.hasten()
    await stand.driver.open()
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


async def test_it_can_be_made_safe_at_any_moment_and_twice(stand: Stand) -> None:
    await stand.driver.make_safe()  # never opened
    await stand.prepare()
    for control in stand.settable():
        if control.energises and control.limits is None:
            assert control.write is not None
            await control.write(True)
    together = asyncio.gather(stand.driver.identity(), stand.driver.make_safe(), stand.driver.make_safe())
    await together
    await stand.settle()
    for control in stand.settable():
        if control.energises:
            assert await stand.read(control) in (False, 0.0), control.name
    await stand.driver.close()
    await stand.driver.make_safe()
    await stand.driver.make_safe()


async def test_it_closes_twice_and_opens_again(stand: Stand) -> None:
    await stand.driver.close()
    await stand.driver.open()
    identity = await stand.driver.identity()
    await stand.driver.close()
    await stand.driver.close()
    await stand.driver.open()
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
