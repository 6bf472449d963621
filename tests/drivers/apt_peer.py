"""A scripted APT instrument at the far end of a pseudo-terminal, for the tests of the APT drivers.

It knows nothing but how long a frame is: the tests give it requests and answers as bytes, which come from
the examples in thorlabs_mpc320.md and thorlabs_k10cr1.md.
"""

import asyncio
import struct
from collections.abc import Callable

from tests.drivers.pty_peer import PtyPeer

Answer = bytes | Callable[[], bytes]


def frame(text: str) -> bytes:
    return bytes.fromhex(text)


INFO_REQUEST = frame("05 00 00 00 50 01")
MPC_INFO = (
    frame("06 00 54 00 81 50 9c b1 4a 02 4d 50 43 33 32 30 00 00 2c 00 03 00 01 00")
    + bytes(60)
    + frame("01 00 00 00 03 00")
)


def ustatus_request(channel: int) -> bytes:
    return frame(f"90 04 {channel:02x} 00 50 01")


def ustatus(channel: int, position: int, bits: int) -> bytes:
    return frame("91 04 0e 00 81 50") + struct.pack("<HihhI", channel, position, 0, 0, bits)


class AptPeer(PtyPeer):
    """Answers each request as scripted, or not at all; keeps what it heard."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[bytes, Answer] = {}
        self.heard: list[bytes] = []
        self._pending = b""
        self._changed = asyncio.Event()

    def count(self, request: bytes) -> int:
        return self.heard.count(request)

    async def until_heard(self, request: bytes, times: int = 1) -> None:
        while self.count(request) < times:
            self._changed.clear()
            await self._changed.wait()

    def received(self, data: bytes) -> None:
        self._pending += data
        while len(self._pending) >= 6:
            length = 6 + (struct.unpack_from("<H", self._pending, 2)[0] if self._pending[4] & 0x80 else 0)
            if len(self._pending) < length:
                return
            request, self._pending = self._pending[:length], self._pending[length:]
            self.heard.append(request)
            self._changed.set()
            answer = self.answers.get(request, b"")
            self.say(answer if isinstance(answer, bytes) else answer())
