"""The simulated PM100D, spoken to as bytes on a socket. Expected forms are those of thorlabs_pm100d.md."""

import asyncio
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.optics.thorlabs_pm100d import COMMANDS, DARK_A, NOISE_A, SimThorlabsPm100d, responsivity
from sim_instruments.ports import MeterPort
from tests.drivers.eventually import eventually
from tests.sim_instruments.raw_client import RawClient


class Client(RawClient):
    async def ask(self, message: str) -> str:
        self.send(message.encode() + b"\n")
        return (await self.until(b"\n")).decode()[:-1]

    async def say(self, message: str) -> str:
        """Send a command; returns what the error queue says of it."""
        return await self.ask(f"{message}\nSYST:ERR?")


class Bench:
    """A meter with 200 uW of pump light on its sensor: 1 % of 20 mW."""

    def __init__(self) -> None:
        self.light = MeterPort(power_w=200e-6, wavelength_m=780e-9)
        self.meter = SimThorlabsPm100d("meter", np.random.default_rng(1), self.light)

    async def __aenter__(self) -> "Bench":
        match = re.fullmatch(r"visa:TCPIP0::127\.0\.0\.1::(\d+)::SOCKET", await self.meter.start())
        assert match is not None
        self.port = int(match[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.meter.stop()

    async def measure(self) -> None:
        """Let the measurement that begins now come to its end."""
        await eventually(lambda: self.meter.device.measuring_s > 0.0)
        self.meter.advance(self.meter.device.measuring_s)


NO_ERROR = '+0,"No error"'
FLOOR_W = 6 * (NOISE_A + DARK_A) / responsivity(780.0)  # noise and dark current at 780 nm


async def test_identity_and_forms() -> None:
    async with Bench() as bench, Client.at(bench.port) as client:
        assert re.fullmatch(r"THORLABS,PM100D,P\d{7},2\.4\.0", await client.ask("*IDN?"))
        assert re.fullmatch(r"\w+,\d+,15-Jan-2018,1,\d+,33", await client.ask("SYST:SENS:IDN?"))
        assert await client.ask("SENS:CORR:WAV?") == "1.55000000E+03"
        assert await client.ask("SYST:ERR?") == NO_ERROR
        assert await client.ask("SYST:DATE?;:SYST:TIME?") == "2026,01,31;12,00,00"
        assert re.fullmatch(r"-?\d\.\d{8}E[+-]\d\d", await client.ask("READ?"))


async def test_crlf_ends_a_line_too() -> None:
    async with Bench() as bench, Client.at(bench.port) as client:
        assert await client.ask("SENS:CORR:WAV 780\r\nSENS:CORR:WAV?\r") == "7.80000000E+02"


@pytest.mark.parametrize(
    "wavelength",
    [
        "SENS:CORR:WAV",
        "CORR:WAV",
        "sense:correction:wavelength",
        ":SENSe:CORR:WAVelength",
        "SENS:CORRECTION:WAV",
    ],
)
async def test_short_and_long_forms(wavelength: str) -> None:
    async with Bench() as bench, Client.at(bench.port) as client:
        assert await client.say(f"{wavelength} 780") == NO_ERROR
        assert await client.ask(f"{wavelength}?") == "7.80000000E+02"
        assert (
            await client.ask(f"{wavelength}? MIN;:{wavelength.removeprefix(':')}? MAX")
            == "7.00000000E+02;1.80000000E+03"
        )


async def test_power_is_the_light_on_the_sensor() -> None:
    async with Bench() as bench, Client.at(bench.port) as client:
        await client.say("SENS:CORR:WAV 780")
        for query in ("READ?", "MEAS:POW?", "INIT;FETC?", "MEASURE:SCALAR:POWER?"):
            assert float(await client.ask(query)) == pytest.approx(200e-6, abs=FLOOR_W)
        bench.light.power_w = 100e-6
        assert float(await client.ask("READ?")) == pytest.approx(100e-6, abs=FLOOR_W)
        assert await client.say("SENS:POW:UNIT DBM") == NO_ERROR
        assert float(await client.ask("READ?")) == pytest.approx(-10.0, abs=1e-3)
        assert await client.ask("SENS:POW:UNIT?") == "DBM"


async def test_fetch_repeats_the_last_reading() -> None:
    async with Bench() as bench, Client.at(bench.port) as client:
        first = await client.ask("READ?")
        bench.light.power_w = 1e-6
        assert await client.ask("FETC?") == first
        assert float(await client.ask("INIT;FETC?")) < 0.1 * float(first)


async def test_a_wrong_wavelength_gives_a_wrong_power() -> None:
    async with Bench() as bench, Client.at(bench.port) as client:
        await client.say("SENS:CORR:WAV 1324")
        wrong = 200e-6 * responsivity(780.0) / responsivity(1324.0)
        assert wrong < 0.6 * 200e-6
        assert float(await client.ask("READ?")) == pytest.approx(wrong, abs=FLOOR_W)
        shown = await client.ask("SENS:CORR:POW:PDI:RESP?")
        assert float(shown) == pytest.approx(responsivity(1324.0))
        current = float(await client.ask("MEAS:CURR?"))
        assert current == pytest.approx(200e-6 * responsivity(780.0), abs=6 * (NOISE_A + DARK_A))
        assert await client.ask("CONF?") == "CURR"


async def test_attenuation_before_the_sensor_is_made_up_for() -> None:
    async with Bench() as bench, Client.at(bench.port) as client:
        assert await client.say("SENS:CORR:WAV 780;LOSS:INP:MAGN 20") == NO_ERROR
        assert float(await client.ask("READ?")) == pytest.approx(20e-3, abs=100 * FLOOR_W)


async def test_averaging_lowers_the_noise_as_its_root() -> None:
    async with Bench() as bench, Client.at(bench.port) as client:

        async def spread(averages: int) -> float:
            assert await client.say(f"SENS:AVER:COUN {averages}") == NO_ERROR
            assert await client.ask("AVER?") == str(averages)
            client.send((";:".join(["MEAS:CURR?"] * 400) + "\n").encode())
            if averages > 1:
                await bench.measure()
            readings = (await client.until(b"\n")).split(b";")
            return float(np.std([float(r) for r in readings]))

        assert await spread(1) == pytest.approx(NOISE_A, rel=0.15)
        assert await spread(100) == pytest.approx(NOISE_A / 10, rel=0.15)


async def test_an_average_takes_3_ms_for_each_sample_after_the_first() -> None:
    async with Bench() as bench, Client.at(bench.port) as client, Client.at(bench.port) as other:
        assert await client.say("SENS:AVER 1001") == NO_ERROR
        client.send(b"READ?\nSENS:AVER?\n")
        await eventually(lambda: bench.meter.device.measuring_s > 0.0)
        other.send(b"*IDN?\n")
        bench.meter.advance(2.9)
        assert bench.meter.device.measuring_s > 0.0
        reading = asyncio.create_task(client.until(b"\n"))
        await asyncio.wait([reading], timeout=0.02)
        assert not reading.done()
        bench.meter.advance(0.11)
        assert float(await reading) > 0.0
        assert await client.until(b"\n") == b"1001\n"
        assert (await other.until(b"\n")).startswith(b"THORLABS")


async def test_ranges_by_hand_and_by_itself() -> None:
    async with Bench() as bench, Client.at(bench.port) as client:
        await client.say("SENS:CORR:WAV 780")
        assert await client.ask("SENS:POW:RANG:AUTO?") == "1"
        highest = await client.ask("SENS:POW:RANG? MAX")
        assert await client.say(f"SENS:POW:RANG {highest}") == NO_ERROR
        assert await client.ask("SENS:POW:RANG:UPP?") == highest
        assert await client.say("POW:RANG 10E-6") == NO_ERROR
        assert await client.ask("SENS:POW:RANG:AUTO?") == "0"
        assert 10e-6 <= float(await client.ask("POW:RANG?")) <= 100e-6
        assert float(await client.ask("READ?")) == 9.9e37
        assert await client.say("POW:RANG:AUTO 1") == NO_ERROR
        assert float(await client.ask("READ?")) == pytest.approx(200e-6, abs=FLOOR_W)
        assert 200e-6 <= float(await client.ask("POW:RANG?")) <= 2e-3


async def test_zeroing_takes_the_dark_current_away() -> None:
    async with Bench() as bench, Client.at(bench.port) as client:
        bench.light.power_w = 0.0
        bench.meter.device.dark_a = 5e-9
        assert float(await client.ask("MEAS:CURR?")) == pytest.approx(5e-9, abs=6 * NOISE_A)
        assert await client.say("SENS:CORR:COLL:ZERO:INIT") == NO_ERROR
        assert await client.ask("SENS:CORR:COLL:ZERO:STAT?") == "1"
        bench.meter.advance(60.0)
        assert await client.ask("SENS:CORR:COLL:ZERO:STAT?") == "0"
        assert float(await client.ask("SENS:CORR:COLL:ZERO:MAGN?")) == pytest.approx(5e-9, abs=6 * NOISE_A)
        assert float(await client.ask("MEAS:CURR?")) == pytest.approx(0.0, abs=9 * NOISE_A)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("NONSENSE", '-113,"Undefined header"'),
        ("NONSENSE?", '-113,"Undefined header"'),
        ("SENS:CORR:WAVE 780", '-113,"Undefined header"'),
        ("READ", '-113,"Undefined header"'),
        ("SENS:CORR:WAV 5000", '-222,"Data out of range"'),
        ("SENS:CORR:WAV 1e999", '-222,"Data out of range"'),
        ("SENS:AVER 0", '-222,"Data out of range"'),
        ("SENS:CORR:WAV", '-109,"Missing parameter"'),
        ("SENS:CORR:WAV red", '-104,"Data type error"'),
        ("SENS:POW:UNIT V", '-104,"Data type error"'),
        ("INIT 3", '-108,"Parameter not allowed"'),
        ("SYST:LFR 60", NO_ERROR),
        ("DISP:BRIG 0.5", NO_ERROR),
        ("SENS:CORR:BEAM 3.0", NO_ERROR),
        ("CONF:POW", NO_ERROR),
        ("ABOR", NO_ERROR),
        ("*RST", NO_ERROR),
        ("", NO_ERROR),
    ],
)
async def test_the_error_queue(message: str, error: str) -> None:
    async with Bench() as bench, Client.at(bench.port) as client:
        assert await client.say(message) == error
        assert await client.ask("SYST:ERR?") == NO_ERROR
        assert await client.ask("SENS:CORR:WAV?") == "1.55000000E+03"


async def test_errors_come_out_in_order_and_overflow() -> None:
    async with Bench() as bench, Client.at(bench.port) as client:
        assert await client.say("BAD;SENS:CORR:WAV 1") == '-113,"Undefined header"'
        assert await client.ask("SYST:ERR?") == '-222,"Data out of range"'
        errors = (await client.ask(";:".join(["BAD"] * 100 + ["SYST:ERR?"] * 100))).split(";")
        kept = errors[: errors.index(NO_ERROR)]
        assert kept[-1] == '-350,"Queue overflow"'
        assert set(kept[:-1]) == {'-113,"Undefined header"'}
        assert await client.say("BAD;*CLS") == NO_ERROR


async def test_every_query_answers() -> None:
    async with Bench() as bench, Client.at(bench.port) as client:
        for tree, command in COMMANDS.items():
            if command.read is not None:
                assert await client.ask(re.sub(r"\[.*?\]", "", tree) + "?"), tree


async def test_clients_see_one_meter() -> None:
    async with Bench() as bench, Client.at(bench.port) as one, Client.at(bench.port) as two:
        await one.say("CORR:WAV 1324")
        assert await two.ask("CORR:WAV?") == "1.32400000E+03"


async def test_silence_and_refusal() -> None:
    async with Bench() as bench, Client.at(bench.port) as client:
        bench.meter.faults.silent = True
        assert await client.last_words(b"CORR:WAV 780\n*IDN?\n") == b""
        bench.meter.faults.silent = False
        async with Client.at(bench.port) as other:
            assert await other.ask("CORR:WAV?") == "1.55000000E+03"
            bench.meter.faults.refuse = True
            async with Client.at(bench.port) as late:
                assert await late.rest() == b""
            assert await other.ask("CORR:WAV?") == "1.55000000E+03"


HEADERS = st.sampled_from([re.sub(r"[\[\]]", "", tree) for tree in COMMANDS])
NOISE = st.one_of(
    st.binary(max_size=200),
    st.text(alphabet=":;?*, \r\n0189.-+eESYTRKINDWAVCO", max_size=200).map(str.encode),
    st.builds(
        lambda h, q, a: f"{h}{q} {a}".encode(), HEADERS, st.sampled_from(["", "?"]), st.text(max_size=9)
    ),
    st.builds(lambda h, x: f"{h} {x}".encode(), HEADERS, st.floats()),
)


@settings(max_examples=100, deadline=None)
@given(noise=NOISE)
def test_any_bytes_leave_it_able_to_answer(noise: bytes) -> None:
    async def scenario() -> None:
        async with Bench() as bench:
            async with Client.at(bench.port) as client:
                await client.last_words(noise + b"\n")
            async with Client.at(bench.port) as client:
                bench.meter.advance(1e6)  # whatever it may have been asked to average
                assert (await client.ask("*IDN?")).startswith("THORLABS,PM100D,")
                await client.ask("*RST\nREAD?")

    asyncio.run(scenario())
