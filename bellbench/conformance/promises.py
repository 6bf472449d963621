"""What every driver promises before any instrument, simulated or real, with nothing wrong on the wire."""

import asyncio
import math
from collections.abc import Iterator

from bellbench.conformance.stand import Stand
from drivers.capabilities import Control, Limits
from drivers.errors import RefusedError

__all__ = [
    "test_every_set_point_reads_back",
    "test_it_can_be_made_safe_at_any_moment_and_twice",
    "test_it_closes_twice_and_opens_again",
    "test_it_says_who_it_is",
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


def outside(limits: Limits) -> Iterator[float]:
    """Values that are refused: below, above, and none at all."""
    span = limits.high - limits.low if math.isfinite(limits.high - limits.low) else 1.0
    below, above = limits.low - 0.1 * span - 1e-12, limits.high + 0.1 * span + 1e-12
    if limits.unit == "1":
        below, above = float(math.floor(below)), limits.high + 1.0
    yield from (value for value in (below, above, math.nan) if not math.isinf(value))


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
