"""NKT's Interbus as a module on the bus sees it: requests out of bytes, and answers into bytes.

Source: nkt_koheras.md, Telegram. A request whose checksum does not fit is still handed over, marked so:
the module that it seems to be meant for complains.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass

SOT, EOT, ESC = 0x0D, 0x0A, 0x5E
TELEGRAM_MAX = 512
"""More bytes than this between start and end cannot be a telegram; 4 + 240 + 2 stuffed are 492."""


class Type(enum.IntEnum):
    """The types of telegrams."""

    NACK = 0
    CRC_ERROR = 1
    BUSY = 2
    ACK = 3
    READ = 4
    WRITE = 5
    SET_BITS = 6
    CLEAR_BITS = 7
    DATAGRAM = 8
    TOGGLE_BITS = 9


def crc(message: bytes) -> int:
    """CRC-16/XMODEM: polynomial 1021h, start 0, not reflected."""
    remainder = 0
    for byte in message:
        remainder ^= byte << 8
        for _ in range(8):
            remainder = (remainder << 1) ^ (0x1021 if remainder & 0x8000 else 0)
            remainder &= 0xFFFF
    return remainder


@dataclass(frozen=True)
class Message:
    """One telegram without its frame."""

    dest: int
    source: int
    type: int
    register: int
    data: bytes = b""
    damaged: bool = False

    def answer(self, type_: Type, data: bytes = b"") -> bytes:
        """An answer to this request as it goes over the line."""
        body = bytes([self.source, self.dest, type_, self.register]) + data
        body += crc(body).to_bytes(2, "big")
        stuffed = b"".join(bytes([ESC, b + 0x40]) if b in (SOT, EOT, ESC) else bytes([b]) for b in body)
        return bytes([SOT]) + stuffed + bytes([EOT])


class BusReader:
    """Cuts what the host sends into requests. Bytes outside a frame are skipped; a start inside one begins
    anew."""

    def __init__(self) -> None:
        self._body: bytearray | None = None
        self._escaped = False

    def feed(self, data: bytes) -> Iterator[Message]:
        """The requests that are complete with these bytes; shorter ones than a head and a checksum are
        dropped."""
        for byte in data:
            if byte == SOT:
                self._body, self._escaped = bytearray(), False
            elif self._body is None:
                continue
            elif byte == EOT:
                body, self._body = bytes(self._body), None
                if len(body) >= 6:
                    damaged = self._escaped or crc(body) != 0
                    yield Message(body[0], body[1], body[2], body[3], body[4:-2], damaged)
            elif byte == ESC and not self._escaped:
                self._escaped = True
            elif len(self._body) >= TELEGRAM_MAX:
                self._body = None
            else:
                self._body.append((byte - 0x40) & 0xFF if self._escaped else byte)
                self._escaped = False
