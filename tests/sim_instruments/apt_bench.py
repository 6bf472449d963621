"""A simulated APT instrument with a serial program at its line, for the tests of the K10CR1 and the MPC320.

The client opens the pseudo-terminal and reads and writes bytes, as any serial program does. It knows
nothing of the protocol; the bench knows the one question that every APT instrument answers.
"""

import asyncio
import os
from collections.abc import Sequence
from typing import Generic, Self, TypeVar

from sim_instruments.instrument import SimInstrument

INFO = "05 00 00 00 50 01"
"""Hardware info; its answer has 90 bytes: thorlabs_mpc320.md, Examples."""

Sim = TypeVar("Sim", bound=SimInstrument)


class SerialClient:
    """Any serial program: it opens the device and reads and writes bytes."""

    def __init__(self, address: str) -> None:
        self.fd = os.open(address.removeprefix("serial:"), os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self.left = b""

    def send(self, hex_bytes: str) -> None:
        os.write(self.fd, bytes.fromhex(hex_bytes))

    async def read(self, count: int, deadline: float = 5.0) -> bytes:
        async with asyncio.timeout(deadline):
            while len(self.left) < count:
                try:
                    self.left += os.read(self.fd, 4096)
                except BlockingIOError:
                    await asyncio.sleep(0)
        data, self.left = self.left[:count], self.left[count:]
        return data

    async def ask(self, hex_bytes: str, count: int) -> bytes:
        self.send(hex_bytes)
        return await self.read(count)

    def close(self) -> None:
        os.close(self.fd)


class AptBench(Generic[Sim]):
    """The instrument serves, and the client is at its line, from entering to leaving."""

    client: SerialClient

    def __init__(self, sim: Sim) -> None:
        self.sim = sim

    async def __aenter__(self) -> Self:
        self.client = SerialClient(await self.sim.start())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.client.close()
        await self.sim.stop()

    async def settle(self) -> None:
        """Until everything sent so far has been acted upon: the answer to a question says so. Nothing
        else may be on its way to us."""
        assert (await self.client.ask(INFO, 90))[:2].hex() == "0600"

    async def withstand(self, chunks: Sequence[bytes], model: bytes) -> None:
        """Send any bytes, a quarter of a second of the instrument's time apart; it must still answer,
        with its model's name, after them."""
        for chunk in chunks:
            os.write(self.client.fd, chunk)
            await asyncio.sleep(0)
            self.sim.advance(0.25)
        # A header may still be waiting for up to 255 bytes of data: enough questions fill it.
        self.client.send(INFO * 50)
        reply = b""
        while model not in reply:
            reply += await self.client.read(1)
