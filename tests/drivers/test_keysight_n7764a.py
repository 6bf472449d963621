"""The N7764A driver against text over TCP and VISA: the forms of keysight_n77xx.md and the N77xx guide."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.address import Address
from drivers.errors import ConnectError, InstrumentError, LimitError, ProtocolError, RefusedError
from drivers.optics.keysight_n7764a import KeysightN7764a, N7764aSettings
from tests.drivers.canned_line import CannedText, try_everything
from tests.drivers.hurry import past_a_silence
from tests.drivers.scripted_peer import served
from tests.drivers.table_server import TableServer

SETTINGS = N7764aSettings.model_validate({"channel": 2, "insertion_loss": "1.5 dB"})
TABLE = {
    "*IDN?": "Agilent Technologies,N7764A,DE49400123,V1.00",
    "SYST:ERR?": '+0,"No error"',
    ":INP2:ATT?": "+1.40000000E+001",
    ":INP2:ATT? MIN": "+0.00000000E+000",
    ":INP2:ATT? MAX": "+4.50000000E+001",
    ":OUTP2:STAT?": "0",
    ":STAT2:OPER:COND?": "+0",
}


@asynccontextmanager
async def bench(
    server: TableServer, scheme: str = "tcp", deadline: float = 5.0
) -> AsyncIterator[KeysightN7764a]:
    async with served(server) as (port,):
        text = f"tcp://127.0.0.1:{port}" if scheme == "tcp" else f"visa:TCPIP0::127.0.0.1::{port}::SOCKET"
        attenuator = KeysightN7764a("dimmer", Address.parse(text), SETTINGS, deadline)
        try:
            yield attenuator
        finally:
            await attenuator.close()


@pytest.mark.parametrize("scheme", ["tcp", "visa"])
async def test_insertion_loss_is_counted_in(scheme: str) -> None:
    server = TableServer(TABLE)
    async with bench(server, scheme) as attenuator:
        await attenuator.open()
        assert server.commands == []
        assert (attenuator.attenuation_limits.low, attenuator.attenuation_limits.high) == (1.5, 46.5)
        assert await attenuator.attenuation() == 15.5
        await attenuator.set_attenuation(15.5)
        assert server.commands == [":INP2:ATT 14.000"]
        assert await attenuator.is_homed()
        assert await attenuator.is_settled()


async def test_the_shutter_opens_and_closes_and_says_so() -> None:
    server = TableServer(TABLE)
    async with bench(server) as attenuator:
        assert attenuator.has_shutter
        with pytest.raises(RefusedError, match="ON did not move the shutter"):
            await attenuator.set_open(True)
        server.table[":OUTP2:STAT?"] = "1"
        await attenuator.set_open(True)
        assert await attenuator.is_open()
        assert server.commands == [":OUTP2:STAT ON", ":OUTP2:STAT ON"]


async def test_it_settles_when_the_bit_goes() -> None:
    server = TableServer(TABLE)
    server.next[":STAT2:OPER:COND?"] = ["+2"]
    async with bench(server) as attenuator:
        assert not await attenuator.is_settled()
        assert await attenuator.is_settled()


async def test_out_of_range_is_refused_here_or_by_the_instrument() -> None:
    server = TableServer(TABLE)
    async with bench(server) as attenuator:
        with pytest.raises(LimitError, match=r"50 dB is outside 1\.5 to 46\.5 dB"):
            await attenuator.set_attenuation(50.0)  # opens the line for the limits
        assert server.commands == []
        server.next["SYST:ERR?"] = ['+0,"No error"', '-222,"Data out of range"', '+0,"No error"']
        with pytest.raises(RefusedError, match=r"dimmer .*ATT 28\.500 was refused: .*-222"):
            await attenuator.set_attenuation(30.0)
        with pytest.raises(RefusedError, match=r"ATT 18\.500 left it at 15\.5 dB"):
            await attenuator.set_attenuation(20.0)


@pytest.mark.parametrize(
    "identity", ["Agilent Technologies,N7744A,DE1,V1", "HEWLETT-PACKARD,HP8156A,1,2", "THORLABS,N7764A,1,2"]
)
async def test_another_instrument_is_a_connect_error(identity: str) -> None:
    server = TableServer(TABLE | {"*IDN?": identity})
    async with bench(server) as attenuator:
        with pytest.raises(ConnectError, match=f"{identity.split(',')[1]} answers"):
            await attenuator.open()


async def test_made_safe_from_nothing_the_shutter_is_closed_and_the_line_too() -> None:
    server = TableServer(TABLE)
    async with bench(server) as attenuator:
        await attenuator.make_safe()
        assert server.commands == [":OUTP2:STAT OFF"]
        server.table[":OUTP2:STAT?"] = "1"
        with pytest.raises(RefusedError, match="OFF did not move the shutter"):
            await attenuator.make_safe()


async def test_made_safe_over_a_line_that_fails_once() -> None:
    server = TableServer(TABLE)
    server.next[":OUTP2:STAT?"] = [None]
    async with bench(server) as attenuator:
        await attenuator.open()
        await past_a_silence(attenuator, attenuator.make_safe(), server.asked.wait())
        assert server.commands == [":OUTP2:STAT OFF", ":OUTP2:STAT OFF"]


@pytest.mark.parametrize("answer", ["", "nan", "inf", "14 dB", "+1.4E"])
async def test_what_is_no_number_is_a_protocol_error(answer: str) -> None:
    server = TableServer(TABLE)
    server.next[":INP2:ATT?"] = [answer]
    async with bench(server) as attenuator:
        with pytest.raises(ProtocolError, match=r":INP2:ATT\? was answered by"):
            await attenuator.attenuation()
        assert await attenuator.attenuation() == 15.5


async def test_an_error_queue_that_speaks_nonsense_or_never_ends_is_an_error() -> None:
    server = TableServer(TABLE)
    async with bench(server) as attenuator:
        for nonsense in ("No error", '-222,"again"'):
            server.table["SYST:ERR?"] = nonsense
            with pytest.raises(InstrumentError):
                await attenuator.set_open(False)


WORDS = st.one_of(
    st.sampled_from([*TABLE.values(), "1", "+45.0", "-200,x", "9.9E37"]),
    st.text(max_size=20),
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(WORDS, max_size=40))
def test_no_answer_crashes_the_driver(answers: list[str]) -> None:
    attenuator = KeysightN7764a("dimmer", Address.parse("tcp://127.0.0.1:1"), SETTINGS)
    attenuator._scpi.line = attenuator._line = CannedText(answers)
    asyncio.run(try_everything(attenuator))
