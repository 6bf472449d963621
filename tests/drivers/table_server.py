"""An instrument at the far end of a TCP line that answers text by a table, for the tests of text drivers.

It knows nothing of a protocol but where a line ends; requests and answers are those of the protocol notes.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress


class TableServer:
    """Serves with `scripted_peer.served`. Answers by `table`, before that by what stands in `next` for a
    request, one at a time; None is silence. Keeps what it `heard`, line by line without their ends."""

    def __init__(self, table: Mapping[str, str], ending: str = "\n") -> None:
        self.table = dict(table)
        self.next: dict[str, list[str | None]] = {}
        self.heard: list[str] = []
        self.raw = b""
        self.asked = asyncio.Event()
        self._ending = ending.encode()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while line := await reader.readline():
                self.raw += line
                request = line.decode().rstrip("\r\n")
                self.heard.append(request)
                waiting = self.next.get(request)
                answer = waiting.pop(0) if waiting else self.table.get(request)
                if answer is not None:
                    writer.write(answer.encode() + self._ending)
                elif "?" in request:
                    self.asked.set()
        writer.close()

    @property
    def commands(self) -> list[str]:
        """What changes something."""
        return [request for request in self.heard if "?" not in request]
