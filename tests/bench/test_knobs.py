"""A knob turned over the wire acts on the clicks as physics says; everything through drivers.

Statistical bounds are 5.5 standard errors or more (false alarm below 1e-7 each), seeds are fixed.
"""

from math import cos, pi, sqrt

import pytest

from drivers.capabilities import (
    Laser,
    LatchSensor,
    NanowireBias,
    PolarizationController,
    PowerMeter,
    RotationMount,
)
from tests.rig import Correlated, rig

SOURCE_FIDELITY = 0.98
WERNER = (4 * SOURCE_FIDELITY - 1) / 3
"""Correlation in every basis of the pair state of the configuration."""


async def test_3_db_less_pump_halves_one_source_s_pairs_and_the_light_on_its_power_meter() -> None:
    async with rig() as bench:
        await bench.bring_up()
        before = await bench.record(1.0)
        full = await bench.get("alice_pump_meter", PowerMeter).power()
        await bench.get("alice_pump", Laser).set_power(10e-3)
        after = await bench.record(1.0)
        half = await bench.get("alice_pump_meter", PowerMeter).power()
    assert half / full == pytest.approx(0.5, rel=0.01)
    for spoke, ratio in (("alice", 0.5), ("bob", 1.0)):
        pairs = Correlated(before, spoke).pairs, Correlated(after, spoke).pairs
        # 70,000 pairs over 20,000 accidentals in 1 s: 0.5 % each, so 4 % are more than 5 sigma.
        assert pairs[1] / pairs[0] == pytest.approx(ratio, rel=0.04)
        # Singles: linear in the pump, apart from 500/s of dark counts and a dead time of 25 ns.
        singles = len(before[f"{spoke}_h"]), len(after[f"{spoke}_h"])
        true = [n / (1 - n * 25e-9) - 500 for n in singles]
        assert true[1] / true[0] == pytest.approx(ratio, rel=0.01)


async def test_a_half_wave_plate_turned_by_45_degrees_exchanges_h_and_v() -> None:
    async with rig() as bench:
        await bench.bring_up()
        straight = Correlated(await bench.record(1.0), "alice")
        await bench.get("alice_hwp", RotationMount).set_angle(pi / 4)
        await bench.settle()
        exchanged = Correlated(await bench.record(1.0), "alice")
    assert straight.visibility == pytest.approx(WERNER, abs=0.03)
    assert exchanged.visibility == pytest.approx(-WERNER, abs=0.03)


async def test_the_middle_paddle_turned_by_a_lowers_the_visibility_by_cos_4a() -> None:
    """Between quarter-wave paddles at 0 the half-wave paddle at a leaves |<H|out>|^2 = cos^2(2a)."""
    turn = pi / 12
    async with rig() as bench:
        await bench.bring_up()
        paddles = bench.get("alice_paddles", PolarizationController)
        await paddles.set_angles([0.0, 0.0, 0.0])
        await bench.settle()
        straight = Correlated(await bench.record(1.0), "alice")
        await paddles.set_angles([0.0, turn, 0.0])
        await bench.settle()
        tags = await bench.record(1.0)
    turned, other = Correlated(tags, "alice"), Correlated(tags, "bob")
    assert turned.visibility / straight.visibility == pytest.approx(cos(4 * turn), abs=0.03)
    assert other.visibility == pytest.approx(WERNER, abs=0.03)


async def test_bias_at_zero_ends_a_nanowire_s_clicks_but_for_the_tagger_s_own() -> None:
    seconds, own = 4.0, 1.0  # noise_counts of the configuration
    async with rig() as bench:
        await bench.bring_up()
        await bench.get("hub_nanowires", NanowireBias).set_bias(2, 0.0)
        tags = await bench.record(seconds)
    assert len(tags["hub_cv"]) <= own * seconds + 6 * sqrt(own * seconds) + 3
    assert len(tags["hub_ch"]) > 1e6


async def test_emission_off_leaves_dark_counts_alone() -> None:
    async with rig() as bench:
        await bench.bring_up()
        for name in ("alice_pump", "bob_pump"):
            await bench.get(name, Laser).set_emission(False)
        tags = await bench.record(4.0)
    # 500 dark counts and 1 of the tagger's own per second, 0.5 % of afterpulses.
    assert len(tags["alice_h"]) == pytest.approx(501 * 4 * 1.005, abs=6 * sqrt(2000))
    assert len(tags["hub_ch"]) == pytest.approx(101 * 4, abs=6 * sqrt(404))


async def test_a_nanowire_driven_above_its_switching_current_latches_and_recovers() -> None:
    async with rig() as bench:
        await bench.bring_up()
        unit, sensor = bench.get("hub_nanowires", NanowireBias), bench.get("hub_nanowires", LatchSensor)
        await unit.set_bias(1, 19.5e-6)
        await bench.bench.advance(0.5)
        assert await sensor.is_latched(1)
        assert not await sensor.is_latched(2)
        blind = await bench.record(1.0)
        await unit.set_bias(1, 0.0)
        await bench.bench.advance(0.5)
        await unit.set_bias(1, 17e-6)
        await bench.bench.advance(0.5)
        assert not await sensor.is_latched(1)
        seeing = await bench.record(1.0)
    assert len(blind["hub_ch"]) < 20
    assert len(seeing["hub_ch"]) > 200_000
