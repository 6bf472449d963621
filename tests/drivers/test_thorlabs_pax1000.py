"""The PAX1000 driver against text lines over TCP: the sample of thorlabs_pax1000.md, and what goes wrong."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.address import Address
from drivers.capabilities import Identity, Settings
from drivers.errors import (
    ConnectError,
    DeadlineError,
    InstrumentError,
    LimitError,
    ProtocolError,
    RefusedError,
)
from drivers.polarization.thorlabs_pax1000 import ThorlabsPax1000
from tests.drivers.canned_line import CannedText, try_everything
from tests.drivers.hurry import in_a_hurry
from tests.drivers.scripted_peer import Exchange, ScriptedPeer, served

IDENTITY = (b"*IDN?\n", b"THORLABS,PAX1000IR2,M00512345,1.1.0\n")
LIMITS = [(b"SENS:CORR:WAV? MIN\n", b"9.000000e-7\n"), (b"SENS:CORR:WAV? MAX\n", b"1.700000e-6\n")]
NO_ERROR = (b"SYST:ERR?\n", b'+0,"No error"\n')
SAMPLE = (
    b"1170,95294,5,134283776,6,5856,29712,3.349497e-2,1.38085,"
    b"-8.918476e-2,-2.549722e-1,9.227656e-1,7.660135e-5\n"
)
LATEST = (b"SENS:DATA:LAT?\n", SAMPLE)
ON, OFF = (b"INP:ROT:STAT?\n", b"1\n"), (b"INP:ROT:STAT?\n", b"0\n")
SETTLED, SPINNING_UP = (b"INP:ROT:SETT?\n", b"1\n"), (b"INP:ROT:SETT?\n", b"0\n")


def mode(number: int) -> Exchange:
    return b"SENS:CALC?\n", b"%d\n" % number


def told(command: bytes) -> list[Exchange]:
    return [NO_ERROR, (command, b""), NO_ERROR]


def sample(**changes: str) -> Exchange:
    fields = SAMPLE.decode().strip().split(",")
    for name, value in changes.items():
        fields[{"mode": 2, "flags": 3, "power": 12}[name]] = value
    return b"SENS:DATA:LAT?\n", (",".join(fields) + "\n").encode()


@asynccontextmanager
async def bench(*dialogues: Sequence[Exchange], deadline: float = 5.0) -> AsyncIterator[ThorlabsPax1000]:
    async with served(ScriptedPeer(*dialogues)) as (port,):
        polarimeter = ThorlabsPax1000("pax", Address.parse(f"tcp://127.0.0.1:{port}"), Settings(), deadline)
        try:
            yield polarimeter
        finally:
            await polarimeter.close()


async def test_opening_asks_and_starts_nothing() -> None:
    async with bench([IDENTITY, *LIMITS, IDENTITY]) as polarimeter:
        await polarimeter.open()
        assert await polarimeter.identity() == Identity("THORLABS", "PAX1000IR2", "M00512345", "1.1.0")
        assert (polarimeter.wavelength_limits.low, polarimeter.wavelength_limits.high) == (900e-9, 1700e-9)


async def test_another_instrument_is_named() -> None:
    async with bench([(b"*IDN?\n", b"THORLABS,PM100D,P0012345,2.4.0\n")]) as polarimeter:
        with pytest.raises(ConnectError, match="PM100D answers"):
            await polarimeter.open()


async def test_the_sample_of_the_notes_as_a_stokes_vector() -> None:
    """s1 = P cos 2t cos 2e, s2 = P sin 2t cos 2e, with the sample's angles t and e and degree P; the maker's
    s3 = P sin 2e is of right-handed light, which is -1 here."""
    async with bench([ON, mode(5), SETTLED, LATEST]) as polarimeter:
        reading = await polarimeter.stokes()
    assert reading.power_w == 7.660135e-5
    assert reading.dop == pytest.approx(0.9227656)
    assert reading.s1 == pytest.approx(0.9227656 * math.cos(2 * 0.08918476) * math.cos(2 * 0.2549722))
    assert reading.s2 == pytest.approx(-0.9227656 * math.sin(2 * 0.08918476) * math.cos(2 * 0.2549722))
    assert reading.s3 == pytest.approx(0.9227656 * math.sin(2 * 0.2549722))


async def test_beginning_to_measure_chooses_a_mode_only_when_it_is_idle() -> None:
    start = told(b"INP:ROT:STAT 1\n")
    async with bench([mode(0), *told(b"SENS:CALC 5\n"), *start, ON, mode(5)]) as polarimeter:
        await polarimeter.set_measuring(True)
    async with bench([mode(9), *start, ON, mode(9)]) as polarimeter:
        await polarimeter.set_measuring(True)


async def test_it_settles_when_the_plate_is_at_its_speed_and_a_result_is_there() -> None:
    states: list[list[Exchange]] = [
        [ON, mode(5), SPINNING_UP],
        [ON, mode(5), SETTLED, sample(mode="0")],
        [ON, mode(5), SETTLED, LATEST],
        [OFF],
    ]
    async with bench([exchange for state in states for exchange in state]) as polarimeter:
        assert [await polarimeter.is_settled() for _ in states] == [False, False, True, True]


@pytest.mark.parametrize(
    ("dialogue", "words"),
    [
        ([OFF], "not turning"),
        ([ON, mode(0)], "not turning"),
        ([ON, mode(5), SPINNING_UP], "not turning"),
        ([ON, mode(5), SETTLED, sample(mode="0")], "no reading yet"),
        ([ON, mode(5), SETTLED, sample(flags="134283780")], "too little light"),
        ([ON, mode(5), SETTLED, sample(flags="9")], "too slowly, too much light"),
    ],
)
async def test_without_a_good_reading_there_is_none(dialogue: list[Exchange], words: str) -> None:
    async with bench(dialogue) as polarimeter:
        with pytest.raises(RefusedError, match=words):
            await polarimeter.stokes()


async def test_the_wavelength_is_sent_in_metres_and_read_back() -> None:
    set_it = told(b"SENS:CORR:WAV 1.324E-06\n")
    read = (b"SENS:CORR:WAV?\n", b"1.324000e-6\n")
    other = (b"SENS:CORR:WAV?\n", b"1.550000e-6\n")
    async with bench([IDENTITY, *LIMITS, *set_it, read, *set_it, other]) as polarimeter:
        await polarimeter.set_wavelength(1324e-9)
        with pytest.raises(RefusedError, match=r"left it at 1\.55e-06 m"):
            await polarimeter.set_wavelength(1324e-9)
        with pytest.raises(LimitError, match="outside"):
            await polarimeter.set_wavelength(633e-9)


async def test_made_safe_it_is_idle_and_the_motor_off() -> None:
    stop = [*told(b"SENS:CALC 0\n"), *told(b"INP:ROT:STAT 0\n")]
    async with bench([*stop, OFF, mode(0)], [*stop, OFF, mode(0)], [*stop, ON, mode(0)]) as polarimeter:
        await polarimeter.make_safe()
        await polarimeter.make_safe()
        with pytest.raises(RefusedError, match="off the motor is on"):
            await polarimeter.make_safe()


async def test_silence_and_garbage() -> None:
    short = (b"SENS:DATA:LAT?\n", b"1170,95294,5\n")
    async with bench([(b"INP:ROT:STAT?\n", b"")], [ON, mode(5), SETTLED, short]) as polarimeter:
        with in_a_hurry(polarimeter), pytest.raises(DeadlineError, match=r"pax.*INP:ROT:STAT\?"):
            await polarimeter.stokes()
        with pytest.raises(ProtocolError, match="1170,95294,5"):
            await polarimeter.stokes()


ANSWERS = st.one_of(
    st.sampled_from(
        ["1", "0", "5", '+0,"No error"', "1.55e-6", SAMPLE.decode().strip(), "1e999" + ",1" * 12]
    ),
    st.lists(st.floats(), min_size=12, max_size=14).map(lambda row: ",".join(map(str, row))),
    st.text(alphabet="0123456789.+-eE,", max_size=20),
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(ANSWERS, max_size=30))
def test_no_reply_crashes_it(answers: list[str]) -> None:
    async def scenario() -> None:
        polarimeter = ThorlabsPax1000("pax", Address.parse("tcp://127.0.0.1:1"), Settings())
        polarimeter._line = polarimeter._scpi.line = CannedText(answers)
        await try_everything(polarimeter)
        # A plate that turns, so that the next answer is taken for a result.
        polarimeter._line = polarimeter._scpi.line = CannedText(["1", "5", "1", *answers])
        with suppress(InstrumentError):
            reading = await polarimeter.stokes()
            assert all(map(math.isfinite, (reading.power_w, reading.s1, reading.s2, reading.s3)))

    asyncio.run(scenario())
