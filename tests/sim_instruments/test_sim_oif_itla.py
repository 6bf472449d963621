"""The simulated ITLA, spoken to as bytes. Expected bytes are those of oif_itla.md."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.instrument import Placed
from sim_instruments.lasers.itla_module import READY_S, TUNING_S
from sim_instruments.lasers.oif_itla import Registers, SimOifItla
from sim_instruments.ports import LaserPort, Ports
from tests.sim_instruments.apt_bench import SerialClient

NOP = "00 00 00 00"
OK, XE, AEA, CP = 0, 1, 2, 3
C = 299_792_458.0
NOMINAL_HZ = C / 1550.12e-9


class Bench:
    """A module at 1550.12 nm, of 6 to 13.5 dBm, that has started."""

    def __init__(self) -> None:
        ports = Ports()
        self.sim = SimOifItla.place(
            Placed(
                "seed",
                "oif_itla",
                {
                    "wavelength": 1550.12e-9,
                    "tuning_range": 2e12,
                    "min_power": 1e-3 * 10**0.6,
                    "max_power": 1e-3 * 10**1.35,
                },
            ),
            ports,
            np.random.default_rng(1),
        )
        self.port: LaserPort = ports.lasers["seed"]
        self.sim.advance(READY_S)

    @property
    def registers(self) -> Registers:
        return self.sim.registers

    def raw(self, request: str) -> str:
        return self.registers.received(bytes.fromhex(request)).hex(" ")

    def ask(self, register: int, data: int = 0, *, write: bool = False) -> tuple[int, int]:
        """Status and data of the answer."""
        body = bytes([int(write), register]) + (data & 0xFFFF).to_bytes(2, "big")
        nibbles = "".join(f"{byte:02x}" for byte in body)[1:]
        parity = 0
        for nibble in nibbles:
            parity ^= int(nibble, 16)
        answer = self.registers.received(bytes([parity << 4 | body[0]]) + body[1:])
        assert len(answer) == 4
        assert answer[0] & 0x0C == 0x04  # from the module, no communication error
        assert answer[1] == register
        return answer[0] & 3, int.from_bytes(answer[2:], "big")

    def read(self, register: int) -> int:
        status, data = self.ask(register)
        assert status == OK
        return data

    def write(self, register: int, data: int) -> int:
        return self.ask(register, data, write=True)[0]

    def error(self) -> int:
        return self.read(0x00) & 0x0F

    def moving(self) -> bool:
        return self.sim.moving


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_examples_of_the_notes(bench: Bench) -> None:
    assert bench.raw(NOP) == "54 00 00 10"
    assert bench.raw("20 02 00 00") == "a6 02 00 0e"
    texts = [bytes.fromhex(bench.raw("b0 0b 00 00")) for _ in range(7)]
    assert texts[0].hex(" ") == "84 0b 50 75"
    assert b"".join(text[2:] for text in texts) == b"Pure Photonics"
    assert bench.raw("61 31 03 e8") == "34 31 03 e8"
    assert bench.raw("91 31 07 d0") == "d5 31 07 d0"
    assert bench.raw(NOP) == "64 00 00 13"
    assert bench.raw("a1 35 00 c1") == "f4 35 00 c1"
    assert bench.raw("81 32 00 08") == "e7 32 00 08"
    assert bench.raw(NOP) == "54 00 01 00"
    assert bench.raw("01 32 00 00") == "54 32 00 00"


async def test_over_the_line() -> None:
    bench = Bench()
    client = SerialClient(await bench.sim.start())
    try:
        assert (await client.ask(NOP, 4)).hex(" ") == "54 00 00 10"
        client.send("61 31")
        assert (await client.ask("03 e8", 4)).hex(" ") == "34 31 03 e8"
        # Sent in one: both are answered, in order.
        assert (await client.ask(f"{NOP} 20 02 00 00", 8)).hex(" ") == "54 00 00 10 a6 02 00 0e"
    finally:
        client.close()
        await bench.sim.stop()


def test_a_damaged_packet_is_complained_of_and_has_no_effect(bench: Bench) -> None:
    answer = bytes.fromhex(bench.raw("71 31 03 e8"))  # the checksum of 10.00 dBm is 6
    assert answer[0] & 0x0F == 0x04 | 0x08 | XE
    assert bench.raw("61 31 03 e8") == "34 31 03 e8"


def test_a_packet_that_does_not_go_on_is_given_up_after_a_pause(bench: Bench) -> None:
    assert bench.raw("00") == ""
    bench.sim.advance(0.25)
    assert bench.raw("00") == ""  # it goes on
    bench.sim.advance(0.25)
    assert bench.raw("00 00") == "54 00 00 10"
    assert bench.raw("00") == ""
    bench.sim.advance(0.25)
    bench.sim.advance(0.25)
    assert bench.raw("20 02 00 00") == "a6 02 00 0e"


def test_the_last_answer_is_sent_again_when_asked_for(bench: Bench) -> None:
    assert bench.raw("61 31 03 e8") == "34 31 03 e8"
    assert bench.raw("88 00 00 00") == "34 31 03 e8"
    assert bench.raw("88 00 00 00") == "34 31 03 e8"


def test_it_needs_a_while_to_start() -> None:
    bench = Bench()
    bench.sim.power_cycle()
    assert bench.read(0x00) & 0x10 == 0
    assert bench.write(0x32, 8) == XE
    assert bench.error() == 5
    assert bench.port.power_w == 0.0
    bench.sim.advance(READY_S)
    assert bench.read(0x00) & 0x10
    assert bench.write(0x32, 8) == CP


def test_switching_on_is_pending_and_then_there_is_light(bench: Bench) -> None:
    bench.write(0x31, 1000)
    assert bench.write(0x32, 8) == CP
    bench.sim.advance(0.9 * TUNING_S)
    assert bench.moving()
    assert bench.read(0x00) == 0x0100
    assert bench.port.power_w == 0.0
    bench.sim.advance(0.2 * TUNING_S)
    assert bench.read(0x00) == 0x0010
    assert not bench.moving()
    assert bench.port.power_w == pytest.approx(10e-3)
    assert bench.read(0x42) == 1000
    assert bench.read(0x32) == 8
    assert bench.write(0x31, 700) == CP
    bench.sim.advance(1.0)
    assert bench.port.power_w == pytest.approx(1e-3 * 10**0.7)
    assert bench.write(0x32, 0) == OK
    assert bench.port.power_w == 0.0
    assert bench.read(0x32) == 0


def test_the_frequency_is_first_channel_plus_grid_plus_fine_tuning(bench: Bench) -> None:
    for register, data in {0x35: 193, 0x36: 4000, 0x34: 500, 0x30: 3}.items():
        assert bench.write(register, data) == OK
    assert bench.write(0x62, -250) == OK
    assert (bench.read(0x40), bench.read(0x41)) == (193, 5000)  # 193.4 THz and two steps of 50 GHz
    assert bench.port.detuning_hz == pytest.approx(193.5e12 - 250e6 - NOMINAL_HZ, abs=1.0)
    assert bench.read(0x62) == 0x10000 - 250


@pytest.mark.parametrize(
    ("register", "data", "code"),
    [
        (0x35, 150, 3),  # out of range
        (0x36, 10_000, 3),
        (0x30, 0, 3),
        (0x30, 0xFFFF, 3),
        (0x62, 20_000, 3),
        (0x31, 0x8000, 3),  # -327.68 dBm
        (0x32, 0x80, 3),
        (0x90, 3, 3),
        (0x21, 1, 3),
        (0x40, 1, 2),  # not writable
        (0x02, 1, 2),
        (0x0B, 1, 2),
        (0x77, 1, 1),  # not there
    ],
)
def test_what_is_not_executed_has_its_code_and_no_effect(
    bench: Bench, register: int, data: int, code: int
) -> None:
    before = repr(vars(bench.sim.module))
    assert bench.write(register, data) == XE
    assert bench.error() == code
    assert repr(vars(bench.sim.module)) == before
    assert bench.write(0x31, 1000) == OK
    assert bench.error() == 0


def test_while_it_emits_only_fine_tuning_moves_it(bench: Bench) -> None:
    bench.write(0x32, 8)
    assert bench.write(0x35, 193) == XE
    assert bench.error() == 4  # pending
    bench.sim.advance(TUNING_S)
    for register in (0x30, 0x34, 0x35, 0x36):
        assert bench.write(register, 193) == XE
        assert bench.error() == 9
    before = bench.port.detuning_hz
    assert bench.write(0x62, 1500) == OK
    assert bench.port.detuning_hz - before == pytest.approx(1.5e9, abs=1.0)


def test_limits_and_readings(bench: Bench) -> None:
    assert (bench.read(0x50), bench.read(0x51)) == (600, 1350)
    lowest = bench.read(0x52) * 1e12 + bench.read(0x53) * 1e8
    highest = bench.read(0x54) * 1e12 + bench.read(0x55) * 1e8
    assert lowest <= C / 1570e-9 < C / 1515e-9 <= highest
    assert bench.read(0x42) - 0x10000 < 600  # negative: no light
    assert 1000 < bench.read(0x43) < 6000
    assert bench.read(0x4F) > 0
    assert bench.ask(0x58) == (AEA, 4)
    assert bench.ask(0x57) == (AEA, 4)
    tec_ma = bench.read(0x0B) / 10
    assert 0 < tec_ma < 3000


def test_latched_bits_settings_and_mode(bench: Bench) -> None:
    for register in (0x20, 0x21):
        assert bench.write(register, 0xFFFF) == OK
        assert bench.read(register) == 0
    for register in (0x08, 0x0D, 0x22, 0x28, 0x33):
        assert bench.write(register, 0x1234) == OK
        assert bench.read(register) == 0x1234
    assert bench.write(0x90, 2) == OK
    assert bench.read(0x90) == 2


@pytest.mark.parametrize("bit", [1, 2])
def test_a_reset_makes_it_dark(bench: Bench, bit: int) -> None:
    bench.write(0x32, 8)
    bench.sim.advance(TUNING_S)
    assert bench.port.power_w > 0
    bench.write(0x32, bit)
    bench.sim.advance(TUNING_S)
    assert bench.port.power_w == 0.0
    assert bench.read(0x32) == 0


def test_a_module_of_another_band_has_that_range() -> None:
    settings_ = {"wavelength": 1310e-9, "tuning_range": 1e12, "min_power": 4e-3, "max_power": 2e-2}
    sim = SimOifItla.place(Placed("o", "oif_itla", settings_), Ports(), np.random.default_rng(1))
    assert sim.module.lowest * 1e8 <= C / 1310e-9 - 1e12
    assert sim.module.highest * 1e8 >= C / 1310e-9 + 1e12


def test_an_error_of_its_own(bench: Bench) -> None:
    bench.sim.faults.own_errors = 1
    assert bench.raw("20 02 00 00") == "a6 02 00 0e"
    assert bench.write(0x32, 8) == XE
    assert bench.error() != 0
    assert bench.read(0x32) == 0


PACKETS = st.builds(
    lambda register, data, write: bytes([int(write), register, data >> 8, data & 0xFF]),
    st.integers(0, 255),
    st.integers(0, 0xFFFF),
    st.booleans(),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.one_of(st.binary(max_size=30), PACKETS), max_size=10))
def test_any_bytes_leave_it_able_to_answer(chunks: list[bytes]) -> None:
    bench = Bench()
    for chunk in chunks:
        if len(chunk) == 4:  # with the right checksum, so that it is executed
            parity = (chunk[0] & 0x0F) ^ chunk[1] ^ chunk[2] ^ chunk[3]
            chunk = bytes([(chunk[0] & 0x0F) | ((parity >> 4) ^ (parity & 0x0F)) << 4, *chunk[1:]])
        bench.registers.received(chunk)
        bench.sim.advance(0.25)
    for _ in range(2):
        bench.sim.advance(0.25)
    assert bench.raw("20 02 00 00") == "a6 02 00 0e"
