"""Simulated instruments spoken to as bytes: over their TCP port or pseudo-terminal, as any program would."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sim_instruments.instrument import SimInstrument
from tests.sim_instruments.apt_bench import SerialClient
from tests.sim_instruments.raw_client import RawClient


class Speaker:
    """Says bytes and hears bytes; a subclass of this test's own knows where an answer ends."""

    def __init__(self, line: RawClient | SerialClient) -> None:
        self.line = line

    async def ask(self, request: bytes, answer: bytes) -> None:
        """Say this, and hear exactly that."""
        heard = await self.exchange(request, len(answer))
        assert heard == answer, (request, heard, answer)

    async def exchange(self, request: bytes, size: int) -> bytes:
        if isinstance(self.line, SerialClient):
            return await self.line.ask(request.hex(), size)
        self.line.send(request)
        return await self.line.exactly(size)


@asynccontextmanager
async def spoken_to(sim: SimInstrument) -> AsyncIterator[Speaker]:
    """Serve the instrument, with somebody at its line."""
    address = await sim.start()
    try:
        if address.startswith("serial:"):
            client = SerialClient(address)
            try:
                yield Speaker(client)
            finally:
                client.close()
        else:
            async with RawClient.at(int(address.rpartition(":")[2])) as raw:
                yield Speaker(raw)
    finally:
        await sim.stop()
