"""The simulated CLD1015, spoken to as bytes on a socket. Expected forms are those of thorlabs_cld1015.md."""

import asyncio
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.instrument import Placed
from sim_instruments.lasers.thorlabs_cld1015 import COMMANDS, METER, ROOM_C, SimThorlabsCld1015
from sim_instruments.ports import Ports
from tests.sim_instruments.raw_client import RawClient

NO_ERROR = '+0,"No error"'
CONFLICT = '-221,"Settings conflict"'


class Client(RawClient):
    async def ask(self, message: str) -> str:
        self.send(message.encode() + b"\n")
        return (await self.until(b"\n")).decode()[:-1]

    async def say(self, *messages: str) -> str:
        """Send commands; returns what the error queue says of the first that was refused."""
        return await self.ask("\n".join([*messages, "SYST:ERR?"]))


class Bench:
    """A diode with a threshold of 60 mA, 0.8 W/A and at most 120 mW: 210 mA."""

    def __init__(self) -> None:
        ports = Ports()
        placed = {"threshold_current": 60e-3, "slope_efficiency": 0.8, "max_power": 120e-3}
        self.sim = SimThorlabsCld1015.place(
            Placed("diode", "thorlabs_cld1015", placed), ports, np.random.default_rng(1)
        )
        self.port = ports.lasers["diode"]

    async def __aenter__(self) -> "Bench":
        match = re.fullmatch(r"visa:TCPIP0::127\.0\.0\.1::(\d+)::SOCKET", await self.sim.start())
        assert match is not None
        self.tcp_port = int(match[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sim.stop()


async def test_the_example_of_the_notes() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        client.send(b"SOUR:CURR 0.15\nOUTP2 1\nOUTP 1\n")
        assert await client.ask("OUTP?") == "1"
        assert await client.ask("SENS3:CURR:DATA?") == "1.49980E-01"
        assert await client.say() == NO_ERROR
        assert bench.port.power_w == pytest.approx(0.8 * (0.15 - 0.06))
        assert re.fullmatch(r"THORLABS,CLD1015,\w+,[\d.]+/[\d.]+/[\d.]+", await client.ask("*IDN?"))


@pytest.mark.parametrize(
    "command",
    ["SOUR:CURR 150mA", "SOUR:CURR 150m", "source:current:level:amplitude 0.15", "SOUR1:CURR 0.15A"],
)
async def test_forms_of_a_number(command: str) -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        assert await client.say(command) == NO_ERROR
        assert float(await client.ask("SOUR:CURR?")) == pytest.approx(0.15)


async def test_ends_rounding_and_the_limit() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        assert float(await client.ask("SOUR:CURR? MAX")) == pytest.approx(0.21)
        assert await client.say("SOUR:CURR MAX") == NO_ERROR
        assert float(await client.ask("SOUR:CURR:LIM?")) == float(await client.ask("SOUR:CURR?"))
        assert await client.say("SOUR:CURR 0.211") == '-222,"Data out of range"'
        assert await client.say("SOUR:CURR:LIM 0.1") == NO_ERROR
        assert float(await client.ask("SOUR:CURR?")) == pytest.approx(0.1)
        await client.say("SOUR:CURR 0.0123456789")
        assert float(await client.ask("SOUR:CURR?")) == pytest.approx(0.01235)
        assert await client.say("SOUR2:TEMP 25C;:OUTP2 1;:OUTP 1;:SOUR:CURR:LIM 0.2") == CONFLICT
        assert float(await client.ask("SOUR2:TEMP:SPO?")) == 25.0


async def test_current_without_temperature_control_is_refused() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        assert await client.say("OUTP 1") == CONFLICT
        assert await client.ask("OUTP?") == "0"
        assert await client.say("OUTP2 ON", "OUTP1:STAT ON") == NO_ERROR
        assert await client.ask("OUTP:STAT?") == "1"
        assert await client.say("OUTP2 0") == CONFLICT
        assert await client.say("OUTP 0", "OUTP2 0") == NO_ERROR
        assert bench.port.power_w == 0.0


async def test_the_interlock_and_the_key() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        await client.say("SOUR:CURR 0.15;:OUTP2 1;:OUTP 1")
        bench.sim.open_interlock()
        assert bench.port.power_w == 0.0
        assert await client.ask("OUTP?;:OUTP:PROT:INTL:TRIP?;:STAT:MEAS:COND?") == "0;1;4"
        assert await client.say("OUTP 1") == CONFLICT
        bench.sim.close_interlock()
        assert bench.port.power_w == 0.0
        assert await client.say("OUTP 1") == NO_ERROR
        bench.sim.lock_key()
        assert await client.ask("OUTP?;:OUTP:PROT:KEYL:TRIP?;:STAT:MEAS:COND?") == "0;1;1"
        bench.sim.unlock_key()
        assert await client.say("OUTP 1") == NO_ERROR


async def test_the_current_limit_shows_in_the_condition() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        await client.say("OUTP2 1;:OUTP 1;:SOUR:CURR MAX")
        assert await client.ask("STAT:MEAS:COND?") == "8"


async def test_the_switch_on_delay() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        await client.say("OUTP:DEL 2;:SOUR:CURR 0.15;:OUTP2 1;:OUTP 1")
        bench.sim.advance(1.9)
        assert bench.port.power_w == 0.0
        assert bench.sim.moving
        bench.sim.advance(0.2)
        assert bench.port.power_w > 0


async def test_the_temperature_settles_where_it_is_set() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        assert float(await client.ask("MEAS:TEMP?")) == pytest.approx(ROOM_C)
        await client.say("SOUR2:TEMP 30", "OUTP2 1")
        bench.sim.advance(1.0)
        assert ROOM_C < float(await client.ask("SENS2:TEMP:DATA?")) < 30
        bench.sim.advance(100.0)
        assert float(await client.ask("SENS2:TEMP:DC:DATA?")) == pytest.approx(30.0)
        assert float(await client.ask("MEAS:CURR2?")) != 0.0


async def test_readings_of_the_diode() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        assert await client.ask("MEAS:CURR?;:SENS4:VOLT:DATA?;:MEAS:POW2?") == ";".join(["0.00000E+00"] * 3)
        await client.say("SOUR:CURR 0.1;:OUTP2 1;:OUTP 1")
        current, voltage, power = [
            float(reading)
            for reading in (await client.ask("MEAS:CURR?;:SENS4:VOLT:DC:DATA?;:MEAS:POW2?")).split(";")
        ]
        assert current == pytest.approx(METER * 0.1, rel=1e-5)
        assert 1.0 < voltage < 4.0
        assert power == pytest.approx(0.8 * (0.1 - 0.06), rel=1e-5)


async def test_saving_and_recalling() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        await client.say("SOUR:CURR 0.12;:SOUR2:TEMP 31;*SAV 2;:SOUR:CURR 0.05;:OUTP2 1")
        assert await client.say("*RCL 2") == NO_ERROR
        assert float(await client.ask("SOUR:CURR?")) == pytest.approx(0.12)
        assert float(await client.ask("SOUR2:TEMP?")) == pytest.approx(31)
        assert await client.ask("OUTP2?") == "0"
        assert await client.say("*SAV 9") == '-222,"Data out of range"'


async def test_reset_switches_off_and_keeps_the_errors() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        await client.say("OUTP2 1;:OUTP 1")
        assert await client.say("BAD", "*RST") == '-113,"Undefined header"'
        assert await client.ask("OUTP?;:OUTP2?") == "0;0"


async def test_status_registers_and_the_overflow() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        assert await client.ask("*STB?;*ESR?;*TST?;*OPC?") == "0;0;0;1"
        client.send(b"BAD;SOUR:CURR 9\n")
        assert await client.ask("*STB?;*ESR?;*ESR?") == "4;48;0"
        errors = await client.ask(";:".join(["BAD"] * 20 + ["SYST:ERR?"] * 11))
        assert errors.split(";")[-2:] == ['-350,"Error queue overflow"', NO_ERROR]


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("SOUR:CURR:LIM 2", '-222,"Data out of range"'),
        ("SOUR2:TEMP 200", '-222,"Data out of range"'),
        ("SOUR:CURR", '-109,"Missing parameter"'),
        ("SOUR:CURR red", '-104,"Data type error"'),
        ("SOUR:CURR 1V", '-104,"Data type error"'),
        ("OUTP:POL XX", '-104,"Data type error"'),
        ("*RST 1", '-108,"Parameter not allowed"'),
        ("SENS3:CURR:DATA 1", '-113,"Undefined header"'),
        ("SOUR:FUNC:MODE POW;:OUTP2 1;:OUTP 1;:SOUR:FUNC:MODE CURR", CONFLICT),
        ("OUTP:POL AG;:OUTP:PROT:EXT:MODE PROT;:OUTP:PROT:VOLT 3.5", NO_ERROR),
        ("SOUR:AM:STAT 1;SOUR EXT;INT:FREQ 2kHz", NO_ERROR),
        ("SOUR2:TEMP:LCON:GAIN 2;INT 0.5;DER 0.1;:SENS:CURR:POL AG", NO_ERROR),
    ],
)
async def test_the_error_queue(message: str, error: str) -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        assert await client.say(message) == error
        assert await client.say() == NO_ERROR


async def test_an_error_of_its_own() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        bench.sim.faults.own_errors = 1
        assert await client.say("OUTP2 1") == '-200,"Execution error"'
        assert await client.ask("OUTP2?") == "0"


async def test_a_power_cycle_leaves_the_set_points_and_no_light() -> None:
    async with Bench() as bench:
        async with Client.at(bench.tcp_port) as client:
            await client.say("SOUR:CURR 0.15;:OUTP2 1;:OUTP 1")
            bench.sim.power_cycle()
            assert await client.rest() == b""
        assert bench.port.power_w == 0.0
        async with Client.at(bench.tcp_port) as client:
            assert await client.ask("OUTP?;:OUTP2?") == "0;0"
            assert float(await client.ask("SOUR:CURR?")) == pytest.approx(0.15)


async def test_every_query_answers() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        for tree, command in COMMANDS.items():
            if command.read is not None:
                assert await client.ask(re.sub(r"\[.*?\]", "", tree) + "?"), tree


HEADERS = st.sampled_from([re.sub(r"[\[\]]", "", tree) for tree in COMMANDS])
NOISE = st.one_of(
    st.binary(max_size=80),
    st.text(alphabet=":;?*, \r\n0189.-+eE#HSOURCT12", max_size=80).map(str.encode),
    st.builds(
        lambda h, q, a: f"{h}{q} {a}".encode(), HEADERS, st.sampled_from(["", "?"]), st.text(max_size=6)
    ),
    st.builds(lambda h, x: f"{h} {x}".encode(), HEADERS, st.floats()),
    st.builds(lambda h, x: f"{h} {x}".encode(), HEADERS, st.integers(0, 6)),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(noise=st.lists(NOISE, max_size=8))
def test_any_bytes_leave_it_able_to_answer(noise: list[bytes]) -> None:
    async def scenario() -> None:
        async with Bench() as bench:
            async with Client.at(bench.tcp_port) as client:
                await client.last_words(b"\n".join(noise) + b"\n")
            bench.sim.advance(1.0)
            async with Client.at(bench.tcp_port) as client:
                assert (await client.ask("*IDN?")).startswith("THORLABS,CLD1015,")
                float(await client.ask("SENS3:CURR:DATA?"))

    asyncio.run(scenario())
