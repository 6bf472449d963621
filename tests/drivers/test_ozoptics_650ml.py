"""The 650ML driver against text over a pseudo-terminal: ozoptics_dd100.md, with and without echo."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.address import Address
from drivers.capabilities import Settings
from drivers.errors import DeadlineError, InstrumentError, LimitError, RefusedError
from drivers.optics.ozoptics_650ml import OzOptics650ml
from tests.drivers.eventually import eventually
from tests.drivers.hurry import PATIENT_S, in_a_hurry
from tests.drivers.table_peer import TablePeer, at_end

TABLE = {
    b"V1\r\n": b"V1\r\nODL-650-MCV1.0_2019\r\nDone\r\n",
    b"V2\r\n": b"V2\r\n123456\r\nDone\r\n",
    b"S?\r\n": b"S?\r\nPOS:6450\r\nDone\r\n",
}
C = 299_792_458.0


@pytest.fixture
async def peer() -> AsyncIterator[TablePeer]:
    peer = TablePeer(at_end(b"\r\n"), TABLE)
    yield peer
    peer.hang_up()


@pytest.fixture
async def line(peer: TablePeer) -> AsyncIterator[OzOptics650ml]:
    line = OzOptics650ml("trombone", Address.parse(f"serial:{peer.path}"), Settings(), deadline=PATIENT_S)
    yield line
    await line.close()


@pytest.mark.parametrize("echo", [True, False])
async def test_delay_in_steps_of_path(line: OzOptics650ml, peer: TablePeer, echo: bool) -> None:
    if not echo:
        peer.answers = {ask: answer.removeprefix(ask) for ask, answer in TABLE.items()}
    await line.open()
    identity = await line.identity()
    assert (identity.model, identity.serial_number, identity.firmware) == ("ODL-650-MC", "123456", "1.0")
    # 6450.4 steps are a millimetre of path; light takes 3.336 ps for it.
    assert await line.delay() == pytest.approx(1e-3 / C, rel=1e-4)
    peer.answers[b"S645039\r\n"] = (b"S645039\r\n" if echo else b"") + b"POS:645039\r\nDone\r\n"
    await line.set_delay(0.1 / C)
    assert peer.heard[-1] == b"S645039\r\n"
    await eventually(line.is_settled)


async def test_both_ends_can_be_set_and_nothing_beyond(line: OzOptics650ml, peer: TablePeer) -> None:
    assert line.delay_limits.high == pytest.approx(667.1e-12, rel=1e-4)
    for outside in (-1e-15, 668e-12, float("nan")):
        with pytest.raises(LimitError, match="trombone"):
            await line.set_delay(outside)
    assert peer.heard == []
    peer.answers |= {b"S0\r\n": b"S0\r\nDone\r\n", b"S1290078\r\n": b"S1290078\r\nDone\r\n"}
    await line.set_delay(0.0)
    await eventually(line.is_settled)
    await line.set_delay(line.delay_limits.high)
    assert peer.heard[-1] == b"S1290078\r\n"


async def test_before_homing(line: OzOptics650ml, peer: TablePeer) -> None:
    peer.answers[b"S?\r\n"] = b"S?\r\nUNKNOWN\r\nDone\r\n"
    assert not await line.is_homed()
    for call in (line.delay(), line.set_delay(1e-12)):
        with pytest.raises(RefusedError, match="before it has been homed"):
            await call
    await line.home()
    await eventually(lambda: peer.heard[-1] == b"FH\r\n")
    assert not await line.is_settled()
    assert not await line.is_homed()
    peer.answers[b"S?\r\n"] = b"S?\r\nPOS:0\r\nDone\r\n"
    peer.say(b"FH\r\nDone\r\n")
    await eventually(line.is_settled)
    assert await line.is_homed()
    assert await line.delay() == 0.0


async def test_made_safe_in_motion_it_stops_and_answers_again(line: OzOptics650ml, peer: TablePeer) -> None:
    peer.answers[b"S64504\r\n"] = b"S64504\r\n"  # the echo; it moves now
    await line.set_delay(0.01 / C)
    assert not await line.is_settled()
    peer.next[b"V1\r\n"] = [b"Done\r\nG0\r\nDone\r\n" + TABLE[b"V1\r\n"]]
    await line.make_safe()
    assert b"G0\r\n" in peer.heard
    assert await line.is_settled()
    assert await line.delay() == pytest.approx(1e-3 / C, rel=1e-4)


async def test_made_safe_from_nothing_the_line_is_closed_again(line: OzOptics650ml, peer: TablePeer) -> None:
    peer.answers[b"G0\r\n"] = b"G0\r\nDone\r\n"
    await line.make_safe()
    await line.make_safe()
    assert not line._line.is_open
    assert peer.heard == 2 * [b"G0\r\n", b"V1\r\n", b"S?\r\n"]


async def test_a_line_that_does_not_answer_is_not_safe(line: OzOptics650ml, peer: TablePeer) -> None:
    peer.answers.clear()
    with in_a_hurry(line), pytest.raises(DeadlineError, match="trombone"):
        await line.make_safe()


async def test_another_instrument_does_not_open(line: OzOptics650ml, peer: TablePeer) -> None:
    peer.answers[b"V1\r\n"] = b"?\r\n"
    with in_a_hurry(line), pytest.raises(DeadlineError, match="V1"):
        await line.open()


PIECES = st.sampled_from([*TABLE.values(), b"UNKNOWN\r\nDone", b":\r\nDone", b"Error-1\r\nDone"])


@given(st.lists(st.one_of(PIECES, st.binary(max_size=12)), min_size=1, max_size=3))
@settings(max_examples=12, deadline=None, derandomize=True)
def test_no_answer_crashes_the_driver(pieces: list[bytes]) -> None:
    async def call_all() -> None:
        peer = TablePeer(
            at_end(b"\r\n"), {ask: b"".join(pieces) for ask in (*TABLE, b"S64504\r\n", b"FH\r\n")}
        )
        line = OzOptics650ml("trombone", Address.parse(f"serial:{peer.path}"), Settings(), deadline=0.01)
        try:
            for call in (line.open, line.identity, line.delay, line.home, line.is_settled, line.make_safe):
                try:
                    await call()
                except InstrumentError:
                    continue
        finally:
            await line.close()
            peer.hang_up()

    asyncio.run(call_all())
