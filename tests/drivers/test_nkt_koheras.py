"""The Koheras driver against bytes: the examples of nkt_koheras.md, and what goes wrong on the line."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.address import Address
from drivers.capabilities import TunableLaserSettings
from drivers.errors import ConnectError, DeadlineError, LimitError, ProtocolError, RefusedError
from drivers.lasers.koheras_telegram import Kind, Telegram, TelegramDecoder
from drivers.lasers.nkt_koheras import NktKoheras
from tests.drivers.canned_line import CannedFrames, try_everything
from tests.drivers.eventually import eventually
from tests.drivers.hurry import PATIENT_S, in_a_hurry, past_a_silence
from tests.drivers.table_peer import TablePeer, at_end

SETTINGS = TunableLaserSettings.model_validate(
    {"wavelength": "1550.12 nm", "tuning_range": "40 GHz", "min_power": "1 mW", "max_power": "40 mW"}
)
C = 299_792_458.0
CENTRE = 15501200


def example(text: str) -> bytes:
    return bytes.fromhex(text)


READ_TYPE, TYPE = example("0d 01 a1 04 61 4c 5b 0a"), example("0d a1 01 08 61 33 61 0b 0a")
READ_SERIAL = example("0d 01 a1 04 65 0c df 0a")
SERIAL = example("0d a1 01 08 65 4b 31 37 32 32 41 30 37 1c 91 0a")
EMISSION_ON, ON_ACK = example("0d 01 a1 05 30 01 c8 d7 0a"), example("0d a1 01 03 30 c8 f2 0a")
POWER_10_MW = example("0d 01 a1 05 22 e8 03 38 0e 0a")
POWER_13 = example("0d 01 a1 05 22 5e 4d 00 e7 2a 0a")
OFFSET = example("0d 01 a1 05 2a 83 ff 68 ec 0a")
READ_CENTRE, CENTRE_ANSWER = (
    example("0d 01 a1 04 32 26 cd 0a"),
    example("0d a1 01 08 32 90 87 ec 00 11 fe 0a"),
)
NACK_99, CRC_30 = example("0d a1 01 00 99 b9 62 0a"), example("0d a1 01 01 30 ae 90 0a")

VECTORS = [
    (READ_TYPE, Telegram(1, 0xA1, 4, 0x61)),
    (TYPE, Telegram(0xA1, 1, 8, 0x61, b"\x33")),
    (READ_SERIAL, Telegram(1, 0xA1, 4, 0x65)),
    (SERIAL, Telegram(0xA1, 1, 8, 0x65, b"K1722A07")),
    (EMISSION_ON, Telegram(1, 0xA1, 5, 0x30, b"\x01")),
    (ON_ACK, Telegram(0xA1, 1, 3, 0x30)),
    (POWER_10_MW, Telegram(1, 0xA1, 5, 0x22, struct.pack("<H", 1000))),
    (POWER_13, Telegram(1, 0xA1, 5, 0x22, struct.pack("<H", 13))),
    (OFFSET, Telegram(1, 0xA1, 5, 0x2A, struct.pack("<h", -125))),
    (READ_CENTRE, Telegram(1, 0xA1, 4, 0x32)),
    (CENTRE_ANSWER, Telegram(0xA1, 1, 8, 0x32, struct.pack("<I", CENTRE))),
    (NACK_99, Telegram(0xA1, 1, 0, 0x99)),
    (CRC_30, Telegram(0xA1, 1, 1, 0x30)),
]


@pytest.mark.parametrize(("frame", "telegram"), VECTORS)
def test_telegrams_of_the_notes_in_both_directions(frame: bytes, telegram: Telegram) -> None:
    assert telegram.to_bytes() == frame
    assert Telegram.from_bytes(frame) == telegram


def read(register: int) -> bytes:
    return Telegram(1, 0xA1, Kind.READ, register).to_bytes()


def holds(register: int, layout: str, value: float) -> bytes:
    return Telegram(0xA1, 1, Kind.DATAGRAM, register, struct.pack(layout, value)).to_bytes()


def says(kind: Kind, register: int) -> bytes:
    return Telegram(0xA1, 1, kind, register).to_bytes()


EMISSION_OFF = Telegram(1, 0xA1, Kind.WRITE, 0x30, b"\0").to_bytes()
TABLE = {
    READ_TYPE: TYPE,
    READ_SERIAL: SERIAL,
    READ_CENTRE: CENTRE_ANSWER,
    EMISSION_ON: ON_ACK,
    EMISSION_OFF: ON_ACK,
    POWER_10_MW: says(Kind.ACK, 0x22),
    OFFSET: says(Kind.ACK, 0x2A),
    read(0x64): holds(0x64, "<H", 104),
    read(0x66): holds(0x66, "<H", 0),
    read(0x67): holds(0x67, "<B", 3),
    read(0x30): holds(0x30, "<B", 0),
    read(0x22): holds(0x22, "<H", 1000),
    read(0x17): holds(0x17, "<H", 998),
    read(0x2A): holds(0x2A, "<h", -125),
    read(0x72): holds(0x72, "<i", -125),
}


@pytest.fixture
async def peer() -> AsyncIterator[TablePeer]:
    peer = TablePeer(at_end(b"\x0a"), TABLE)
    yield peer
    peer.hang_up()


@pytest.fixture
async def laser(peer: TablePeer) -> AsyncIterator[NktKoheras]:
    """Each of three attempts has 0.1 s."""
    laser = NktKoheras("seed", Address.parse(f"serial:{peer.path}"), SETTINGS, deadline=PATIENT_S)
    yield laser
    await laser.close()


async def test_opening_asks_for_the_type_and_no_more(laser: NktKoheras, peer: TablePeer) -> None:
    await laser.open()
    assert peer.heard == [READ_TYPE]
    identity = await laser.identity()
    assert (identity.serial_number, identity.firmware) == ("K1722A07", "104")
    await laser.close()
    await laser.close()


async def test_another_module_is_named(laser: NktKoheras, peer: TablePeer) -> None:
    peer.answers[READ_TYPE] = holds(0x61, "<B", 0x36)
    with pytest.raises(ConnectError, match=r"seed .*type 36h, not a BASIK K1x2 \(33h\)"):
        await laser.open()


async def test_nobody_is_a_connect_error(laser: NktKoheras, peer: TablePeer) -> None:
    del peer.answers[READ_TYPE]
    with in_a_hurry(laser), pytest.raises(ConnectError, match=r"seed .*no answer"):
        await laser.open()
    assert peer.heard.count(READ_TYPE) >= 3  # about 1 in 250 is never answered


async def test_a_module_at_another_address(peer: TablePeer) -> None:
    laser = NktKoheras("seed", Address.parse(f"serial:{peer.path}?module=10"), SETTINGS, deadline=PATIENT_S)
    request = Telegram(10, 0xA1, 4, 0x61).to_bytes()
    peer.answers[request] = Telegram(0xA1, 10, 8, 0x61, b"\x33").to_bytes()
    await laser.open()
    await laser.close()


async def test_power_is_sent_as_the_notes_show(laser: NktKoheras, peer: TablePeer) -> None:
    await laser.set_power(10e-3)
    assert peer.heard == [POWER_10_MW, read(0x22)]
    assert await laser.power() == 0.0  # dark
    peer.answers[read(0x66)] = holds(0x66, "<H", 1)
    assert await laser.power() == pytest.approx(9.98e-3)


async def test_a_frequency_is_sent_as_an_offset_in_wavelength(laser: NktKoheras, peer: TablePeer) -> None:
    frequency = C / (1550.12e-9 - 12.5e-12)
    await laser.set_frequency(frequency)
    assert peer.heard[-2:] == [OFFSET, read(0x2A)]
    assert await laser.frequency() == pytest.approx(frequency, rel=1e-12)
    peer.answers[read(0x72)] = holds(0x72, "<i", -60)
    assert await laser.frequency() == pytest.approx(C / (1550.12e-9 - 6e-12), rel=1e-12)


async def test_a_module_of_another_wavelength_cannot_be_tuned_so_far(
    laser: NktKoheras, peer: TablePeer
) -> None:
    peer.answers[READ_CENTRE] = holds(0x32, "<I", 15300000)
    with pytest.raises(LimitError, match="20120 pm from"):
        await laser.set_frequency(C / 1550.12e-9)
    peer.answers[READ_CENTRE] = holds(0x32, "<I", 10640000)
    with pytest.raises(LimitError, match="centre wavelength"):
        await laser.set_frequency(C / 1550.12e-9)


async def test_emission_follows_its_switch_by_the_status(laser: NktKoheras, peer: TablePeer) -> None:
    peer.answers[read(0x66)] = holds(0x66, "<H", 1)
    peer.answers[read(0x30)] = holds(0x30, "<B", 1)
    await laser.set_emission(True)
    assert peer.heard[0] == EMISSION_ON
    assert await laser.emission()
    with in_a_hurry(laser), pytest.raises(RefusedError, match="did not go off"):
        await laser.set_emission(False)


async def test_a_refusal_tells_why(laser: NktKoheras, peer: TablePeer) -> None:
    peer.answers[EMISSION_ON] = says(Kind.NACK, 0x30)
    peer.answers[read(0x66)] = holds(0x66, "<H", 1 << 15 | 1 << 1)
    with pytest.raises(RefusedError, match=r"NACK: the interlock is open and error code 3"):
        await laser.set_emission(True)
    peer.answers[POWER_10_MW] = says(Kind.NACK, 0x22)
    with pytest.raises(RefusedError, match=r"write 1000 to 22h was answered by NACK"):
        await laser.set_power(10e-3)


async def test_emission_may_follow_a_little_later(laser: NktKoheras, peer: TablePeer) -> None:
    peer.next[read(0x66)] = [holds(0x66, "<H", 0)] * 2
    peer.answers[read(0x66)] = holds(0x66, "<H", 1)
    await laser.set_emission(True)
    assert EMISSION_OFF not in peer.heard


async def test_emission_that_does_not_follow_is_switched_off_again(
    laser: NktKoheras, peer: TablePeer
) -> None:
    with in_a_hurry(laser), pytest.raises(RefusedError, match="emission did not go on: no reason given"):
        await laser.set_emission(True)
    assert peer.heard.index(EMISSION_ON) < peer.heard.index(EMISSION_OFF)
    peer.heard.clear()
    peer.next[EMISSION_ON] = [b""]  # whether the module has heard it, nobody knows
    with in_a_hurry(laser), pytest.raises(DeadlineError, match="write 1 to 30h"):
        await laser.set_emission(True)
    assert EMISSION_OFF in peer.heard


async def test_a_value_that_was_not_taken_is_refused(laser: NktKoheras, peer: TablePeer) -> None:
    peer.answers[read(0x22)] = holds(0x22, "<H", 800)
    with pytest.raises(RefusedError, match="write 1000 to 22h left it at 800"):
        await laser.set_power(10e-3)


@pytest.mark.parametrize("complaint", [says(Kind.CRC_ERROR, 0x22), says(Kind.BUSY, 0x22), b""])
async def test_what_had_no_answer_or_no_effect_is_sent_again(
    laser: NktKoheras, peer: TablePeer, complaint: bytes
) -> None:
    await laser.open()
    peer.next[POWER_10_MW] = [complaint]
    await past_a_silence(laser, laser.set_power(10e-3), eventually(lambda: POWER_10_MW in peer.heard))
    assert peer.heard.count(POWER_10_MW) == 2


async def test_emission_is_not_switched_on_twice(laser: NktKoheras, peer: TablePeer) -> None:
    peer.next[EMISSION_ON] = [b"", b"", b""]
    with in_a_hurry(laser), pytest.raises(DeadlineError, match="write 1 to 30h"):
        await laser.set_emission(True)
    assert peer.heard.count(EMISSION_ON) == 1
    # The acknowledgement alone was lost: the status tells.
    peer.answers[read(0x66)] = holds(0x66, "<H", 1)
    await laser.set_emission(True)


async def test_a_late_answer_is_not_taken_for_the_next(laser: NktKoheras, peer: TablePeer) -> None:
    await laser.open()
    late = holds(0x22, "<H", 333)
    peer.next[read(0x17)] = [b"", b"", b""]
    peer.answers[read(0x66)] = holds(0x66, "<H", 1)
    with in_a_hurry(laser), pytest.raises(DeadlineError, match="read 17h"):
        await laser.power()
    peer.next[READ_TYPE] = [late + holds(0x17, "<H", 1) + TYPE]
    assert await laser.power() == pytest.approx(9.98e-3)


async def test_cancelling_leaves_the_line_in_step(laser: NktKoheras, peer: TablePeer) -> None:
    await laser.open()
    peer.next[read(0x66)] = [b""]
    asking = asyncio.create_task(laser.emission())
    await peer.asked.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    peer.next[READ_TYPE] = [holds(0x66, "<H", 1) + TYPE]
    assert await laser.emission() is False


async def test_a_register_of_the_wrong_length_is_nonsense(laser: NktKoheras, peer: TablePeer) -> None:
    peer.answers[read(0x66)] = Telegram(0xA1, 1, 8, 0x66, b"\x01").to_bytes()
    with pytest.raises(ProtocolError, match="register 66h holds 01"):
        await laser.emission()
    peer.answers[read(0x66)] = holds(0x66, "<H", 0)
    assert await laser.emission() is False


async def test_a_wavelength_that_cannot_be_is_nonsense(laser: NktKoheras, peer: TablePeer) -> None:
    peer.answers[read(0x72)] = holds(0x72, "<i", -CENTRE)
    with pytest.raises(ProtocolError, match="emits at 0"):
        await laser.frequency()


async def test_settled_is_wavelength_and_power_arrived(laser: NktKoheras, peer: TablePeer) -> None:
    assert await laser.is_settled()
    peer.answers[read(0x72)] = holds(0x72, "<i", 0)
    assert not await laser.is_settled()
    peer.answers[read(0x72)] = holds(0x72, "<i", -124)
    peer.answers[read(0x66)] = holds(0x66, "<H", 1)
    assert await laser.is_settled()
    peer.answers[read(0x17)] = holds(0x17, "<H", 500)
    assert not await laser.is_settled()


async def test_outside_the_limits_no_byte_is_sent(laser: NktKoheras, peer: TablePeer) -> None:
    with pytest.raises(LimitError, match=r"outside 0\.001 to 0\.04 W"):
        await laser.set_power(41e-3)
    with pytest.raises(LimitError, match="Hz is outside"):
        await laser.set_frequency(C / 1550.12e-9 + 41e9)
    assert peer.heard == []


async def test_made_safe_from_nothing_and_twice(laser: NktKoheras, peer: TablePeer) -> None:
    await laser.make_safe()
    await laser.make_safe()
    assert peer.heard.count(EMISSION_OFF) == 2
    assert EMISSION_ON not in peer.heard
    peer.answers[read(0x66)] = holds(0x66, "<H", 1)
    with in_a_hurry(laser), pytest.raises(RefusedError, match="did not go off"):
        await laser.make_safe()


async def test_a_line_that_cannot_be_opened_is_a_connect_error() -> None:
    laser = NktKoheras("seed", Address.parse("serial:/dev/no-such-port"), SETTINGS)
    with pytest.raises(ConnectError, match="no-such-port"):
        await laser.open()
    with pytest.raises(ConnectError):
        await laser.make_safe()


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([frame for frame, _ in VECTORS]))))
def test_the_decoder_takes_any_bytes_and_finds_what_comes_after(chunks: list[bytes]) -> None:
    decoder = TelegramDecoder()
    for chunk in chunks:
        decoder.feed(chunk)
    decoder.feed(b"\x0a")
    assert decoder.feed(SERIAL) == [Telegram(0xA1, 1, 8, 0x65, b"K1722A07")]


def constantly(data: bytes) -> Callable[[bytes], bytes]:
    return lambda _: data


def answered(kind: int, data: bytes) -> Callable[[bytes], bytes]:
    """An answer about the register that was asked for."""
    return lambda request: Telegram(0xA1, 1, kind, Telegram.from_bytes(request).register, data).to_bytes()


ANSWERS = st.one_of(
    st.builds(constantly, st.binary(max_size=20)),
    st.builds(answered, st.sampled_from([0, 1, 3, 8]), st.binary(max_size=4)),
    st.builds(answered, st.just(8), st.sampled_from([b"\x33", b"\1\0", b"\0\0", b"\xff\xff\xff\xff"])),
    st.just(answered(3, b"")),
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(ANSWERS, max_size=25))
def test_no_answer_crashes_the_driver(answers: list[Callable[[bytes], bytes]]) -> None:
    laser = NktKoheras("seed", Address.parse("serial:/dev/none"), SETTINGS)
    laser._line = CannedFrames(answers, TelegramDecoder)  # type: ignore[assignment]
    asyncio.run(try_everything(laser))
