"""A UDP server on the loopback for one port of a simulated instrument.

It carries datagrams and knows nothing of protocols: each one that comes is handed to `answer`, which returns
the datagram that goes back, or None. The server obeys `Faults` as far as they mean something for datagrams:
what is held back, late or unsolicited is a datagram of its own; lost and garbled bytes shorten and change
it; `piece_bytes` and `refuse` have no effect, since a datagram comes whole and nobody connects.
"""

import asyncio
from collections.abc import Callable

from sim_instruments.wire.delivery import Delivery
from sim_instruments.wire.faults import Faults

Peer = tuple[str, int]
MOST_PEERS = 64
"""So many clients are remembered for answers on their way; the one heard of least recently is forgotten."""


class Datagrams(Delivery):
    """Answers to one client, each a datagram."""

    def __init__(self, faults: Faults, write: Callable[[bytes], None]) -> None:
        super().__init__(faults, write)
        self._late: list[bytes] = []

    def send(self, answer: bytes) -> None:
        faults = self._faults
        if faults.silent:
            return
        if faults.late > 0:
            faults.late -= 1
            self._late.append(answer)
            return
        due = [*self._late, *([faults.unsolicited] if faults.unsolicited else []), answer]
        self._late.clear()
        for datagram in due:
            self.deliver(self.spoil(datagram) if faults.lost or faults.garbled else datagram)

    def deliver(self, datagram: bytes) -> None:
        """On its way now, or after the latency of the moment, and never before an earlier one."""
        faults = self._faults
        if not (faults.latency_s or faults.jitter_s or self._on_the_way):
            self._write(datagram)
            return
        moment = asyncio.get_running_loop().time() + faults.latency_s
        moment += self._random.uniform(0.0, faults.jitter_s)
        self._last_due = max(moment, self._last_due + 1e-6)
        self._send_at(self._last_due, datagram)

    def drop(self) -> None:
        self._late.clear()
        super().drop()


class UdpServer(asyncio.DatagramProtocol):
    """Serves on 127.0.0.1; `answer` is called in the event loop with every datagram and must not raise."""

    def __init__(self, faults: Faults, answer: Callable[[bytes], bytes | None]) -> None:
        self.faults, self.answer = faults, answer
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None
        self._peers: dict[Peer, Datagrams] = {}

    async def start(self) -> int:
        """Listen; returns the port: a free one at first, and the same one again after `stop()`."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", self.port)
        )
        self.port = int(self._transport.get_extra_info("sockname")[1])
        return self.port

    async def stop(self) -> None:
        """Stop listening. May be called twice."""
        self.forget()
        if self._transport is not None:
            transport, self._transport = self._transport, None
            transport.close()
            await asyncio.sleep(0)  # the socket is closed in the loop's next turn

    def forget(self) -> None:
        """Lose what is on its way, as an instrument does that loses power."""
        for datagrams in self._peers.values():
            datagrams.drop()
        self._peers.clear()

    def datagram_received(self, data: bytes, addr: Peer) -> None:
        if self.faults.silent:
            return
        answer = self.answer(data)
        if answer is not None:
            datagrams = self._peers.pop(addr, None) or Datagrams(self.faults, lambda d: self._write(d, addr))
            self._peers[addr] = datagrams
            if len(self._peers) > MOST_PEERS:
                self._peers.pop(next(iter(self._peers))).drop()
            datagrams.send(answer)

    def _write(self, datagram: bytes, peer: Peer) -> None:
        if self._transport is not None:
            self._transport.sendto(datagram, peer)
