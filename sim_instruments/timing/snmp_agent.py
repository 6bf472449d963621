"""SNMP v2c as a simulated instrument's agent speaks it: messages in and out, over a table of values.

`SnmpAgent.answer` takes a datagram and returns the one that goes back: for GET, GETNEXT and GETBULK the
values of a snapshot of the table, for SET the refusal of an agent that is read-only. What is no well-formed
request of version 2c with the right community is dropped without an answer, as by net-snmp's agent.

Sources: RFC 3416 (protocol operations), RFC 1901 (the message), ITU-T X.690 (BER), RFC 2578, 7.1 (types).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from sim_instruments.wire.faults import Faults

Oid = tuple[int, ...]
LARGEST_ANSWER = 1472
"""Bytes of the largest answer: what fits into an Ethernet frame. A larger one is refused as tooBig."""
MOST_REPETITIONS = 1000


class Tag(IntEnum):
    """Types of BER elements that occur in SNMP."""

    INTEGER = 0x02
    OCTET_STRING = 0x04
    NULL = 0x05
    OBJECT_IDENTIFIER = 0x06
    SEQUENCE = 0x30
    COUNTER32 = 0x41
    GAUGE32 = 0x42
    TIME_TICKS = 0x43
    COUNTER64 = 0x46
    NO_SUCH_OBJECT = 0x80
    NO_SUCH_INSTANCE = 0x81
    END_OF_MIB_VIEW = 0x82
    GET = 0xA0
    GET_NEXT = 0xA1
    RESPONSE = 0xA2
    SET = 0xA3
    GET_BULK = 0xA5


TOO_BIG, GENERAL_ERROR, NOT_WRITABLE = 1, 5, 17


@dataclass(frozen=True)
class Variable:
    """A value as the MIB types it: whole numbers, or text."""

    tag: Tag
    value: int | str = 0

    def to_bytes(self) -> bytes:
        if isinstance(self.value, str):
            return encode(self.tag, self.value.encode())
        if self.tag == Tag.INTEGER:
            return encode(self.tag, signed(self.value))
        if self.tag in (Tag.COUNTER32, Tag.GAUGE32, Tag.TIME_TICKS):
            return encode(self.tag, signed(self.value % 2**32))
        if self.tag == Tag.COUNTER64:
            return encode(self.tag, signed(self.value % 2**64))
        return encode(self.tag, b"")


Table = Mapping[Oid, Variable]


def encode(tag: int, content: bytes) -> bytes:
    """One element in BER, with the shortest length."""
    if len(content) < 128:
        return bytes([tag, len(content)]) + content
    octets = len(content).to_bytes(4).lstrip(b"\0")
    return bytes([tag, 128 + len(octets)]) + octets + content


def signed(value: int) -> bytes:
    """The shortest two's complement."""
    return value.to_bytes((value if value >= 0 else ~value).bit_length() // 8 + 1, signed=True)


def oid_to_bytes(oid: Oid) -> bytes:
    content = b""
    for arc in (40 * oid[0] + oid[1], *oid[2:]):
        septets = [arc & 127]
        while arc > 127:
            arc >>= 7
            septets.insert(0, 128 + (arc & 127))
        content += bytes(septets)
    return content


def oid_from_bytes(content: bytes) -> Oid:
    """Raises ValueError, also for a number beyond 32 bits (RFC 2578, 3.5)."""
    arcs: list[int] = []
    arc = 0
    for octet in content:
        arc = (arc << 7) + (octet & 127)
        if arc >= 2**32:
            raise ValueError("a number that is too large")
        if octet < 128:
            arcs.append(arc)
            arc = 0
    if not arcs or content[-1] > 127:
        raise ValueError("an object identifier without an end")
    first = min(arcs[0] // 40, 2)
    return (first, arcs[0] - 40 * first, *arcs[1:])


def parts(content: bytes) -> list[tuple[int, bytes]]:
    """The elements of which content consists, without a rest. Raises ValueError."""
    found = []
    while content:
        if len(content) < 2:
            raise ValueError("a tag without a length")
        tag, length, header = content[0], content[1], 2
        if length > 127:
            header += length - 128
            if length in (128, 255) or header > len(content) or header > 6:
                raise ValueError("a length that is none")
            length = int.from_bytes(content[2:header])
        if header + length > len(content):
            raise ValueError("an element that ends too early")
        found.append((tag, content[header : header + length]))
        content = content[header + length :]
    return found


def inner(content: bytes, *tags: int) -> list[bytes]:
    """The contents of the elements of which content consists, which have these tags. Raises ValueError."""
    found = parts(content)
    if tuple(tag for tag, _ in found) != tags:
        raise ValueError("elements of other types")
    return [part for _, part in found]


@dataclass(frozen=True)
class Request:
    """What a client asks. For GETBULK the first number is of non-repeaters, the second of repetitions."""

    community: bytes
    kind: Tag
    number: int
    first: int
    second: int
    oids: tuple[Oid, ...]
    bindings: bytes
    """As they came, for an answer that has to repeat them."""

    @classmethod
    def from_bytes(cls, datagram: bytes) -> "Request":
        """Raises ValueError."""
        [message] = inner(datagram, Tag.SEQUENCE)
        head = parts(message)
        if [tag for tag, _ in head[:2]] != [Tag.INTEGER, Tag.OCTET_STRING] or len(head) != 3:
            raise ValueError("no message of SNMP")
        if int.from_bytes(head[0][1]) != 1:
            raise ValueError("another version than 2c")
        kind = Tag(head[2][0])
        if kind not in (Tag.GET, Tag.GET_NEXT, Tag.GET_BULK, Tag.SET):
            raise ValueError("no request")
        *numbers, bindings = inner(head[2][1], Tag.INTEGER, Tag.INTEGER, Tag.INTEGER, Tag.SEQUENCE)
        if any(not 1 <= len(number) <= 4 for number in numbers):
            raise ValueError("a number of more than 32 bits")
        number, first, second = [int.from_bytes(n, signed=True) for n in numbers]
        oids = []
        for tag, binding in parts(bindings):
            pair = parts(binding)
            if tag != Tag.SEQUENCE or len(pair) != 2 or pair[0][0] != Tag.OBJECT_IDENTIFIER:
                raise ValueError("a binding that is none")
            oids.append(oid_from_bytes(pair[0][1]))
        return cls(head[1][1], kind, number, first, second, tuple(oids), bindings)

    def response(self, bindings: bytes, status: int = 0, index: int = 0) -> bytes:
        """The answer that has these bindings."""
        numbers = b"".join(encode(Tag.INTEGER, signed(n)) for n in (self.number, status, index))
        pdu = encode(Tag.RESPONSE, numbers + encode(Tag.SEQUENCE, bindings))
        head = encode(Tag.INTEGER, b"\1") + encode(Tag.OCTET_STRING, self.community)
        return encode(Tag.SEQUENCE, head + pdu)


class SnmpAgent:
    """Answers for the table that `table` gives at the moment of asking."""

    def __init__(self, table: Callable[[], Table], faults: Faults, community: str = "public") -> None:
        self.table, self.faults, self.community = table, faults, community.encode()

    def answer(self, datagram: bytes) -> bytes | None:
        try:
            request = Request.from_bytes(datagram)
        except ValueError:
            return None
        if request.community != self.community:
            return None
        if self.faults.take_own_error():
            return request.response(request.bindings, GENERAL_ERROR, 1)
        if request.kind == Tag.SET:
            return request.response(request.bindings, NOT_WRITABLE, 1)
        table = self.table()
        names = sorted(table)
        if request.kind == Tag.GET:
            found = [(oid, table.get(oid) or missing(oid, table)) for oid in request.oids]
        elif request.kind == Tag.GET_NEXT:
            found = [following(oid, names, table) for oid in request.oids]
        else:
            return self.bulk(request, names, table)
        response = request.response(b"".join(binding(*pair) for pair in found))
        return response if len(response) <= LARGEST_ANSWER else request.response(b"", TOO_BIG)

    @staticmethod
    def bulk(request: Request, names: list[Oid], table: Table) -> bytes:
        """As many repetitions as fit (RFC 3416, 4.2.3)."""
        single = max(0, min(request.first, len(request.oids)))
        found = [following(oid, names, table) for oid in request.oids[:single]]
        row = list(request.oids[single:])
        response = request.response(b"".join(binding(*pair) for pair in found))
        for _ in range(max(0, min(request.second, MOST_REPETITIONS)) if row else 0):
            for column, oid in enumerate(row):
                found.append(following(oid, names, table))
                row[column] = found[-1][0]
                longer = request.response(b"".join(binding(*pair) for pair in found))
                if len(longer) > LARGEST_ANSWER:
                    return response
                response = longer
            if all(variable.tag == Tag.END_OF_MIB_VIEW for _, variable in found[-len(row) :]):
                break
        return response


def binding(oid: Oid, variable: Variable) -> bytes:
    return encode(Tag.SEQUENCE, encode(Tag.OBJECT_IDENTIFIER, oid_to_bytes(oid)) + variable.to_bytes())


def missing(oid: Oid, table: Table) -> Variable:
    """Another instance of the object is there, or not even that."""
    known = any(other[: len(oid) - 1] == oid[:-1] for other in table)
    return Variable(Tag.NO_SUCH_INSTANCE if known else Tag.NO_SUCH_OBJECT)


def following(oid: Oid, names: list[Oid], table: Table) -> tuple[Oid, Variable]:
    """The first name behind `oid` in the order of the tree."""
    after = next((name for name in names if name > oid), None)
    return (oid, Variable(Tag.END_OF_MIB_VIEW)) if after is None else (after, table[after])
