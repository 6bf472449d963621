"""Happenings change the light and the instruments at their times, and nothing before or after.

Statistical bounds are 6 standard errors of Poisson counts (false alarm below 1e-8 each), seeds are fixed.
"""

from contextlib import AbstractAsyncContextManager
from math import cos
from typing import Any

import numpy as np
import pytest

from drivers.capabilities import Laser, LatchSensor, NanowireBias, RotationMount
from experiments.config.happenings import SimulatedHappening
from tests.rig import Correlated, Rig, rig


def with_(*happenings: dict[str, Any]) -> AbstractAsyncContextManager[Rig]:
    return rig("nyc", happenings=[SimulatedHappening.model_validate(each) for each in happenings])


async def test_a_jump_turns_the_light_at_its_time_and_not_before() -> None:
    async with with_({"at": "100 s", "jump": "alice_fibre", "angle": "0.5 rad"}) as bench:
        fibre = bench.bench.light.fibre("alice_fibre")
        await bench.bench.advance(99.9)
        before = fibre.turn
        await bench.bench.advance(0.2)
        turn = fibre.turn @ before.conj().T
    # A rotation by a on the sphere has the trace 2 cos(a / 2); diffusion of 1e-5 rad^2/s adds little.
    assert abs(np.trace(turn)) / 2 == pytest.approx(cos(0.25), abs=0.01)


async def test_a_shaken_fibre_turns_in_every_slice_and_holds_still_before_and_after() -> None:
    """2 rad^2/s for 0.05 s: by a vector with the variance 0.2 rad^2 per component, shorter than 0.003 rad
    with a chance of 8e-8, 5e-7 for six slices. The fibre's own drift waits for the next whole second."""
    happening = {"at": "100.2 s", "shake": "alice_fibre", "diffusion": "2 rad^2/s", "for": "0.3 s"}
    async with with_(happening) as bench:
        fibre = bench.bench.light.fibre("alice_fibre")
        await bench.bench.advance(100.05)
        await bench.bench.advance(0.05)
        turned = []
        for _ in range(10):
            before = fibre.turn
            await bench.bench.advance(0.05)
            trace = abs(np.trace(fibre.turn @ before.conj().T)) / 2
            turned.append(2 * float(np.arccos(min(trace, 1.0))))
    assert [angle > 0.003 for angle in turned] == [False] * 3 + [True] * 6 + [False]


async def test_a_moved_delay_stays_moved() -> None:
    async with with_({"at": "1 s", "move_delay": "bob_fibre", "by": "3 ns"}) as bench:
        fibre = bench.bench.light.fibre("bob_fibre")
        carrier = 299_792_458.0 / 1324e-9
        before = fibre.delay_ps(carrier)
        await bench.bench.advance(1.3)
        assert fibre.delay_ps(carrier) - before == pytest.approx(3000, abs=1)
        await bench.bench.advance(10.0)
        assert fibre.delay_ps(carrier) - before == pytest.approx(3000, abs=1)


async def test_an_unlocked_laser_makes_few_pairs_until_its_power_is_moved() -> None:
    async with with_({"at": "60 s", "unlock": "alice_pump", "left": "10 %"}) as bench:
        await bench.bring_up()
        locked = Correlated(await bench.record(0.5), "alice").pairs
        await bench.bench.advance(60.0)
        tags = await bench.record(0.5)
        unlocked, other = Correlated(tags, "alice").pairs, Correlated(tags, "bob").pairs
        pump = bench.get("alice_pump", Laser)
        assert await pump.emission()
        power = await pump.power()
        await pump.set_power(0.95 * power)
        await bench.settle()
        await bench.bench.advance(1.0)
        await pump.set_power(power)
        await bench.settle()
        again = Correlated(await bench.record(0.5), "alice").pairs
    # Some 35,000 pairs when it is locked, accidentals subtracted: 6 standard errors are 4 %.
    assert unlocked / locked == pytest.approx(0.1, abs=0.04)
    assert other / locked == pytest.approx(1.0, abs=0.06)
    assert again / locked == pytest.approx(1.0, abs=0.06)


async def test_a_latched_nanowire_is_blind_until_its_bias_is_lowered() -> None:
    async with with_({"at": "60 s", "latch": "hub_nanowires.2"}) as bench:
        await bench.bring_up()
        await bench.bench.advance(60.0)
        unit = bench.get("hub_nanowires", LatchSensor)
        assert [await unit.is_latched(channel) for channel in unit.channels] == [False, True, False, False]
        tags = await bench.record(0.2)
        assert len(tags["hub_cv"]) <= 5  # the tagger's own noise: 1 per second
        assert len(tags["hub_ch"]) > 1000
        bias = bench.get("hub_nanowires", NanowireBias)
        was = await bias.bias(2)
        await bias.set_bias(2, 0.0)
        await bench.bench.advance(0.5)
        await bias.set_bias(2, was)
        await bench.bench.advance(0.5)
        assert not await unit.is_latched(2)
        tags = await bench.record(0.2)
        assert len(tags["hub_cv"]) == pytest.approx(len(tags["hub_ch"]), rel=0.1)


async def test_an_instrument_without_power_is_silent_and_comes_back_without_its_zero() -> None:
    async with with_({"at": "300 s", "power_cycle": "alice_hwp", "for": "20 s"}) as bench:
        await bench.bring_up()
        mount = bench.get("alice_hwp", RotationMount)
        assert await mount.is_homed()
        faults = bench.bench.instruments["alice_hwp"].faults
        silent = []
        for until in (299.0, 310.0, 321.0):
            await bench.bench.advance(until - bench.bench.now)
            silent.append(faults.silent)
        assert silent == [False, True, False]
        assert not await mount.is_homed()


async def test_a_tagger_without_reference_runs_free_for_as_long_as_it_says() -> None:
    async with with_({"at": "10 s", "unlock": "alice_tagger", "for": "10 s"}) as bench:
        clock = bench.bench.light.ports.taggers["alice_tagger"]

        async def gained_ps(seconds: float) -> float:
            before = clock.clock_ps
            await bench.bench.advance(seconds)
            return clock.clock_ps - before - seconds * 1e12

        locked, free = await gained_ps(10.0), await gained_ps(10.0)
        again = await gained_ps(10.0)
    # Locked: a frequency error of the order of 1e-11, 100 ps in 10 s. Free: of the order of 1e-6; seed 1 has
    # more than a thousandth of that.
    assert max(abs(locked), abs(again)) < 1e4
    assert abs(free) > 1e4


def test_a_happening_is_one_verb_with_its_own_amounts() -> None:
    for wrong in (
        {"at": "1 s"},
        {"at": "1 s", "jump": "a", "latch": "b.1"},
        {"at": "1 s", "jump": "a", "by": "1 ns"},
        {"at": "1 s", "move_delay": "a"},
        {"at": "1 s", "distinguishable": "a", "overlap": 0.4},
    ):
        with pytest.raises(ValueError, match=r"happening|takes no|needs"):
            SimulatedHappening.model_validate(wrong)


async def test_less_overlap_lasts_as_long_as_it_says() -> None:
    async with with_({"at": "5 s", "distinguishable": "hub_bsm", "overlap": 0.4, "for": "10 s"}) as bench:
        hub = bench.bench.light._hubs["hub_bsm"]
        overlaps = []
        for _ in range(4):
            await bench.bench.advance(4.9)
            overlaps.append(hub.measurement.mode_overlap)
    assert overlaps == [0.9, 0.4, 0.4, 0.9]


async def test_slices_are_cut_at_happenings() -> None:
    """A delay that moves at 0.1234 s has moved at 0.1234 s + 1 ps, and not before."""
    async with with_({"at": "123.4 ms", "move_delay": "bob_fibre", "by": "3 ns"}) as bench:
        await bench.bench.advance(0.1234)
        assert bench.bench.light.fibre("bob_fibre")._moved_s == 0.0
        await bench.bench.advance(1e-9)
        assert bench.bench.light.fibre("bob_fibre")._moved_s == 3e-9
