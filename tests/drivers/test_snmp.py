"""SNMP messages of the driver against bytes that pysnmp 7.1.30 (with pyasn1 0.6.5) writes and reads."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.timing.snmp import GetRequest, Response, name

SYS_DESCR = name("1.3.6.1.2.1.1.1.0")
WRS = name("1.3.6.1.4.1.96.100")
OFFSET, VERSION = (*WRS, 7, 5, 1, 10, 1), (*WRS, 6, 3, 1, 0)
GET_ONE = "30 26 02 01 01 04 06 70 75 62 6c 69 63 a0 19 02 01 01 02 01 00 02 01 00 30 0e 30 0c 06 08 2b 06 01 02 01 01 01 00 05 00"  # fmt: skip  # noqa: E501
GET_TWO = "30 3c 02 01 01 04 06 70 75 62 6c 69 63 a0 2f 02 02 01 2c 02 01 00 02 01 00 30 23 30 10 06 0c 2b 06 01 04 01 60 64 07 05 01 0a 01 05 00 30 0f 06 0b 2b 06 01 04 01 60 64 06 03 01 00 05 00"  # fmt: skip  # noqa: E501
TWO = "30 49 02 01 01 04 06 70 75 62 6c 69 63 a2 3c 02 02 01 2c 02 01 00 02 01 00 30 30 30 19 06 0c 2b 06 01 04 01 60 64 07 05 01 0a 01 46 09 00 ff ff ff ff ff ff ff f9 30 13 06 0b 2b 06 01 04 01 60 64 06 03 01 00 04 04 76 36 2e 31"  # fmt: skip  # noqa: E501
ERROR = "30 19 02 01 01 04 06 70 75 62 6c 69 63 a2 0c 02 02 01 2c 02 01 05 02 01 01 30 00"
MANY = (
    "30 82 01 32 02 01 01 04 06 70 75 62 6c 69 63 a2 82 01 23 02 02 fe d4 02 01 00 02 01 00 30 82 01 15 "
    "30 11 06 08 2b 06 01 02 01 01 03 00 43 05 00 ee 6b 28 00 "
    "30 16 06 08 2b 06 01 02 01 01 02 00 06 0a 2b 06 01 04 01 bf 08 03 02 0a "
    "30 0d 06 09 2b 06 01 04 01 60 64 09 00 80 00 "
    "30 0e 06 09 2b 06 01 04 01 60 64 01 00 02 01 fb "
    f"30 81 a4 06 09 2b 06 01 04 01 60 64 02 00 04 81 96 {150 * '78 '}"
    "30 0f 06 09 2b 06 01 04 01 60 64 03 00 42 02 00 c8 "
    "30 11 06 09 2b 06 01 04 01 60 64 04 00 40 04 7f 00 00 01"
)


def test_requests() -> None:
    assert GetRequest("public", 1, [SYS_DESCR]).to_bytes().hex(" ") == GET_ONE
    assert GetRequest("public", 300, [OFFSET, VERSION]).to_bytes().hex(" ") == GET_TWO


def test_long_requests_and_large_numbers() -> None:
    request = GetRequest("p", 2**31 - 1, [(1, 3, 6, 1, 4, 1, 4_294_967_295)] * 20).to_bytes()
    assert request[:2] == bytes.fromhex("30 82")
    assert bytes.fromhex("02 04 7f ff ff ff") in request
    assert bytes.fromhex("06 0a 2b 06 01 04 01 8f ff ff ff 7f") in request


def test_responses() -> None:
    response = Response.from_bytes(bytes.fromhex(TWO))
    assert response == Response(300, "", {OFFSET: 2**64 - 7, VERSION: b"v6.1"})
    assert Response.from_bytes(bytes.fromhex(ERROR)) == Response(300, "genErr at name 1", {})
    many = Response.from_bytes(bytes.fromhex(MANY))
    assert many.request_id == -300
    assert many.values == {
        name("1.3.6.1.2.1.1.3.0"): 4_000_000_000,
        name("1.3.6.1.2.1.1.2.0"): name("1.3.6.1.4.1.8072.3.2.10"),
        (*WRS, 9, 0): None,
        (*WRS, 1, 0): -5,
        (*WRS, 2, 0): b"x" * 150,
        (*WRS, 3, 0): 200,
        (*WRS, 4, 0): b"\x7f\x00\x00\x01",
    }


@pytest.mark.parametrize("hexadecimal", [TWO, ERROR, MANY])
def test_half_a_response_is_none(hexadecimal: str) -> None:
    message = bytes.fromhex(hexadecimal)
    for size in range(len(message)):
        with pytest.raises(ValueError, match="half an element"):
            Response.from_bytes(message[:size])
    with pytest.raises(ValueError, match="behind the end"):
        Response.from_bytes(message + b"\0")


def test_a_request_or_another_version_is_no_response() -> None:
    with pytest.raises(ValueError, match="0xa0 where 0xa2 belongs"):
        Response.from_bytes(bytes.fromhex(GET_ONE))
    with pytest.raises(ValueError, match="not SNMP version 2c"):
        Response.from_bytes(bytes.fromhex(TWO.replace("02 01 01 04", "02 01 00 04", 1)))


@given(st.binary(max_size=80), st.integers(0, 72), st.binary(min_size=1, max_size=4))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_any_bytes_are_a_response_or_a_value_error(rubbish: bytes, at: int, change: bytes) -> None:
    message = bytes.fromhex(TWO)
    for data in (rubbish, message[:at] + change + message[at + len(change) :], message[:at] + rubbish):
        try:
            Response.from_bytes(data)
        except ValueError:
            continue
