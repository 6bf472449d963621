"""What instruments that speak SCPI have in common, whichever line carries the text.

A command has no answer of its own; whether it was taken, the instrument's error queue says. `Scpi.tell` reads
what others left in the queue, sends, and reads the queue again, so an error is never blamed on the wrong
command. An answer that makes no sense closes the line: nobody knows what comes next on it.
"""

import asyncio
import math
import re
from typing import Protocol

from drivers.address import Address
from drivers.capabilities import Identity
from drivers.errors import ConnectError, ProtocolError, RefusedError
from drivers.transports.tcp_text import TcpTextLine
from drivers.transports.visa import VisaLine

MOST_ERRORS = 64
"""So many entries are read from an error queue that does not become empty; ours to choose."""


class TextLine(Protocol):
    """What `VisaLine` and `TcpTextLine` have in common."""

    @property
    def is_open(self) -> bool: ...
    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def write(self, command: str) -> None: ...
    async def query(self, command: str, *, retry: bool = False) -> str: ...


def text_line(name: str, address: Address, deadline: float, *, ending: str = "\n") -> TextLine:
    """The line that the scheme of the address asks for, `visa` or `tcp`."""
    if address.scheme == "visa":
        return VisaLine(name, address, deadline, ending=ending)
    return TcpTextLine(name, address, deadline, ending=ending)


class Scpi:
    """Questions and commands on a line, for the instrument called `name`. `error_query` takes one entry from
    the error queue, which begins with its number; 0 is no error. `rest_s` is how many seconds an instrument
    wants to be left alone after a command that it is told."""

    def __init__(
        self,
        name: str,
        address: Address,
        line: TextLine,
        *,
        error_query: str = "SYST:ERR?",
        rest_s: float = 0.0,
    ) -> None:
        self.name, self.address, self.line, self.error_query = name, address, line, error_query
        self.rest_s = rest_s

    async def open(self, manufacturer: str, model: str, remedy: str) -> Identity:
        """Open the line and see who answers: both words begin what the identity says, in any case.

        Raises ConnectError that names who answers instead.
        """
        await self.line.open()
        identity = await self.identity()
        found = identity.manufacturer.casefold(), identity.model.casefold()
        if not (found[0].startswith(manufacturer.casefold()) and found[1].startswith(model.casefold())):
            raise await self.stranger(f"a {identity.manufacturer} {identity.model} answers", remedy)
        return identity

    async def stranger(self, what: str, remedy: str) -> ConnectError:
        """The error for an instrument that is not the one of the testbed file; closes the line."""
        await self.line.close()
        return ConnectError(self.name, str(self.address), what, remedy)

    async def identity(self) -> Identity:
        answer = await self.ask("*IDN?", r"[^,]*(,[^,]*){3}")
        return Identity(*(field.strip() for field in answer.split(",")))

    async def ask(self, question: str, form: str) -> str:
        """The answer to a question that changes nothing, if the regular expression `form` matches it."""
        answer = (await self.line.query(question, retry=True)).strip()
        if not re.fullmatch(form, answer, re.ASCII | re.DOTALL):
            raise await self.garbled(question, answer)
        return answer

    async def garbled(self, question: str, answer: str) -> ProtocolError:
        """The error for an answer that the protocol does not allow; closes the line."""
        await self.line.close()
        return ProtocolError(self.name, str(self.address), f"{question} was answered by {answer!r}")

    async def number(self, question: str) -> float:
        """The answer to a question, as a finite number."""
        answer = await self.ask(question, r".*")
        try:
            value = float(answer)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise await self.garbled(question, answer)
        return value

    async def tell(self, command: str) -> None:
        """Send a command and see that the instrument has taken it. Raises RefusedError with its own text."""
        await self.errors()
        await self.line.write(command)
        await asyncio.sleep(self.rest_s)
        if errors := await self.errors():
            raise RefusedError(
                self.name, str(self.address), f"{command} was refused: {self.error_query} gave {errors[0]}"
            )

    async def errors(self) -> list[str]:
        """What stands in the error queue, the oldest first; the queue is empty afterwards."""
        errors: list[str] = []
        while len(errors) < MOST_ERRORS:
            answer = (await self.line.query(self.error_query)).strip()
            number = re.match(r"[+-]?\d+", answer, re.ASCII)
            if number is None:
                raise await self.garbled(self.error_query, answer)
            if int(number[0]) == 0:
                break
            errors.append(answer)
        return errors
