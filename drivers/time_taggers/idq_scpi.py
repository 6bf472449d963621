"""The ID900's SCPI dialect over a ZeroMQ line: commands, queries, numbers with units, the recorder's state.

Protocol: idq_id900.md, Transport and SCPI rules. A command is acknowledged with an empty answer, an answer
that contains `SCPI_ERR` is a refusal.
"""

import asyncio
import re
from contextlib import suppress

from drivers.errors import DeadlineError, ProtocolError, RefusedError
from drivers.transports.zmq import RequestLine

POLL_S = 0.02
"""Pause between two looks at whether the recorder has stopped."""
NUMBER = re.compile(r"\s*([-+]?[0-9.]+(?:e[-+]?[0-9]+)?)\s*(tb|uv|mv|v)?\s*", re.IGNORECASE)
UNITS = {"": 1.0, "tb": 1.0, "uv": 1e-6, "mv": 1e-3, "v": 1.0}


class Idq900Scpi:
    """One ID900 at the end of a line; `name` and `address` for errors, `deadline` in seconds for stopping."""

    def __init__(self, line: RequestLine, name: str, address: str, deadline: float) -> None:
        self._line, self._name, self._address, self._deadline = line, name, address, deadline

    async def query(self, query: str) -> str:
        """The answer as text. Raises RefusedError, DeadlineError, LineError, ProtocolError."""
        answer = await self._line.exchange(query)
        if "SCPI_ERR" in answer:
            raise RefusedError(self._name, self._address, f"{query!r} was refused: {answer.strip()}")
        return answer

    async def command(self, command: str) -> None:
        """Send a command and see it acknowledged."""
        answer = await self.query(command)
        if answer:
            raise ProtocolError(self._name, self._address, f"{command!r} was answered {answer!r}, not ''")

    async def numbers(self, *queries: str) -> list[float]:
        """The answers to several queries asked in one request, in volts or picoseconds where they have a
        unit: `100mV` and `0.1V` are 0.1, `12345TB` is 12345."""
        request = ";:".join(queries)
        answer = await self.query(request)
        matches = [NUMBER.fullmatch(line) for line in answer.splitlines()]
        try:
            values = [float(match[1]) * UNITS[(match[2] or "").lower()] for match in matches if match]
        except ValueError:
            values = []
        if len(values) != len(queries) or len(matches) != len(queries):
            raise ProtocolError(
                self._name,
                self._address,
                f"{request!r} was answered {answer!r}, not {len(queries)} number(s)",
            )
        return values

    async def number(self, query: str) -> float:
        """The answer to one query; see `numbers`."""
        [value] = await self.numbers(query)
        return value

    async def is_recording(self) -> bool:
        """Whether the recorder plays. Any other stage than PLAYING counts as stopped."""
        return (await self.query("REC:STAGe?")).strip().upper() == "PLAYING"

    async def stop_recorder(self) -> None:
        """Stop the recorder and see that it has. A refusal is no matter when it has stopped anyway."""
        with suppress(RefusedError):
            await self.command("REC:STOP")
        try:
            async with asyncio.timeout(self._deadline):
                while await self.is_recording():  # noqa: ASYNC110 - there is no event
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            raise DeadlineError(
                self._name, self._address, "still answers REC:STAGe? with PLAYING after REC:STOP",
                "Look at the instrument; switch it off and on if it does not obey",
            ) from error  # fmt: skip
