"""The PM100D driver through pyvisa and pyvisa-py, against a socket that answers like the notes' table."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from drivers.address import Address
from drivers.capabilities import Settings
from drivers.errors import ConnectError, DeadlineError, LimitError, LineError, ProtocolError, RefusedError
from drivers.optics.thorlabs_pm100d import ThorlabsPm100d
from tests.drivers.hurry import in_a_hurry
from tests.drivers.scripted_peer import cancel_once, served

TABLE = {
    "*IDN?": "THORLABS,PM100D,P0012345,2.4.0",
    "SYST:SENS:IDN?": "S154C,180115301,15-Jan-2018,1,18,289",
    "SENS:CORR:WAV? MIN": "8.00000000E+02",
    "SENS:CORR:WAV? MAX": "1.70000000E+03",
    "SENS:CORR:WAV?": "1.55000000E+03",
    "SENS:POW:UNIT?": "W",
    "SENS:AVER?": "1",
    "MEAS:POW?": "1.23456789E-06",
    "SYST:ERR?": '-222,"Data out of range"',
}
SILENCE, HALF, HANG_UP = "(silence)", "(half)", "(hang up)"


class Meter:
    """A socket that answers by the table; the next answers to a question can be put before it."""

    def __init__(self) -> None:
        self.table = dict(TABLE)
        self.next: dict[str, list[str]] = {}
        self.heard: list[str] = []
        self.late = asyncio.Event()
        self.asked = asyncio.Event()
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(ConnectionError):  # the driver hangs up on a late answer
            await self.serve(reader, writer)
        writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            question = line.decode().rstrip("\r\n")
            self.heard.append(question)
            answer = self.next[question].pop(0) if self.next.get(question) else self.table.get(question)
            if answer == HANG_UP:
                break
            if answer == SILENCE:
                self.asked.set()
                await self.late.wait()
                answer = "7.7E-7"
            if answer == HALF:
                writer.write(b"1.23")
            elif answer is not None:
                writer.write(answer.encode() + b"\n")


@asynccontextmanager
async def bench(peer: Meter, deadline: float = 5.0) -> AsyncIterator[ThorlabsPm100d]:
    async with served(peer) as (port,):
        address = Address.parse(f"visa:TCPIP0::127.0.0.1::{port}::SOCKET")
        meter = ThorlabsPm100d("tap", address, Settings(), deadline)
        try:
            yield meter
        finally:
            await meter.close()


async def test_opening_reads_and_sets_nothing() -> None:
    peer = Meter()
    async with bench(peer) as meter:
        await meter.open()
        assert meter.wavelength_limits.low == pytest.approx(800e-9)
        assert meter.wavelength_limits.high == pytest.approx(1700e-9)
        assert all(question.split()[0].endswith("?") for question in peer.heard)
        identity = await meter.identity()
        assert (identity.manufacturer, identity.model, identity.serial_number, identity.firmware) == (
            "THORLABS", "PM100D", "P0012345", "2.4.0",
        )  # fmt: skip
        await meter.close()
        await meter.close()


async def test_power_in_watts_whichever_unit_is_shown() -> None:
    peer = Meter()
    async with bench(peer) as meter:
        assert await meter.power() == 1.23456789e-6
        peer.table |= {"SENS:POW:UNIT?": "DBM", "MEAS:POW?": "-3.00000000E+01"}
        assert await meter.power() == pytest.approx(1e-6)
        assert not [question for question in peer.heard if not question.endswith("?")]


async def test_over_range_is_no_power() -> None:
    peer = Meter()
    peer.table["MEAS:POW?"] = "9.90000000E+37"
    async with bench(peer) as meter:
        with pytest.raises(RefusedError, match="over the range"):
            await meter.power()


async def test_wavelength_is_sent_in_nanometres_and_read_back() -> None:
    peer = Meter()
    async with bench(peer) as meter:
        await meter.open()
        await meter.set_wavelength(1550e-9)
        assert "SENS:CORR:WAV 1550" in peer.heard
        assert await meter.wavelength() == pytest.approx(1550e-9)
        with pytest.raises(RefusedError, match=r"WAV 1310 left it at 1550 nm.*-222,.Data out of range"):
            await meter.set_wavelength(1310e-9)


async def test_a_wavelength_is_checked_against_the_sensor_also_when_never_opened() -> None:
    peer = Meter()
    async with bench(peer) as meter:
        with pytest.raises(LimitError):
            await meter.set_wavelength(633e-9)
        assert all("?" in question for question in peer.heard)


async def test_a_wavelength_outside_the_sensor_sends_nothing() -> None:
    peer = Meter()
    async with bench(peer) as meter:
        await meter.open()
        before = list(peer.heard)
        with pytest.raises(LimitError, match=r"outside 8e-07 to 1\.7e-06 m"):
            await meter.set_wavelength(633e-9)
        assert peer.heard == before


@pytest.mark.parametrize(
    ("question", "answer", "words"),
    [
        ("SYST:SENS:IDN?", "no sensor,,,0,0,0", "no power sensor"),
        ("*IDN?", "Stanford Research Systems,DG645,s/n001,1.0", "DG645 answers"),
    ],
)
async def test_what_is_no_power_meter(question: str, answer: str, words: str) -> None:
    peer = Meter()
    peer.table[question] = answer
    async with bench(peer) as meter:
        with pytest.raises(ConnectError, match=words):
            await meter.open()


async def test_a_refused_port_is_a_connect_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    meter = ThorlabsPm100d("tap", Address.parse(f"visa:TCPIP0::127.0.0.1::{port}::SOCKET"), Settings())
    with pytest.raises(ConnectError, match=rf"tap \(visa:TCPIP0::127.0.0.1::{port}::SOCKET\)"):
        await meter.open()
    await meter.close()


async def test_a_wrong_resource_name_is_a_connect_error() -> None:
    meter = ThorlabsPm100d("tap", Address.parse("visa:NONSENSE::1"), Settings())
    with pytest.raises(ConnectError, match="NONSENSE"):
        await meter.open()
    await meter.close()


async def test_silence_ends_in_a_deadline_error_and_the_late_answer_is_not_heard() -> None:
    peer = Meter()
    peer.next["MEAS:POW?"] = [SILENCE]
    async with bench(peer) as meter:
        await meter.open()
        with in_a_hurry(meter), pytest.raises(DeadlineError, match=r"tap .*MEAS:POW\?.*what came: nothing"):
            await meter.power()
        peer.late.set()
        assert await meter.power() == 1.23456789e-6
        assert peer.connections == 2


async def test_an_average_over_many_samples_may_take_longer_than_the_deadline() -> None:
    peer = Meter()
    peer.table["SENS:AVER?"] = "1000"  # of 3 ms each
    peer.next["MEAS:POW?"] = [SILENCE]
    async with bench(peer) as meter:
        await meter.open()
        with in_a_hurry(meter):
            reading = asyncio.create_task(meter.power())
            await peer.asked.wait()
            await asyncio.wait([reading], timeout=0.8)  # longer than the deadline and the thread's grace
        peer.late.set()
        assert await reading == 7.7e-7


async def test_a_reading_given_up_is_waited_for_before_the_next() -> None:
    peer = Meter()
    peer.table["SENS:AVER?"] = "1000"
    peer.next["MEAS:POW?"] = [SILENCE]
    async with bench(peer) as meter:
        await meter.open()
        with in_a_hurry(meter):
            await cancel_once(peer.asked, meter.power())
            asking = asyncio.create_task(meter.wavelength())
            await asyncio.wait([asking], timeout=0.8)
        peer.late.set()
        assert await asking == pytest.approx(1550e-9)


async def test_half_an_answer_is_quoted() -> None:
    peer = Meter()
    peer.next["MEAS:POW?"] = [HALF]
    async with bench(peer) as meter:
        await meter.open()
        with in_a_hurry(meter), pytest.raises(DeadlineError, match=r"what came: b'1\.23'"):
            await meter.power()


async def test_garbage_is_a_protocol_error() -> None:
    peer = Meter()
    peer.next["MEAS:POW?"] = ["W"]
    async with bench(peer) as meter:
        with pytest.raises(ProtocolError, match=r"MEAS:POW\? was answered by 'W'"):
            await meter.power()
        assert await meter.power() == 1.23456789e-6


async def test_a_closed_line_is_an_error_and_the_next_question_is_answered() -> None:
    peer = Meter()
    peer.next["MEAS:POW?"] = [HANG_UP]
    async with bench(peer) as meter:
        await meter.open()
        # pyvisa-py cannot tell a closed socket from a silent one.
        with in_a_hurry(meter), pytest.raises((DeadlineError, LineError)):
            await meter.power()
        assert await meter.power() == 1.23456789e-6


async def test_cancelling_leaves_the_line_in_step() -> None:
    peer = Meter()
    peer.next["MEAS:POW?"] = [SILENCE]
    async with bench(peer) as meter:
        await cancel_once(peer.asked, meter.power())
        peer.late.set()
        assert await meter.power() == 1.23456789e-6


async def test_questions_asked_at_once_get_their_own_answers() -> None:
    async with bench(Meter()) as meter:
        answers = await asyncio.gather(meter.power(), meter.wavelength(), meter.power())
        assert answers == pytest.approx((1.23456789e-6, 1550e-9, 1.23456789e-6))


async def test_make_safe_has_nothing_to_do() -> None:
    peer = Meter()
    async with bench(peer) as meter:
        await meter.make_safe()
        await meter.make_safe()
        assert peer.heard == []
