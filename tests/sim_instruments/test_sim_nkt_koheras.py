"""The simulated Koheras BASIK, spoken to as bytes. Expected bytes are those of nkt_koheras.md."""

import asyncio
import struct
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.instrument import Placed
from sim_instruments.lasers.koheras_interbus import BusReader, Message, crc
from sim_instruments.lasers.nkt_koheras import HEATING_PM_S, SimNktKoheras
from sim_instruments.ports import LaserPort, Ports
from tests.sim_instruments.apt_bench import SerialClient

ACK, NACK, CRC_COMPLAINT, DATAGRAM = 3, 0, 1, 8
READ, WRITE, SET_BITS, CLEAR_BITS, TOGGLE_BITS = 4, 5, 6, 7, 9
READ_TYPE, TYPE = "0d 01 a1 04 61 4c 5b 0a", "0d a1 01 08 61 33 61 0b 0a"
C = 299_792_458.0


class Bench:
    """A laser at 1550.12 nm of at most 40 mW, asked without a line between."""

    def __init__(self, serial: str = "K1722A07") -> None:
        self.port = LaserPort()
        self.sim = SimNktKoheras(
            "seed", np.random.default_rng(1), self.port, wavelength_m=1550.12e-9, max_power_w=40e-3
        )
        self.sim.basik.serial = serial

    def raw(self, request: str) -> str:
        """What is answered to these bytes."""
        answers = [self.sim.answer(message) for message in BusReader().feed(bytes.fromhex(request))]
        return b"".join(answers).hex(" ")

    def ask(self, type_: int, register: int, data: bytes = b"", dest: int = 1) -> tuple[int, bytes]:
        """Type and data of the answer; the telegrams themselves are tested by `raw`."""
        answer = self.sim.answer(Message(dest, 0xA1, type_, register, data))
        [message] = BusReader().feed(answer)
        assert (message.dest, message.source, message.register) == (0xA1, dest, register)
        return message.type, message.data

    def number(self, register: int, layout: str) -> int:
        type_, data = self.ask(READ, register)
        assert type_ == DATAGRAM
        return int(struct.unpack(layout, data)[0])

    def write(self, register: int, layout: str, value: float) -> int:
        return self.ask(WRITE, register, struct.pack(layout, value))[0]

    def moving(self) -> bool:
        return self.sim.moving


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (READ_TYPE, TYPE),
        ("0d 01 a1 04 65 0c df 0a", "0d a1 01 08 65 4b 31 37 32 32 41 30 37 1c 91 0a"),
        ("0d 01 a1 05 30 01 c8 d7 0a", "0d a1 01 03 30 c8 f2 0a"),
        ("0d 01 a1 04 32 26 cd 0a", "0d a1 01 08 32 90 87 ec 00 11 fe 0a"),
        ("0d 01 a1 05 30 01 c8 d6 0a", "0d a1 01 01 30 ae 90 0a"),  # one bit of the checksum changed
    ],
)
def test_the_examples_of_the_notes(bench: Bench, request_: str, answer: str) -> None:
    assert bench.raw(request_) == answer


def test_a_register_that_is_not_there_gives_the_notes_nack(bench: Bench) -> None:
    head = bytes([0x01, 0xA1, READ, 0x99])
    assert (
        bench.raw((b"\x0d" + head + crc(head).to_bytes(2, "big") + b"\x0a").hex())
        == "0d a1 01 00 99 b9 62 0a"
    )


@pytest.mark.parametrize(
    ("request_", "register", "layout", "value"),
    [
        ("0d 01 a1 05 22 e8 03 38 0e 0a", 0x22, "<H", 1000),  # 10.00 mW
        ("0d 01 a1 05 2a 83 ff 68 ec 0a", 0x2A, "<h", -125),  # -12.5 pm
        ("0d 01 a1 05 22 5e 4d 00 e7 2a 0a", 0x22, "<H", 13),  # stuffed
    ],
)
def test_written_values_of_the_notes_are_taken(
    bench: Bench, request_: str, register: int, layout: str, value: int
) -> None:
    assert bench.raw(request_).startswith(f"0d a1 01 03 {register:02x}")
    assert bench.number(register, layout) == value


async def test_over_the_line_in_pieces_and_with_noise_between() -> None:
    sim = SimNktKoheras.place(
        Placed("seed", "nkt_koheras", {"wavelength": 1550.12e-9, "max_power": 40e-3}),
        Ports(),
        np.random.default_rng(1),
    )
    client = SerialClient(await sim.start())
    try:
        assert (await client.ask(f"00 0a 0d 33 {READ_TYPE}", 9)).hex(" ") == TYPE
        for byte in bytes.fromhex(READ_TYPE):
            client.send(f"{byte:02x}")
            await asyncio.sleep(0)
        assert (await client.read(9)).hex(" ") == TYPE
        client.send("0d 05 a1 04 61 86 aa 0a")  # nobody lives at address 5
        assert (await client.ask(READ_TYPE, 9)).hex(" ") == TYPE
        assert client.left == b""
    finally:
        client.close()
        await sim.stop()


def test_emission_makes_light_that_rises_within_seconds(bench: Bench) -> None:
    assert bench.port.power_w == 0.0
    assert bench.number(0x66, "<H") == 0
    bench.write(0x22, "<H", 1000)
    assert bench.write(0x30, "<B", 1) == ACK
    assert bench.number(0x66, "<H") == 1
    bench.sim.advance(0.1)
    assert 0.0 < bench.port.power_w < 5e-3
    assert bench.moving()
    bench.sim.advance(10.0)
    assert bench.port.power_w == pytest.approx(10e-3, rel=1e-6)
    assert not bench.moving()
    assert bench.number(0x17, "<H") == 1000
    assert bench.number(0x90, "<h") == 1000  # 10 dBm
    bench.write(0xA0, "<h", 700)  # 7.00 dBm is 5.01 mW
    assert bench.number(0x22, "<H") == 501
    bench.write(0x30, "<B", 0)
    assert bench.port.power_w == 0.0


def test_an_emission_delay_is_waited_for(bench: Bench) -> None:
    assert bench.write(0x3A, "<B", 5) == ACK
    bench.write(0x30, "<B", 1)
    bench.sim.advance(4.9)
    assert bench.port.power_w == 0.0
    bench.sim.advance(5.0)
    assert bench.port.power_w > 0.9e-3


def test_the_wavelength_follows_by_heating(bench: Bench) -> None:
    assert bench.port.detuning_hz == pytest.approx(0.0, abs=1.0)
    assert bench.write(0x2A, "<h", 1000) == ACK  # 100 pm
    bench.sim.advance(2.0)
    assert bench.number(0x72, "<i") == pytest.approx(10 * HEATING_PM_S * 2.0)
    assert bench.moving()
    bench.sim.advance(60.0)
    assert bench.number(0x72, "<i") == 1000
    # A longer wavelength is a lower frequency: by c times the difference, over the wavelengths.
    assert bench.port.detuning_hz == pytest.approx(-C * 100e-12 / (1550.12e-9 * 1550.22e-9), rel=1e-6)
    assert bench.number(0x1C, "<h") != 250


@pytest.mark.parametrize(
    ("register", "data"),
    [
        (0x22, "e803 00"),  # too long
        (0x22, "ffff"),  # 655 mW
        (0x2A, "ff7f"),  # beyond the range
        (0x30, "02"),
        (0x61, "33"),  # to be read only
        (0x65, "41"),
        (0xB5, "02"),
        (0x2C, "e903"),  # 100.1 %
        (0xB8, "0000c07f 00000000"),  # not a number
        (0x8D, ""),
        (0x99, "00"),
    ],
)
def test_what_is_not_taken_gets_nack_and_changes_nothing(bench: Bench, register: int, data: str) -> None:
    before = repr(vars(bench.sim.basik))
    assert bench.ask(WRITE, register, bytes.fromhex(data))[0] == NACK
    assert repr(vars(bench.sim.basik)) == before


def test_bits_are_set_cleared_and_toggled(bench: Bench) -> None:
    def setup() -> int:
        return bench.number(0x31, "<H")

    assert bench.ask(SET_BITS, 0x31, b"\x12\x00")[0] == ACK
    assert setup() == 0x12
    bench.ask(CLEAR_BITS, 0x31, b"\x02\x01")
    assert setup() == 0x10
    bench.ask(TOGGLE_BITS, 0x31, b"\x11\x00")
    assert setup() == 0x01
    assert bench.ask(SET_BITS, 0x31, b"\x01")[0] == NACK
    assert bench.ask(SET_BITS, 0x66, b"\x01\x00")[0] == NACK


def test_other_registers(bench: Bench) -> None:
    frequencies = struct.pack("<2f", 10.0, 2500.0)
    assert bench.ask(WRITE, 0xB8, frequencies)[0] == ACK
    assert bench.ask(READ, 0xB8) == (DATAGRAM, frequencies)
    assert bench.ask(WRITE, 0x8D, b"ours")[0] == ACK
    assert bench.ask(READ, 0x8D) == (DATAGRAM, b"ours".ljust(240, b"\0"))
    for register, layout in {0x1E: "<H", 0x64: "<H", 0x67: "<B", 0xB5: "<B", 0xB7: "<H", 0x2B: "<H"}.items():
        assert bench.number(register, layout) >= 0


def test_the_mainframe(bench: Bench) -> None:
    assert bench.ask(READ, 0x61, dest=0x80) == (DATAGRAM, b"\x34")
    assert bench.ask(READ, 0x66, dest=0x80) == (DATAGRAM, b"\0\0")
    assert bench.ask(READ, 0x30, dest=0x80)[0] == NACK
    assert bench.sim.answer(Message(0x0F, 0xA1, READ, 0x61)) == b""


def test_an_open_interlock_ends_the_emission_and_keeps_it_off(bench: Bench) -> None:
    bench.write(0x30, "<B", 1)
    bench.sim.advance(10.0)
    bench.sim.open_interlock()
    assert bench.port.power_w == 0.0
    assert bench.number(0x66, "<H") == 1 << 1
    assert bench.write(0x30, "<B", 1) == NACK
    bench.sim.close_interlock()
    bench.sim.advance(10.0)
    assert bench.port.power_w == 0.0
    assert bench.write(0x30, "<B", 1) == ACK


def test_a_power_cycle_leaves_the_set_points_and_no_light(bench: Bench) -> None:
    bench.write(0x22, "<H", 2000)
    bench.write(0x2A, "<h", 100)
    bench.write(0x30, "<B", 1)
    bench.sim.advance(10.0)
    bench.sim.power_cycle()
    assert bench.port.power_w == 0.0
    assert bench.number(0x66, "<H") == 0
    assert bench.number(0x22, "<H") == 2000
    assert bench.number(0x2A, "<h") == 100


def test_an_error_of_its_own_is_nack_without_effect(bench: Bench) -> None:
    bench.sim.faults.own_errors = 1
    assert bench.ask(READ, 0x61) == (DATAGRAM, b"\x33")
    assert bench.write(0x30, "<B", 1) == NACK
    assert bench.number(0x66, "<H") == 0


async def test_now_and_then_it_does_not_answer() -> None:
    """Of 10000 requests each stays unanswered with 1/250, 40 in the mean: fewer than 5 or more than 100
    happen with less than 1e-10 (Poisson)."""
    bench = Bench()
    bench.sim.unanswered = 1 / 250
    answers: list[bytes] = []
    bench.sim._line.send = answers.append  # type: ignore[method-assign, assignment]
    for _ in range(10_000):
        bench.sim._received(bytes.fromhex(READ_TYPE))
    assert 5 <= 10_000 - len(answers) <= 100


def noise() -> Iterator[st.SearchStrategy[bytes]]:
    yield st.binary(max_size=60)
    yield st.builds(
        lambda dest, type_, register, data: Message(0xA1, dest, type_, register).answer(type_, data),
        st.sampled_from([1, 0x80, 7]),
        st.integers(0, 12),
        st.integers(0, 255),
        st.binary(max_size=12),
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.one_of(*noise()), max_size=8))
def test_any_bytes_leave_it_able_to_answer(chunks: list[bytes]) -> None:
    bench = Bench()
    reader = BusReader()
    for chunk in chunks:
        for message in reader.feed(chunk):
            bench.sim.answer(message)
        bench.sim.advance(0.25)
    [message] = reader.feed(b"\x0a" + bytes.fromhex(READ_TYPE))
    assert bench.sim.answer(message).hex(" ") == TYPE
