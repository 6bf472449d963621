"""The simulated MPC320 over its pseudo-terminal, with the byte examples of thorlabs_mpc320.md."""

import asyncio
import math
import os
from collections.abc import AsyncIterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.polarization.thorlabs_mpc320 import SimThorlabsMpc320
from sim_instruments.ports import PlatesPort
from tests.sim_instruments.apt_bench import INFO, AptBench, SerialClient

STEPS_PER_DEGREE = 1370 / 170
ENABLE_ALL = "10 02 07 01 50 01"
STATUS_1 = "90 04 01 00 50 01"


class Bench(AptBench[SimThorlabsMpc320]):
    def __init__(self) -> None:
        self.port = PlatesPort()
        super().__init__(
            SimThorlabsMpc320("paddles", np.random.default_rng(7), self.port, serial_number=38449564)
        )

    async def home(self) -> None:
        self.client.send(ENABLE_ALL + "43 04 01 00 50 01 43 04 02 00 50 01 43 04 04 00 50 01")
        await self.settle()
        self.sim.advance(2.0)
        await self.client.read(18)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with Bench() as bench:
        yield bench


def degrees(port: PlatesPort) -> list[float]:
    return [math.degrees(angle) for _, angle in port.plates]


async def test_hardware_info_is_the_example(bench: Bench) -> None:
    reply = await bench.client.ask(INFO, 90)
    assert reply[:24] == bytes.fromhex(
        "06 00 54 00 81 50 9c b1 4a 02 4d 50 43 33 32 30 00 00 2c 00 03 00 01 00"
    )
    assert reply[24:84] == bytes(60)
    assert reply[84:] == bytes.fromhex("01 00 00 00 03 00")


async def test_starts_disabled_not_homed_and_silent(bench: Bench) -> None:
    assert await bench.client.ask("11 02 01 00 50 01", 6) == bytes.fromhex("12 02 01 02 01 50")
    assert (await bench.client.ask(STATUS_1, 20))[16:] == bytes.fromhex("00 01 00 10")
    bench.sim.advance(5.0)
    await bench.settle()  # no update came in between
    assert not bench.sim.moving


async def test_a_move_on_a_disabled_channel_does_nothing(bench: Bench) -> None:
    before = degrees(bench.port)
    bench.client.send("53 04 06 00 d0 01 02 00 ad 02 00 00  43 04 01 00 50 01  6a 04 01 01 50 01")
    await bench.settle()
    assert not bench.sim.moving
    bench.sim.advance(3.0)
    await bench.settle()
    assert degrees(bench.port) == before


async def test_enable_takes_a_mask_and_switches_the_others_off(bench: Bench) -> None:
    bench.client.send("10 02 05 01 50 01")
    states = [(await bench.client.ask(f"11 02 0{ch} 00 50 01", 6))[3] for ch in (1, 2, 4)]
    assert states == [1, 2, 1]
    bench.client.send("10 02 02 01 50 01")
    states = [(await bench.client.ask(f"11 02 0{ch} 00 50 01", 6))[3] for ch in (1, 2, 4)]
    assert states == [2, 1, 2]


async def test_home_ends_at_85_degrees_after_one_to_two_seconds(bench: Bench) -> None:
    start = degrees(bench.port)[0]
    bench.client.send("10 02 01 01 50 01  43 04 01 00 50 01")
    bits = (await bench.client.ask(STATUS_1, 20))[16:]
    assert bits == bytes.fromhex("20 03 00 90")  # moving ccw, connected, homing, power, enabled
    expected = start / 200 + 0.6 + 85 / 200  # down at 200 deg/s, pause, up
    assert 1.0 <= expected <= 2.0
    bench.sim.advance(expected - 1e-6)
    await bench.settle()
    assert bench.sim.moving
    bench.sim.advance(2e-6)
    assert await bench.client.read(6) == bytes.fromhex("44 04 01 00 01 50")
    assert not bench.sim.moving
    assert degrees(bench.port)[0] == pytest.approx(85, abs=1e-9)
    reply = await bench.client.ask(STATUS_1, 20)
    assert reply == bytes.fromhex("91 04 0e 00 81 50 01 00 ad 02 00 00 00 00 00 00 00 05 00 90")


async def test_move_absolute_takes_its_time_at_half_speed_and_ends_exactly(bench: Bench) -> None:
    await bench.home()
    bench.client.send("53 04 06 00 d0 01 02 00 00 00 00 00")  # channel 2 to 0, 85 degrees at 200 deg/s
    await bench.settle()
    bench.sim.advance(0.2)
    assert degrees(bench.port)[1] == pytest.approx(45, abs=1e-9)
    assert (await bench.client.ask("29 04 02 00 50 01", 12))[8:] == bytes.fromhex("20 05 00 90")
    bench.sim.advance(0.2249)
    assert bench.sim.moving
    bench.sim.advance(0.0001)
    assert await bench.client.read(6) == bytes.fromhex("64 04 02 00 01 50")
    assert degrees(bench.port)[1] == 0.0
    bench.client.send("53 04 06 00 d0 01 02 00 ad 02 00 00")
    await bench.settle()
    bench.sim.advance(0.425)
    assert await bench.client.read(6) == bytes.fromhex("64 04 02 00 01 50")
    assert bench.port.plates[1][1] == math.radians(685 / STEPS_PER_DEGREE)


async def test_slices_of_any_length_give_the_same_motion(bench: Bench) -> None:
    await bench.home()
    bench.client.send("53 04 06 00 d0 01 04 00 5a 05 00 00")  # channel 4 to 1370: 0.425 s
    await bench.settle()
    for _ in range(17):
        bench.sim.advance(0.025)
    assert degrees(bench.port)[2] == pytest.approx(170, abs=1e-9)
    assert not bench.sim.moving


async def test_moves_beyond_the_range_stop_at_its_ends(bench: Bench) -> None:
    await bench.home()
    bench.client.send("53 04 06 00 d0 01 01 00 ff ff 00 00  48 04 06 00 d0 01 02 00 00 00 00 80")
    await bench.settle()
    bench.sim.advance(1.0)
    await bench.client.read(12)
    assert degrees(bench.port)[:2] == [pytest.approx(170, abs=1e-9), 0.0]


async def test_before_homing_the_counter_is_relative_and_the_ends_hold(bench: Bench) -> None:
    start = degrees(bench.port)[0]
    bench.client.send(ENABLE_ALL)
    assert await bench.client.ask("11 04 01 00 50 01", 12) == bytes.fromhex(
        "12 04 06 00 81 50 01 00 00 00 00 00"
    )
    bench.client.send("53 04 06 00 d0 01 01 00 5a 05 00 00")
    await bench.settle()
    bench.sim.advance(1.0)
    await bench.client.read(6)
    counter = int.from_bytes((await bench.client.ask("11 04 01 00 50 01", 12))[8:], "little")
    assert counter == round((170 - start) * STEPS_PER_DEGREE)


async def test_the_counter_can_be_set(bench: Bench) -> None:
    before = degrees(bench.port)
    bench.client.send("10 04 06 00 d0 01 01 00 ad 02 00 00")
    assert (await bench.client.ask("11 04 01 00 50 01", 12))[8:] == bytes.fromhex("ad 02 00 00")
    bench.sim.advance(0.1)
    assert degrees(bench.port) == before


async def test_parameters_example_round_trips_and_limits_clip(bench: Bench) -> None:
    example = "00 00 32 00 ad 02 32 00 32 00 32 00"
    bench.client.send("30 05 0c 00 d0 01" + example)
    reply = await bench.client.ask("31 05 01 00 50 01", 18)
    assert reply == bytes.fromhex("32 05 0c 00 81 50" + example)
    bench.client.send("30 05 0c 00 d0 01 00 00 05 00 ff ff 00 00 0a 00 14 00")
    reply = await bench.client.ask("31 05 00 00 50 01", 18)
    assert reply[6:] == bytes.fromhex("00 00 0a 00 5a 05 00 00 0a 00 14 00")


async def test_velocity_changes_how_long_a_move_takes(bench: Bench) -> None:
    await bench.home()
    bench.client.send("30 05 0c 00 d0 01 00 00 64 00 ad 02 32 00 32 00 32 00")
    bench.client.send("53 04 06 00 d0 01 01 00 00 00 00 00")
    await bench.settle()
    bench.sim.advance(85 / 400 - 1e-4)
    assert bench.sim.moving
    bench.sim.advance(1e-4)
    assert not bench.sim.moving
    await bench.client.read(6)


async def test_jog_moves_by_the_jog_step(bench: Bench) -> None:
    await bench.home()
    bench.client.send("6a 04 01 01 50 01")
    assert (await bench.client.ask("29 04 01 00 50 01", 12))[8:] == bytes.fromhex("50 05 00 90")
    bench.sim.advance(0.1)
    assert await bench.client.read(6) == bytes.fromhex("64 04 01 00 01 50")
    assert (await bench.client.ask("11 04 01 00 50 01", 12))[8:] == (735).to_bytes(4, "little")
    bench.client.send("6a 04 01 02 50 01")
    await bench.settle()
    bench.sim.advance(0.1)
    await bench.client.read(6)
    assert (await bench.client.ask("11 04 01 00 50 01", 12))[8:] == (685).to_bytes(4, "little")


@pytest.mark.parametrize("mode", ["01", "02"])
async def test_stop_halts_on_a_whole_step(bench: Bench, mode: str) -> None:
    await bench.home()
    bench.client.send("53 04 06 00 d0 01 01 00 5a 05 00 00")
    await bench.settle()
    bench.sim.advance(0.1)  # 20 degrees on
    assert await bench.client.ask(f"65 04 01 {mode} 50 01", 6) == bytes.fromhex("66 04 01 00 01 50")
    assert not bench.sim.moving
    bench.sim.advance(1.0)
    assert degrees(bench.port)[0] * STEPS_PER_DEGREE == pytest.approx(round(105 * STEPS_PER_DEGREE), abs=1e-9)
    await bench.settle()  # and no completion of the move


async def test_paddles_move_on_their_own_and_report_in_order_of_time(bench: Bench) -> None:
    await bench.home()
    bench.client.send("53 04 06 00 d0 01 01 00 00 00 00 00")  # 685 steps
    bench.client.send("53 04 06 00 d0 01 04 00 65 02 00 00")  # 72 steps
    await bench.settle()
    bench.sim.advance(1.0)
    assert await bench.client.read(12) == bytes.fromhex("64 04 04 00 01 50 64 04 01 00 01 50")


async def test_updates_come_ten_times_a_second_until_nobody_acknowledges(bench: Bench) -> None:
    bench.client.send("11 00 00 00 50 01")
    await bench.settle()
    bench.sim.advance(1.0)
    data = await bench.client.read(10 * 3 * 20)
    assert data[:8] == bytes.fromhex("91 04 0e 00 81 50 01 00")
    assert [data[i + 6] for i in range(0, 120, 20)] == [1, 2, 4, 1, 2, 4]
    bench.client.send("92 04 00 00 50 01")
    await bench.settle()
    for _ in range(10):
        bench.sim.advance(1.0)
    await bench.client.read(50 * 3 * 20)
    await bench.settle()  # no more after 50
    bench.client.send("92 04 00 00 50 01")
    await bench.settle()
    bench.sim.advance(0.1)
    await bench.client.read(3 * 20)
    bench.client.send("12 00 00 00 50 01")
    await bench.settle()
    bench.sim.advance(1.0)
    await bench.settle()


async def test_unknown_and_malformed_messages_are_met_with_silence(bench: Bench) -> None:
    bench.client.send("34 12 00 00 50 01")  # unknown
    bench.client.send("90 04 03 00 50 01")  # no such channel
    bench.client.send("53 04 04 00 d0 01 01 00 ad 02")  # body too short
    bench.client.send("ff 00 13 37")  # garbage
    await bench.settle()


async def test_a_message_may_arrive_byte_by_byte_and_from_several_clients(bench: Bench) -> None:
    other = SerialClient(os.ttyname(bench.client.fd))
    for byte in bytes.fromhex("11 04 01 00 50"):
        bench.client.send(f"{byte:02x}")
        await asyncio.sleep(0)
    other.close()
    assert len(await bench.client.ask("01", 12)) == 12


async def test_silent_swallows_without_effect(bench: Bench) -> None:
    bench.client.send(ENABLE_ALL)
    await bench.settle()
    bench.sim.faults.silent = True
    bench.client.send("43 04 01 00 50 01" + STATUS_1)
    with pytest.raises(TimeoutError):
        await bench.client.read(1, deadline=0.05)
    assert not bench.sim.moving
    bench.sim.faults.silent = False
    assert (await bench.client.ask(STATUS_1, 20))[:2].hex() == "9104"


async def test_the_same_seed_gives_the_same_power_up_angles() -> None:
    ports = [PlatesPort(), PlatesPort(), PlatesPort()]
    for port, seed in zip(ports, (1, 1, 2), strict=True):
        SimThorlabsMpc320("paddles", np.random.default_rng(seed), port)
    assert ports[0] == ports[1] != ports[2]
    assert all(0 <= angle <= 170 for angle in degrees(ports[0]))


IDS = [0x0002, 0x0005, 0x0011, 0x0012, 0x0210, 0x0211, 0x0223, 0x0410, 0x0411, 0x0429, 0x0443, 0x0448,
       0x0453, 0x0465, 0x046A, 0x0480, 0x0490, 0x0492, 0x0530, 0x0531]  # fmt: skip
headers = st.builds(
    lambda id_, p: id_.to_bytes(2, "little") + p + b"\x50\x01",
    st.sampled_from(IDS),
    st.binary(min_size=2, max_size=2),
)
bodies = st.builds(
    lambda id_, ch, body: id_.to_bytes(2, "little") + bytes([2 + len(body), 0, 0xD0, 1, ch, 0]) + body,
    st.sampled_from(IDS), st.sampled_from([1, 2, 4, 7]), st.binary(max_size=12),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=40), headers, bodies), max_size=12))
def test_no_bytes_crash_the_server(chunks: list[bytes]) -> None:
    async def feed() -> None:
        async with Bench() as bench:
            await bench.withstand(chunks, b"MPC320")
            assert all(0 <= angle <= 170 + 1e-9 for angle in degrees(bench.port))

    asyncio.run(feed())
