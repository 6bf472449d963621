"""Text lines over a pseudo-terminal: the far end is a peer that answers when the test says so."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from drivers.address import Address
from drivers.errors import DeadlineError, LineError
from drivers.transports.serial_text import SerialTextLine
from tests.drivers.hurry import PATIENT_S, in_a_hurry
from tests.drivers.pty_peer import PtyPeer


class Peer(PtyPeer):
    """Answers from a table; what is not in it is only heard."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, bytes] = {"id?": b"PUMP 42\r\n"}
        self.heard: list[str] = []
        self.asked = asyncio.Event()
        self._pending = b""

    def received(self, data: bytes) -> None:
        *whole, self._pending = (self._pending + data).split(b"\r")
        for raw in whole:
            self.heard.append(raw.decode())
            self.asked.set()
            self.say(self.answers.get(raw.decode(), b""))


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    yield peer
    peer.hang_up()


@pytest.fixture
async def line(peer: Peer) -> AsyncIterator[SerialTextLine]:
    line = SerialTextLine(
        "pump",
        Address.parse(f"serial:{peer.path}"),
        115200,
        PATIENT_S,
        ending="\r",
        probe=("id?", r"PUMP \d+"),
    )
    yield line
    await line.close()


async def test_a_question_opens_the_line_and_gets_its_line(line: SerialTextLine, peer: Peer) -> None:
    peer.answers["p?"] = b"0.5\r\n"
    assert await line.query("p?") == "0.5"
    assert peer.heard == ["p?"]


async def test_an_answer_of_several_lines_ends_at_the_one_that_is_asked_for(
    line: SerialTextLine, peer: Peer
) -> None:
    peer.answers["CD"] = b"IL:0.60\r\nMax:60\r\nDone\r\n\r\n"
    peer.answers["p?"] = b"1\r\n"
    assert await line.query_lines("CD", lambda text: text == "Done") == ["IL:0.60", "Max:60", "Done"]
    assert await line.query("p?") == "1"


async def test_a_late_answer_is_not_taken_for_the_next(line: SerialTextLine, peer: Peer) -> None:
    await line.open()
    with in_a_hurry(line), pytest.raises(DeadlineError, match=r"slow\?.*nothing came back"):
        await line.query("slow?")
    peer.answers["id?"] = b"late answer\r\nPUMP 42\r\n"
    peer.answers["p?"] = b"7\r\n"
    assert await line.query("p?") == "7"
    assert peer.heard == ["slow?", "id?", "p?"]


async def test_a_cancelled_question_leaves_the_line_in_step(line: SerialTextLine, peer: Peer) -> None:
    asking = asyncio.create_task(line.query("slow?"))
    await peer.asked.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    peer.answers["id?"] = b"late answer\r\nPUMP 42\r\n"
    peer.answers["p?"] = b"7\r\n"
    assert await line.query("p?") == "7"


async def test_a_line_that_breaks_is_an_error_that_names_the_instrument(
    line: SerialTextLine, peer: Peer
) -> None:
    await line.open()
    peer.hang_up()
    with pytest.raises(LineError, match="pump"):
        await line.query("p?")
    assert not line.is_open


async def test_two_questions_at_once_open_the_line_once(line: SerialTextLine, peer: Peer) -> None:
    peer.answers |= {"p?": b"1\r\n", "q?": b"2\r\n"}
    assert list(await asyncio.gather(line.query("p?"), line.query("q?"))) == ["1", "2"]
