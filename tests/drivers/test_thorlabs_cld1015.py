"""The CLD1015 driver through pyvisa, against a socket that answers like the table of thorlabs_cld1015.md."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.address import Address
from drivers.errors import ConnectError, DeadlineError, LimitError, ProtocolError, RefusedError
from drivers.lasers.thorlabs_cld1015 import CldSettings, ThorlabsCld1015
from tests.drivers.canned_line import CannedText, try_everything
from tests.drivers.hurry import in_a_hurry
from tests.drivers.scripted_peer import served

SETTINGS = CldSettings.model_validate(
    {"threshold_current": "60 mA", "slope_efficiency": "0.8 W/A", "max_power": "120 mW"}
)
TABLE = {
    "*IDN?": "THORLABS,CLD1015,M00123456,1.4.0/2.0.3/1.6.0",
    "SYST:ERR?": '+0,"No error"',
    "STAT:MEAS:COND?": "0",
    "SOUR:FUNC:MODE?": "CURR",
    "SOUR:CURR:LIM?": "2.500000E-01",
    "SOUR:CURR?": "1.500000E-01",
    "SENS3:CURR:DATA?": "1.49980E-01",
    "SOUR2:TEMP?": "25.0000",
    "SENS2:TEMP:DATA?": "24.9980",
    "OUTP?": "1",
    "OUTP2?": "1",
}


class Cld:
    """A socket that answers by the table; answers in `next` come first, `None` never."""

    def __init__(self) -> None:
        self.table = dict(TABLE)
        self.next: dict[str, list[str | None]] = {}
        self.heard: list[str] = []
        self.late = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while line := await reader.readline():
                command = line.decode().rstrip("\n")
                self.heard.append(command)
                answer = self.next[command].pop(0) if self.next.get(command) else self.table.get(command)
                if command.endswith("?") and answer is None:
                    await self.late.wait()
                    answer = "7"
                if answer is not None:
                    writer.write(answer.encode() + b"\n")
        writer.close()

    def commands(self) -> list[str]:
        """What changes something."""
        return [command for command in self.heard if not command.endswith("?")]


@asynccontextmanager
async def bench(cld: Cld, deadline: float = 5.0) -> AsyncIterator[ThorlabsCld1015]:
    async with served(cld) as (port,):
        address = Address.parse(f"visa:TCPIP0::127.0.0.1::{port}::SOCKET")
        laser = ThorlabsCld1015("diode", address, SETTINGS, deadline)
        try:
            yield laser
        finally:
            await laser.close()


async def test_the_example_of_the_notes() -> None:
    cld = Cld()
    cld.next["OUTP2?"] = ["0"]
    async with bench(cld) as laser:
        await laser.open()
        assert cld.commands() == []
        identity = await laser.identity()
        assert (identity.model, identity.serial_number, identity.firmware) == (
            "CLD1015", "M00123456", "1.4.0/2.0.3/1.6.0",
        )  # fmt: skip
        await laser.set_power(72e-3)  # 0.8 W/A beyond 60 mA: 150 mA
        await laser.set_emission(True)
        assert cld.commands() == ["SOUR:CURR 0.15", "OUTP2 1", "OUTP 1"]
        assert await laser.power() == pytest.approx(0.8 * (0.14998 - 0.06))
        assert await laser.is_settled()


async def test_the_temperature_control_stays_as_it_is_when_it_is_on() -> None:
    cld = Cld()
    async with bench(cld) as laser:
        await laser.set_emission(True)
        assert cld.commands() == ["OUTP 1"]


async def test_a_refusal_tells_errors_and_conditions() -> None:
    cld = Cld()
    cld.table |= {"OUTP?": "0", "STAT:MEAS:COND?": str(1 << 2 | 1 << 0)}
    cld.next["SYST:ERR?"] = ['-221,"Settings conflict"']
    async with bench(cld) as laser:
        with pytest.raises(
            RefusedError,
            match=r"OUTP 1 had no effect; it says -221,.Settings conflict., the key lock, the interl",
        ):
            await laser.set_emission(True)
        assert cld.commands() == ["OUTP 1", "OUTP 0"]  # or it would come on by itself
        assert await laser.power() == 0.0


async def test_emission_may_follow_a_little_later() -> None:
    cld = Cld()
    cld.next["OUTP?"] = ["0", "0"]
    async with bench(cld) as laser:
        await laser.set_emission(True)
        assert cld.commands() == ["OUTP 1"]


async def test_a_current_that_was_not_taken_is_refused() -> None:
    cld = Cld()
    cld.table["SOUR:CURR?"] = "1.000000E-01"
    async with bench(cld) as laser:
        with pytest.raises(RefusedError, match=r"SOUR:CURR 0\.15 left it at 0\.1"):
            await laser.set_power(72e-3)


async def test_limits_of_the_settings_and_of_the_controller() -> None:
    nobody = ThorlabsCld1015("diode", Address.parse("visa:TCPIP0::127.0.0.1::1::SOCKET"), SETTINGS)
    with pytest.raises(LimitError, match=r"outside 0 to 0\.12 W"):
        await nobody.set_power(0.13)
    with pytest.raises(LimitError, match=r"outside 288\.15 to 308\.15 K"):
        await nobody.set_temperature(310.0)
    cld = Cld()
    cld.table["SOUR:CURR:LIM?"] = "1.400000E-01"
    async with bench(cld) as laser:
        with pytest.raises(LimitError, match=r"needs 0\.15 A, above the controller's limit of 0\.14 A"):
            await laser.set_power(72e-3)
        cld.table["SOUR:FUNC:MODE?"] = "POW"
        with pytest.raises(RefusedError, match="gave POW, not CURR"):
            await laser.set_power(72e-3)
        assert cld.commands() == []


async def test_the_temperature_in_kelvin() -> None:
    cld = Cld()
    async with bench(cld) as laser:
        assert await laser.temperature() == pytest.approx(273.15 + 24.998)
        await laser.set_temperature(298.15)
        assert cld.commands() == ["SOUR2:TEMP 25"]
        cld.table["SENS2:TEMP:DATA?"] = "22.0"
        assert not await laser.is_settled()
        cld.table["OUTP2?"] = "0"
        assert await laser.is_settled()
        with pytest.raises(RefusedError, match="OUTP2 1 had no effect"):
            await laser.set_temperature_control(True)
        cld.table |= {"SENS3:CURR:DATA?": "0.1"}
        assert not await laser.is_settled()


async def test_made_safe_from_nothing_and_twice() -> None:
    cld = Cld()
    cld.table["OUTP?"] = "0"
    async with bench(cld) as laser:
        await laser.make_safe()
        await laser.make_safe()
        assert cld.commands() == ["OUTP 0", "OUTP 0"]
        cld.table["OUTP?"] = "1"
        with in_a_hurry(laser), pytest.raises(RefusedError, match="OUTP 0 had no effect"):
            await laser.make_safe()


@pytest.mark.parametrize("model", ["ITC4020", "CLD1010LP", "CLD1011"])
async def test_relatives_are_welcome(model: str) -> None:
    cld = Cld()
    cld.table["*IDN?"] = f"THORLABS,{model},1,2"
    async with bench(cld) as laser:
        await laser.open()


@pytest.mark.parametrize("answer", ["THORLABS,PM100D,P1,2", "Keithley,CLD1015,1,2"])
async def test_another_instrument_is_named(answer: str) -> None:
    cld = Cld()
    cld.table["*IDN?"] = answer
    async with bench(cld) as laser:
        with pytest.raises(ConnectError, match=f"a {' '.join(answer.split(',')[:2])} answers"):
            await laser.open()


async def test_a_late_answer_is_not_taken_for_the_next() -> None:
    cld = Cld()
    cld.next["SENS3:CURR:DATA?"] = [None]
    async with bench(cld) as laser:
        await laser.open()
        with in_a_hurry(laser), pytest.raises(DeadlineError, match=r"diode .*SENS3:CURR:DATA\?"):
            await laser.power()
        cld.late.set()
        assert await laser.power() == pytest.approx(0.8 * (0.14998 - 0.06))


async def test_nonsense_is_a_protocol_error() -> None:
    cld = Cld()
    async with bench(cld) as laser:
        await laser.open()
        for question, answer in (("OUTP?", "2"), ("SENS3:CURR:DATA?", "many"), ("OUTP?", "")):
            cld.next[question] = [answer]
            with pytest.raises(ProtocolError, match="was answered by"):
                await laser.power()
        assert await laser.emission()


WORDS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["0", "1", "CURR", "1e400", "-1e300", "9.9E37", *TABLE.values(), '-222,"Data"']),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(WORDS, max_size=60))
def test_no_answer_crashes_the_driver(answers: list[str]) -> None:
    laser = ThorlabsCld1015("diode", Address.parse("visa:TCPIP0::127.0.0.1::1::SOCKET"), SETTINGS)
    laser._scpi.line = CannedText(answers)
    laser._line = laser._scpi.line  # type: ignore[assignment]
    asyncio.run(try_everything(laser))
