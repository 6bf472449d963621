"""Polarization controllers before a polarimeter: angles set over the wire of each turn the light of a laser
as the Poincare sphere says, read over the wire of the PAX1000. Both ends are drivers, the world is between.

A retarder turns the sphere about its fast axis by its retardance, by the right-hand rule. The states expected
are worked out by hand from that.
"""

from collections.abc import Mapping, Sequence
from math import cos, pi, radians, sin
from typing import Any

import pytest

from drivers import catalog
from drivers.address import Address
from drivers.capabilities import Instrument, Laser, Polarimeter, PolarizationController
from sim_instruments.bench import Bench
from sim_instruments.instrument import Placed
from sim_instruments.world.layout import Beam, Controller, Layout

POWER_W = 1e-3
CURVE = [["1 V", "500 deg"], ["2 V", "360 deg"], ["3 V", "60 deg"], ["8 V", "10 deg"]]
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "cobolt_0601": {"max_power": "60 mW"},
    "ozoptics_epc400": {"half_wave_voltage": "1.5 V"},
    "thorlabs_lcc25": {"retardance": CURVE},
    "sfifteen_lcr": {"retardance": CURVE},
}
CASES = {
    # About S2 (the second squeezer stands at 45 deg), from H: (cos, 0, -sin).
    "ozoptics_epc400": ([0.7, pi / 3, 0.0, 0.0], (0.5, 0.0, -sin(pi / 3))),
    # The same with the cell at 45 deg; 60 deg are at 3.0 V, no rounding.
    "thorlabs_lcc25": ([radians(60)], (cos(radians(60)), 0.0, -sin(radians(60)))),
    # The first cell, along H, does nothing to it; the third and fourth turn the sphere all the way round.
    "sfifteen_lcr": ([radians(r) for r in (100, 270, 360, 360)], (0.0, 0.0, 1.0)),
    # A quarter-wave plate at 45 deg: -S3; the half-wave plate at 0, half round S1: +S3.
    "keysight_8169a": ([pi / 4, 0.0], (0.0, 0.0, 1.0)),
    # Three quarter-wave plates along H do nothing, the half-wave plate at 22.5 deg makes S2, and three more
    # quarters about S1 lead it to -S3.
    "novoptel_epc1000": ([0, 0, 0, pi / 8, 0, 0, 0], (0.0, 0.0, -1.0)),
}


def driver(bench: Bench, name: str, model: str) -> Instrument:
    kind = catalog.find(model)
    settings = kind.settings_model.model_validate(SETTINGS.get(model, {}))
    return kind(name, Address.parse(bench.addresses[name]), settings)


def placed(name: str, model: str) -> Placed:
    settings = catalog.find(model).settings_model.model_validate(SETTINGS.get(model, {}))
    return Placed(name, model, settings.model_dump())


@pytest.mark.parametrize("model", CASES)
async def test_angles_turn_the_light(model: str) -> None:
    angles, (s1, s2, s3) = CASES[model]
    light = Beam("probe", "laser", 1550e-9, (1.0, 0.0), ("controller", "polarimeter"))
    layout = Layout(lights=(light,), detectors=(), taggers=(), controllers=(Controller("controller"),))
    instruments = [
        placed("laser", "cobolt_0601"),
        placed("controller", model),
        placed("polarimeter", "thorlabs_pax1000"),
    ]
    async with Bench(layout, instruments, seed=1) as bench:
        laser, controller, polarimeter = (
            driver(bench, "laser", "cobolt_0601"),
            driver(bench, "controller", model),
            driver(bench, "polarimeter", "thorlabs_pax1000"),
        )
        assert isinstance(laser, Laser)
        assert isinstance(controller, PolarizationController)
        assert isinstance(polarimeter, Polarimeter)
        try:
            await laser.set_power(POWER_W)
            await laser.set_emission(True)
            await polarimeter.set_measuring(True)
            await controller.set_angles(angles)
            await bench.advance(10.0)
            await settled(controller, polarimeter)
            reading = await polarimeter.stokes()
            assert await controller.angles() == pytest.approx(angles, abs=5e-3)
        finally:
            for instrument in (laser, controller, polarimeter):
                await instrument.close()
    # Angles are set to a millivolt or to a motor's step of 0.18 deg, which is 3 mrad and counts twice or so.
    assert (reading.s1, reading.s2, reading.s3) == pytest.approx((s1, s2, s3), abs=0.02)
    assert reading.power_w == pytest.approx(POWER_W, rel=1e-3)


async def settled(*instruments: Instrument) -> None:
    states: Sequence[bool] = [await instrument.is_settled() for instrument in instruments]
    assert all(states)
