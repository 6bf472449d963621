"""The simulated EPC-400, spoken to as text. Expected lines are those of ozoptics_epc400.md."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.instrument import Placed
from sim_instruments.polarization.ozoptics_epc400 import SimOzOpticsEpc400
from sim_instruments.ports import Ports
from sim_instruments.world.polarization import retarder, stokes
from tests.sim_instruments.apt_bench import SerialClient

HALF_WAVE_V = 1.25


class Bench:
    """Squeezers of 1.25 V for half a wave, asked without a line between."""

    def __init__(self) -> None:
        ports = Ports()
        placed = Placed("epc", "ozoptics_epc400", {"half_wave_voltage": HALF_WAVE_V})
        self.sim = SimOzOpticsEpc400.place(placed, ports, np.random.default_rng(1))
        self.port = ports.plates["epc"]

    def ask(self, *commands: str) -> list[str]:
        return [self.sim.answer(command) for command in commands]


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_the_examples_of_the_notes() -> None:
    bench = Bench()
    client = SerialClient(await bench.sim.start())

    async def ask(command: bytes, answer: bytes) -> None:
        assert await client.ask(command.hex(), len(answer)) == answer

    try:
        await ask(b"V1,-1250\r\n", b"Set CH1 DC Voltage at: -1250mV\r\nDone\r\n")
        await ask(b"V1,9000\r\n", b"Error!\r\n")
        await ask(b"v?\r", b"Voltage(mV): CH1 -1250 CH2 +0000 CH3 +0000 CH4 +0000\r\nDone\r\n")
        assert client.left == b""
    finally:
        client.close()
        await bench.sim.stop()


def test_the_table_of_the_notes(bench: Bench) -> None:
    assert bench.ask("V2,-1250", "VH4", "V?", "VL4", "VZ2", "V?") == [
        "Set CH2 DC Voltage at: -1250mV",
        "Set CH4 DC Voltage at: 5000mV",
        "Voltage(mV): CH1 +0000 CH2 -1250 CH3 +0000 CH4 +5000",
        "Set CH4 DC Voltage at: -5000mV",
        "Set CH2 DC Voltage at: 0mV",
        "Voltage(mV): CH1 +0000 CH2 +0000 CH3 +0000 CH4 -5000",
    ]
    assert bench.ask("F?", "F1,25", "M?", "MAC", "M?", "WF2", "WF?", "M?", "WF1", "MDC", "M?") == [
        "Frequency(Hz): CH1 007  CH2 017  CH3 037  CH4 071",
        "Set CH1 AC Frequency at: 25Hz",
        "Work Mode: DC",
        "Set To AC Mode",
        "Work Mode: AC(Sine)",
        "Set AC Waveform at: Triangle",
        "AC Waveform: Triangle",
        "Work Mode: AC(Triangle)",
        "Set AC Waveform at: Sine",
        "Set To DC Mode",
        "Work Mode: DC",
    ]
    assert bench.ask("VF?", "ENVF1", "VF2", "VF?", "VF2", "ENVF0", "SAVE") == [
        "Hz<->Volt at AC Mode is disabled: CH1-F,CH2-F,CH3-F,CH4-F",
        "Enable DC Voltage Output at AC Mode",
        "Set CH2 output to: Volt (if possible)",
        "Hz<->Volt at AC Mode is enabled: CH1-F,CH2-V,CH3-F,CH4-F",
        "Set CH2 output to: Hz (if possible)",
        "Disable DC Voltage Output at AC Mode",
        "Write Setting to Flash memory",
    ]


@pytest.mark.parametrize(
    "command", ["", "V1", "V5,0", "V1,5001", "V1,-5001", "V1,1.5", "F1,101", "F1,-1", "WF3", "*IDN?", "V1,0x"]
)
def test_the_rest_is_an_error_without_effect(bench: Bench, command: str) -> None:
    before = repr(vars(bench.sim.squeezers))
    assert bench.ask(command) == ["Error!"]
    assert repr(vars(bench.sim.squeezers)) == before


def test_a_squeezer_at_45_degrees_with_half_a_wave_turns_h_to_v(bench: Bench) -> None:
    bench.ask("V2,1250")
    assert [retardance for retardance, _ in bench.port.plates] == pytest.approx([0, math.pi, 0, 0])
    assert [axis for _, axis in bench.port.plates] == pytest.approx([0, math.pi / 4, 0, math.pi / 4])
    light = np.array([1.0, 0.0], dtype=np.complex128)
    for plate in bench.port.plates:
        light = retarder(*plate) @ light
    assert stokes(light) == pytest.approx([1, -1, 0, 0], abs=1e-12)
    assert not bench.sim.moving


def test_in_ac_mode_it_scrambles_at_its_frequencies(bench: Bench) -> None:
    bench.ask("F1,10", "F2,0", "MAC")
    assert bench.sim.moving
    bench.sim.advance(0.025)  # a quarter of the period of 10 Hz: the top of the sine, 5 V
    assert bench.port.plates[0][0] == pytest.approx(math.pi * 5.0 / HALF_WAVE_V)
    assert bench.port.plates[1][0] == 0.0
    bench.sim.advance(0.05)
    assert bench.port.plates[0][0] == pytest.approx(-math.pi * 5.0 / HALF_WAVE_V)
    bench.ask("WF2")
    bench.sim.advance(0.1 - 0.0125)  # half way up again: the triangle has half of its height there
    assert bench.port.plates[0][0] == pytest.approx(-math.pi * 2.5 / HALF_WAVE_V)
    bench.ask("V1,1250", "VF1", "ENVF1")
    assert bench.port.plates[0][0] == pytest.approx(math.pi), "a channel by volt stands at its voltage"
    bench.ask("MDC")
    assert not bench.sim.moving


def test_what_was_saved_comes_back(bench: Bench) -> None:
    bench.ask("V1,1250", "SAVE", "V1,2500", "MAC")
    bench.sim.power_cycle()
    assert bench.ask("V?", "M?") == [
        "Voltage(mV): CH1 +1250 CH2 +0000 CH3 +0000 CH4 +0000",
        "Work Mode: DC",
    ]
    assert bench.port.plates[0][0] == pytest.approx(math.pi)


def test_an_error_of_its_own(bench: Bench) -> None:
    bench.sim.faults.own_errors = 1
    assert bench.ask("V1,1250", "V?") == ["Error!", "Voltage(mV): CH1 +0000 CH2 +0000 CH3 +0000 CH4 +0000"]


WORDS = st.sampled_from(["V1,", "VH", "F", "WF", "ENVF", "VF", "MAC", "SAVE", "V?", "F4,"])
NOISE = st.one_of(
    st.binary(max_size=40), st.builds(lambda w, more: f"{w}{more}".encode(), WORDS, st.text(max_size=9))
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(NOISE, max_size=8))
def test_any_bytes_leave_it_able_to_answer(chunks: list[bytes]) -> None:
    bench = Bench()
    sent: list[bytes] = []
    bench.sim._line.send = sent.append  # type: ignore[method-assign, assignment]
    for chunk in chunks:
        bench.sim._received(chunk + b"\r")
        bench.sim.advance(0.25)
    bench.sim._received(b"\rV?\r")
    assert sent[-1].startswith(b"Voltage(mV): CH1 ")
