"""The TSL-570 driver against text lines over TCP and VISA: the examples of santec_tsl570.md."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.address import Address
from drivers.capabilities import TunableLaserSettings
from drivers.errors import ConnectError, DeadlineError, LimitError, ProtocolError, RefusedError
from drivers.lasers.santec_tsl570 import SantecTsl570
from tests.drivers.canned_line import CannedText, try_everything
from tests.drivers.hurry import in_a_hurry
from tests.drivers.scripted_peer import cancel_once, served

SETTINGS = TunableLaserSettings.model_validate(
    {"wavelength": "1550 nm", "tuning_range": "4 THz", "min_power": "-15 dBm", "max_power": "13 dBm"}
)
C = 299_792_458.0
IDENTITY = "SANTEC,TSL-570,21020001,0026.0026.0011"
TABLE = {
    "*IDN?": IDENTITY,
    "*OPC?": "1",
    ":SYST:COMM:COD?": "0",
    ":WAV?": "+1550.1230",
    ":POW:UNIT?": "0",
    ":POW?": "-03.50",
    ":POW:ACT?": "-03.52",
    ":POW:STAT?": "1",
    ":POW:SHUT?": "0",
    ":SYST:ERR?": '0,"No error"',
    ":SYST:ALER?": "No alerts.",
}


class Tsl:
    """A socket that answers by the table, ending lines by CR; answers in `next` come first, `None` never."""

    def __init__(self) -> None:
        self.table = dict(TABLE)
        self.next: dict[str, list[str | None]] = {}
        self.heard: list[str] = []
        self.late, self.asked = asyncio.Event(), asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                command = (await reader.readuntil(b"\r")).decode().rstrip("\r")
                self.heard.append(command)
                answer = self.next[command].pop(0) if self.next.get(command) else self.table.get(command)
                if command.endswith("?") and answer is None:
                    self.asked.set()
                    await self.late.wait()
                    answer = "7"
                if answer is not None:
                    writer.write(answer.encode() + b"\r")
        writer.close()

    def commands(self) -> list[str]:
        """What changes something."""
        return [command for command in self.heard if not command.endswith("?")]


@asynccontextmanager
async def bench(tsl: Tsl, scheme: str = "tcp", deadline: float = 5.0) -> AsyncIterator[SantecTsl570]:
    async with served(tsl) as (port,):
        text = f"tcp://127.0.0.1:{port}" if scheme == "tcp" else f"visa:TCPIP0::127.0.0.1::{port}::SOCKET"
        laser = SantecTsl570("tunable", Address.parse(text), SETTINGS, deadline)
        try:
            yield laser
        finally:
            await laser.close()


@pytest.mark.parametrize("scheme", ["tcp", "visa"])
async def test_the_examples_of_the_notes_over_both_lines(scheme: str) -> None:
    tsl = Tsl()
    async with bench(tsl, scheme) as laser:
        await laser.open()
        assert tsl.commands() == []  # not even the dialect is set
        identity = await laser.identity()
        assert (identity.serial_number, identity.firmware) == ("21020001", "0026.0026.0011")
        await laser.set_frequency(C / 1550.123e-9)
        await laser.set_power(1e-3 * 10**-0.35)
        await laser.set_emission(True)
        assert tsl.commands() == [":WAV 1550.123", ":POW -3.5", ":POW:STAT 1", ":POW:SHUT 0"]
        assert await laser.frequency() == pytest.approx(C / 1550.123e-9, rel=1e-12)
        assert await laser.power() == pytest.approx(1e-3 * 10**-0.352)
        assert await laser.emission()
        assert await laser.is_settled()


async def test_the_other_dialect_and_the_other_unit() -> None:
    tsl = Tsl()
    tsl.table |= {":SYST:COMM:COD?": "1", ":WAV?": "+1.5501230000E-006"}
    tsl.table |= {":POW:UNIT?": "1", ":POW?": "+2.50000", ":POW:ACT?": "+2.49000"}
    async with bench(tsl) as laser:
        await laser.set_frequency(C / 1550.123e-9)
        await laser.set_power(2.5e-3)
        assert tsl.commands() == [":WAV 1.550123E-06", ":POW 2.5"]
        assert await laser.frequency() == pytest.approx(C / 1550.123e-9, rel=1e-12)
        assert await laser.power() == pytest.approx(2.49e-3)


async def test_a_refused_wavelength_has_the_lasers_own_words() -> None:
    tsl = Tsl()
    tsl.next[":SYST:ERR?"] = ['-222,"Data out of range"']
    async with bench(tsl) as laser:
        with pytest.raises(
            RefusedError, match=r"WAV 1560 left it at 1550\.1230 nm; it says -222,.Data out of"
        ):
            await laser.set_frequency(C / 1560e-9)


async def test_a_refused_power_and_a_refused_diode() -> None:
    tsl = Tsl()
    tsl.table[":POW:STAT?"] = "0"
    tsl.next[":SYST:ALER?"] = ["No alerts.", "No07.,Interlock", "No23.,Ongoing Warm up"]
    async with bench(tsl) as laser:
        with pytest.raises(RefusedError, match=r":POW 3\.01 left it at -3\.5 dBm; it says nothing"):
            await laser.set_power(2e-3)
        with pytest.raises(RefusedError, match=r"POW:STAT 1 had no effect; it says No07\., ?Interlock, No23"):
            await laser.set_emission(True)
        assert ":POW:SHUT 0" not in tsl.heard


async def test_dark_is_no_power() -> None:
    for question, answer in ((":POW:STAT?", "0"), (":POW:SHUT?", "1")):
        tsl = Tsl()
        tsl.table[question] = answer
        async with bench(tsl) as laser:
            assert not await laser.emission()
            assert await laser.power() == 0.0


async def test_settled_is_tuned_and_warm() -> None:
    tsl = Tsl()
    tsl.next["*OPC?"] = ["0"]
    tsl.next[":SYST:ALER?"] = ["No26.,Sensor", "No23.,Ongoing Warm up", "No alerts.", "No26.,Sensor"]
    async with bench(tsl) as laser:
        assert not await laser.is_settled()  # tuning
        assert not await laser.is_settled()  # warming up
        assert await laser.is_settled()
        tsl.table[":POW:SHUT?"] = "1"
        tsl.next[":SYST:ALER?"] = ["No23.,Ongoing Warm up"]
        assert await laser.is_settled()  # nobody waits for it


async def test_made_safe_from_nothing_is_shutter_and_diode() -> None:
    tsl = Tsl()
    tsl.table |= {":POW:STAT?": "0", ":POW:SHUT?": "1"}
    async with bench(tsl) as laser:
        await laser.make_safe()
        await laser.make_safe()
        assert tsl.commands() == [":POW:SHUT 1", ":POW:STAT 0"] * 2
        tsl.table[":POW:STAT?"] = "1"
        with pytest.raises(RefusedError, match="POW:STAT 0 had no effect"):
            await laser.make_safe()


async def test_made_safe_the_diode_goes_off_under_a_shutter_that_sticks() -> None:
    tsl = Tsl()
    tsl.table |= {":POW:STAT?": "0", ":POW:SHUT?": "0"}
    tsl.next[":SYST:ALER?"] = ["No25.,Shutter"]
    async with bench(tsl) as laser:
        with pytest.raises(RefusedError, match=r"POW:SHUT 1 had no effect; it says No25\.,Shutter"):
            await laser.make_safe()
        assert ":POW:STAT 0" in tsl.commands()


@pytest.mark.parametrize("answer", ["AGILENT,8164B,1,2", "SANTEC,OTF-980,1,2"])
async def test_another_instrument_is_named(answer: str) -> None:
    tsl = Tsl()
    tsl.table["*IDN?"] = answer
    async with bench(tsl) as laser:
        with pytest.raises(ConnectError, match=f"a {answer.split(',')[0]} {answer.split(',')[1]} answers"):
            await laser.open()


@pytest.mark.parametrize("scheme", ["tcp", "visa"])
async def test_a_late_answer_is_not_taken_for_the_next(scheme: str) -> None:
    tsl = Tsl()
    tsl.next[":POW:ACT?"] = [None]
    async with bench(tsl, scheme) as laser:
        await laser.open()
        with in_a_hurry(laser), pytest.raises(DeadlineError, match=r"tunable .*:POW:ACT\?"):
            await laser.power()
        tsl.late.set()
        assert await laser.power() == pytest.approx(1e-3 * 10**-0.352)


async def test_cancelling_leaves_the_line_in_step() -> None:
    tsl = Tsl()
    tsl.next[":POW:ACT?"] = [None]
    async with bench(tsl) as laser:
        await cancel_once(tsl.asked, laser.power())
        tsl.late.set()
        assert await laser.power() == pytest.approx(1e-3 * 10**-0.352)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (":WAV?", "EVENT 7"),
        (":WAV?", "+0.0000"),
        (":WAV?", "nan"),
        (":SYST:COMM:COD?", "2"),
        ("*IDN?", "TSL-570"),
    ],
)
async def test_nonsense_is_a_protocol_error(question: str, answer: str) -> None:
    tsl = Tsl()
    async with bench(tsl) as laser:
        await laser.open()
        tsl.next[question] = [answer]
        with pytest.raises(ProtocolError, match="was answered by"):
            await (laser.identity() if question == "*IDN?" else laser.frequency())
        assert await laser.frequency() == pytest.approx(C / 1550.123e-9)


async def test_a_power_that_cannot_be_is_nonsense() -> None:
    tsl = Tsl()
    tsl.next[":POW:ACT?"] = ["+9.9E37"]
    async with bench(tsl) as laser:
        with pytest.raises(ProtocolError, match=r":POW:ACT\? was answered by '9\.9e\+37'"):
            await laser.power()


async def test_outside_the_limits_no_byte_is_sent() -> None:
    laser = SantecTsl570("tunable", Address.parse("tcp://127.0.0.1:1"), SETTINGS)
    with pytest.raises(LimitError, match="W is outside"):
        await laser.set_power(21e-3)
    with pytest.raises(LimitError, match="Hz is outside"):
        await laser.set_frequency(C / 1500e-9)
    with pytest.raises(ConnectError):
        await laser.set_power(1e-3)


WORDS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["0", "1", "+1550.0", "1e400", "-1e-300", "9.9E37", *TABLE.values(), '-222,"Data"']),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(WORDS, max_size=60))
def test_no_answer_crashes_the_driver(answers: list[str]) -> None:
    laser = SantecTsl570("tunable", Address.parse("tcp://127.0.0.1:1"), SETTINGS)
    laser._line = laser._scpi.line = CannedText(answers)
    asyncio.run(try_everything(laser))
