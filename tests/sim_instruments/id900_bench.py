"""A simulated ID900 with clients of its services, for the tests of it. The clients are libzmq's, the servers
are not.
"""

import asyncio
import json
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import numpy as np
import zmq
import zmq.asyncio
from numpy.typing import NDArray

from sim_instruments.ports import TaggerInput, TaggerPort
from sim_instruments.time_taggers.idq_id900 import SimIdqId900

S = 10**12
"""A second, in ps."""
MS = 10**9
"""A millisecond, in ps."""


class Bench:
    """A tagger and libzmq clients of its services, from entering to leaving."""

    def __init__(self, latency_s: float = 0.0, seed: int = 5) -> None:
        self.port = TaggerPort({n: TaggerInput() for n in (1, 2, 3, 4)})
        self.sim = SimIdqId900(
            "tagger", np.random.default_rng(seed), self.port, resolution_ps=13, start_latency_s=latency_s
        )
        self.context = zmq.asyncio.Context()
        self.sockets: list[zmq.asyncio.Socket] = []

    async def __aenter__(self) -> Self:
        address = urlsplit(await self.sim.start())
        options = parse_qs(address.query)
        assert address.scheme == "zmq"
        self.streams = [int(port) for port in options["streams"][0].split(",")]
        self.scpi_port, self.datalink = address.port, options["datalink"][0]
        self.scpi = self.connect(zmq.REQ, f"127.0.0.1:{address.port}")
        self.service = self.connect(zmq.REQ, self.datalink)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sim.stop()
        self.context.destroy(linger=0)

    def connect(self, kind: int, where: str, waiting: int = 1000) -> zmq.asyncio.Socket:
        """A client; `waiting` is how many messages it lets pile up on its side."""
        socket = self.context.socket(kind)
        self.sockets.append(socket)
        socket.linger = 0
        socket.rcvhwm = waiting
        socket.connect(f"tcp://{where}")
        return socket

    async def ask(self, request: str) -> str:
        """What the SCPI service answers."""
        async with asyncio.timeout(5):
            await self.scpi.send_string(request)
            return await self.scpi.recv_string()

    async def link(self, request: str) -> Any:
        """What the DataLink service answers."""
        async with asyncio.timeout(5):
            await self.service.send_string(request)
            return json.loads(await self.service.recv_string())

    async def record(self, channel: int = 1) -> "Reader":
        """A stream of one channel, ready for REC:PLAY."""
        await self.ask(f"RAW{channel}:SEND ON")
        port = self.streams[channel - 1]
        reply = await self.link(f"start-stream --address 127.0.0.1 --channel {channel} --stream-port {port}")
        assert set(reply) == {"id"}
        return Reader(self.connect(zmq.PAIR, f"127.0.0.1:{port}"), reply["id"])

    async def take(self, tags: dict[int, NDArray[np.int64]], until_ps: int) -> None:
        async with asyncio.timeout(10):
            await self.sim.take(tags, until_ps)
        self.port.clock_ps = until_ps


class Reader:
    """The other end of a stream."""

    def __init__(self, socket: zmq.asyncio.Socket, id_: str) -> None:
        self.socket, self.id = socket, id_

    async def acquisition(self) -> NDArray[np.uint64]:
        """All tags until the empty message."""
        parts = []
        async with asyncio.timeout(10):
            while message := await self.socket.recv():
                parts.append(np.frombuffer(message, dtype="<u8"))
        return np.concatenate([np.empty(0, dtype="<u8"), *parts])


def clicks(rng: np.random.Generator, n: int, low: int, high: int) -> NDArray[np.int64]:
    """Sorted times of n clicks from low to before high, in ps."""
    return np.sort(rng.integers(low, high, n))
