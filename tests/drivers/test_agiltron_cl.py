"""The Agiltron driver against frames over a pseudo-terminal: small_switches.md, and what goes wrong."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.address import Address
from drivers.errors import ConnectError, DeadlineError, LimitError, ProtocolError, RefusedError
from drivers.optics.agiltron_cl import AgiltronCl, AgiltronSettings, Frame, FrameDecoder
from tests.drivers.canned_line import CannedFrames, try_everything
from tests.drivers.hurry import PATIENT_S, in_a_hurry
from tests.drivers.scripted_peer import cancel_once
from tests.drivers.table_peer import TablePeer, of_size

READ = bytes.fromhex("01 11 00 00")
SETTINGS = AgiltronSettings(channels=8)


def reading(channel: int) -> bytes:
    return bytes((0x01, 0x11, 0x00, channel))


def setting(channel: int) -> bytes:
    return bytes((0x01, 0x12, 0x00, channel))


@pytest.fixture
async def peer() -> AsyncIterator[TablePeer]:
    peer = TablePeer(of_size(4), {READ: reading(3)} | {setting(n): setting(n) for n in range(1, 9)})
    yield peer
    peer.hang_up()


@pytest.fixture
async def switch(peer: TablePeer) -> AsyncIterator[AgiltronCl]:
    switch = AgiltronCl("fan", Address.parse(f"serial:{peer.path}"), SETTINGS, deadline=PATIENT_S)
    yield switch
    await switch.close()


async def test_the_frames_of_the_notes(switch: AgiltronCl, peer: TablePeer) -> None:
    await switch.open()
    assert peer.heard == [READ]
    await switch.connect(1, 4)
    assert peer.heard[1:] == [bytes.fromhex("01 12 00 04")]
    assert await switch.connections() == {1: 3}
    assert await switch.is_settled()
    assert (await switch.identity()).model == "1x8 switch"


async def test_the_first_bytes_of_the_answer_to_reading_do_not_matter(
    switch: AgiltronCl, peer: TablePeer
) -> None:
    peer.next[READ] = [bytes.fromhex("01 02 03 05"), bytes.fromhex("01 11 00 00")]
    assert await switch.connections() == {1: 5}
    assert await switch.connections() == {}


async def test_a_channel_that_the_switch_should_not_have(switch: AgiltronCl, peer: TablePeer) -> None:
    peer.answers[READ] = reading(12)
    with pytest.raises(ProtocolError, match="channel 12 of 8"):
        await switch.open()


async def test_outside_nothing_is_sent_and_there_is_no_nowhere(switch: AgiltronCl, peer: TablePeer) -> None:
    for input_, output in ((0, 1), (2, 1), (1, 0), (1, 9)):
        with pytest.raises(LimitError, match="fan"):
            await switch.connect(input_, output)
    with pytest.raises(RefusedError, match="always leads to a channel"):
        await switch.disconnect(1)
    [control] = switch.controls()
    assert control.limits is not None
    assert (control.limits.low, control.limits.high) == (1, 8)
    assert peer.heard == []


async def test_silence_and_a_late_answer(switch: AgiltronCl, peer: TablePeer) -> None:
    await switch.open()
    peer.next[setting(2)] = [b""]
    with in_a_hurry(switch), pytest.raises(DeadlineError, match=r"fan .*01 12 00 02"):
        await switch.connect(1, 2)
    # The late echo comes before the answers to the probe and to the question.
    peer.next[READ] = [setting(2) + reading(2), reading(2)]
    assert await switch.connections() == {1: 2}


async def test_an_answer_in_pieces_and_after_rubbish(switch: AgiltronCl, peer: TablePeer) -> None:
    peer.next[READ] = [b"\r\nEVENT 7\r\n" + reading(6)]
    assert await switch.connections() == {1: 6}


async def test_cancelling_leaves_the_line_in_step(switch: AgiltronCl, peer: TablePeer) -> None:
    peer.next[setting(2)] = [b""]
    await cancel_once(peer.asked, switch.connect(1, 2))
    assert await switch.connections() == {1: 3}


async def test_a_line_that_is_not_there_is_a_connect_error() -> None:
    nowhere = AgiltronCl("fan", Address.parse("serial:/dev/null/nothing"), SETTINGS, deadline=PATIENT_S)
    with pytest.raises(ConnectError, match="fan"):
        await nowhere.open()
    await nowhere.make_safe()


@given(st.lists(st.binary(max_size=9), max_size=8))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_frames_are_the_same_wherever_the_bytes_are_cut(pieces: list[bytes]) -> None:
    at_once, by_pieces = FrameDecoder(), FrameDecoder()
    frames = at_once.feed(b"".join(pieces))
    assert [frame for piece in pieces for frame in by_pieces.feed(piece)] == frames
    assert all(isinstance(frame, Frame) for frame in frames)


@given(st.lists(st.one_of(st.binary(max_size=9), st.just(reading(3)), st.just(setting(8))), max_size=12))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_no_answer_crashes_the_driver(answers: list[bytes]) -> None:
    switch = AgiltronCl("fan", Address.parse("serial:/dev/null"), SETTINGS)
    switch._line = CannedFrames([lambda _, a=a: a for a in answers], FrameDecoder)  # type: ignore[assignment, misc]
    asyncio.run(try_everything(switch))
