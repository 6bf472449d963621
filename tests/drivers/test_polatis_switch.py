"""The Polatis driver against text over TCP: the table and the example of polatis_switch.md."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.address import Address
from drivers.errors import ConnectError, DeadlineError, LimitError, ProtocolError, RefusedError
from drivers.optics.polatis_switch import PolatisSettings, PolatisSwitch
from tests.drivers.canned_line import CannedText, try_everything
from tests.drivers.hurry import in_a_hurry
from tests.drivers.scripted_peer import cancel_once, served
from tests.drivers.table_server import TableServer

SETTINGS = PolatisSettings(inputs=24, outputs=24)
TABLE = {
    "*IDN?": "Polatis,N-OST-24x24-LA1-DMHNS,002414,6.5.2.18",
    ":oxc:swit:size?": "24,24",
    ":oxc:swit:conn:stat?": "(@1,2),(@27,26)",
    ":syst:err?": '0,"No error"',
}


@asynccontextmanager
async def bench(
    server: TableServer, options: PolatisSettings = SETTINGS, deadline: float = 5.0
) -> AsyncIterator[PolatisSwitch]:
    async with served(server) as (port,):
        switch = PolatisSwitch("matrix", Address.parse(f"tcp://127.0.0.1:{port}"), options, deadline)
        try:
            yield switch
        finally:
            await switch.close()


async def test_the_example_of_the_notes() -> None:
    server = TableServer(TABLE)
    async with bench(server) as switch:
        await switch.open()
        assert server.commands == []
        await asyncio.gather(switch.connect(1, 3), switch.connect(2, 2))
        assert server.commands == [":oxc:swit:conn:add (@1),(@27)", ":oxc:swit:conn:add (@2),(@26)"]
        assert b":oxc:swit:conn:add (@1),(@27)\n" in server.raw
        assert await switch.connections() == {1: 3, 2: 2}
        assert await switch.is_settled()
        identity = await switch.identity()
        assert (identity.manufacturer, identity.serial_number) == ("Polatis", "002414")


async def test_it_has_settled_when_it_shows_what_was_asked_for() -> None:
    server = TableServer(TABLE)
    async with bench(server) as switch:
        await switch.connect(1, 3)
        server.table[":oxc:swit:conn:stat?"] = "(@),(@)"
        assert not await switch.is_settled()
        assert await switch.connections() == {}
        server.table[":oxc:swit:conn:stat?"] = "(@1),(@27)"
        assert await switch.is_settled()
        server.table[":oxc:swit:conn:stat?"] = "(@2),(@27)"
        await switch.connect(2, 3)  # takes the output from input 1
        assert await switch.is_settled()


async def test_a_command_that_was_lost_is_a_refusal() -> None:
    server = TableServer(TABLE)
    async with bench(server) as switch:
        with pytest.raises(RefusedError, match=r"add \(@1\),\(@26\) had no effect: input 1 leads to 3,"):
            await switch.connect(1, 2)
        with pytest.raises(RefusedError, match=r"sub \(@2\),\(@\) had no effect"):
            await switch.disconnect(2)
        assert await switch.is_settled()


async def test_after_a_command_it_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    server = TableServer(TABLE)
    last_heard: list[str] = []
    nap = asyncio.sleep

    async def rest(seconds: float) -> None:
        assert seconds >= 0.1
        while not server.commands:
            await nap(0.001)
        last_heard.append(server.heard[-1])

    async with bench(server) as switch:
        await switch.open()
        monkeypatch.setattr("drivers.scpi.asyncio.sleep", rest)
        await switch.connect(1, 3)
    assert last_heard == [":oxc:swit:conn:add (@1),(@27)"]


async def test_an_input_that_leads_nowhere_is_not_taken_away_again() -> None:
    server = TableServer(TABLE)
    async with bench(server) as switch:
        server.next[":oxc:swit:conn:stat?"] = ["(@1,2),(@27,26)", "(@1),(@27)"]
        await switch.disconnect(2)
        await switch.disconnect(3)
        assert server.commands == [":oxc:swit:conn:sub (@2),(@)"]


async def test_what_the_error_queue_says_is_a_refusal_and_old_errors_are_not() -> None:
    server = TableServer(TABLE)
    server.next[":syst:err?"] = ['-222,"old"', '0,"No error"', '-221,"Settings conflict"', '0,"No error"']
    async with bench(server) as switch:
        with pytest.raises(RefusedError, match=r"matrix .*add \(@1\),\(@25\) was refused.*-221,.Settings"):
            await switch.connect(1, 1)


async def test_numbers_that_do_not_exist_send_nothing() -> None:
    server = TableServer(TABLE)
    async with bench(server) as switch:
        for input_, output in ((0, 1), (25, 1), (1, 0), (1, 25)):
            with pytest.raises(LimitError, match=r"outside 1 to 24"):
                await switch.connect(input_, output)
        assert server.heard == []


@pytest.mark.parametrize(
    ("question", "answer", "words"),
    [
        ("*IDN?", "THORLABS,PM100D,P0012345,2.4.0", "a THORLABS PM100D answers"),
        (":oxc:swit:size?", "8,16", "a matrix of 8 x 16 answers"),
    ],
)
async def test_another_instrument_or_size_is_a_connect_error(question: str, answer: str, words: str) -> None:
    server = TableServer(TABLE | {question: answer})
    async with bench(server) as switch:
        with pytest.raises(ConnectError, match=words):
            await switch.open()


@pytest.mark.parametrize("answer", ["", "(@1,2),(@27)", "(@1),(@3)", "(@30),(@27)", "(@1),(@60)", "27"])
async def test_connections_that_make_no_sense_are_a_protocol_error(answer: str) -> None:
    server = TableServer(TABLE)
    server.next[":oxc:swit:conn:stat?"] = [answer]
    async with bench(server) as switch:
        with pytest.raises(ProtocolError, match=r"conn:stat\? was answered by"):
            await switch.connections()
        assert await switch.connections() == {1: 3, 2: 2}


async def test_silence_and_cancellation_leave_the_line_in_step() -> None:
    server = TableServer(TABLE)
    server.next[":oxc:swit:conn:stat?"] = [None, None]
    async with bench(server) as switch:
        await switch.open()
        with in_a_hurry(switch), pytest.raises(DeadlineError, match=r"matrix .*conn:stat\?"):
            await switch.connections()
        server.asked.clear()
        await cancel_once(server.asked, switch.connections())
        assert await switch.connections() == {1: 3, 2: 2}


async def test_made_safe_it_stays_as_it_is() -> None:
    server = TableServer(TABLE)
    async with bench(server) as switch:
        await switch.make_safe()
        await switch.make_safe()
        assert server.heard == []


WORDS = st.one_of(
    st.sampled_from([*TABLE.values(), "(@),(@)", "-200", "0", "(@1,),(@,25)", "(@99999999999),(@1)"]),
    st.text(max_size=20),
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(WORDS, max_size=40))
def test_no_answer_crashes_the_driver(answers: list[str]) -> None:
    switch = PolatisSwitch("matrix", Address.parse("tcp://127.0.0.1:1"), PolatisSettings(inputs=2, outputs=2))
    switch._scpi.line, switch._scpi.rest_s = CannedText(answers), 0.0
    asyncio.run(try_everything(switch))
