"""The simulated EPC1000, spoken to as bytes on a socket. Expected bytes are those of novoptel_epc.md."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.polarization.novoptel_epc1000 import SimNovoptelEpc1000
from sim_instruments.ports import PlatesPort
from tests.sim_instruments.raw_client import DEADLINE_S, RawClient

POSITIONS = 40


class Client(RawClient):
    async def read(self, register: int) -> int:
        self.send(b"R" + register.to_bytes(2))
        return int.from_bytes(await asyncio.wait_for(self._reader.readexactly(2), DEADLINE_S))

    async def write(self, register: int, value: int) -> None:
        """And see that it has arrived."""
        self.send(b"W" + register.to_bytes(2) + value.to_bytes(2))
        await self.read(84)


@asynccontextmanager
async def serving() -> AsyncIterator[SimNovoptelEpc1000]:
    sim = SimNovoptelEpc1000("epc", np.random.default_rng(1), PlatesPort())
    await sim.start()
    try:
        yield sim
    finally:
        await sim.stop()


async def test_the_examples_of_the_notes() -> None:
    async with serving() as sim, Client.at(sim.server.port) as client:
        client.send(bytes.fromhex("52 00 54"))
        assert await asyncio.wait_for(client._reader.readexactly(2), DEADLINE_S) == bytes.fromhex("01 09")
        client.send(bytes.fromhex("57 00 07 00 01"))
        assert [await client.read(plate) for plate in range(7)] == [1] * 7, "all plates forward"


async def test_requests_cut_anywhere() -> None:
    async with serving() as sim, Client.at(sim.server.port) as client:
        for byte in bytes.fromhex("57 00 29 12 34 52 00"):
            client.send(bytes([byte]))
            await asyncio.sleep(0)
        client.send(b"\x29")
        assert await asyncio.wait_for(client._reader.readexactly(2), DEADLINE_S) == b"\x12\x34"


async def test_who_it_is() -> None:
    async with serving() as sim, Client.at(sim.server.port) as client:
        words = [await client.read(96 + n) for n in range(16)]
        assert b"".join(word.to_bytes(2) for word in words).startswith(b"EPC1000")
        assert 15 < await client.read(181) / 16 < 70
        assert await client.read(91) > 0
        await client.write(91, 0)
        assert await client.read(91) > 0, "constants stay"
        assert await client.read(999) == 0


async def test_positions_turn_the_plates() -> None:
    """A whole electrical period, 65536 steps, is half a turn of a plate; plate 0 is the half-wave plate in
    the middle of six quarter-wave plates."""
    async with serving() as sim, Client.at(sim.server.port) as client:
        for plate in range(7):
            await client.write(POSITIONS + plate, 8192 * plate)
        plates = sim.crystal.port.plates
        assert [retardance for retardance, _ in plates] == pytest.approx(
            [math.pi / 2] * 3 + [math.pi] + [math.pi / 2] * 3
        )
        assert [angle for _, angle in plates] == pytest.approx(
            [math.pi / 8 * plate for plate in (1, 2, 3, 0, 4, 5, 6)]
        )
        assert not sim.moving


@pytest.mark.parametrize(
    ("plate", "low", "high", "rate"),
    [
        (1, 628, 0, 1.0),  # 6.28 rad/s on the sphere: once round in a second, one electrical period
        (6, 0, 1, 655.36 / math.tau),
        (0, 0, 1, 10 * 65536 / (2 * math.tau)),
    ],
)
async def test_plates_turn_at_their_speeds(plate: int, low: int, high: int, rate: float) -> None:
    """`rate` in electrical periods per second; quarter-wave plates count 0.01 rad/s, the half-wave one 10."""
    async with serving() as sim, Client.at(sim.server.port) as client:
        await client.write(9 + 2 * plate, low)
        await client.write(10 + 2 * plate, high)
        await client.write(plate, 1)
        assert sim.moving
        seconds = 0.25 / rate
        sim.advance(seconds)
        assert await client.read(POSITIONS + plate) == pytest.approx(0.25 * 65536, rel=2e-3)
        await client.write(plate, 3)
        sim.advance(2 * seconds)
        assert await client.read(POSITIONS + plate) == pytest.approx(0.75 * 65536, rel=2e-3)
        await client.write(plate, 2)
        assert not sim.moving


async def test_the_register_for_all_plates_also_takes_two_bits_for_each() -> None:
    async with serving() as sim, Client.at(sim.server.port) as client:
        await client.write(7, 0b01_00_11_00_00_00_01)
        assert [await client.read(plate) for plate in range(7)] == [1, 0, 3, 0, 0, 0, 1]
        await client.write(7, 0)
        assert [await client.read(plate) for plate in range(7)] == [0] * 7


async def test_a_power_cycle_stops_the_plates() -> None:
    async with serving() as sim:
        async with Client.at(sim.server.port) as client:
            await client.write(43, 1000)
            await client.write(7, 1)
            sim.power_cycle()
            assert await client.rest() == b""
        async with Client.at(sim.server.port) as client:
            assert await client.read(43) == 0
            assert not sim.moving


async def test_its_own_error_is_as_an_unknown_register() -> None:
    async with serving() as sim, Client.at(sim.server.port) as client:
        sim.faults.own_errors = 2
        client.send(b"W\x00\x28\x12\x34")
        assert await client.read(91) == 0
        assert await client.read(40) == 0
        assert await client.read(91) > 0


NOISE = st.one_of(
    st.binary(max_size=60),
    st.builds(
        lambda register, value: b"W" + register.to_bytes(2) + value.to_bytes(2),
        st.integers(0, 400),
        st.integers(0, 65535),
    ),
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(NOISE, max_size=12))
def test_any_bytes_leave_it_able_to_answer(chunks: list[bytes]) -> None:
    async def scenario() -> None:
        async with serving() as sim:
            async with Client.at(sim.server.port) as client:
                await client.last_words(b"".join(chunks))
            sim.advance(0.25)
            async with Client.at(sim.server.port) as client:
                assert await client.read(84) == 0x0109

    asyncio.run(scenario())
