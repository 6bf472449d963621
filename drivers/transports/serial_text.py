"""Lines of text over a serial line: one question at a time, answered by one line or by several.

For instruments that answer in the order of the questions. What holds is what `SerialLine` guarantees; the
*probe* that brings the line back in step after a question without its answer is a question of the
instrument's own whose answer can be known (its identity, its serial number).
"""

import asyncio
import re
from collections.abc import Callable, Sequence

from drivers.address import Address
from drivers.errors import LineError
from drivers.transports.serial import Probe, SerialLine

MAX_LINE = 65536
"""Bytes without a line end after which the beginning is dropped."""


class _Lines:
    """Cuts received bytes into lines, without their ends and without empty lines."""

    def __init__(self, ends: bytes, separators: bytes) -> None:
        self._ends = re.compile(b"[" + re.escape(ends + separators) + b"]+")
        self._pending = b""

    def feed(self, data: bytes) -> Sequence[str]:
        *whole, self._pending = self._ends.split(self._pending + data)
        self._pending = self._pending[-MAX_LINE:]
        return [line.decode("latin-1") for line in whole if line]

    def reset(self) -> None:
        self._pending = b""


class SerialTextLine:
    """The serial line at `serial:/dev/PATH`, opened when needed.

    A line of an answer ends at any run of the bytes CR and LF and of those in `prompt` (for instruments that
    end an answer by a prompt such as `>`). `ending` is put behind every command. `probe` is a question and
    a regular expression that its answer matches as a whole and no other answer does.
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
        prompt: bytes = b"",
        flow_control: bool = False,
    ) -> None:
        self._name, self._address, self._baud, self._deadline = name, address, baud, deadline
        self._ending, self._prompt, self._flow_control = ending.encode(), prompt, flow_control
        question, answer = probe
        known = re.compile(answer)
        self._probe = Probe[str](
            question.encode() + self._ending, lambda line: known.fullmatch(line.strip()) is not None
        )
        self._line: SerialLine[str] | None = None
        self._opening = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        return self._line is not None and self._line.is_usable

    async def open(self) -> None:
        """Open the line, unless open. Raises ConnectError."""
        async with self._opening:
            if self.is_open:
                return
            await self.close()
            line = SerialLine(
                self._name,
                str(self._address),
                self._address.path,
                self._baud,
                _Lines(b"\r\n", self._prompt),
                self._probe,
                lambda _: None,
                self._deadline,
                flow_control=self._flow_control,
            )
            await line.open()
            self._line = line

    async def close(self) -> None:
        """Close the line. Never raises; may be called twice."""
        line, self._line = self._line, None
        if line is not None:
            await line.close()

    async def write(self, command: str) -> None:
        """Send a command that has no answer. Raises ConnectError, DeadlineError, LineError."""
        line = await self._opened()
        await line.send(command.encode() + self._ending, command)

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
        line = await self._opened()
        lines: list[str] = []

        def take(text: str) -> bool:
            lines.append(text)
            return is_last(text)

        try:
            await line.ask(command.encode() + self._ending, take, command, patience=patience)
        except LineError:  # opening makes a new line of one that has broken
            if not retry:
                raise
            return await self.query_lines(command, is_last, patience=patience)
        return lines

    async def _opened(self) -> SerialLine[str]:
        await self.open()
        assert self._line is not None
        return self._line
