"""A client of a simulated instrument's TCP line that knows nothing of what is said: bytes go out, and bytes
come back up to where the test says that they end. Every reading has a deadline of `DEADLINE_S`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

DEADLINE_S = 5.0


class RawClient:
    """A socket; a subclass adds the ways of asking that one instrument's line needs."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    @asynccontextmanager
    async def at(cls, port: int) -> AsyncIterator[Self]:
        """A client connected to the port of this machine, from entering to leaving."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield cls(reader, writer)
        finally:
            writer.transport.abort()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def until(self, end: bytes) -> bytes:
        """What comes, up to and with the end."""
        return await asyncio.wait_for(self._reader.readuntil(end), DEADLINE_S)

    async def exactly(self, size: int) -> bytes:
        """So many bytes."""
        return await asyncio.wait_for(self._reader.readexactly(size), DEADLINE_S)

    async def rest(self) -> bytes:
        """What comes until the instrument has closed the line."""
        return await asyncio.wait_for(self._reader.read(), DEADLINE_S)

    async def last_words(self, request: bytes) -> bytes:
        """Send, end the sending side, and read until the instrument has closed its own."""
        self.send(request)
        self._writer.write_eof()
        return await self.rest()
