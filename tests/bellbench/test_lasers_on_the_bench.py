"""Each laser's driver before its simulator: what is set over the wire is the light that comes out.

The two were written from the notes apart; here one's reading of them meets the other's.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from bellbench.conformance.stand import NAME, BenchStand, Subject
from drivers.address import Address
from drivers.capabilities import Laser, TunableLaser
from drivers.errors import RefusedError
from drivers.lasers.santec_tsl570 import SantecTsl570
from sim_instruments.ports import LaserPort

C = 299_792_458.0
TUNABLE = {"wavelength": "1550.12 nm", "min_power": "6 dBm", "max_power": "13 dBm"}
DIODE = {"threshold_current": "60 mA", "slope_efficiency": "0.8 W/A", "max_power": "60 mW"}
MODELS: dict[str, dict[str, str]] = {
    "cobolt_0601": {"max_power": "60 mW"},
    "nkt_koheras": TUNABLE | {"tuning_range": "40 GHz"},
    "oif_itla": TUNABLE | {"tuning_range": "2 THz"},
    "santec_tsl570": TUNABLE | {"tuning_range": "4 THz"},
    "thorlabs_cld1015": DIODE,
}
RESOLUTION_HZ = {"nkt_koheras": 13e6, "oif_itla": 1e6, "santec_tsl570": 13e6}
"""A step of 0.1 pm is 12.5 MHz; the ITLA's is 1 MHz."""


@dataclass
class Laboratory:
    stand: BenchStand
    laser: Laser
    light: LaserPort
    sim: Any


@pytest.fixture
async def lab(request: pytest.FixtureRequest) -> AsyncIterator[Laboratory]:
    model: str = request.param
    async with Subject(model, MODELS[model]).stand() as stand:
        await stand.prepare()
        assert isinstance(stand.driver, Laser)
        yield Laboratory(stand, stand.driver, stand.bench.ports.lasers[NAME], stand.sim)


def on(*models: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("lab", models or tuple(MODELS), indirect=True)


@on()
async def test_the_power_that_is_set_is_the_power_that_shines(lab: Laboratory) -> None:
    await lab.laser.set_power(8e-3)
    assert lab.light.power_w == 0.0
    await lab.laser.set_emission(True)
    await lab.stand.settle()
    assert lab.light.power_w == pytest.approx(8e-3, rel=2e-2)
    assert await lab.laser.power() == pytest.approx(lab.light.power_w, rel=1e-2)
    await lab.laser.set_power(16e-3)
    await lab.stand.settle()
    assert lab.light.power_w == pytest.approx(16e-3, rel=2e-2)
    await lab.laser.make_safe()
    assert lab.light.power_w == 0.0
    assert await lab.laser.power() == 0.0


@on(*RESOLUTION_HZ)
async def test_the_frequency_that_is_set_is_where_it_shines(lab: Laboratory) -> None:
    assert isinstance(lab.laser, TunableLaser)
    wanted = C / 1550.12e-9 - 12.3456e9
    await lab.laser.set_frequency(wanted)
    await lab.stand.settle()
    resolution = RESOLUTION_HZ[lab.laser.model]
    assert await lab.laser.frequency() == pytest.approx(wanted, abs=resolution)
    assert lab.light.detuning_hz == pytest.approx(-12.3456e9, abs=resolution)


@on("cobolt_0601", "nkt_koheras", "santec_tsl570", "thorlabs_cld1015")
async def test_an_open_interlock_darkens_it_and_is_named(lab: Laboratory) -> None:
    await lab.laser.set_power(8e-3)
    await lab.laser.set_emission(True)
    await lab.stand.settle()
    assert lab.light.power_w > 0.0
    lab.sim.open_interlock()
    assert not await lab.laser.emission()
    with pytest.raises(RefusedError, match=r"(?i)interlock"):
        await lab.laser.set_emission(True)
    lab.sim.close_interlock()
    await lab.stand.bench.advance(60.0)
    assert lab.light.power_w == 0.0


@on("oif_itla")
async def test_the_module_refuses_to_tune_far_while_it_emits(lab: Laboratory) -> None:
    assert isinstance(lab.laser, TunableLaser)
    await lab.laser.set_emission(True)
    await lab.stand.settle()
    here = await lab.laser.frequency()
    await lab.laser.set_frequency(here + 2e9)
    assert lab.light.detuning_hz == pytest.approx(here + 2e9 - C / 1550.12e-9, abs=1e6)
    with pytest.raises(RefusedError, match="fine tuning"):
        await lab.laser.set_frequency(here + 100e9)
    await lab.laser.set_emission(False)
    await lab.laser.set_frequency(here + 100e9)
    assert await lab.laser.frequency() == pytest.approx(here + 100e9, abs=1e6)


@on("santec_tsl570")
async def test_the_same_laser_over_visa_and_in_the_other_dialect(lab: Laboratory) -> None:
    lab.sim.tsl.si_units = lab.sim.tsl.power_in_mw = True
    resource = f"visa:TCPIP0::127.0.0.1::{lab.laser.address.port}::SOCKET"
    assert isinstance(lab.laser, SantecTsl570)
    over_visa = SantecTsl570("other", Address.parse(resource), lab.laser.settings)
    try:
        await over_visa.open()
        await over_visa.set_frequency(193.2e12)
        await over_visa.set_power(8e-3)
        assert await over_visa.frequency() == pytest.approx(193.2e12, abs=13e6)
        assert await lab.laser.frequency() == pytest.approx(193.2e12, abs=13e6)
        assert lab.sim.tsl.power_dbm == pytest.approx(9.031, abs=1e-3)
    finally:
        await over_visa.close()
