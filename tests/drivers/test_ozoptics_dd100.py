"""The DD-100-MC driver against text over a pseudo-terminal: ozoptics_dd100.md, with its example."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.address import Address
from drivers.capabilities import Settings
from drivers.errors import DeadlineError, InstrumentError, LimitError, RefusedError
from drivers.optics.ozoptics_dd100 import OzOpticsDd100
from tests.drivers.eventually import eventually
from tests.drivers.hurry import PATIENT_S, in_a_hurry
from tests.drivers.table_peer import TablePeer, at_end

END = b"Done\r\n\r\n"
CONFIGURATION = b"DD-100-MC\r\nS/N:123456\r\nIL:0.60\r\nMax Atten:60.00\r\n" + END
POSITION = b"DPos:1234\r\nATTEN:12.34\r\n" + END
UNKNOWN = b"DPos:unknown\r\nATTEN:unknown\r\n" + END
TABLE = {b"CD\r": CONFIGURATION, b"D\r": POSITION, b"A12.50\r": b"Pos:1250\r\n" + END}


@pytest.fixture
async def peer() -> AsyncIterator[TablePeer]:
    peer = TablePeer(at_end(b"\r"), TABLE)
    yield peer
    peer.hang_up()


@pytest.fixture
async def attenuator(peer: TablePeer) -> AsyncIterator[OzOpticsDd100]:
    address = Address.parse(f"serial:{peer.path}")
    attenuator = OzOpticsDd100("dimmer", address, Settings(), deadline=PATIENT_S)
    yield attenuator
    await attenuator.close()


async def test_the_example_of_the_notes(attenuator: OzOpticsDd100, peer: TablePeer) -> None:
    await attenuator.open()
    assert peer.heard == [b"CD\r"]
    limits = attenuator.attenuation_limits
    assert (limits.low, limits.high) == (0.6, 60.0)
    identity = await attenuator.identity()
    assert (identity.model, identity.serial_number) == ("DD-100-MC", "123456")
    assert await attenuator.attenuation() == 12.34
    await attenuator.set_attenuation(12.5)
    assert peer.heard[-1] == b"A12.50\r"
    await eventually(attenuator.is_settled)


async def test_while_it_moves_it_is_not_settled_and_says_nothing(
    attenuator: OzOpticsDd100, peer: TablePeer
) -> None:
    await attenuator.open()
    peer.answers[b"A12.50\r"] = b"Pos:1250\r\n"
    await attenuator.set_attenuation(12.5)
    assert not await attenuator.is_settled()
    with pytest.raises(RefusedError, match=r"dimmer .*A12\.50 is under way"):
        await attenuator.attenuation()
    assert (await attenuator.identity()).serial_number == "123456"
    peer.say(END)
    await eventually(attenuator.is_settled)
    assert await attenuator.attenuation() == 12.34


async def test_before_homing(attenuator: OzOpticsDd100, peer: TablePeer) -> None:
    peer.answers[b"D\r"] = UNKNOWN
    assert not await attenuator.is_homed()
    for call in (attenuator.attenuation(), attenuator.set_attenuation(12.5)):
        with pytest.raises(RefusedError, match="before it has been homed"):
            await call
    await attenuator.home()
    await eventually(lambda: peer.heard[-1] == b"H\r")
    assert not await attenuator.is_homed()
    assert not await attenuator.is_settled()
    await attenuator.home()  # it does so anyway
    assert peer.heard.count(b"H\r") == 1
    peer.answers[b"D\r"] = POSITION
    peer.say(END)
    await eventually(attenuator.is_settled)
    assert await attenuator.is_homed()


async def test_a_homing_that_fails_is_told(attenuator: OzOpticsDd100, peer: TablePeer) -> None:
    peer.answers[b"H\r"] = b"Error-4\r\n" + END
    await attenuator.home()
    with pytest.raises(RefusedError, match="H was refused: Error-4"):
        await eventually(attenuator.is_settled)


async def test_outside_the_limits_nothing_is_sent(attenuator: OzOpticsDd100, peer: TablePeer) -> None:
    for value in (0.5, 60.1, float("nan")):
        with pytest.raises(LimitError, match=r"outside 0\.6 to 60 dB"):
            await attenuator.set_attenuation(value)
    assert peer.heard == [b"CD\r"]


async def test_there_is_no_shutter(attenuator: OzOpticsDd100) -> None:
    assert not attenuator.has_shutter
    assert await attenuator.is_open()
    await attenuator.set_open(True)
    with pytest.raises(RefusedError, match="no shutter"):
        await attenuator.set_open(False)


async def test_made_safe_from_nothing_it_goes_as_dark_as_it_can(
    attenuator: OzOpticsDd100, peer: TablePeer
) -> None:
    peer.answers[b"A60.00\r"] = b"Pos:6000\r\n"
    await attenuator.make_safe()
    assert peer.heard == [b"CD\r", b"D\r", b"A60.00\r"]
    # It still moves when it is made safe again: the line is opened, and nothing is sent twice.
    peer.next[b"CD\r"] = [b""]
    with in_a_hurry(attenuator):
        await attenuator.make_safe()
    assert peer.heard[3:] == [b"CD\r"]


async def test_made_safe_when_it_is_dark_it_stays(attenuator: OzOpticsDd100, peer: TablePeer) -> None:
    peer.answers[b"D\r"] = b"DPos:6000\r\nATTEN:60.00\r\n" + END
    await attenuator.make_safe()
    await attenuator.make_safe()
    assert not [request for request in peer.heard if request.startswith(b"A")]


async def test_made_safe_before_homing_and_while_it_goes_elsewhere(
    attenuator: OzOpticsDd100, peer: TablePeer
) -> None:
    await attenuator.open()
    peer.answers |= {b"A12.50\r": b"Pos:1250\r\n", b"A60.00\r": b"Pos:6000\r\n"}
    await attenuator.set_attenuation(12.5)
    with in_a_hurry(attenuator), pytest.raises(DeadlineError, match=r"A12\.50 has not ended"):
        await attenuator.make_safe()
    peer.answers[b"D\r"] = UNKNOWN
    peer.say(END)
    await attenuator.make_safe()
    assert peer.heard[-1] == b"A60.00\r"
    await attenuator.home()  # which it does on its way
    assert peer.heard[-1] == b"A60.00\r"


async def test_made_safe_an_attenuator_that_refuses_is_not_safe(
    attenuator: OzOpticsDd100, peer: TablePeer
) -> None:
    peer.answers[b"A60.00\r"] = b"Error-2\r\n" + END
    with pytest.raises(RefusedError, match=r"A60\.00 was refused: Error-2"):
        await attenuator.make_safe()


PIECES = st.sampled_from(
    [
        CONFIGURATION,
        POSITION,
        UNKNOWN,
        END,
        b"Pos:6000\r\n",
        b"Error-2\r\n",
        b"ATTEN:x\r\n",
        b"DPos:\r\n",
        b"IL:\r\n",
    ]
)


@given(st.lists(st.one_of(PIECES, st.binary(max_size=12)), min_size=1, max_size=4))
@settings(max_examples=12, deadline=None, derandomize=True)
def test_no_answer_crashes_the_driver(pieces: list[bytes]) -> None:
    async def call_all() -> None:
        peer = TablePeer(
            at_end(b"\r"), {ask: b"".join(pieces) for ask in (b"CD\r", b"D\r", b"A12.50\r", b"H\r")}
        )
        attenuator = OzOpticsDd100("dimmer", Address.parse(f"serial:{peer.path}"), Settings(), deadline=0.01)
        try:
            for call in (
                attenuator.open, attenuator.identity, attenuator.attenuation, attenuator.is_settled,
                attenuator.home, attenuator.make_safe, lambda: attenuator.set_attenuation(12.5),
            ):  # fmt: skip
                try:
                    await call()
                except InstrumentError:
                    continue
        finally:
            await attenuator.close()
            peer.hang_up()

    asyncio.run(call_all())
