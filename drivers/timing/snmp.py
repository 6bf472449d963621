"""Reading values by SNMP v2c: the GET request and its response as bytes.

Just what a read-only driver needs, from RFC 3416 (the messages), RFC 1901 (their frame) and X.690 (BER, the
basic encoding rules). Names of values are tuples of integers, such as (1, 3, 6, 1, 2, 1, 1, 1, 0). Any bytes
that are no whole, well-formed response are a ValueError, never another exception.

Why not pysnmp: it is alive, but untyped, and brings an ASN.1 library and an engine for one kind of message.
The tests compare with the bytes that it writes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

Oid = tuple[int, ...]
Value = int | bytes | Oid | None
"""What a name can stand for: whole numbers and counters, texts and addresses as bytes, other names; None
where the instrument has no such value."""

INTEGER, OCTETS, NULL, NAME, SEQUENCE = 0x02, 0x04, 0x05, 0x06, 0x30
GET, RESPONSE = 0xA0, 0xA2
UNSIGNED = (0x41, 0x42, 0x43, 0x46)
"""Counter32, Gauge32, TimeTicks, Counter64 (RFC 2578, section 7.1)."""
BYTES = (OCTETS, 0x40, 0x44)
"""Text, IpAddress, Opaque."""
ABSENT = (NULL, 0x80, 0x81, 0x82)
"""No value: noSuchObject, noSuchInstance, endOfMibView (RFC 3416, section 2.5)."""
VERSION_2C = 1
ERRORS = {
    1: "tooBig", 2: "noSuchName", 3: "badValue", 4: "readOnly", 5: "genErr", 6: "noAccess",
    16: "authorizationError",
}  # fmt: skip
"""RFC 3416, section 3; those that can come after a GET."""


def name(text: str) -> Oid:
    """`1.3.6.1` as a tuple."""
    return tuple(int(number) for number in text.split("."))


@dataclass(frozen=True)
class GetRequest:
    """A question for the values of several names."""

    community: str
    request_id: int
    names: Sequence[Oid]

    def to_bytes(self) -> bytes:
        asked = b"".join(
            _element(SEQUENCE, _element(NAME, _name_bytes(asked)) + _element(NULL)) for asked in self.names
        )
        pdu = _integer(self.request_id) + _integer(0) + _integer(0) + _element(SEQUENCE, asked)
        community = _element(OCTETS, self.community.encode())
        return _element(SEQUENCE, _integer(VERSION_2C) + community + _element(GET, pdu))


@dataclass(frozen=True)
class Response:
    """An answer; `error` is empty, or the error's name and which of the names asked for it is about."""

    request_id: int
    error: str
    values: Mapping[Oid, Value]

    @classmethod
    def from_bytes(cls, message: bytes) -> "Response":
        """Raises ValueError for what is no response of version 2c."""
        reader = _Reader(_Reader(message).whole(SEQUENCE))
        if _signed(reader.take(INTEGER)) != VERSION_2C:
            raise ValueError("not SNMP version 2c")
        reader.take(OCTETS)
        pdu = _Reader(reader.whole(RESPONSE))
        request_id, status, index = [_signed(pdu.take(INTEGER)) for _ in range(3)]
        values: dict[Oid, Value] = {}
        for _, binding in _Reader(pdu.whole(SEQUENCE)).all():
            pair = _Reader(binding)
            asked = _names(pair.take(NAME))
            values[asked] = _value(*pair.last())
        error = f"{ERRORS.get(status, f'error {status}')} at name {index}" if status else ""
        return cls(request_id, error, values)


def _element(tag: int, content: bytes = b"") -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(length))) + length + content


def _integer(value: int) -> bytes:
    return _element(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, signed=True))


def _name_bytes(numbers: Oid) -> bytes:
    """The first two numbers are written as one; each has seven bits a byte, the highest first."""
    content = bytearray()
    for number in (40 * numbers[0] + numbers[1], *numbers[2:]):
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(0x80 | number & 0x7F)
        content += bytes(reversed(groups))
    return bytes(content)


def _names(content: bytes) -> Oid:
    if not content or content[-1] & 0x80:
        raise ValueError("a name that ends in the middle of a number")
    numbers: list[int] = []
    number = 0
    for byte in content:
        number = number << 7 | byte & 0x7F
        if number >= 2**32:  # RFC 2578, section 3.5
            raise ValueError("a number of a name that is too large")
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    first = min(2, numbers[0] // 40)
    return (first, numbers[0] - 40 * first, *numbers[1:])


def _signed(content: bytes) -> int:
    if not 0 < len(content) <= 8:
        raise ValueError(f"an integer of {len(content)} bytes")
    return int.from_bytes(content, signed=True)


def _value(tag: int, content: bytes) -> Value:
    if tag == INTEGER:
        return _signed(content)
    if tag in UNSIGNED:
        if not 0 < len(content) <= 9:  # 64 bits, and a zero in front where the first of them is set
            raise ValueError(f"a counter of {len(content)} bytes")
        return int.from_bytes(content)
    if tag in BYTES:
        return content
    if tag == NAME:
        return _names(content)
    if tag in ABSENT:
        return None
    raise ValueError(f"a value of unknown type {tag:#04x}")


class _Reader:
    """Takes elements from bytes, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def all(self) -> Iterator[tuple[int, bytes]]:
        while self._at < len(self._data):
            yield self._next()

    def take(self, tag: int) -> bytes:
        """The content of the next element, which has this tag."""
        found, content = self._next()
        if found != tag:
            raise ValueError(f"an element {found:#04x} where {tag:#04x} belongs")
        return content

    def last(self) -> tuple[int, bytes]:
        """Tag and content of the next element, after which there is nothing."""
        element = self._next()
        if self._at != len(self._data):
            raise ValueError("bytes behind the end")
        return element

    def whole(self, tag: int) -> bytes:
        """The content of the only element that is left, which has this tag."""
        content = self.take(tag)
        if self._at != len(self._data):
            raise ValueError("bytes behind the end")
        return content

    def _next(self) -> tuple[int, bytes]:
        header = self._data[self._at : self._at + 2]
        if len(header) < 2:
            raise ValueError("half an element")
        tag, size = header
        begin = self._at + 2
        if size & 0x80:
            count = size & 0x7F
            if not 0 < count <= 4:
                raise ValueError("a length of unknown form")
            size = int.from_bytes(self._data[begin : begin + count])
            begin += count
        if begin + size > len(self._data):
            raise ValueError("half an element")
        self._at = begin + size
        return tag, self._data[begin : self._at]
