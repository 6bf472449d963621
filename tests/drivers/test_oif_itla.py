"""The ITLA driver against bytes: the examples of oif_itla.md, and what goes wrong on the line."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.address import Address
from drivers.capabilities import TunableLaserSettings
from drivers.errors import ConnectError, DeadlineError, LimitError, ProtocolError, RefusedError
from drivers.lasers.itla_packet import Answer, AnswerDecoder, Request, Status
from drivers.lasers.oif_itla import OifItla
from tests.drivers.canned_line import CannedFrames, try_everything
from tests.drivers.hurry import PATIENT_S, in_a_hurry
from tests.drivers.table_peer import TablePeer, of_size

SETTINGS = TunableLaserSettings.model_validate(
    {"wavelength": "1550.12 nm", "tuning_range": "2 THz", "min_power": "6 dBm", "max_power": "13.5 dBm"}
)


def example(text: str) -> bytes:
    return bytes.fromhex(text)


NOP, READY = example("00 00 00 00"), example("54 00 00 10")
PENDING = example("54 00 01 00")
OUT_OF_RANGE = example("64 00 00 13")
POWER_10_DBM, POWER_TAKEN = example("61 31 03 e8"), example("34 31 03 e8")
POWER_20_DBM, POWER_REFUSED = example("91 31 07 d0"), example("d5 31 07 d0")
FCF1_193, FCF1_TAKEN = example("a1 35 00 c1"), example("f4 35 00 c1")
OUTPUT_ON, ON_PENDING = example("81 32 00 08"), example("e7 32 00 08")
OUTPUT_OFF, OFF_TAKEN = example("01 32 00 00"), example("54 32 00 00")
MANUFACTURER, TEXT_OF_14 = example("20 02 00 00"), example("a6 02 00 0e")
NEXT_TEXT, PU = example("b0 0b 00 00"), example("84 0b 50 75")

REQUESTS = [
    (NOP, Request(0x00)),
    (MANUFACTURER, Request(0x02)),
    (NEXT_TEXT, Request(0x0B)),
    (POWER_10_DBM, Request(0x31, 1000, write=True)),
    (POWER_20_DBM, Request(0x31, 2000, write=True)),
    (FCF1_193, Request(0x35, 193, write=True)),
    (OUTPUT_ON, Request(0x32, 8, write=True)),
    (OUTPUT_OFF, Request(0x32, 0, write=True)),
]
ANSWERS = [
    (READY, Answer(Status.OK, 0x00, b"\x00\x10")),
    (OUT_OF_RANGE, Answer(Status.OK, 0x00, b"\x00\x13")),
    (PENDING, Answer(Status.OK, 0x00, b"\x01\x00")),
    (TEXT_OF_14, Answer(Status.EXTENDED, 0x02, b"\x00\x0e")),
    (PU, Answer(Status.OK, 0x0B, b"Pu")),
    (POWER_TAKEN, Answer(Status.OK, 0x31, b"\x03\xe8")),
    (POWER_REFUSED, Answer(Status.EXECUTION_ERROR, 0x31, b"\x07\xd0")),
    (FCF1_TAKEN, Answer(Status.OK, 0x35, b"\x00\xc1")),
    (ON_PENDING, Answer(Status.PENDING, 0x32, b"\x00\x08")),
    (OFF_TAKEN, Answer(Status.OK, 0x32, b"\x00\x00")),
]


@pytest.mark.parametrize(("packet", "request_"), REQUESTS)
def test_requests_of_the_notes(packet: bytes, request_: Request) -> None:
    assert request_.to_bytes() == packet


@pytest.mark.parametrize(("packet", "answer"), ANSWERS)
def test_answers_of_the_notes(packet: bytes, answer: Answer) -> None:
    assert Answer.from_bytes(packet) == answer


def answer(status: int, register: int, data: int) -> bytes:
    """Nibble by nibble, as the notes define the checksum."""
    low = f"{0x04 | status:x}{register:02x}{data & 0xFFFF:04x}"
    parity = 0
    for nibble in low:
        parity ^= int(nibble, 16)
    return bytes.fromhex(f"{parity:x}{low}")


class Module(TablePeer):
    """Holds registers: a write is taken and acknowledged. Texts are given two characters at a time. What
    stands in `next` for a request comes before that."""

    def __init__(self) -> None:
        super().__init__(of_size(4), {})
        self.texts = {
            0x01: b"CW ITLA\0",
            0x02: b"Pure Photonics",
            0x03: b"PPCL550",
            0x04: b"42",
            0x06: b"8.0.9",
        }
        self.registers = {
            0x00: 0x10, 0x0D: 0x44, 0x30: 1, 0x31: 600, 0x32: 0, 0x34: 500, 0x35: 193, 0x36: 4000, 0x42: 0,
            0x4F: 6000, 0x52: 190, 0x54: 197, 0x62: 0,
        }  # fmt: skip
        self.text = b""

    def received(self, data: bytes) -> None:
        for request in (data[i : i + 4] for i in range(0, len(data), 4)):
            self.answers[request] = self.reply(request) if not self.next.get(request) else b""
            super().received(request)

    def reply(self, request: bytes) -> bytes:
        register, value = request[1], int.from_bytes(request[2:], "big")
        if register in self.texts:
            self.text = self.texts[register]
            return answer(2, register, len(self.text))
        if register == 0x0B:
            two, self.text = self.text[:2], self.text[2:]
            return answer(0, register, int.from_bytes(two.ljust(2, b"\0"), "big"))
        if request[0] & 1:
            self.registers[register] = value
        return answer(0, register, self.registers.get(register, 0))

    def written(self) -> list[tuple[int, int]]:
        return [(r[1], int.from_bytes(r[2:], "big")) for r in self.heard if r[0] & 1]


@pytest.fixture
async def module() -> AsyncIterator[Module]:
    module = Module()
    yield module
    module.hang_up()


@pytest.fixture
async def laser(module: Module) -> AsyncIterator[OifItla]:
    laser = OifItla("seed", Address.parse(f"serial:{module.path}"), SETTINGS, deadline=PATIENT_S)
    yield laser
    await laser.close()


async def test_opening_writes_nothing(laser: OifItla, module: Module) -> None:
    await laser.open()
    identity = await laser.identity()
    assert (identity.manufacturer, identity.model, identity.serial_number, identity.firmware) == (
        "Pure Photonics", "PPCL550", "42", "8.0.9",
    )  # fmt: skip
    assert module.written() == []
    assert module.heard.count(MANUFACTURER) == 1
    await laser.close()
    await laser.close()


async def test_texts_that_are_asked_for_at_once_are_not_mixed_up(laser: OifItla) -> None:
    one, two = await asyncio.gather(laser.identity(), laser.identity())
    assert one == two
    assert one.manufacturer == "Pure Photonics"


async def test_what_is_no_itla_is_named(laser: OifItla, module: Module) -> None:
    module.texts[0x01] = b"TOSA 7"
    with pytest.raises(ConnectError, match="a 'TOSA 7' answers"):
        await laser.open()


async def test_nobody_is_a_connect_error(laser: OifItla, module: Module) -> None:
    module.next[Request(0x01).to_bytes()] = [b""]
    with in_a_hurry(laser), pytest.raises(ConnectError, match=r"seed .*no answer"):
        await laser.open()


async def test_power_is_sent_as_the_notes_show(laser: OifItla, module: Module) -> None:
    await laser.set_power(10e-3)
    assert module.heard[0] == POWER_10_DBM
    assert await laser.power() == 0.0  # dark
    module.registers |= {0x32: 8, 0x42: 999}
    assert await laser.power() == pytest.approx(1e-3 * 10**0.999)


async def test_a_refusal_has_the_modules_reason(laser: OifItla, module: Module) -> None:
    laser.settings = SETTINGS.model_copy(update={"max_power": 200e-3})
    module.next[POWER_20_DBM] = [POWER_REFUSED]
    module.next[NOP] = [OUT_OF_RANGE]
    with pytest.raises(RefusedError, match="write 2000 to 31h was refused: OUT_OF_RANGE"):
        await laser.set_power(100e-3)


async def test_a_value_that_was_not_taken_is_refused(laser: OifItla, module: Module) -> None:
    module.next[Request(0x31).to_bytes()] = [answer(0, 0x31, 700)]
    with pytest.raises(RefusedError, match="write 1000 to 31h left it at 700"):
        await laser.set_power(10e-3)


async def test_while_dark_it_tunes_by_the_first_channel(laser: OifItla, module: Module) -> None:
    module.registers |= {0x30: 4}
    await laser.set_frequency(192.98763e12)
    assert module.registers[0x30] == 1
    frequency = module.registers[0x35] * 1e12 + module.registers[0x36] * 1e8
    assert abs(frequency - 192.98763e12) <= 0.5e8
    assert module.registers[0x62] * 1e6 == pytest.approx(192.98763e12 - frequency, abs=1e6)
    assert await laser.frequency() == pytest.approx(192.98763e12, abs=1e6)
    await laser.set_frequency(192.98757e12)  # fine tuning downwards
    assert module.registers[0x62] > 0x7FFF
    assert await laser.frequency() == pytest.approx(192.98757e12, abs=1e6)


async def test_on_its_way_the_frequency_stays_inside_the_range(laser: OifItla, module: Module) -> None:
    """From one end of 190.95 to 197.88 THz to the other, half by half."""
    laser.settings = SETTINGS.model_copy(update={"wavelength": 1542e-9, "tuning_range": 4e12})
    module.registers |= {0x35: 197, 0x36: 500}
    await laser.set_frequency(190.96e12)
    thz, steps = 197, 500
    for register, value in module.written():
        thz = value if register == 0x35 else thz
        steps = value if register == 0x36 else steps
        assert 190.95 <= thz + steps / 10_000 <= 197.88
    assert (thz, steps) == (190, 9600)


async def test_the_notes_bytes_for_the_first_channel(laser: OifItla, module: Module) -> None:
    module.registers |= {0x35: 192}
    await laser.set_frequency(193.2e12)
    assert FCF1_193 in module.heard


async def test_while_it_emits_it_tunes_finely_or_not_at_all(laser: OifItla, module: Module) -> None:
    module.registers |= {0x32: 8}
    await laser.set_frequency(193.4e12 + 5.9e9)
    assert module.written() == [(0x62, 5900)]
    with pytest.raises(RefusedError, match=r"out of the reach of fine tuning, 6e\+09 Hz"):
        await laser.set_frequency(193.4e12 + 6.1e9)
    assert len(module.written()) == 1


async def test_emission_is_sent_as_the_notes_show(laser: OifItla, module: Module) -> None:
    module.next[OUTPUT_ON] = [ON_PENDING]
    module.registers[0x32] = 8
    await laser.set_emission(True)
    module.registers[0x00] = 0x0100
    assert not await laser.is_settled()
    module.registers[0x00] = 0x0000
    assert not await laser.is_settled()  # nothing pending, but not ready
    module.registers[0x00] = 0x0010
    assert await laser.is_settled()
    assert await laser.emission()
    await laser.set_emission(False)
    assert OUTPUT_OFF in module.heard
    assert not await laser.emission()


async def test_made_safe_from_nothing_twice_and_while_it_starts(laser: OifItla, module: Module) -> None:
    await laser.make_safe()
    await laser.make_safe()
    assert module.written() == [(0x32, 0), (0x32, 0)]
    module.next[OUTPUT_OFF] = [answer(1, 0x32, 0), answer(1, 0x32, 0)]
    module.registers[0x00] = 0x0005
    await laser.make_safe()  # it refuses while it starts, and is off
    module.registers[0x32] = 8
    with pytest.raises(RefusedError, match="STILL_INITIALISING"):
        await laser.make_safe()


async def test_a_request_that_arrived_damaged_is_sent_again(laser: OifItla, module: Module) -> None:
    complaint = answer(1 | 8, 0x31, 1000)
    module.next[POWER_10_DBM] = [complaint]
    await laser.set_power(10e-3)
    assert module.heard.count(POWER_10_DBM) == 2
    module.next[POWER_10_DBM] = [complaint] * 3
    with pytest.raises(ProtocolError, match="all 3 requests arrived damaged"):
        await laser.set_power(10e-3)


async def test_a_late_answer_is_not_taken_for_the_next(laser: OifItla, module: Module) -> None:
    await laser.open()
    ask_power_set = Request(0x62).to_bytes()
    module.next[ask_power_set] = [b""]
    with in_a_hurry(laser), pytest.raises(DeadlineError, match="read 62h"):
        await laser.frequency()
    probe = Request(0x0D).to_bytes()
    module.next[probe] = [answer(0, 0x62, 777) + answer(0, 0x35, 999) + answer(0, 0x0D, 0x44)]
    assert await laser.frequency() == pytest.approx(193.4e12)


async def test_cancelling_leaves_the_line_in_step(laser: OifItla, module: Module) -> None:
    await laser.open()
    module.next[Request(0x32).to_bytes()] = [b""]
    asking = asyncio.create_task(laser.emission())
    await module.asked.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    module.next[Request(0x0D).to_bytes()] = [answer(0, 0x32, 8) + answer(0, 0x0D, 0x44)]
    assert await laser.emission() is False


async def test_a_text_that_is_none_is_nonsense(laser: OifItla, module: Module) -> None:
    module.next[MANUFACTURER] = [answer(2, 0x02, 60_000)]
    with pytest.raises(ProtocolError, match="read 02h was answered by EXTENDED ea60, no text"):
        await laser.identity()
    assert (await laser.identity()).manufacturer == "Pure Photonics"


async def test_outside_the_limits_no_byte_is_sent(laser: OifItla, module: Module) -> None:
    with pytest.raises(LimitError, match="W is outside"):
        await laser.set_power(3.9e-3)
    with pytest.raises(LimitError, match="Hz is outside"):
        await laser.set_frequency(190e12)
    assert module.heard == []


def constantly(data: bytes) -> Callable[[bytes], bytes]:
    return lambda _: data


def answered(status: int, data: int) -> Callable[[bytes], bytes]:
    """An answer about the register that was asked for."""
    return lambda request: answer(status, request[1], data)


FUZZ = st.one_of(
    st.builds(constantly, st.binary(max_size=12)),
    st.builds(answered, st.integers(0, 3), st.integers(0, 0xFFFF)),
    st.builds(answered, st.just(0), st.integers(0, 0xFFFF)),
    st.builds(answered, st.just(2), st.integers(0, 90)),
    st.builds(answered, st.integers(8, 11), st.integers(0, 0xFFFF)),
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(FUZZ, max_size=60))
def test_no_answer_crashes_the_driver(answers: list[Callable[[bytes], bytes]]) -> None:
    laser = OifItla("seed", Address.parse("serial:/dev/none"), SETTINGS)
    laser._line = CannedFrames(answers, AnswerDecoder)  # type: ignore[assignment]
    asyncio.run(try_everything(laser))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.binary(max_size=9)))
def test_the_decoder_takes_any_bytes_and_finds_what_comes_later(chunks: list[bytes]) -> None:
    """What garbage hides is the answer right after it, not those that follow."""
    decoder = AnswerDecoder()
    for chunk in chunks:
        decoder.feed(chunk)
    found = decoder.feed(POWER_TAKEN * 3)
    assert Answer.from_bytes(POWER_TAKEN) in found
