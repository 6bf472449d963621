"""The 8169A driver against text lines over TCP: the example of keysight_8169a.md, and what goes wrong."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.address import Address
from drivers.capabilities import Identity, Settings
from drivers.errors import ConnectError, DeadlineError, LimitError, ProtocolError, RefusedError
from drivers.polarization.keysight_8169a import Keysight8169a
from tests.drivers.canned_line import CannedText, try_everything
from tests.drivers.hurry import PATIENT_S, in_a_hurry
from tests.drivers.scripted_peer import Exchange, ScriptedPeer, served

IDENTITY = (b"*IDN?\n", b"HEWLETT-PACKARD,HP8169A,3234G00123,1.0\n")
NO_ERROR = (b"SYST:ERR?\n", b'0,"No error"\n')
PLATES = [(b":POS:QUAR?\n", b"30.00\n"), (b":POS:HALF?\n", b"45.00\n")]


def told(command: bytes) -> list[Exchange]:
    """A command between two looks into the error queue."""
    return [NO_ERROR, (command, b""), NO_ERROR]


MOVE = [*told(b":ABOR\n"), *told(b":POS:QUAR 30.00;:POS:HALF 45.00\n")]


@asynccontextmanager
async def bench(*dialogues: Sequence[Exchange], deadline: float = 5.0) -> AsyncIterator[Keysight8169a]:
    """Each connection begins with the probe."""
    async with served(ScriptedPeer(*([IDENTITY, *dialogue] for dialogue in dialogues))) as (port,):
        plates = Keysight8169a("plates", Address.parse(f"tcp://127.0.0.1:{port}"), Settings(), deadline)
        try:
            yield plates
        finally:
            await plates.close()


async def test_opening_asks_who_is_there() -> None:
    async with bench([IDENTITY, IDENTITY]) as plates:
        await plates.open()
        assert await plates.identity() == Identity("HEWLETT-PACKARD", "HP8169A", "3234G00123", "1.0")
        assert plates.actuators == 2
        assert plates.angle_is == "orientation"
        assert await plates.is_homed()


async def test_another_instrument_is_named() -> None:
    async with bench([(b"*IDN?\n", b"HEWLETT-PACKARD,HP11896A,0,1.0\n")]) as plates:
        with pytest.raises(ConnectError, match="HP11896A answers"):
            await plates.open()


async def test_angles_go_in_degrees_and_are_read_back() -> None:
    settled = [(b"*OPC?\n", b"0\n"), (b"*OPC?\n", b"1\n")]
    async with bench([*MOVE, *PLATES, *settled, *PLATES]) as plates:
        await plates.set_angles([math.radians(30.0), math.radians(45.0)])
        assert not await plates.is_settled()
        assert await plates.is_settled()
        assert await plates.angles() == pytest.approx((math.radians(30.0), math.radians(45.0)))


async def test_the_polarizer_is_a_setting_of_its_own() -> None:
    read = (b":POS:POL?\n", b"12.34\n")
    async with bench([*told(b":POS:POL 12.34\n"), read, read]) as plates:
        await plates.set_polarizer(math.radians(12.34))
        assert await plates.polarizer() == pytest.approx(math.radians(12.34))
        assert [control.name for control in plates.controls()] == ["angle.1", "angle.2", "homed", "polarizer"]


async def test_home_is_zero() -> None:
    zero = [(b":POS:QUAR?\n", b"0.00\n"), (b":POS:HALF?\n", b"0.00\n")]
    async with bench([*told(b":ABOR\n"), *told(b":POS:QUAR 0.00;:POS:HALF 0.00\n"), *zero]) as plates:
        await plates.home()


async def test_a_plate_that_does_not_take_its_angle_is_a_refusal() -> None:
    async with bench([*MOVE, (b":POS:QUAR?\n", b"29.00\n")]) as plates:
        with pytest.raises(RefusedError, match=":POS:QUAR at 29 deg"):
            await plates.set_angles([math.radians(30.0), math.radians(45.0)])


async def test_an_error_of_its_own_is_a_refusal() -> None:
    error = (b"SYST:ERR?\n", b'-222,"Data out of range"\n')
    async with bench(
        [*told(b":ABOR\n"), NO_ERROR, (b":POS:QUAR 0.00;:POS:HALF 0.00\n", b""), error, NO_ERROR]
    ) as plates:
        with pytest.raises(RefusedError, match=r"-222,.Data out of range"):
            await plates.home()


@pytest.mark.parametrize("angles", [[0.0, 6.3], [-6.3, 0.0], [math.nan, 0.0], [0.0]])
async def test_outside_the_limits_nothing_is_sent(angles: list[float]) -> None:
    async with bench() as plates:
        with pytest.raises(LimitError, match="plates"):
            await plates.set_angles(angles)
        with pytest.raises(LimitError, match="polarizer"):
            await plates.set_polarizer(7.0)


async def test_made_safe_it_does_not_scan() -> None:
    async with bench(told(b":ABOR\n"), told(b":ABOR\n")) as plates:
        await plates.make_safe()
        await plates.make_safe()


async def test_a_controller_that_has_locked_up_ends_at_the_deadline() -> None:
    async with bench([(b"*OPC?\n", b"")], [(b"*OPC?\n", b"1\n")]) as plates:
        with in_a_hurry(plates), pytest.raises(DeadlineError, match=r"plates.*\*OPC\?"):
            await plates.is_settled()
        assert await plates.is_settled()


async def test_behind_a_gateway_a_late_answer_is_not_taken_for_the_next() -> None:
    answers = dict([IDENTITY, *PLATES])
    late = b""

    async def gateway(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The instrument does not notice that a connection is another, and answers in order."""
        nonlocal late
        while question := await reader.readline():
            if question == b":POS:POL?\n":
                late = b"12.00\n"
            else:
                writer.write(late + answers[question])
                late = b""
        writer.close()

    async with served(gateway) as (port,):
        plates = Keysight8169a("plates", Address.parse(f"tcp://127.0.0.1:{port}"), Settings(), PATIENT_S)
        with in_a_hurry(plates), pytest.raises(DeadlineError, match=r"plates.*:POS:POL\?"):
            await plates.polarizer()
        assert await plates.angles() == pytest.approx((math.radians(30.0), math.radians(45.0)))
        await plates.close()


async def test_garbage_is_a_protocol_error() -> None:
    async with bench([(b"*OPC?\n", b"2\n")], [(b":POS:QUAR?\n", b"nan\n")]) as plates:
        with pytest.raises(ProtocolError, match=r"\*OPC\? was answered by '2'"):
            await plates.is_settled()
        with pytest.raises(ProtocolError, match="nan"):
            await plates.angles()


ANSWERS = st.one_of(
    st.sampled_from([IDENTITY[1].decode(), '0,"No error"', "45.00", "1", "0", "1e999"]),
    st.text(alphabet='0123456789.+-eE,"', max_size=12),
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(ANSWERS, max_size=30))
def test_no_reply_crashes_it(answers: list[str]) -> None:
    plates = Keysight8169a("plates", Address.parse("tcp://127.0.0.1:1"), Settings())
    plates._line = plates._scpi.line = CannedText(answers)
    asyncio.run(try_everything(plates))
