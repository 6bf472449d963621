"""The simulated K10CR1 over its pseudo-terminal, with the byte examples of thorlabs_k10cr1.md."""

import asyncio
import math
import struct
from collections.abc import AsyncIterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.polarization.thorlabs_k10cr1 import SimThorlabsK10cr1
from sim_instruments.ports import RotationPort
from tests.sim_instruments.apt_bench import INFO, AptBench

STEPS_PER_DEGREE = 409600 / 3
MOVE_45 = "53 04 06 00 d0 01 01 00 00 c0 5d 00"
VELOCITY = 73300775 / 7329109
"""Default velocity in deg/s."""
ACCELERATION = 15020 / 1502
"""Default acceleration in deg/s^2: 10."""


class Bench(AptBench[SimThorlabsK10cr1]):
    def __init__(self, seed: int = 3) -> None:
        self.port = RotationPort()
        super().__init__(
            SimThorlabsK10cr1("mount", np.random.default_rng(seed), self.port, serial_number=55000001)
        )

    @property
    def degrees(self) -> float:
        return math.degrees(self.port.angle_rad)

    async def home(self) -> None:
        self.client.send("43 04 01 00 50 01")
        await self.settle()
        self.sim.advance(45.0)
        assert await self.client.read(6) == bytes.fromhex("44 04 01 00 01 50")

    def moves_for(self, seconds: float) -> None:
        """Pass the rest of a motion, which must last so long to within 10 us."""
        self.sim.advance(seconds - 1e-5)
        assert self.sim.moving
        self.sim.advance(2e-5)
        assert not self.sim.moving

    async def counter(self) -> int:
        return struct.unpack("<i", (await self.client.ask("11 04 01 00 50 01", 12))[8:])[0]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with Bench() as bench:
        yield bench


def seconds_for(degrees: float, velocity: float = VELOCITY, acceleration: float = ACCELERATION) -> float:
    """A trapezoid, or a triangle where the way is short."""
    if degrees < velocity**2 / acceleration:
        return 2 * math.sqrt(degrees / acceleration)
    return degrees / velocity + velocity / acceleration


async def test_hardware_info(bench: Bench) -> None:
    reply = await bench.client.ask(INFO, 90)
    assert reply[:6] == bytes.fromhex("06 00 54 00 81 50")
    assert struct.unpack("<I8s", reply[6:18]) == (55000001, b"K10CR1\0\0")
    assert reply[88:] == b"\x01\x00"


async def test_power_up_is_enabled_not_homed_at_a_random_angle_with_counter_zero(bench: Bench) -> None:
    assert await bench.client.ask("11 02 01 00 50 01", 6) == bytes.fromhex("12 02 01 01 01 50")
    assert await bench.client.ask("80 04 01 00 50 01", 20) == bytes.fromhex(
        "81 04 0e 00 81 50 01 00 00 00 00 00 00 00 00 00 00 01 00 80"
    )
    assert {round(Bench(seed).degrees, 3) for seed in (3, 3, 4)} == {
        round(bench.degrees, 3), round(Bench(4).degrees, 3)
    }  # fmt: skip
    assert 0 <= bench.degrees < 360


async def test_homing_seeks_the_switch_and_ends_at_the_true_zero(bench: Bench) -> None:
    way = bench.degrees + 4  # in reverse to the switch, which stands at -4 degrees
    expected = seconds_for(way) + seconds_for(4)
    bench.client.send("43 04 01 00 50 01")
    assert (await bench.client.ask("29 04 01 00 50 01", 12))[8:] == bytes.fromhex("20 03 00 80")
    bench.sim.advance(seconds_for(way))
    assert bench.degrees == pytest.approx(-4, abs=1e-4)
    bench.sim.advance(expected - seconds_for(way) - 1e-4)
    await bench.settle()
    assert bench.sim.moving
    bench.sim.advance(2e-4)
    assert await bench.client.read(6) == bytes.fromhex("44 04 01 00 01 50")
    assert not bench.sim.moving
    assert bench.port.angle_rad == 0.0
    assert await bench.counter() == 0
    assert (await bench.client.ask("29 04 01 00 50 01", 12))[8:] == bytes.fromhex("00 05 00 80")


@pytest.mark.parametrize("seed", range(5))
async def test_homing_never_takes_longer_than_about_forty_seconds(seed: int) -> None:
    async with Bench(seed) as bench:
        bench.client.send("43 04 01 00 50 01")
        await bench.settle()
        bench.sim.advance(40.0)
        assert bench.port.angle_rad == 0.0


async def test_home_parameters_decide_speed_direction_and_zero(bench: Bench) -> None:
    defaults = await bench.client.ask("41 04 01 00 50 01", 20)
    assert struct.unpack("<HHHii", defaults[6:]) == (1, 2, 1, 73300775, 546133)
    body = struct.pack("<HHHii", 1, 1, 1, 5 * 7329109, 546133 + 136533)  # forward, 5 deg/s, offset 5 deg
    bench.client.send("40 04 0e 00 d0 01" + body.hex())
    way = (-4 - bench.degrees) % 360
    bench.client.send("43 04 01 00 50 01")
    await bench.settle()
    bench.sim.advance(seconds_for(way, 5) + seconds_for(5, 5) - 1e-3)
    assert bench.sim.moving
    bench.sim.advance(2e-3)
    await bench.client.read(6)
    assert bench.degrees == pytest.approx(1.0, abs=1e-5)
    assert await bench.counter() == 0


async def test_move_to_45_degrees_is_the_example(bench: Bench) -> None:
    await bench.home()
    bench.client.send(MOVE_45)
    await bench.settle()
    bench.sim.advance(seconds_for(45) / 2)
    assert bench.degrees == pytest.approx(22.5, abs=1e-6)
    assert (await bench.client.ask("29 04 01 00 50 01", 12))[8:] == bytes.fromhex("10 05 00 80")
    bench.sim.advance(seconds_for(45) / 2 - 1e-6)
    assert bench.sim.moving
    bench.sim.advance(2e-6)
    assert await bench.client.read(20) == bytes.fromhex(
        "64 04 0e 00 81 50 01 00 00 c0 5d 00 00 00 00 00 00 05 00 80"
    )
    assert not bench.sim.moving
    assert bench.port.angle_rad == math.radians(6144000 / STEPS_PER_DEGREE)


async def test_the_profile_is_a_trapezoid(bench: Bench) -> None:
    await bench.home()
    bench.client.send(MOVE_45)
    await bench.settle()
    bench.sim.advance(0.5)
    assert bench.degrees == pytest.approx(ACCELERATION * 0.5**2 / 2, abs=1e-6)
    bench.sim.advance(1.5)
    ramp = VELOCITY / ACCELERATION
    assert bench.degrees == pytest.approx(VELOCITY * ramp / 2 + VELOCITY * (2.0 - ramp), abs=1e-6)


async def test_velocity_parameters_are_the_example_and_set_the_time(bench: Bench) -> None:
    example = "01 00 00 00 00 00 ac 3a 00 00 27 7b 5e 04"
    assert await bench.client.ask("14 04 01 00 50 01", 20) == bytes.fromhex("15 04 0e 00 81 50" + example)
    await bench.home()
    bench.client.send("13 04 0e 00 d0 01" + struct.pack("<Hiii", 1, 0, 2 * 1502, 4 * 7329109).hex() + MOVE_45)
    await bench.settle()
    bench.moves_for(45 / 4 + 4 / 2)
    await bench.client.read(20)


async def test_velocity_beyond_the_limit_is_the_limit(bench: Bench) -> None:
    await bench.home()
    bench.client.send("13 04 0e 00 d0 01" + struct.pack("<Hiii", 1, 0, 2**31 - 1, 2**31 - 1).hex() + MOVE_45)
    await bench.settle()
    bench.moves_for(seconds_for(45, VELOCITY, 20))
    await bench.client.read(20)


async def test_a_move_before_homing_is_relative_to_power_up(bench: Bench) -> None:
    start = bench.degrees
    bench.client.send(MOVE_45)
    await bench.settle()
    bench.sim.advance(10.0)
    reply = await bench.client.read(20)
    assert reply[8:] == bytes.fromhex("00 c0 5d 00 00 00 00 00 00 01 00 80")  # not homed
    assert bench.degrees - start == pytest.approx(45, abs=1e-9)


async def test_relative_moves_may_exceed_a_turn(bench: Bench) -> None:
    await bench.home()
    bench.client.send("48 04 06 00 d0 01 01 00" + struct.pack("<i", 2 * 49152000).hex())
    await bench.settle()
    bench.sim.advance(80.0)
    await bench.client.read(20)
    assert await bench.counter() == 98304000
    assert bench.degrees == pytest.approx(720, abs=1e-9)
    await bench.home()
    assert bench.port.angle_rad == 0.0


async def test_jog_uses_its_own_parameters(bench: Bench) -> None:
    await bench.home()
    reply = await bench.client.ask("17 04 01 00 50 01", 28)
    assert reply[:6] == bytes.fromhex("18 04 16 00 81 50")
    assert struct.unpack("<HHiiiiH", reply[6:])[2] == 682667
    bench.client.send("16 04 16 00 d0 01" + struct.pack("<HHiiiiH", 1, 2, 409600, 0, 1502, 7329109, 2).hex())
    bench.client.send("6a 04 01 02 50 01")
    await bench.settle()
    bench.moves_for(3 / 1 + 1 / 1)  # 3 degrees at 1 deg/s and 1 deg/s^2
    assert (await bench.client.read(20))[8:12] == struct.pack("<i", -409600)


async def test_continuous_jog_goes_on_until_stopped(bench: Bench) -> None:
    await bench.home()
    bench.client.send("16 04 16 00 d0 01" + struct.pack("<HHiiiiH", 1, 1, 1, 0, 15020, 73300775, 2).hex())
    bench.client.send("6a 04 01 01 50 01")
    await bench.settle()
    bench.sim.advance(60.0)
    assert bench.sim.moving
    assert bench.degrees > 360
    reply = await bench.client.ask("65 04 01 01 50 01", 20)
    assert reply[:2].hex() == "6604"
    assert not bench.sim.moving


async def test_profiled_stop_slows_down_and_then_reports(bench: Bench) -> None:
    await bench.home()
    bench.client.send(MOVE_45)
    await bench.settle()
    bench.sim.advance(2.0)
    cruising = bench.degrees
    bench.client.send("65 04 01 02 50 01")
    await bench.settle()
    bench.moves_for(VELOCITY / ACCELERATION)
    reply = await bench.client.read(20)
    assert reply[:8] == bytes.fromhex("66 04 0e 00 81 50 01 00")
    assert bench.degrees - cruising == pytest.approx(VELOCITY**2 / (2 * ACCELERATION), abs=1e-5)
    assert struct.unpack("<i", reply[8:12])[0] == pytest.approx(bench.degrees * STEPS_PER_DEGREE, abs=1e-6)
    bench.sim.advance(10.0)
    await bench.settle()  # and no completion of the move


async def test_a_disabled_mount_does_not_move(bench: Bench) -> None:
    before = bench.degrees
    bench.client.send("10 02 01 02 50 01" + MOVE_45 + "43 04 01 00 50 01")
    await bench.settle()
    bench.sim.advance(10.0)
    await bench.settle()
    assert bench.degrees == before


async def test_general_move_parameters_round_trip(bench: Bench) -> None:
    bench.client.send("3a 04 06 00 d0 01 01 00 39 30 00 00")
    assert await bench.client.ask("3b 04 01 00 50 01", 12) == bytes.fromhex(
        "3c 04 06 00 81 50 01 00 39 30 00 00"
    )


async def test_updates_are_0481_ten_times_a_second(bench: Bench) -> None:
    await bench.home()
    bench.client.send("11 00 00 00 50 01" + MOVE_45)
    await bench.settle()
    bench.sim.advance(0.5)
    data = await bench.client.read(5 * 20)
    assert {data[i : i + 8] for i in range(0, 100, 20)} == {bytes.fromhex("81 04 0e 00 81 50 01 00")}
    positions = [struct.unpack_from("<i", data, i + 8)[0] / STEPS_PER_DEGREE for i in range(0, 100, 20)]
    expected = [ACCELERATION * (0.1 * k) ** 2 / 2 for k in range(1, 6)]
    assert positions == pytest.approx(expected, abs=1e-5)


async def test_u_status(bench: Bench) -> None:
    await bench.home()
    assert await bench.client.ask("90 04 01 00 50 01", 20) == bytes.fromhex(
        "91 04 0e 00 81 50 01 00 00 00 00 00 00 00 00 00 00 05 00 80"
    )


async def test_silence_swallows_moves_and_completions(bench: Bench) -> None:
    await bench.home()
    bench.client.send(MOVE_45)
    await bench.settle()
    bench.sim.faults.silent = True
    bench.sim.advance(10.0)
    bench.client.send(INFO)
    with pytest.raises(TimeoutError):
        await bench.client.read(1, deadline=0.05)
    bench.sim.faults.silent = False
    assert await bench.counter() == 6144000


IDS = [0x0005, 0x0011, 0x0012, 0x0210, 0x0211, 0x0410, 0x0413, 0x0414, 0x0416, 0x0417, 0x043A, 0x043B,
       0x0440, 0x0441, 0x0443, 0x0448, 0x0453, 0x0465, 0x046A, 0x0480, 0x0490, 0x0492]  # fmt: skip
frames = st.builds(
    lambda id_, body: struct.pack("<HHBBH", id_, 2 + len(body), 0xD0, 1, 1) + body,
    st.sampled_from(IDS), st.sampled_from([4, 12, 20]).flatmap(lambda n: st.binary(min_size=n, max_size=n)),
)  # fmt: skip
headers = st.builds(
    lambda id_, p2: struct.pack("<HBBBB", id_, 1, p2, 0x50, 1), st.sampled_from(IDS), st.integers(0, 3)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=40), headers, frames), max_size=12))
def test_no_bytes_crash_the_server(chunks: list[bytes]) -> None:
    async def feed() -> None:
        async with Bench() as bench:
            await bench.withstand(chunks, b"K10CR1")
            assert math.isfinite(bench.port.angle_rad)

    asyncio.run(feed())
