"""The serial line to OZ Optics' motorised parts: answers of several lines that end with `Done`.

A command that moves the motor is answered in full only when the motor has arrived (clients allow 20 to 40 s),
and until then the instrument answers nothing else; that is inferred from those time limits (M). So `begin`
returns when the instrument has taken the command, `moving` says whether it has arrived, and a question asked
meanwhile is a RefusedError at once.

Sources: `ozoptics_dd100.md`; for `Error!` at the end of an answer, S2 there.
"""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drivers.address import Address
from drivers.errors import DeadlineError, RefusedError
from drivers.transports.serial import Probe
from drivers.transports.serial_frames import SerialFrameLine

BAUD = 9600
LONGEST_LINE = 4096
LONGEST_MOTION_S = 120.0
"""Wall time after which an answer that never came is not waited for any more; ours to choose."""
POLL_S = 0.02


@dataclass(frozen=True)
class Answer:
    """The lines of an answer so far, without its end; `whole` when the end has come."""

    lines: tuple[str, ...]
    whole: bool

    @property
    def error(self) -> str:
        """The line in which the instrument refuses, or nothing."""
        return next((line for line in self.lines if line.startswith("Error")), "")


class AnswerDecoder:
    """Cuts received bytes into answers: one after each line, so that a first line is heard at once."""

    _PIECE = re.compile(rb"([^\r\n]*?)(Done|[\r\n]+)")

    def __init__(self) -> None:
        self._pending = b""
        self._lines: tuple[str, ...] = ()

    def reset(self) -> None:
        self._pending, self._lines = b"", ()

    def feed(self, data: bytes) -> list[Answer]:
        self._pending += data
        answers, at = [], 0
        for piece in self._PIECE.finditer(self._pending):
            at = piece.end()
            text = piece[1].decode("latin-1").strip()
            whole = piece[2] == b"Done" or text.endswith("Error!")
            if text:
                self._lines += (text,)
            if text or whole:
                answers.append(Answer(self._lines, whole))
            if whole:
                self._lines = ()
        self._pending = self._pending[at:][-LONGEST_LINE:]
        return answers


class OzLine:
    """The line at `serial:/dev/PATH`, opened when needed. `probe` is a question and a predicate of the lines
    of its answer, which no other answer fulfils; `ending` ends a command."""

    def __init__(
        self,
        name: str,
        address: Address,
        deadline: float,
        *,
        ending: str,
        probe: tuple[str, Callable[[Sequence[str]], bool]],
    ) -> None:
        self.name, self.address, self.deadline = name, address, deadline
        self._ending = ending.encode()
        self._question, self._knows = probe
        self._line = SerialFrameLine(
            name, address, BAUD, deadline,
            decoder=AnswerDecoder, on_frame=self._heard,
            probe=Probe[Answer](
                self._bytes(self._question),
                lambda a: a.whole and self._knows(self._unechoed(self._question, a.lines)),
            ),
        )  # fmt: skip
        self._turn = asyncio.Lock()
        self._motion = self._unfinished = ""
        self._given_up_at = 0.0
        self._refusal = ""

    @property
    def is_open(self) -> bool:
        return self._line.is_open

    @property
    def moving(self) -> str:
        """The command whose motion is under way, or nothing."""
        if not self._line.is_open or time.monotonic() > self._given_up_at:
            self._motion = ""
        return self._motion

    def take_refusal(self) -> None:
        """Raise RefusedError when the last motion ended with an error that nobody has heard of yet."""
        refusal, self._refusal = self._refusal, ""
        if refusal:
            raise RefusedError(self.name, str(self.address), refusal)

    async def open(self) -> None:
        """Open the line, unless open. A motion that was under way when it was closed may go on: then the
        instrument does not answer now, and `moving` says so. Raises ConnectError, LineError."""
        async with self._turn:
            await self._line.open()
            unfinished, self._unfinished = self._unfinished, ""
            if unfinished:
                try:
                    await self._ask(self._question, self._knows)
                except DeadlineError:
                    self._moves(unfinished)

    async def close(self) -> None:
        """Close the line. Never raises; may be called twice."""
        self._unfinished = self.moving or self._unfinished
        self._motion = self._refusal = ""
        await self._line.close()

    async def ask(self, command: str, form: Callable[[Sequence[str]], bool]) -> Sequence[str]:
        """The lines of the answer to a question, without the echo of the question; `form` says of such lines
        whether they are its answer.

        Raises RefusedError for an error, and while the motor moves; ConnectError, DeadlineError, LineError.
        """
        async with self._turn:
            if self.moving:
                raise self._busy(command)
            return await self._ask(command, form)

    async def begin(self, command: str, *, first_line: bool) -> None:
        """Begin a motion. With `first_line` return when the first line of the answer has come, in which the
        instrument says or shows that it has taken the command. Else return when the command has been sent;
        ask something before it, so that no late answer is taken for the end of the motion.

        Raises RefusedError for an error, and while the motor moves; DeadlineError, LineError.
        """
        async with self._turn:
            if self.moving:
                raise self._busy(command)
            self._refusal = ""
            if not first_line:
                self._moves(command)
                await self._line.send(self._bytes(command), command)
                return

            def taken(answer: Answer) -> bool:
                if not answer.whole:
                    self._moves(command)  # here, before its end can be heard
                return True

            answer = await self._line.ask(self._bytes(command), taken, command)
            if answer.error:
                self._motion = ""
                raise self._refused(command, answer.error)

    async def arrive(self) -> None:
        """Wait for the end of a motion under way, no longer than the deadline."""
        end = time.monotonic() + self.deadline
        while command := self.moving:
            if time.monotonic() > end:
                raise DeadlineError(
                    self.name, str(self.address), f"{command} has not ended within {self.deadline:g} s",
                    "The instrument answers nothing while it moves: wait until it has arrived",
                )  # fmt: skip
            await asyncio.sleep(POLL_S)

    async def interrupt(self, command: str) -> None:
        """Send a command that ends a motion, and return when the instrument answers questions again."""
        async with self._turn:
            await self._line.send(self._bytes(command), command)
            self._motion = self._refusal = ""
            # How many answers come now, of the motion and of the command, is not known. The probe's is known.
            await self._ask(self._question, self._knows)

    async def _ask(self, command: str, form: Callable[[Sequence[str]], bool]) -> Sequence[str]:
        def matches(answer: Answer) -> bool:
            return answer.whole and (bool(answer.error) or form(self._unechoed(command, answer.lines)))

        answer = await self._line.ask(self._bytes(command), matches, command, retry=True)
        if answer.error:
            raise self._refused(command, answer.error)
        return self._unechoed(command, answer.lines)

    @staticmethod
    def _unechoed(command: str, lines: Sequence[str]) -> Sequence[str]:
        return lines[1:] if lines and lines[0] == command else lines

    def _bytes(self, command: str) -> bytes:
        return command.encode() + self._ending

    def _moves(self, command: str) -> None:
        self._motion, self._given_up_at = command, time.monotonic() + LONGEST_MOTION_S

    def _heard(self, answer: Answer) -> None:
        """Every answer, asked for or not: while the motor moves, the end of one is the end of the motion."""
        if answer.whole and self._motion:
            if answer.error:
                self._refusal = f"{self._motion} was refused: {answer.error}"
            self._motion = ""

    def _refused(self, command: str, error: str) -> RefusedError:
        return RefusedError(self.name, str(self.address), f"{command} was refused: {error}")

    def _busy(self, command: str) -> RefusedError:
        return RefusedError(
            self.name, str(self.address),
            f"{command} has to wait: {self._motion} is under way, and nothing is answered until it has ended",
            "Ask again when the instrument has settled",
        )  # fmt: skip
