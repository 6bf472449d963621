"""Telegrams of NKT's Interbus: one message as bytes and back, and finding telegrams in what a line delivers.

Written from the protocol notes (`nkt_koheras.md`, Telegram).
"""

import binascii
import enum
import re
from dataclasses import dataclass

START, END, ESCAPE = 0x0D, 0x0A, 0x5E
ESCAPED_BY = 0x40
"""Added to a byte behind the escape."""
LONGEST = 1024
"""Bytes without an end after which they are given up; a telegram has at most 2 + 2 * 246 of them."""


class Kind(enum.IntEnum):
    """What a telegram is."""

    NACK = 0
    CRC_ERROR = 1
    BUSY = 2
    ACK = 3
    READ = 4
    WRITE = 5
    DATAGRAM = 8


@dataclass(frozen=True)
class Telegram:
    """One telegram. `register` is what a request asks for, and its answer repeats it."""

    destination: int
    source: int
    kind: int
    """One of `Kind`, or a kind that this driver does not know."""
    register: int
    data: bytes = b""

    def to_bytes(self) -> bytes:
        body = bytes([self.destination, self.source, self.kind, self.register]) + self.data
        body += binascii.crc_hqx(body, 0).to_bytes(2, "big")  # CRC-16/XMODEM
        stuffed = bytearray()
        for byte in body:
            if byte in (START, END, ESCAPE):
                stuffed.append(ESCAPE)
                byte += ESCAPED_BY
            stuffed.append(byte)
        return bytes([START, *stuffed, END])

    @classmethod
    def from_bytes(cls, frame: bytes) -> "Telegram":
        """Read a frame from its start to its end. Raises ValueError for one that is damaged."""
        if len(frame) < 2 or frame[0] != START or frame[-1] != END:
            raise ValueError(f"{frame.hex(' ')} does not begin with 0d and end with 0a")
        inner = frame[1:-1]
        if re.search(rb"[\x0d\x0a]|\x5e(?![\x4a\x4d\x9e])", inner):
            raise ValueError(f"{frame.hex(' ')} is not stuffed as a telegram is")
        body = re.sub(rb"\x5e(.)", lambda match: bytes([match[1][0] - ESCAPED_BY]), inner, flags=re.DOTALL)
        if len(body) < 6 or binascii.crc_hqx(body, 0) != 0:
            raise ValueError(f"{frame.hex(' ')} is too short, or damaged according to its checksum")
        return cls(body[0], body[1], body[2], body[3], body[4:-2])


class TelegramDecoder:
    """Cuts received bytes into telegrams; what is none, or damaged, is dropped."""

    def __init__(self) -> None:
        self._pending = b""

    def reset(self) -> None:
        """Forget a telegram that has begun."""
        self._pending = b""

    def feed(self, data: bytes) -> list[Telegram]:
        """Take the next bytes and return the telegrams that are now whole."""
        *frames, self._pending = (self._pending + data).split(bytes([END]))
        self._pending = self._pending[-LONGEST:]
        telegrams = []
        for frame in frames:
            # The last start counts: one before it belongs to a telegram whose end was lost.
            start = frame.rfind(START)
            if start >= 0:
                try:
                    telegrams.append(Telegram.from_bytes(frame[start:] + bytes([END])))
                except ValueError:
                    continue
        return telegrams
