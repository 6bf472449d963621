"""Answers that end with Done, whole and by the line, and a motor whose answer comes when it has arrived."""

from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.address import Address
from drivers.errors import ConnectError, DeadlineError, RefusedError
from drivers.optics.oz_line import Answer, AnswerDecoder, OzLine
from tests.drivers.eventually import eventually
from tests.drivers.hurry import PATIENT_S, in_a_hurry
from tests.drivers.table_peer import TablePeer, at_end

WHO = b"WHO:1\r\nDone\r\n\r\n"


def is_who(lines: Sequence[str]) -> bool:
    return list(lines) == ["WHO:1"]


@pytest.fixture
async def peer() -> AsyncIterator[TablePeer]:
    peer = TablePeer(at_end(b"\r"), {b"W\r": WHO})
    yield peer
    peer.hang_up()


@pytest.fixture
async def line(peer: TablePeer) -> AsyncIterator[OzLine]:
    line = OzLine("oz", Address.parse(f"serial:{peer.path}"), PATIENT_S, ending="\r", probe=("W", is_who))
    yield line
    await line.close()


async def settled(line: OzLine) -> None:
    await eventually(lambda: not line.moving)


def test_an_answer_is_heard_line_by_line() -> None:
    decoder = AnswerDecoder()
    assert decoder.feed(b"A\r\nB") == [Answer(("A",), False)]
    assert decoder.feed(b"C\r\nDone\r") == [Answer(("A", "BC"), False), Answer(("A", "BC"), True)]
    assert decoder.feed(b"\n\r\nDone") == [Answer((), True)]
    assert decoder.feed(b"\r\n12Done\r\nError-3\r\nDone\r\n") == [
        Answer(("12",), True), Answer(("Error-3",), False), Answer(("Error-3",), True),
    ]  # fmt: skip
    assert Answer(("Error-3",), True).error == "Error-3"
    assert decoder.feed(b"Bad Error!\r\n")[-1].whole


@given(
    st.lists(st.sampled_from([b"Done", b"\r\n", b"Do", b"ne", b"x", b"Error-1", b"\r", b"\xff"]), max_size=30)
)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_whole_answers_do_not_depend_on_where_the_bytes_are_cut(pieces: list[bytes]) -> None:
    def whole(answers: list[Answer]) -> list[Answer]:
        return [answer for answer in answers if answer.whole]

    # A line that is cut behind its Done would be two; on a line, CR LF comes with it.
    data = b"".join(pieces) + b"\r\n"
    at_once, by_pieces = AnswerDecoder(), AnswerDecoder()
    cut = [answer for piece in (data[:7], data[7:8], data[8:]) for answer in by_pieces.feed(piece)]
    assert whole(cut) == whole(at_once.feed(data))


async def test_a_motion_is_taken_at_its_first_line_and_ends_with_done(line: OzLine, peer: TablePeer) -> None:
    peer.answers[b"A1\r"] = b"Pos:1\r\n"
    await line.begin("A1", first_line=True)
    assert line.moving == "A1"
    with pytest.raises(RefusedError, match=r"oz .*W has to wait: A1 is under way"):
        await line.ask("W", is_who)
    with pytest.raises(RefusedError, match="A2 has to wait"):
        await line.begin("A2", first_line=True)
    with in_a_hurry(line), pytest.raises(DeadlineError, match="A1 has not ended within"):
        await line.arrive()
    peer.say(b"Done\r\n\r\n")
    await line.arrive()
    assert not line.moving
    line.take_refusal()
    assert await line.ask("W", is_who) == ("WHO:1",)
    assert peer.heard == [b"A1\r", b"W\r"]


async def test_a_motion_that_ends_at_once_or_is_refused_at_once(line: OzLine, peer: TablePeer) -> None:
    peer.answers |= {b"A1\r": b"Pos:1\r\nDone\r\n\r\n", b"A9\r": b"Error-2\r\nDone\r\n\r\n"}
    await line.begin("A1", first_line=True)
    await settled(line)
    with pytest.raises(RefusedError, match="A9 was refused: Error-2"):
        await line.begin("A9", first_line=True)
    await settled(line)
    assert await line.ask("W", is_who) == ("WHO:1",)


async def test_a_refusal_at_the_end_is_told_once(line: OzLine, peer: TablePeer) -> None:
    await line.ask("W", is_who)
    await line.begin("H", first_line=False)
    assert line.moving == "H"
    peer.say(b"Error-5\r\nDone\r\n\r\n")
    await settled(line)
    with pytest.raises(RefusedError, match="H was refused: Error-5"):
        line.take_refusal()
    line.take_refusal()


async def test_a_motion_interrupted_leaves_the_line_in_step(line: OzLine, peer: TablePeer) -> None:
    peer.answers[b"A1\r"] = b"Pos:1\r\n"
    await line.begin("A1", first_line=True)
    peer.next[b"W\r"] = [b"Done\r\n\r\nDone\r\n\r\n" + WHO]  # of the motion, of the stop, of the probe
    await line.interrupt("G0")
    assert not line.moving
    assert await line.ask("W", is_who) == ("WHO:1",)


async def test_a_motion_goes_on_while_the_line_is_closed(line: OzLine, peer: TablePeer) -> None:
    peer.answers[b"A1\r"] = b"Pos:1\r\n"
    await line.begin("A1", first_line=True)
    await line.close()
    assert not line.moving
    peer.next[b"W\r"] = [b""]
    with in_a_hurry(line):
        await line.open()
    assert line.moving == "A1"
    peer.say(b"Done\r\n\r\n" + WHO)
    await settled(line)
    await line.begin("A1", first_line=True)
    await line.close()
    await line.open()  # and this time it has arrived meanwhile
    assert not line.moving


async def test_a_line_that_breaks_takes_the_motion_with_it(line: OzLine, peer: TablePeer) -> None:
    peer.answers[b"A1\r"] = b"Pos:1\r\n"
    await line.begin("A1", first_line=True)
    peer.hang_up()
    await settled(line)
    with pytest.raises(ConnectError, match="oz"):
        await line.begin("A1", first_line=True)


async def test_a_late_answer_is_nobodys(line: OzLine, peer: TablePeer) -> None:
    await line.open()
    with in_a_hurry(line), pytest.raises(DeadlineError, match="D: no answer"):
        await line.ask("D", lambda lines: "DPos:1" in lines)
    peer.next[b"W\r"] = [b"DPos:1\r\nDone\r\n\r\n" + WHO, WHO]
    assert await line.ask("W", is_who) == ("WHO:1",)
