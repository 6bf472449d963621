"""Framing of the Thorlabs APT protocol as the instrument's side sees it.

A frame is a header of 6 bytes, little endian: `id u16, param1 u8, param2 u8, dest u8, source u8`; with
bit 80h of dest set the two parameters are the u16 number of data bytes that follow. Source:
thorlabs_mpc320.md, Frames. There is no checksum and no start mark, so a lost byte is noticed only by an
address that cannot be.
"""

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass

HOST = 0x01
DEVICE = 0x50
WITH_DATA = 0x80
DATA_MAX = 255
"""Invented: more data than this from the host cannot be a message (the longest known has 26 bytes)."""


class Status(enum.IntFlag):
    """Status bits (thorlabs_mpc320.md, Frames), those that the simulators set."""

    MOVING_CW = 0x10
    MOVING_CCW = 0x20
    JOGGING_CW = 0x40
    JOGGING_CCW = 0x80
    CONNECTED = 0x100
    HOMING = 0x200
    HOMED = 0x400
    POWER_OK = 0x10000000
    ENABLED = 0x80000000


@dataclass(frozen=True)
class Frame:
    """One message, with two parameters or with data."""

    id: int
    param1: int = 0
    param2: int = 0
    data: bytes = b""

    def to_bytes(self) -> bytes:
        """As the instrument sends it to the host."""
        if self.data:
            return struct.pack("<HHBB", self.id, len(self.data), HOST | WITH_DATA, DEVICE) + self.data
        return struct.pack("<HBBBB", self.id, self.param1, self.param2, HOST, DEVICE)


class FrameReader:
    """Cuts the bytes from the host into frames, wherever the reads fall.

    A header that is not from the host to this device, or that announces more than `DATA_MAX` bytes, is
    given up byte by byte until one fits (invented: what the real firmware does with garbage is not known).
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete with these bytes."""
        self._buffer += data
        while len(self._buffer) >= 6:
            id_, param1, param2, dest, source = struct.unpack_from("<HBBBB", self._buffer)
            length = param1 + 256 * param2 if dest & WITH_DATA else 0
            if dest & ~WITH_DATA != DEVICE or source != HOST or length > DATA_MAX:
                del self._buffer[0]
                continue
            if len(self._buffer) < 6 + length:
                return
            body = bytes(self._buffer[6 : 6 + length])
            del self._buffer[: 6 + length]
            yield Frame(id_, data=body) if dest & WITH_DATA else Frame(id_, param1, param2)
