"""The serial line over a pseudo-terminal, with a one-letter protocol: a frame is a line of text."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from drivers.errors import ConnectError, DeadlineError, LineError
from drivers.transports.serial import Probe, SerialLine
from tests.drivers.hurry import PATIENT_S, in_a_hurry
from tests.drivers.pty_peer import PtyPeer


class Lines:
    """Frames that end in a newline."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> Sequence[str]:
        *whole, self._pending = (self._pending + data).split(b"\n")
        return [line.decode("ascii", "replace") for line in whole]

    def reset(self) -> None:
        self._pending = b""


class Peer(PtyPeer):
    """The far end: answers when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.questions: asyncio.Queue[str] = asyncio.Queue()
        self._pending = b""

    def received(self, data: bytes) -> None:
        *whole, self._pending = (self._pending + data).split(b"\n")
        for question in whole:
            self.questions.put_nowait(question.decode())

    async def answer(self, question: str, text: str) -> None:
        assert await self.questions.get() == question
        self.say(text.encode())


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    yield peer
    peer.hang_up()


@pytest.fixture
async def line(peer: Peer) -> AsyncIterator[SerialLine[str]]:
    line = new_line(peer.path)
    await line.open()
    yield line
    await line.close()


def new_line(
    path: str, on_frame: Callable[[str], None] = lambda _: None, deadline: float = PATIENT_S
) -> SerialLine[str]:
    probe: Probe[str] = Probe(b"who\n", lambda answer: answer.startswith("me"))
    return SerialLine("paddles", f"serial:{path}", path, 115200, Lines(), probe, on_frame, deadline)


def ask(line: SerialLine[str], question: str) -> asyncio.Task[str]:
    return asyncio.create_task(
        line.ask(f"{question}\n".encode(), lambda answer: answer.startswith("value"), question)
    )


async def test_unasked_frames_go_by_and_are_handed_over(peer: Peer) -> None:
    heard: list[str] = []
    line = new_line(peer.path, heard.append)
    await line.open()
    answer = ask(line, "value?")
    await peer.answer("value?", "update 1\nval")
    peer.say(b"ue 7\n")
    assert await answer == "value 7"
    assert heard == ["update 1", "value 7"]
    await line.close()


async def test_silence_ends_in_an_error_that_names_everything(line: SerialLine[str], peer: Peer) -> None:
    with in_a_hurry(line), pytest.raises(DeadlineError) as error:
        await ask(line, "value?")
    for part in ("paddles", f"serial:{peer.path}", "value?", "nothing came back"):
        assert part in str(error.value)


async def test_half_an_answer_is_no_answer_and_is_shown(line: SerialLine[str], peer: Peer) -> None:
    with in_a_hurry(line, 0.5):
        answer = ask(line, "value?")
        await peer.answer("value?", "val")
    with pytest.raises(DeadlineError, match="only 76 61 6c came"):
        await answer


async def test_a_late_answer_is_not_taken_for_the_next(line: SerialLine[str], peer: Peer) -> None:
    with in_a_hurry(line), pytest.raises(DeadlineError):
        await ask(line, "first?")
    assert await peer.questions.get() == "first?"
    second = ask(line, "second?")
    await peer.answer("who", "value of first\nme\n")
    await peer.answer("second?", "value of second\n")
    assert await second == "value of second"


async def test_an_answer_to_a_cancelled_question_is_not_taken_for_the_next(
    line: SerialLine[str], peer: Peer
) -> None:
    first = ask(line, "first?")
    assert await peer.questions.get() == "first?"
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    second = ask(line, "second?")
    await peer.answer("who", "value of first\nme\n")
    await peer.answer("second?", "value of second\n")
    assert await second == "value of second"


async def test_two_questions_at_once_are_asked_one_after_the_other(line: SerialLine[str], peer: Peer) -> None:
    first, second = ask(line, "first?"), ask(line, "second?")
    assert await peer.questions.get() == "first?"
    assert peer.questions.empty()
    peer.say(b"value 1\n")
    await peer.answer("second?", "value 2\n")
    assert (await first, await second) == ("value 1", "value 2")


async def test_a_closed_line_ends_the_wait_at_once(peer: Peer) -> None:
    line = new_line(peer.path, deadline=60.0)
    await line.open()
    answer = ask(line, "value?")
    await peer.questions.get()
    peer.hang_up()
    with pytest.raises(LineError, match="broke"):
        await answer
    assert not line.is_usable
    with pytest.raises(LineError):
        await line.send(b"go\n", "go")
    await line.close()


async def test_closing_ends_a_question_and_may_be_repeated(line: SerialLine[str], peer: Peer) -> None:
    answer = ask(line, "value?")
    await peer.questions.get()
    await line.close()
    with pytest.raises(LineError, match="was closed"):
        await answer
    await line.close()


async def test_a_missing_device_says_what_to_do() -> None:
    with pytest.raises(ConnectError, match="plugged in"):
        await new_line("/dev/no-such-device").open()


async def test_a_line_in_use_is_refused(line: SerialLine[str], peer: Peer) -> None:
    with pytest.raises(ConnectError, match="no other program"):
        await new_line(peer.path).open()
