"""The conformance suite before a real instrument; `tests/hardware` runs it.

The tests are those that the simulators pass, less what needs a hand behind the wire (faults, silence, what
is done to the light). They set every control to both ends of its range and beyond, home what can be homed and
switch on what can be switched: `Target.plan` says so beforehand. After each test the instrument is made safe,
and set-points that neither emit nor bias are put back to what they were.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

pytest.register_assert_rewrite("bellbench.conformance.promises", "bellbench.conformance.stand")

from bellbench.conformance.promises import *  # noqa: E402, F403
from bellbench.conformance.promises import near, outside, readings  # noqa: E402
from bellbench.conformance.stand import DEADLINE_S, NAME, Stand  # noqa: E402
from bellbench.model_facts import controls_of  # noqa: E402
from drivers import catalog  # noqa: E402
from drivers.address import Address  # noqa: E402
from drivers.capabilities import Control, Instrument  # noqa: E402
from drivers.errors import LimitError, RefusedError  # noqa: E402

SOON_S = 1e-3
"""When a question is given up: after it has been sent, and before most instruments have answered."""


class RealStand(Stand):
    """A driver before an instrument whose time is ours."""

    async def let_pass(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def read(self, control: Control) -> float | bool:
        return await control.read()


@dataclass(frozen=True)
class Target:
    """The instrument to be tried: its model, its address, its settings as in a testbed file."""

    model: str
    address: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def driver(self, deadline: float = DEADLINE_S) -> Instrument:
        """Not opened. Raises ValueError for a model, an address or settings that cannot be."""
        driver, address = catalog.find(self.model), Address.parse(self.address)
        if address.scheme not in driver.schemes:
            raise ValueError(f"{self.model} is not at {address.scheme}: but at {', '.join(driver.schemes)}:")
        return driver(NAME, address, driver.settings_model.model_validate(self.settings), deadline)

    def plan(self) -> Iterator[str]:
        """What will be done to the instrument, a line for each thing. Opens nothing."""
        driver = self.driver()
        yield f"To the {self.model} at {self.address} this will be done, several times:"
        if hasattr(driver, "home"):
            yield "  - it is homed: whatever moves looks for its zero"
        for control in controls_of(driver):
            if control.settable:
                what = (
                    "is switched on and off"
                    if not control.unit
                    else f"is set ({control.values}), to both ends"
                )
                yield f"  - {control.name} {what}" + (": EMISSION OR BIAS" if control.energises else "")
        yield "After each test it is made safe, and what neither emits nor biases is set back to what it was."

    @asynccontextmanager
    async def stand(self) -> AsyncIterator[RealStand]:
        """The driver, not opened; afterwards the instrument is as the module says."""
        drivers: list[Instrument] = []

        def new_driver(deadline: float = DEADLINE_S) -> Instrument:
            drivers.append(self.driver(deadline))
            return drivers[-1]

        async with _left_as_found(new_driver):
            try:
                yield RealStand(new_driver)
            finally:
                for driver in drivers:
                    await driver.close()


@asynccontextmanager
async def _left_as_found(new_driver: Callable[[], Instrument]) -> AsyncIterator[None]:
    found = RealStand(new_driver)
    await found.driver.open()
    before = await readings(found)
    await found.driver.close()
    try:
        yield
    finally:
        left = RealStand(new_driver)
        try:
            await left.driver.make_safe()
            await left.driver.open()
            for control in left.settable():
                if control.name in before and not control.energises:
                    await _put_back(left, control, before[control.name])
        finally:
            await left.driver.close()


async def _put_back(stand: Stand, control: Control, value: float | bool) -> None:
    assert control.write is not None
    if control.limits is not None and value not in control.limits:
        return  # somebody had set it where the testbed's limits do not allow it
    if not same(control, await stand.read(control), value):
        await control.write(value)
        await stand.settle()


def same(control: Control, one: float | bool, other: float | bool) -> bool:
    return one is other if control.limits is None else near(control, one, other)


async def set_points_now(stand: Stand) -> dict[str, float | bool]:
    """What the instrument says of everything that can be set and that it can say now."""
    values = await readings(stand)
    return {control.name: values[control.name] for control in stand.settable() if control.name in values}


async def expect_unchanged(stand: Stand, before: Mapping[str, float | bool]) -> None:
    after = await set_points_now(stand)
    assert after.keys() == before.keys()
    for control in stand.settable():
        if control.name in before:
            assert same(control, after[control.name], before[control.name]), control.name


@pytest.fixture
async def stand(target: Target) -> AsyncIterator[RealStand]:
    async with target.stand() as stand:
        yield stand


async def test_opening_again_changes_nothing(stand: RealStand) -> None:
    """What the first opening may have done cannot be seen; the second one does nothing."""
    await stand.driver.open()
    before = await set_points_now(stand)
    await stand.driver.close()
    await stand.driver.open()
    assert await stand.driver.is_settled()
    await expect_unchanged(stand, before)


async def test_outside_the_limits_is_refused_and_changes_nothing(stand: RealStand) -> None:
    await stand.prepare()
    before = await set_points_now(stand)
    for control in stand.settable():
        if control.limits is None:
            continue
        assert control.write is not None
        for value in outside(control.limits):
            with pytest.raises(LimitError, match=NAME):
                await control.write(value)
    await expect_unchanged(stand, before)


async def test_a_question_given_up_leaves_the_line_in_step(stand: RealStand) -> None:
    await stand.driver.open()
    identity, before = await stand.driver.identity(), await set_points_now(stand)
    for control in stand.driver.controls():
        asking = asyncio.ensure_future(stand.read(control))
        await asyncio.wait([asking], timeout=SOON_S)
        asking.cancel()
        (gave,) = await asyncio.gather(asking, return_exceptions=True)
        assert not isinstance(gave, Exception) or isinstance(gave, RefusedError), control.name
        assert await stand.driver.identity() == identity
    await expect_unchanged(stand, before)
