"""The DG645 driver against text over TCP: the commands and the example of srs_dg645.md."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.address import Address
from drivers.capabilities import Pulse
from drivers.errors import ConnectError, LimitError, ProtocolError, RefusedError
from drivers.timing.srs_dg645 import Dg645Settings, SrsDg645
from tests.drivers.canned_line import CannedText, try_everything
from tests.drivers.scripted_peer import served
from tests.drivers.table_server import TableServer

TABLE = {
    "*IDN?": "Stanford Research Systems,DG645,s/n001013,ver1.20.10E",
    "LERR?": "0",
    "DLAY? 2": "0,+0.000001500000",
    "DLAY? 3": "2,+0.000000020000",
    "DLAY? 4": "3,-0.000000500000",
    "DLAY? 5": "4,+0.000000010000",
    "TRAT?": "+1000.000000",
    "TSRC?": "5",
}


@asynccontextmanager
async def bench(server: TableServer, options: str = "{}", deadline: float = 5.0) -> AsyncIterator[SrsDg645]:
    async with served(server) as (port,):
        address = Address.parse(f"tcp://127.0.0.1:{port}")
        generator = SrsDg645("gates", address, Dg645Settings.model_validate_json(options), deadline)
        try:
            yield generator
        finally:
            await generator.close()


def crlf(**changes: str) -> TableServer:
    return TableServer(TABLE | changes, ending="\r\n")


async def test_opening_sets_nothing_and_knows_who_answers() -> None:
    server = crlf()
    async with bench(server) as generator:
        await generator.open()
        identity = await generator.identity()
        assert (identity.model, identity.serial_number) == ("DG645", "s/n001013")
        assert server.commands == []
        server.table["*IDN?"] = "Stanford Research Systems,SR400,1,2"
        await generator.close()
        with pytest.raises(ConnectError, match="SR400 answers"):
            await generator.open()


async def test_edges_are_counted_from_the_trigger_whatever_they_are_counted_from_there() -> None:
    async with bench(crlf()) as generator:
        first, second = await generator.pulse(1), await generator.pulse(2)
    assert (first.delay_s, first.width_s) == pytest.approx((1.5e-6, 20e-9), abs=1e-15)
    # C is 500 ns before B, which is 20 ns after A.
    assert (second.delay_s, second.width_s) == pytest.approx((1.02e-6, 10e-9), abs=1e-15)


async def test_a_pulse_is_two_edges_from_t0() -> None:
    server = crlf()
    server.table["DLAY? 3"] = "0,+0.000001520000"
    async with bench(server) as generator:
        await generator.set_pulse(1, Pulse(1.5e-6, 20e-9))
        assert server.commands == ["DLAY 2,0,0.000001500000", "DLAY 3,0,0.000001520000"]
        assert b"DLAY 2,0,0.000001500000\n" in server.raw
        with pytest.raises(RefusedError, match=r"DLAY 2,0,0\.000002000000 left it at Pulse"):
            await generator.set_pulse(1, Pulse(2e-6, 20e-9))


async def test_the_instruments_own_refusal() -> None:
    server = crlf()
    server.next["LERR?"] = ["0", "12", "0"]
    async with bench(server) as generator:
        with pytest.raises(RefusedError, match=r"gates .*was refused: LERR\? gave 12"):
            await generator.set_pulse(3, Pulse(0.0, 1e-6))


@pytest.mark.parametrize(
    ("output", "pulse"),
    [(0, Pulse(0, 1)), (5, Pulse(0, 1)), (1, Pulse(-1e-9, 1)), (1, Pulse(0, -1e-9)), (1, Pulse(1500, 500))],
)
async def test_what_is_outside_sends_nothing(output: int, pulse: Pulse) -> None:
    server = crlf()
    async with bench(server, '{"max_rate": "1 MHz"}') as generator:
        with pytest.raises(LimitError, match="gates"):
            await generator.set_pulse(output, pulse)
        for rate in (0.0, 2e6, float("nan")):
            with pytest.raises(LimitError, match=r"outside 0\.0001 to 1e"):
                await generator.set_rate(rate)
        assert server.heard == []


async def test_rate_and_running_are_read_back() -> None:
    server = crlf()
    async with bench(server) as generator:
        await generator.set_rate(1000.0)
        assert await generator.rate() == 1000.0
        with pytest.raises(RefusedError, match=r"TRAT 2000\.000000 left it at 1000 Hz"):
            await generator.set_rate(2000.0)
        assert not await generator.is_running()
        with pytest.raises(RefusedError, match="TSRC 0 left it at source 5"):
            await generator.set_running(True)
        server.table["TSRC?"] = "0"
        await generator.set_running(True)
        assert await generator.is_running()


async def test_made_safe_no_trigger_source_is_left() -> None:
    server = crlf()
    async with bench(server) as generator:
        await generator.make_safe()
        await generator.make_safe()
        assert server.commands == ["TSRC 5", "TSRC 5"]
        server.table["TSRC?"] = "1"
        with pytest.raises(RefusedError, match="left it at source 1"):
            await generator.make_safe()


@pytest.mark.parametrize("answer", ["", "0", "0,", "a,1", "11,+1.0", "3,+1.0,2"])
async def test_a_delay_that_makes_no_sense_is_a_protocol_error(answer: str) -> None:
    server = crlf()
    server.next["DLAY? 2"] = [answer]
    async with bench(server) as generator:
        with pytest.raises(ProtocolError, match=r"DLAY\? 2 was answered by"):
            await generator.pulse(1)


async def test_references_that_go_round_are_a_protocol_error() -> None:
    server = crlf()
    server.table["DLAY? 2"] = "3,+0.000000000000"
    async with bench(server) as generator:
        with pytest.raises(ProtocolError, match=r"DLAY\? 3 was answered by"):
            await generator.pulse(1)


WORDS = st.one_of(
    st.sampled_from([*TABLE.values(), "2,+1.0", "9,-1E300", "6"]),
    st.text(max_size=20),
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(WORDS, max_size=60))
def test_no_answer_crashes_the_driver(answers: list[str]) -> None:
    generator = SrsDg645("gates", Address.parse("tcp://127.0.0.1:1"), Dg645Settings())
    generator._scpi.line = generator._line = CannedText(answers)
    asyncio.run(try_everything(generator))
