"""Packets of the OIF ITLA agreement: four bytes as a message and back, and finding them in what a line
delivers.

Written from the protocol notes (`oif_itla.md`, Packet and Registers).
"""

import enum
from dataclasses import dataclass

SIZE = 4
WRITE = 0x01
FROM_MODULE = 0x04
COMMUNICATION_ERROR = 0x08


class Status(enum.IntEnum):
    """How the module took a packet."""

    OK = 0
    EXECUTION_ERROR = 1
    EXTENDED = 2
    """The answer is text; the data are its length, and register 0Bh gives it two characters at a time."""
    PENDING = 3


class ExecutionError(enum.IntEnum):
    """Why a packet was not executed: bits 3..0 of register 00h (numbers M, recalled from the MSA)."""

    OK = 0
    NOT_IMPLEMENTED = 1
    NOT_WRITABLE = 2
    OUT_OF_RANGE = 3
    OPERATION_PENDING = 4
    STILL_INITIALISING = 5
    EXTENDED_RANGE = 6
    EXTENDED_READ_ONLY = 7
    GENERAL_FAILURE = 8
    OUTPUT_IS_ON = 9
    INVALID_CONFIGURATION = 10
    VENDOR_SPECIFIC = 15


def checksum(packet: bytes) -> int:
    """BIP-4: the exclusive or of all nibbles but the one that holds the checksum itself."""
    folded = (packet[0] & 0x0F) ^ packet[1] ^ packet[2] ^ packet[3]
    return (folded >> 4) ^ (folded & 0x0F)


@dataclass(frozen=True)
class Request:
    """What the host sends."""

    register: int
    data: int = 0
    write: bool = False

    def to_bytes(self) -> bytes:
        packet = bytes([WRITE if self.write else 0, self.register]) + self.data.to_bytes(2, "big")
        return bytes([packet[0] | checksum(packet) << 4]) + packet[1:]


@dataclass(frozen=True)
class Answer:
    """What the module sends."""

    status: Status
    register: int
    data: bytes
    communication_error: bool = False
    """The request arrived damaged and had no effect."""

    @classmethod
    def from_bytes(cls, packet: bytes) -> "Answer":
        """Raises ValueError for what no module sends."""
        if len(packet) != SIZE or not packet[0] & FROM_MODULE or packet[0] >> 4 != checksum(packet):
            raise ValueError(f"{packet.hex(' ')} is not the answer of an ITLA")
        return cls(Status(packet[0] & 3), packet[1], packet[2:], bool(packet[0] & COMMUNICATION_ERROR))

    @property
    def unsigned(self) -> int:
        return int.from_bytes(self.data, "big")

    @property
    def signed(self) -> int:
        return int.from_bytes(self.data, "big", signed=True)


class AnswerDecoder:
    """Cuts received bytes into answers.

    There is no start mark and the checksum has four bits only. After garbage the start is looked for byte
    by byte: a false one is found in one of 32 places, and costs the answer that follows.
    """

    def __init__(self) -> None:
        self._pending = b""

    def reset(self) -> None:
        """Forget an answer that has begun."""
        self._pending = b""

    def feed(self, data: bytes) -> list[Answer]:
        """Take the next bytes and return the answers that are now whole."""
        self._pending += data
        answers = []
        while len(self._pending) >= SIZE:
            try:
                answers.append(Answer.from_bytes(self._pending[:SIZE]))
            except ValueError:
                self._pending = self._pending[1:]
            else:
                self._pending = self._pending[SIZE:]
        return answers
