"""The simulated PAX1000, spoken to as text on a socket. Expected forms are those of thorlabs_pax1000.md."""

import asyncio
import math
import re
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.polarization.thorlabs_pax1000 import COMMANDS, SPIN_UP_S, SimThorlabsPax1000, real
from sim_instruments.ports import PolarimeterPort
from sim_instruments.world.polarization import retarder, stokes
from tests.sim_instruments.raw_client import DEADLINE_S, RawClient

NO_ERROR = '+0,"No error"'
POWER_W = 76.6e-6


class Client(RawClient):
    async def ask(self, message: str) -> str:
        self.send(message.encode() + b"\n")
        return (await self.until(b"\n")).decode()[:-1]

    async def say(self, message: str) -> str:
        """Send a command; returns what the error queue says of it."""
        return await self.ask(f"{message}\nSYST:ERR?")

    async def latest(self) -> list[float]:
        return [float(field) for field in (await self.ask("SENS:DATA:LAT?")).split(",")]

    async def exactly(self, count: int) -> bytes:
        return await asyncio.wait_for(self._reader.readexactly(count), DEADLINE_S)


@asynccontextmanager
async def bench(state: Sequence[float] = (1.0, 0.0, 0.0)) -> AsyncIterator[tuple[SimThorlabsPax1000, Client]]:
    """A polarimeter in 77 uW of light of this normalised Stokes vector."""
    s1, s2, s3 = state
    port = PolarimeterPort(power_w=POWER_W, stokes=(s1, s2, s3), wavelength_m=1550e-9)
    sim = SimThorlabsPax1000("pax", np.random.default_rng(1), port)
    match = re.fullmatch(r"visa:TCPIP0::127\.0\.0\.1::(\d+)::SOCKET", await sim.start())
    assert match is not None
    try:
        async with Client.at(int(match[1])) as client:
            yield sim, client
    finally:
        await sim.stop()


async def measuring(sim: SimThorlabsPax1000, client: Client) -> None:
    assert await client.say("SENS:CALC 5;:INP:ROT:STAT 1") == NO_ERROR
    sim.advance(SPIN_UP_S + 1.0)


async def test_it_starts_idle_and_spins_up() -> None:
    async with bench() as (sim, client):
        assert re.fullmatch(r"THORLABS,PAX1000IR2,M\d{8},1\.1\.0", await client.ask("*IDN?"))
        assert await client.ask("SENS:CALC?;:INP:ROT:STAT?;SETT?") == "0;0;0"
        assert await client.say("SENS:CALC 9;:INP:ROT:STAT 1") == NO_ERROR
        sim.advance(0.9 * SPIN_UP_S)
        assert await client.ask("INP:ROT:SETT?") == "0"
        assert (await client.latest())[0] == 0, "nothing sensible before"
        sim.advance(1.0)
        assert await client.ask("INP:ROT:SETT?") == "1"
        assert (await client.latest())[2] == 9
        sim.power_cycle()
        assert await client.rest() == b""
        async with Client.at(sim.server.port) as again:
            assert await again.ask("SENS:CALC?;:INP:ROT:STAT?") == "0;0"


def test_numbers_as_in_the_sample() -> None:
    for text in ("3.349497e-2", "-8.918476e-2", "9.227656e-1", "7.660135e-5"):
        assert real(float(text)) == text
    assert real(1.38085) == "1.380850", "the sample drops the last 0, which no client minds"


@pytest.mark.parametrize(
    ("state", "azimuth", "ellipticity"),
    [
        ((1, 0, 0), 0.0, 0.0),
        ((0, 1, 0), math.pi / 4, 0.0),
        ((0, -1, 0), -math.pi / 4, 0.0),
        ((0.6, 0, 0), 0.0, 0.0),
    ],
)
async def test_linear_light(state: tuple[float, float, float], azimuth: float, ellipticity: float) -> None:
    async with bench(state) as (sim, client):
        await measuring(sim, client)
        fields = await client.latest()
        assert len(fields) == 13
        assert fields[7] == pytest.approx(1 / 30, rel=1e-5)
        assert fields[9:] == pytest.approx([azimuth, ellipticity, math.hypot(*state), POWER_W], rel=1e-5)
        assert int(fields[3]) == 134283776, "the flags of the sample: auto range, and two bits of the motor"


async def test_right_handed_light_of_the_makers_manual_has_positive_ellipticity() -> None:
    """His 8.1.2: light at 45 deg is right-handed behind a quarter-wave plate with its slow axis along x."""
    light = retarder(math.pi / 2, math.pi / 2) @ np.array([1, 1], dtype=np.complex128) / math.sqrt(2)
    async with bench(stokes(light)[1:].tolist()) as (sim, client):
        await measuring(sim, client)
        assert (await client.latest())[10] == pytest.approx(math.pi / 4)


async def test_the_fields_give_back_the_stokes_vector() -> None:
    """By the notes' formulas, with the sign of s3 as in the test above: (1, i)/sqrt 2 is left-handed."""
    state = (0.3, -0.5, 0.6)
    async with bench(state) as (sim, client):
        await measuring(sim, client)
        _, _, _, _, _, _, _, _, _, theta, eta, dop, _ = await client.latest()
    assert dop * math.cos(2 * theta) * math.cos(2 * eta) == pytest.approx(state[0], abs=1e-6)
    assert dop * math.sin(2 * theta) * math.cos(2 * eta) == pytest.approx(state[1], abs=1e-6)
    assert dop * math.sin(2 * eta) == pytest.approx(-state[2], abs=1e-6)


async def test_too_little_and_too_much_light_are_flagged() -> None:
    async with bench() as (sim, client):
        sim.polarimeter.port.power_w = 0.0
        await measuring(sim, client)
        assert int((await client.latest())[3]) & 0x4
        sim.polarimeter.port.power_w = 1.0
        sim.advance(1.0)
        assert int((await client.latest())[3]) & 0x8
        assert await client.say("SENS:POW:RANG:IND 12") == NO_ERROR
        assert await client.ask("SENS:POW:RANG:AUTO?;IND?") == "0;12"
        sim.polarimeter.port.power_w = POWER_W
        sim.advance(1.0)
        assert int((await client.latest())[3]) & 0x208 == 0x8, "not by itself"
        assert await client.say("SENS:POW:RANG:AUTO 1") == NO_ERROR
        sim.advance(1.0)
        assert int((await client.latest())[3]) & 0x20C == 0x200


@pytest.mark.parametrize(("mode", "turns"), [(1, 0.5), (5, 1.0), (9, 2.0)])
async def test_a_result_for_every_so_many_turns(mode: int, turns: float) -> None:
    async with bench() as (sim, client):
        assert await client.say(f"INP:ROT:VEL 10;:INP:ROT:STAT 1;:SENS:CALC {mode}") == NO_ERROR
        sim.advance(SPIN_UP_S)
        assert (await client.latest())[2] == 0
        sim.advance(0.99 * turns / 10)
        assert (await client.latest())[2] == 0, "the first is not complete"
        sim.advance(0.02 * turns / 10)
        assert (await client.latest())[2] == mode
        before = (await client.latest())[:2]
        sim.advance(turns / 10)
        after = (await client.latest())[:2]
        assert after[0] > before[0]
        assert after[1] - before[1] == pytest.approx(1e3 * turns / 10, abs=1)


async def test_results_in_binary_as_the_makers_example_reads_them() -> None:
    """A count of bytes, then records of seven u32 and six f32, and nothing else."""
    async with bench() as (sim, client):
        client.send(b"SENS:DATA:OLD:BIN?\n")
        assert await client.exactly(2) == b"\x00\x00"
        await measuring(sim, client)
        text = (await client.ask("SENS:DATA:LAT?")).split(",")
        client.send(b"SENS:DATA:OLD:BIN?\n")
        assert struct.unpack("<H", await client.exactly(2)) == (104,)
        records = await client.exactly(104)
        assert struct.unpack("<7I6f", records[52:]) == pytest.approx(
            [float(field) for field in text], rel=1e-6
        )
        sim.advance(1 / 30)
        client.send(b":SENSE:DATA:OLDEST:BINARY?\n")
        assert struct.unpack("<H", await client.exactly(2)) == (52,)
        await client.exactly(52)
        assert await client.ask("SYST:ERR?") == NO_ERROR


async def test_wavelength_velocity_and_calibration() -> None:
    async with bench() as (_, client):
        assert await client.say("SENS:CORR:WAV 1.324e-6") == NO_ERROR
        assert float(await client.ask("SENS:CORR:WAV?")) == 1324e-9
        low, high = [float(await client.ask(f"SENS:CORR:WAV? {end}")) for end in ("MIN", "MAX")]
        assert low < 1324e-9 < high
        fastest, slower = map(float, (await client.ask("INP:ROT:VEL:LIM?")).split(","))
        assert (fastest, slower <= fastest) == (200.0, True)
        assert await client.say("INP:ROT:VEL 100") == NO_ERROR
        assert float(await client.ask("INP:ROT:VEL?")) == 100.0
        assert await client.ask("CAL:STR?")


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("SENS:CALC 10", '-222,"Data out of range"'),
        ("SENS:CORR:WAV 633e-9", '-222,"Data out of range"'),
        ("INP:ROT:VEL 201", '-222,"Data out of range"'),
        ("INP:ROT:STAT 2", '-104,"Data type error"'),
        ("SENS:DATA:OLD:BIN", '-113,"Undefined header"'),
        ("SENS:DATA:LAT 1", '-113,"Undefined header"'),
    ],
)
async def test_the_error_queue(message: str, error: str) -> None:
    async with bench() as (_, client):
        assert await client.say(message) == error
        assert await client.ask("SYST:ERR?") == NO_ERROR
        assert await client.ask("SENS:CALC?;:INP:ROT:STAT?") == "0;0"


async def test_an_error_of_its_own() -> None:
    async with bench() as (sim, client):
        sim.faults.own_errors = 2
        assert await client.say("INP:ROT:STAT 1") == '-200,"Execution error"'
        assert await client.say("SENS:DATA:OLD:BIN?") == '-200,"Execution error"'
        assert await client.ask("INP:ROT:STAT?") == "0"


HEADERS = st.sampled_from([re.sub(r"[\[\]]", "", tree) for tree in (*COMMANDS, "SENSe:DATA:OLDest:BINary")])
NOISE = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda h, q, a: f"{h}{q} {a}".encode(), HEADERS, st.sampled_from(["", "?"]), st.text(max_size=9)
    ),
    st.builds(lambda h, x: f"{h} {x}".encode(), HEADERS, st.floats()),
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(noise=NOISE)
def test_any_bytes_leave_it_able_to_answer(noise: bytes) -> None:
    async def scenario() -> None:
        async with bench() as (sim, client):
            client.send(b"INP:ROT:STAT 1\n")
            await client.last_words(noise + b"\n")
            sim.advance(3.0)
            async with Client.at(sim.server.port) as again:
                assert (await again.ask("*IDN?")).startswith("THORLABS,PAX1000IR2,")
                assert len(await again.latest()) == 13

    asyncio.run(scenario())
