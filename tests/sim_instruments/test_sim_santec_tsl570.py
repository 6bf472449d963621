"""The simulated TSL-570, spoken to as bytes on a socket. Expected forms are those of santec_tsl570.md."""

import asyncio
import re
import struct
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.instrument import Placed
from sim_instruments.lasers.santec_tsl570 import COMMANDS, SimSantecTsl570
from sim_instruments.lasers.tsl_device import DIODE_S, TUNING_NM_S, TUNING_S, WARM_UP_S
from sim_instruments.ports import Ports
from tests.sim_instruments.raw_client import RawClient

NO_ERROR = '0,"No error"'
C = 299_792_458.0
SETTINGS = {"wavelength": 1550.12e-9, "tuning_range": 4e12, "min_power": 1e-4, "max_power": 20e-3}


class Client(RawClient):
    async def ask(self, message: str) -> str:
        self.send(message.encode() + b"\r")
        return (await self.until(b"\r")).decode()[:-1]

    async def say(self, *messages: str) -> str:
        """Send commands; returns what the error queue says of the first that was refused."""
        return await self.ask("\r".join([*messages, ":SYST:ERR?"]))


class Bench:
    def __init__(self, placed: Mapping[str, float] = SETTINGS) -> None:
        ports = Ports()
        self.sim = SimSantecTsl570.place(
            Placed("tunable", "santec_tsl570", placed), ports, np.random.default_rng(1)
        )
        self.port = ports.lasers["tunable"]

    async def __aenter__(self) -> "Bench":
        match = re.fullmatch(r"tcp://127\.0\.0\.1:(\d+)", await self.sim.start())
        assert match is not None
        self.tcp_port = int(match[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sim.stop()

    def moving(self) -> bool:
        return self.sim.moving


async def test_the_example_of_the_notes() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        assert re.fullmatch(r"SANTEC,TSL-570,\d{8},0026\.0026\.0011", await client.ask("*IDN?"))
        assert await client.say(":SYST:COMM:COD 0", ":WAV 1550.123") == NO_ERROR
        assert await client.ask(":WAV?") == "+1550.1230"
        assert await client.say(":WAV 2000") == '-222,"Data out of range"'
        assert await client.say() == NO_ERROR
        assert await client.ask(":WAV?") == "+1550.1230"
        assert await client.say(":POW:UNIT 0", ":POW -3.5") == NO_ERROR
        assert await client.ask(":POW?") == "-03.50"
        assert await client.say(":POW:STAT 1", ":POW:SHUT 0") == NO_ERROR
        bench.sim.advance(DIODE_S)
        assert await client.ask(":POW:ACT?") == "-03.52"
        assert bench.port.power_w == pytest.approx(1e-3 * 10**-0.35)


@pytest.mark.parametrize("ending", [b"\r", b"\n", b"\r\n"])
async def test_each_ending_is_taken(ending: bytes) -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        client.send(b":WAV 1551" + ending + b":WAV?" + ending)
        assert await client.until(b"\r") == b"+1551.0000\r"


async def test_the_other_dialect_counts_in_metres_and_hertz() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        assert await client.ask(":SYST:COMM:COD?") == "0"
        assert await client.say(":SYSTem:COMMunicate:CODe 1", ":WAVelength 1.55e-6") == NO_ERROR
        assert await client.ask(":WAV?") == "+1.5500000000E-006"
        assert float(await client.ask(":WAV:FREQ?")) == pytest.approx(C / 1550e-9, rel=1e-9)
        assert await client.say(":FREQ 193.1E12") == NO_ERROR
        assert float(await client.ask(":WAV?")) == pytest.approx(C / 193.1e12, rel=1e-9)
        for low, high in ((":WAV? MIN", ":WAV? MAX"), (":WAV:MIN?", ":WAV:MAX?")):
            assert float(await client.ask(low)) == pytest.approx(1500e-9)
            assert float(await client.ask(high)) == pytest.approx(1630e-9)
        for edge in (":WAV? MIN", ":WAV? MAX"):  # what is read can be set
            assert await client.say(f":WAV {await client.ask(edge)}") == NO_ERROR
        assert await client.say(":WAV 1550") == '-222,"Data out of range"'
        assert await client.say(":SYST:COMM:COD 0", ":FREQ 193.5") == NO_ERROR
        assert float(await client.ask(":FREQ?")) == pytest.approx(193.5)
        assert float(await client.ask(":WAV:FREQ:MIN?")) == pytest.approx(1e-12 * C / 1630e-9, rel=1e-6)


async def test_tuning_takes_its_time_and_moves_the_light() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        assert await client.ask("*OPC?") == "1"
        await client.say(":WAV 1560.12")
        assert await client.ask("*OPC?") == "0"
        assert bench.moving()
        half = (TUNING_S + 10 / TUNING_NM_S) / 2
        bench.sim.advance(half)
        assert bench.port.detuning_hz == pytest.approx(C / 1555.12e-9 - C / 1550.12e-9, rel=1e-3)
        bench.sim.advance(1.01 * half)
        assert await client.ask("*OPC?") == "1"
        assert not bench.moving()
        assert bench.port.detuning_hz == pytest.approx(C / 1560.12e-9 - C / 1550.12e-9, rel=1e-9)
        assert await client.say(":WAV:FIN 50") == NO_ERROR
        before = bench.port.detuning_hz
        assert await client.say(":WAV:FIN:DIS") == NO_ERROR
        assert bench.port.detuning_hz != before
        assert float(await client.ask(":WAV:FIN?")) == 0.0


async def test_power_in_both_units() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        await client.say(":POW:UNIT 1")
        assert await client.say(":POW 2.5") == NO_ERROR
        assert float(await client.ask(":POW?")) == pytest.approx(2.5, rel=1e-4)
        assert float(await client.ask(":POW? MAX")) == pytest.approx(10 ** (14 / 10), rel=1e-4)
        await client.say(":POW:UNIT 0")
        assert await client.ask(":POW?") == "+03.98"
        assert await client.ask(":POW? MIN") == "-15.00"
        assert await client.say(":POW 20") == '-222,"Data out of range"'


async def test_no_light_before_diode_and_shutter() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        assert await client.ask(":POW:STAT?") == "0"
        assert await client.ask(":POW:SHUT?") == "1"
        await client.say(":POW:SHUT 0")
        assert bench.port.power_w == 0.0
        await client.say(":POW:STAT 1")
        bench.sim.advance(0.9 * DIODE_S)
        assert bench.port.power_w == 0.0
        assert -80 <= float(await client.ask(":POW:ACT?")) <= -60
        assert bench.moving()
        bench.sim.advance(DIODE_S)
        assert bench.port.power_w == pytest.approx(1e-3)  # 0 dBm at the start
        await client.say(":POW:SHUT 1")
        assert bench.port.power_w == 0.0
        await client.say(":POW:SHUT 0")
        assert bench.port.power_w == pytest.approx(1e-3)


async def test_the_attenuator_by_hand() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        await client.say(":POW:STAT 1", ":POW:SHUT 0", ":POW:ATT:AUTO 0", ":POW:ATT 10")
        bench.sim.advance(DIODE_S)
        assert bench.port.power_w == pytest.approx(1e-3 * 10**0.4)  # 14 dBm less 10 dB
        await client.say(":POW:ATT:AUT 1")
        assert bench.port.power_w == pytest.approx(1e-3)


async def test_the_warm_up_is_an_alert_that_is_told_once_per_reading() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        for _ in range(2):
            assert await client.ask(":SYST:ALER?") == "No23.,Ongoing Warm up"
            assert await client.ask(":SYST:ALER?") == "No alerts."
        bench.sim.advance(WARM_UP_S)
        assert await client.ask(":SYST:ALER?") == "No alerts."
        bench.sim.open_interlock()
        assert (await client.ask(":SYST:ALER?")).startswith("No07.")
        assert await client.ask(":SYST:ALER?") == "No alerts."


async def test_an_open_interlock_ends_the_emission() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        await client.say(":POW:STAT 1", ":POW:SHUT 0")
        bench.sim.advance(DIODE_S)
        bench.sim.open_interlock()
        assert bench.port.power_w == 0.0
        assert await client.say(":POW:STAT 1") == '-200,"Execution error"'
        bench.sim.close_interlock()
        assert await client.ask(":POW:STAT?") == "0"


async def test_a_sweep_goes_from_edge_to_edge_and_is_logged() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        ready = await client.say(
            ":WAV:SWE:STAR 1540", ":WAV:SWE:STOP 1560", ":WAV:SWE:SPE 20", ":WAV:SWE:MOD 1",
            ":WAV:SWE:CYCL 2", ":TRIG:OUTP 3", ":TRIG:OUTP:STEP 5", ":WAV:SWE 1",
        )  # fmt: skip
        assert ready == NO_ERROR
        assert await client.ask(":WAV:SWE?") == await client.ask(":WAV:SWE:STAT?") == "1"
        bench.sim.advance(0.5)
        assert float(bench.port.detuning_hz) == pytest.approx(C / 1550e-9 - C / 1550.12e-9, rel=1e-6)
        bench.sim.advance(0.6)
        assert await client.ask(":WAV:SWE:STAT?") == "4"
        assert await client.ask(":WAV:SWE:COUN?") == "1"
        bench.sim.advance(10.0)
        assert await client.ask(":WAV:SWE:STAT?") == "0"
        assert await client.ask(":WAV:SWE:COUN?") == "2"
        assert await client.ask(":WAV?") == "+1560.0000"
        assert await client.ask(":READ:POIN?") == "5"
        client.send(b":READ:DAT?\r")
        assert await client.until(b"#220") == b"#220"
        block = (await client.until(b"\r"))[:-1]
        while len(block) < 20:  # a byte of the block may be a CR
            block += b"\r" + (await client.until(b"\r"))[:-1]
        assert struct.unpack("<5i", block) == (15400000, 15450000, 15500000, 15550000, 15600000)


async def test_a_sweep_both_ways_waits_for_its_trigger_and_can_be_stopped() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        await client.say(
            ":WAV:SWE:STAR 1540", ":WAV:SWE:STOP 1550", ":WAV:SWE:SPE 10", ":WAV:SWE:MOD 3",
            ":WAV:SWE:DEL 1", ":TRIG:INP:STAN 1", ":WAV:SWE 1",
        )  # fmt: skip
        bench.sim.advance(5.0)
        assert await client.ask(":WAV:SWE?") == "3"
        assert await client.say(":TRIG:INP:SOFT") == NO_ERROR
        bench.sim.advance(1.0 + 1.0 + 0.5)  # the delay, there, and half the way back
        assert bench.port.detuning_hz == pytest.approx(C / 1545e-9 - C / 1550.12e-9, rel=1e-6)
        assert await client.say(":WAV:SWE 1") == '-200,"Execution error"'
        assert await client.say(":WAV:SWE 0") == NO_ERROR
        assert await client.ask(":WAV?") == "+1545.0000"
        assert await client.say(":TRIG:INP:SOFT") == '-200,"Execution error"'
        await client.say(":TRIG:INP:STAN 0", ":WAV:SWE:REP")
        bench.sim.advance(100.0)
        assert await client.ask(":WAV:SWE?") == "1"
        assert int(await client.ask(":WAV:SWE:COUN?")) == 33  # of 3 s each


async def test_a_stepped_sweep_dwells() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        await client.say(
            ":WAV:SWE:STAR 1540", ":WAV:SWE:STOP 1550", ":WAV:SWE:MOD 0", ":WAV:SWE:STEP 1",
            ":WAV:SWE:DWEL 0.9", ":WAV:SWE 1",
        )  # fmt: skip
        bench.sim.advance(9.5)
        assert await client.ask(":WAV:SWE?") == "1"
        bench.sim.advance(1.0)
        assert await client.ask(":WAV:SWE?") == "0"


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("NONSENSE", '-113,"Undefined header"'),
        (":WAV", '-109,"Missing parameter"'),
        (":WAV red", '-104,"Data type error"'),
        (":WAV:FIN 101", '-222,"Data out of range"'),
        (":WAV:SWE:SPE 3", '-222,"Data out of range"'),
        (":WAV:SWE:MOD 4", '-222,"Data out of range"'),
        (":POW:ATT 31", '-222,"Data out of range"'),
        (":POW:STAT 2", '-104,"Data type error"'),
        (":WAV:FIN:DIS 1", '-108,"Parameter not allowed"'),
        (":WAV:SWE:STAR 1550\r:WAV:SWE:STOP 1550\r:WAV:SWE 1", '-200,"Execution error"'),
        (":COHC 1;:WAV:UNIT 1;:TRIG:INP:EXT 1", NO_ERROR),
        ("*RST", NO_ERROR),
        ("*OPC", NO_ERROR),
    ],
)
async def test_the_error_queue(message: str, error: str) -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        assert await client.say(message) == error
        assert await client.say() == NO_ERROR


async def test_errors_come_out_first_in_first_out_and_are_cleared() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        assert await client.say("BAD", ":WAV 1") == '-113,"Undefined header"'
        assert await client.say() == '-222,"Data out of range"'
        assert await client.say("BAD", "*CLS") == NO_ERROR


async def test_an_error_of_its_own() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        bench.sim.faults.own_errors = 1
        assert await client.say(":POW:STAT 1") == '-200,"Execution error"'
        assert await client.ask(":POW:STAT?") == "0"


async def test_a_power_cycle_leaves_it_dark_and_warming_up() -> None:
    async with Bench() as bench:
        async with Client.at(bench.tcp_port) as client:
            await client.say(":SYST:COMM:COD 1", ":POW:STAT 1", ":POW:SHUT 0")
            bench.sim.advance(WARM_UP_S)
            assert bench.port.power_w > 0
            bench.sim.power_cycle()
            assert await client.rest() == b""
        assert bench.port.power_w == 0.0
        async with Client.at(bench.tcp_port) as client:
            assert await client.ask(":POW:STAT?") == "0"
            assert await client.ask(":POW:SHUT?") == "1"
            assert await client.ask(":SYST:COMM:COD?") == "1"
            assert (await client.ask(":SYST:ALER?")).startswith("No23")


async def test_a_laser_of_another_band_has_that_range() -> None:
    async with Bench(SETTINGS | {"wavelength": 1310e-9}) as bench, Client.at(bench.tcp_port) as client:
        assert await client.ask(":WAV? MIN") == "+1260.0000"
        assert await client.ask(":WAV? MAX") == "+1360.0000"
    async with Bench(SETTINGS | {"wavelength": 795e-9}) as bench, Client.at(bench.tcp_port) as client:
        assert float(await client.ask(":WAV? MIN")) < 790 < 800 < float(await client.ask(":WAV? MAX"))


async def test_every_query_answers() -> None:
    async with Bench() as bench, Client.at(bench.tcp_port) as client:
        for tree, command in COMMANDS.items():
            if command.read is not None:
                prefix = "" if tree.startswith("*") else ":"
                assert await client.ask(f"{prefix}{tree}?"), tree


HEADERS = st.sampled_from(sorted(COMMANDS))
NOISE = st.one_of(
    st.binary(max_size=80),
    st.text(alphabet=":;?*, \r\n0189.-+eEWAVPOSTYR", max_size=80).map(str.encode),
    st.builds(
        lambda h, q, a: f":{h}{q} {a}".encode(), HEADERS, st.sampled_from(["", "?"]), st.text(max_size=6)
    ),
    st.builds(lambda h, x: f":{h} {x}".encode(), HEADERS, st.floats()),
    st.builds(lambda h, x: f":{h} {x}".encode(), HEADERS, st.integers(0, 3)),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(noise=st.lists(NOISE, max_size=8))
def test_any_bytes_leave_it_able_to_answer(noise: list[bytes]) -> None:
    async def scenario() -> None:
        async with Bench() as bench:
            async with Client.at(bench.tcp_port) as client:
                await client.last_words(b"\r".join(noise) + b"\r")
            bench.sim.advance(1.0)
            async with Client.at(bench.tcp_port) as client:
                assert (await client.ask("*IDN?")).startswith("SANTEC,TSL-570,")
                float(await client.ask(":POW:ACT?"))

    asyncio.run(scenario())
