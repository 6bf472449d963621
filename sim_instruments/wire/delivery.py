"""The way of an answer to the client, with the faults of the wire on it.

Every server in `sim_instruments.wire` sends through a `Delivery`. Without faults the bytes go straight to the
operating system. Order is kept whatever the faults are; what is random is drawn from a generator of the
delivery's own, so that a test with the same requests sees the same bytes.
"""

import asyncio
from collections.abc import Callable
from random import Random

from sim_instruments.wire.faults import Faults


class Delivery:
    """Answers on one line. `write` hands bytes to the operating system."""

    def __init__(self, faults: Faults, write: Callable[[bytes], None]) -> None:
        self._faults, self._write = faults, write
        self._random = Random(1)
        self._held = b""
        self._last_due = 0.0
        self._on_the_way: set[asyncio.TimerHandle] = set()

    def send(self, answer: bytes) -> None:
        """Deliver an answer as the faults of the moment will have it."""
        faults = self._faults
        if faults.silent:
            return
        if faults.late > 0:
            faults.late -= 1
            self._held += answer
            return
        data = self._held + faults.unsolicited + answer
        self._held = b""
        if faults.lost or faults.garbled:
            data = self.spoil(data)
        size = faults.piece_bytes or len(data)
        pieces = [data[i : i + size] for i in range(0, len(data), size)]
        if len(pieces) == 1 and not (faults.latency_s or faults.jitter_s or self._on_the_way):
            self._write(data)
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + faults.latency_s + self._random.uniform(0.0, faults.jitter_s)
        for piece in pieces:
            # Timers that fall due at different times fire in order; equal ones might not.
            self._last_due = due = max(due, self._last_due + 1e-6)
            self._send_at(due, piece)

    def spoil(self, data: bytes) -> bytes:
        """Lose and change bytes, each with its probability."""
        faults, random = self._faults, self._random
        kept = (byte for byte in data if random.random() >= faults.lost)
        return bytes(
            byte ^ random.randrange(1, 256) if random.random() < faults.garbled else byte for byte in kept
        )

    def drop(self) -> None:
        """Forget what is on its way: the line is gone."""
        self._held = b""
        for timer in self._on_the_way:
            timer.cancel()
        self._on_the_way.clear()

    def _send_at(self, due: float, piece: bytes) -> None:
        def send() -> None:
            self._on_the_way.discard(timer)
            self._write(piece)

        timer = asyncio.get_running_loop().call_at(due, send)
        self._on_the_way.add(timer)
