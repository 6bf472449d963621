"""The OSW driver against text over a pseudo-terminal: small_switches.md, and what goes wrong."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.address import Address
from drivers.errors import DeadlineError, LimitError, RefusedError
from drivers.optics.thorlabs_osw import OswSettings, ThorlabsOsw
from tests.drivers.canned_line import CannedText, try_everything
from tests.drivers.hurry import PATIENT_S, in_a_hurry
from tests.drivers.scripted_peer import cancel_once
from tests.drivers.table_peer import TablePeer, at_end

TABLE = {b"I?\n": b"OSW22-1310E 1.02\r\n", b"S?\n": b"1\r\n", b"T?\n": b"0\r\n"}


@pytest.fixture
async def peer() -> AsyncIterator[TablePeer]:
    peer = TablePeer(at_end(b"\n"), TABLE)
    yield peer
    peer.hang_up()


@pytest.fixture
async def switch(peer: TablePeer) -> AsyncIterator[ThorlabsOsw]:
    switch = ThorlabsOsw("cross", Address.parse(f"serial:{peer.path}"), OswSettings(), deadline=PATIENT_S)
    yield switch
    await switch.close()


async def test_bar_and_cross(switch: ThorlabsOsw, peer: TablePeer) -> None:
    await switch.open()
    assert peer.heard == [b"I?\n", b"S?\n"]
    assert (await switch.identity()).model == "OSW22-1310E 1.02"
    assert await switch.connections() == {1: 1, 2: 2}
    peer.next[b"S?\n"] = [b"1\r\n", b"2\r\n"]  # it takes a moment
    peer.heard.clear()
    await switch.connect(2, 1)
    assert peer.heard == [b"S 2\n", b"S?\n", b"S?\n"]
    peer.answers[b"S?\n"] = b"2\r\n"
    assert await switch.connections() == {1: 2, 2: 1}


async def test_a_switch_with_one_input(peer: TablePeer) -> None:
    switch = ThorlabsOsw(
        "fork", Address.parse(f"serial:{peer.path}"), OswSettings(inputs=1), deadline=PATIENT_S
    )
    assert switch.inputs == (1,)
    assert await switch.connections() == {1: 1}
    with pytest.raises(LimitError):
        await switch.connect(2, 1)
    await switch.close()


async def test_a_switch_that_does_not_obey_is_a_refusal(switch: ThorlabsOsw) -> None:
    switch.deadline = 0.1  # for the switch to obey; each question has longer
    with pytest.raises(RefusedError, match=r"cross .*S\? still gives 1 after S 2"):
        await switch.connect(1, 2)


async def test_outside_nothing_is_sent(switch: ThorlabsOsw, peer: TablePeer) -> None:
    for input_, output in ((0, 1), (3, 1), (1, 0), (1, 3)):
        with pytest.raises(LimitError, match="cross"):
            await switch.connect(input_, output)
    with pytest.raises(RefusedError, match="always lead to an output"):
        await switch.disconnect(1)
    assert peer.heard == []


async def test_silence_garbage_and_a_late_answer(switch: ThorlabsOsw, peer: TablePeer) -> None:
    await switch.open()
    peer.next[b"S?\n"] = [b"", b"3\r\n"]
    for _ in range(2):
        with in_a_hurry(switch), pytest.raises(DeadlineError, match=r"cross .*S\?"):
            await switch.connections()
    peer.next[b"I?\n"] = [b"2\r\nOSW22-1310E 1.02\r\n"]  # the late answer, and then the probe's
    assert await switch.connections() == {1: 1, 2: 2}


async def test_cancelling_leaves_the_line_in_step(switch: ThorlabsOsw, peer: TablePeer) -> None:
    peer.next[b"S?\n"] = [b""]
    await cancel_once(peer.asked, switch.connections())
    assert await switch.connections() == {1: 1, 2: 2}


async def test_made_safe_it_stays_as_it_is(switch: ThorlabsOsw, peer: TablePeer) -> None:
    await switch.make_safe()
    await switch.make_safe()
    assert peer.heard == []


WORDS = st.one_of(st.sampled_from(["1", "2", "OSW22-1310E 1.02", "0"]), st.text(max_size=12))


@given(st.lists(WORDS, max_size=20))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_no_answer_crashes_the_driver(answers: list[str]) -> None:
    switch = ThorlabsOsw("cross", Address.parse("serial:/dev/null"), OswSettings(), deadline=0.01)
    switch._line = CannedText(answers)  # type: ignore[assignment]
    asyncio.run(try_everything(switch))
