"""The simulated 8169A, spoken to as text on a socket. Expected forms are those of keysight_8169a.md."""

import asyncio
import math
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.polarization.keysight_8169a import COMMANDS, STEP_DEG, SimKeysight8169a
from sim_instruments.ports import PlatesPort
from sim_instruments.world.polarization import polarizer, retarder, stokes
from tests.sim_instruments.raw_client import RawClient

NO_ERROR = '0,"No error"'
LONG_S = 10.0


class Client(RawClient):
    async def ask(self, message: str) -> str:
        self.send(message.encode() + b"\n")
        return (await self.until(b"\n")).decode()[:-1]

    async def say(self, message: str) -> str:
        """Send a command; returns what the error queue says of it."""
        return await self.ask(f"{message}\nSYST:ERR?")


@asynccontextmanager
async def bench() -> AsyncIterator[tuple[SimKeysight8169a, Client]]:
    sim = SimKeysight8169a("plates", np.random.default_rng(1), PlatesPort())
    match = re.fullmatch(r"visa:TCPIP0::127\.0\.0\.1::(\d+)::SOCKET", await sim.start())
    assert match is not None
    try:
        async with Client.at(int(match[1])) as client:
            yield sim, client
    finally:
        await sim.stop()


def light(sim: SimKeysight8169a) -> list[float]:
    """Stokes vector behind the controller, of light that is linear along its polarizer."""
    port = sim.controller.port
    assert port.polarizer_rad is not None
    state = polarizer(port.polarizer_rad) @ np.array([np.cos(port.polarizer_rad), np.sin(port.polarizer_rad)])
    for plate in port.plates:
        state = retarder(*plate) @ state
    return [float(component) for component in stokes(state)]


async def test_the_example_of_the_notes() -> None:
    async with bench() as (sim, client):
        client.send(b"POS:POL 12.34;:POS:QUAR 30.00;:POS:HALF 45.00\n")
        assert await client.ask("*OPC?") == "0"
        sim.advance(LONG_S)
        assert await client.ask("*OPC?") == "1"
        assert await client.ask(":POS:HALF?") == "45.00"
        assert await client.ask("POS:POL?;QUAR?") == "12.34;30.00", "read back as set"
        assert re.fullmatch(r"HEWLETT-PACKARD,HP8169A,3234G\d{5},1\.0", await client.ask("*IDN?"))
        assert await client.ask("SYST:ERR?") == NO_ERROR


@pytest.mark.parametrize(
    ("quarter", "half", "state"),
    [(0, 0, (1, 0, 0)), (0, 45, (-1, 0, 0)), (0, 22.5, (0, 1, 0))],
)
@pytest.mark.parametrize("pol", [0, 18])
async def test_states_of_the_notes(
    pol: int, quarter: float, half: float, state: tuple[int, int, int]
) -> None:
    """Horizontal, vertical and diagonal, counted from the polarizer's angle (a whole number of steps)."""
    async with bench() as (sim, client):
        await client.say(f"POS:POL {pol};QUAR {pol + quarter};HALF {pol + half}")
        sim.advance(LONG_S)
        c, s = math.cos(2 * math.radians(pol)), math.sin(2 * math.radians(pol))
        turned = (c * state[0] - s * state[1], s * state[0] + c * state[1], state[2])
        assert light(sim)[1:] == pytest.approx(turned, abs=0.02), "to half a step of the motors"


async def test_a_quarter_wave_plate_at_45_degrees_makes_circular_light() -> None:
    async with bench() as (sim, client):
        await client.say(":INPut:POSition:QUARter 45")
        sim.advance(LONG_S)
        assert abs(light(sim)[3]) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(("ellipticity", "azimuth"), [(0.0, 60.0), (20.0, 0.0), (-15.0, 100.0)])
async def test_circle_mode_makes_the_ellipse_that_is_asked_for(ellipticity: float, azimuth: float) -> None:
    async with bench() as (sim, client):
        assert await client.say(f"POS:POL 9;:CIRC:EPSB {ellipticity};THETAP {azimuth}") == NO_ERROR
        sim.advance(LONG_S)
        _, s1, s2, s3 = light(sim)
        assert abs(math.degrees(math.asin(s3))) / 2 == pytest.approx(abs(ellipticity), abs=0.2)
        assert (math.degrees(math.atan2(s2, s1)) / 2 - 9 - azimuth + 90) % 180 == pytest.approx(90, abs=0.4)
        assert await client.ask(":CIRC:EPSB?;THETAP?") == f"{ellipticity:.2f};{azimuth:.2f}"


async def test_plates_take_their_time() -> None:
    async with bench() as (sim, client):
        await client.say("POS:HALF 360")
        sim.advance(0.5)
        assert sim.controller.port.plates[1][1] == pytest.approx(math.pi, rel=1e-6), "360 deg/s"
        arriving = [sim.moving]
        for seconds in (0.6, 0.3):
            sim.advance(seconds)
            arriving.append(sim.moving)
        assert arriving == [True, True, False], "it turns for 1 s and settles for 0.3 s"
        assert await client.say("POS:HALF -55.2") == NO_ERROR
        sim.advance(LONG_S)
        assert math.degrees(sim.controller.port.plates[1][1]) == pytest.approx(-55.2, abs=STEP_DEG / 2)


async def test_a_scan_goes_on_until_it_is_aborted() -> None:
    async with bench() as (sim, client):
        assert await client.say("PSPH:RATE 1") == NO_ERROR
        assert await client.say(":INIT") == NO_ERROR
        sim.advance(60.0)
        assert await client.ask("*OPC?;:PSPH:RATE?") == "0;1"
        before = list(sim.controller.port.plates)
        sim.advance(0.1)
        assert sim.controller.port.plates != before
        assert await client.say(":ABOR") == NO_ERROR
        sim.advance(1.0)
        before = list(sim.controller.port.plates)
        sim.advance(1.0)
        assert sim.controller.port.plates == before
        assert await client.ask("*OPC?") == "1"


async def test_reset_and_power_cycle_put_all_at_zero() -> None:
    async with bench() as (sim, client):
        await client.say("POS:POL 10;QUAR 20;HALF 30")
        assert await client.say("*RST") == NO_ERROR
        sim.advance(LONG_S)
        assert await client.ask("POS:POL?;QUAR?;HALF?") == "0.00;0.00;0.00"
        await client.say("POS:POL 10;QUAR 20;HALF 30;:INIT")
        sim.power_cycle()
        assert await client.rest() == b""
        assert not sim.moving
        assert sim.controller.port.polarizer_rad == 0.0


async def test_a_lock_up_ends_with_a_power_cycle() -> None:
    async with bench() as (sim, client):
        sim.lock_up()
        assert await client.last_words(b"*IDN?\n") == b""
        sim.power_cycle()
        async with Client.at(sim.server.port) as again:
            assert await again.ask("*OPC?") == "1"


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("NONSENSE", '-113,"Undefined header"'),
        ("POS:QUAR", '-109,"Missing parameter"'),
        ("POS:QUAR red", '-104,"Data type error"'),
        ("POS:QUAR 1e9", '-222,"Data out of range"'),
        ("PSPH:RATE 2", '-104,"Data type error"'),
        ("CIRC:EPSB 46", '-222,"Data out of range"'),
        ("*CLS", NO_ERROR),
    ],
)
async def test_the_error_queue(message: str, error: str) -> None:
    async with bench() as (_, client):
        assert await client.say(message) == error
        assert await client.ask("SYST:ERR?") == NO_ERROR
        assert await client.ask("POS:QUAR?") == "0.00"


async def test_errors_overflow_by_the_makers_word_and_show_in_the_registers() -> None:
    async with bench() as (_, client):
        errors = (await client.ask(";:".join(["BAD"] * 100 + ["SYST:ERR?"] * 100))).split(";")
        assert errors[errors.index(NO_ERROR) - 1] == '-350,"<Queue Overflow>"'
        assert await client.ask("*ESR?;*ESR?;*TST?;*STB?") == "32;0;0;0"


async def test_an_error_of_its_own() -> None:
    async with bench() as (sim, client):
        sim.faults.own_errors = 1
        assert await client.say("POS:QUAR 20") == '-200,"Execution error"'
        assert await client.ask("POS:QUAR?") == "0.00"


HEADERS = st.sampled_from([re.sub(r"[\[\]]", "", tree) for tree in COMMANDS])
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
            await client.last_words(noise + b"\n")
            sim.advance(0.25)
            async with Client.at(sim.server.port) as again:
                assert (await again.ask("*IDN?")).startswith("HEWLETT-PACKARD,HP8169A,")

    asyncio.run(scenario())
