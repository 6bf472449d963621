"""Lines of text over a serial line: one question at a time, answered by one line or by several.

For instruments that answer in the order of the questions. What holds is what `SerialFrameLine` guarantees;
the *probe* that brings the line back in step after a question without its answer is a question of the
instrument's own whose answer can be known (its identity, its serial number).
"""

import re
from collections.abc import Callable, Sequence

from drivers.address import Address
from drivers.errors import LineError
from drivers.transports.serial import Probe
from drivers.transports.serial_frames import SerialFrameLine

MAX_LINE = 65536
"""Bytes without a line end after which the beginning is dropped."""


class _Lines:
    """Cuts received bytes into lines, without their ends and without empty lines."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> Sequence[str]:
        *whole, self._pending = re.split(rb"[\r\n]+", self._pending + data)
        self._pending = self._pending[-MAX_LINE:]
        return [line.decode("latin-1") for line in whole if line]

    def reset(self) -> None:
        self._pending = b""


class SerialTextLine:
    """The serial line at `serial:/dev/PATH`, opened when needed.

    A line of an answer ends at any run of the bytes CR and LF. `ending` is put behind every command. `probe`
    is a question and a regular expression that its answer matches as a whole and no other answer does.
    """

    def __init__(
        self,
        name: str,
        address: Address,
        baud: int,
        deadline: float,
        *,
        ending: str,
        probe: tuple[str, str],
        flow_control: bool = False,
    ) -> None:
        self._ending = ending.encode()
        question, answer = probe
        known = re.compile(answer)
        self._line = SerialFrameLine[str](
            name,
            address,
            baud,
            deadline,
            decoder=_Lines,
            probe=Probe(
                question.encode() + self._ending, lambda line: known.fullmatch(line.strip()) is not None
            ),
            flow_control=flow_control,
        )

    @property
    def is_open(self) -> bool:
        return self._line.is_open

    async def open(self) -> None:
        """Open the line, unless open. Raises ConnectError."""
        await self._line.open()

    async def close(self) -> None:
        """Close the line. Never raises; may be called twice."""
        await self._line.close()

    async def write(self, command: str, *, at_once: bool = False) -> None:
        """Send a command that has no answer; `at_once` as for `SerialLine.send`. Raises ConnectError,
        DeadlineError, LineError."""
        await self._line.send(command.encode() + self._ending, command, at_once=at_once)

    async def query(
        self,
        command: str,
        is_answer: Callable[[str], bool] = lambda _: True,
        *,
        retry: bool = False,
        patience: float = 0.0,
    ) -> str:
        """Send a command and return the first line after it that `is_answer`.

        With `retry`, for questions that change nothing, a line that breaks is opened anew and the question
        asked once more. With `patience`, for answers that have to be measured first, the answer may take so
        many seconds longer than the deadline. Raises ConnectError, DeadlineError, LineError.
        """
        return (await self.query_lines(command, is_answer, retry=retry, patience=patience))[-1]

    async def query_lines(
        self, command: str, is_last: Callable[[str], bool], *, retry: bool = False, patience: float = 0.0
    ) -> list[str]:
        """The lines of an answer up to and with the first that `is_last`."""
        lines: list[str] = []

        def take(text: str) -> bool:
            lines.append(text)
            return is_last(text)

        try:
            await self._line.ask(command.encode() + self._ending, take, command, patience=patience)
        except LineError:  # opening makes a new line of one that has broken
            if not retry:
                raise
            return await self.query_lines(command, is_last, patience=patience)
        return lines
