"""The gate in front of every setter: closed, not a byte is sent; off and zero always pass."""

from functools import cache
from pathlib import Path

import pytest

from drivers import catalog
from drivers.capabilities import Control, Identity, Instrument, Laser, Limits
from drivers.errors import ConnectError, LimitError, RefusedError
from drivers.gate import passes_gate
from experiments.config.files import load_testbed

ONE_OF_EACH = Path(__file__).parents[2] / "configs/testbeds/one_of_each.yaml"


class Closed:
    """Refuses everything, and remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float | bool, bool]] = []

    def check(self, instrument: Instrument, control: str, value: float | bool, *, energises: bool) -> None:
        self.asked.append((control, value, energises))
        raise RefusedError(instrument.name, str(instrument.address), f"{control}: the gate is closed")


@cache
def drivers() -> dict[str, Instrument]:
    """One driver of every model that is simulated, at an address where nothing is."""
    return dict(load_testbed(ONE_OF_EACH).inventory.drivers)


def more_than_nothing(control: Control) -> float | bool:
    if control.limits is None:
        return True
    return control.limits.high if control.limits.high < float("inf") else 1.0


def energising(driver: Instrument) -> list[Control]:
    return [c for c in driver.controls() if c.energises and c.write is not None]


EMITTERS = sorted(name for name, driver in drivers().items() if energising(driver))


def test_every_model_that_emits_or_biases_is_here() -> None:
    kinds = {name: catalog.find(name) for name in catalog.models()}
    assert len(EMITTERS) >= 12
    missing = [
        n for n, kind in kinds.items() if n not in drivers() and issubclass(kind, Laser)
    ]  # taggers without a simulator neither emit nor bias
    assert missing == []


@pytest.mark.parametrize("model", EMITTERS)
async def test_a_closed_gate_stops_what_energises_before_a_byte_is_sent(model: str) -> None:
    driver, gate = drivers()[model], Closed()
    driver.gate = gate
    try:
        for control in energising(driver):
            assert control.write is not None
            with pytest.raises(RefusedError, match="the gate is closed"):
                await control.write(more_than_nothing(control))
            assert gate.asked[-1] == (control.name, more_than_nothing(control), True)
            asked = len(gate.asked)
            # It tried to send, and nothing is at this address; or its least power is more than none.
            with pytest.raises((ConnectError, LimitError)):
                await control.write(0.0 if control.limits else False)
            assert len(gate.asked) == asked
    finally:
        del driver.gate


@pytest.mark.parametrize("model", sorted(drivers()))
def test_every_number_that_can_be_set_passes_the_gate_or_is_part_of_something_larger(model: str) -> None:
    # An angle of a row of actuators and an edge of a pulse are set with others in one command.
    parts = {"angle", "delay", "width"}
    driver = drivers()[model]
    free = {
        control.name
        for control in driver.controls()
        if control.write and control.limits and not passes_gate(type(driver), control.name)
    }
    assert {name.partition(".")[0] for name in free} <= parts
    assert all("." in name for name in free)


class Plain:
    """What a package of somebody else may bring: a setter from a class that knows nothing of gates."""

    async def set_power(self, power_w: float) -> None:
        self.sent = power_w


class TheirLaser(Plain, Laser):
    model = "theirs"
    power_limits = Limits(0.0, 1.0, "W")

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def identity(self) -> Identity:
        return Identity("", "", "", "")

    async def is_settled(self) -> bool:
        return True

    async def make_safe(self) -> None:
        await self.set_power(0.0)

    async def power(self) -> float:
        return self.sent

    async def set_emission(self, on: bool) -> None: ...
    async def emission(self) -> bool:
        return False


async def test_a_driver_that_knows_nothing_of_gates_stands_behind_one() -> None:
    base = drivers()["cobolt_0601"]
    laser = TheirLaser("theirs", base.address, base.settings)
    await laser.set_power(power_w=0.5)  # open, until somebody stands in front
    laser.gate = Closed()
    with pytest.raises(RefusedError, match="closed"):
        await laser.set_power(power_w=0.4)
    assert await laser.power() == 0.5
    await laser.make_safe()
    assert await laser.power() == 0.0
