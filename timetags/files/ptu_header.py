"""The header of PicoQuant's PTU files: a magic word, a version, and tags of 48 bytes, some with data behind
them.

Source: picoquant_tttr.md, "PTU file". A tag with an index is named here as PicoQuant prints it, such as
"HWInpChan_Enabled(0)".
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import IO, Final

MAGIC: Final = b"PQTTTR\0\0"
VERSION: Final = b"1.0.00\0\0"
END: Final = "Header_End"
DAY_ZERO: Final = datetime(1899, 12, 30)  # noqa: DTZ001 - the files state no zone

_TAG: Final = struct.Struct("<32siI8s")
_LONGEST: Final = 1 << 26
"""No header has more bytes; one that seems to is damaged (invented)."""

Value = bool | int | float | str | bytes | datetime | tuple[float, ...] | None


class Kind(IntEnum):
    """The type of a tag's value. From FLOATS on, the value is the number of bytes of the data behind it."""

    EMPTY = 0xFFFF0008
    BOOL = 0x00000008
    INT = 0x10000008
    BIT_SET = 0x11000008
    COLOUR = 0x12000008
    FLOAT = 0x20000008
    DATE = 0x21000008
    FLOATS = 0x2001FFFF
    ANSI_STRING = 0x4001FFFF
    WIDE_STRING = 0x4002FFFF
    BLOB = 0xFFFFFFFF


_WITH_DATA: Final = (Kind.FLOATS, Kind.ANSI_STRING, Kind.WIDE_STRING, Kind.BLOB)


@dataclass(frozen=True)
class Header:
    """The tags of a header by name, and the byte at which the records begin."""

    tags: dict[str, Value]
    length: int

    def number(self, name: str) -> float | None:
        """The value of a tag that is a number; None if there is no such tag, or it is none."""
        value = self.tags.get(name)
        return value if isinstance(value, int | float) else None


@dataclass(frozen=True)
class HeaderTag:
    """One tag to write; `index` is the channel that it is about, or -1."""

    name: str
    value: bool | int | float | str | datetime | None
    index: int = -1

    def to_bytes(self) -> bytes:
        """The tag and what belongs behind it."""
        kind, content, behind = Kind.EMPTY, bytes(8), b""
        match self.value:
            case bool():
                kind, content = Kind.BOOL, struct.pack("<q", self.value)
            case int():
                kind, content = Kind.INT, struct.pack("<q", self.value)
            case float():
                kind, content = Kind.FLOAT, struct.pack("<d", self.value)
            case datetime():
                days = (self.value - DAY_ZERO) / timedelta(days=1)
                kind, content = Kind.DATE, struct.pack("<d", days)
            case str():
                text = self.value.encode("latin-1", "replace") + b"\0"
                behind = text.ljust(-(-len(text) // 8) * 8, b"\0")
                kind, content = Kind.ANSI_STRING, struct.pack("<q", len(behind))
        return _TAG.pack(self.name.encode("ascii"), self.index, kind, content) + behind


def build(tags: Sequence[HeaderTag]) -> bytes:
    """A header of these tags and the end tag."""
    return MAGIC + VERSION + b"".join(tag.to_bytes() for tag in (*tags, HeaderTag(END, None)))


def value_places(tags: Sequence[HeaderTag]) -> dict[tuple[str, int], int]:
    """For each tag, by name and index, the byte in `build(tags)` at which the 8 bytes of its value begin."""
    places, at = {}, len(MAGIC + VERSION)
    for tag in tags:
        places[tag.name, tag.index] = at + _TAG.size - 8
        at += len(tag.to_bytes())
    return places


def parse(file: IO[bytes]) -> Header:
    """Read a header from the start of `file`. ValueError says what is wrong with it."""
    if file.read(len(MAGIC)) != MAGIC:
        raise ValueError("not a PTU file: it does not begin with PQTTTR")
    file.read(len(VERSION))
    tags: dict[str, Value] = {}
    while file.tell() < _LONGEST:
        raw = file.read(_TAG.size)
        if len(raw) < _TAG.size:
            raise ValueError("the PTU header is cut short")
        name_bytes, index, kind, content = _TAG.unpack(raw)
        name = name_bytes.split(b"\0")[0].decode("latin-1")
        if name == END:
            return Header(tags, file.tell())
        if kind not in tuple(Kind):
            raise ValueError(
                f"the PTU header is damaged: {name!r} has a value of the unknown type {kind:08X}"
            )
        tags[name if index < 0 else f"{name}({index})"] = _value(file, name, Kind(kind), content)
    raise ValueError("the PTU header has no end")


def _value(file: IO[bytes], name: str, kind: Kind, content: bytes) -> Value:
    (whole,), (real,) = struct.unpack("<q", content), struct.unpack("<d", content)
    data = b""
    if kind in _WITH_DATA:
        if not 0 <= whole <= _LONGEST:
            raise ValueError(f"the PTU header is damaged: {name!r} claims {whole} bytes")
        data = file.read(whole)
        if len(data) < whole:
            raise ValueError("the PTU header is cut short")
    match kind:
        case Kind.EMPTY:
            return None
        case Kind.BOOL:
            return bool(whole)
        case Kind.FLOAT:
            return float(real)
        case Kind.DATE:
            try:
                return DAY_ZERO + timedelta(days=real)
            except (ValueError, OverflowError):
                return None  # not a time that there is; nothing here depends on it
        case Kind.FLOATS:
            return struct.unpack(f"<{len(data) // 8}d", data[: len(data) // 8 * 8])
        case Kind.ANSI_STRING:
            return data.split(b"\0")[0].decode("latin-1")
        case Kind.WIDE_STRING:
            return data.decode("utf-16-le", "replace").split("\0")[0]
        case Kind.BLOB:
            return data
        case _:
            return int(whole)
