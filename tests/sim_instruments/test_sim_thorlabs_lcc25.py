"""The simulated LCC25 and its cell, spoken to as text. Expected forms are those of thorlabs_lcc25.md."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.instrument import Placed
from sim_instruments.polarization.liquid_crystal import FOLLOWING_S, Cell
from sim_instruments.polarization.thorlabs_lcc25 import INVALID, NOT_DEFINED, NUMBERS, SimThorlabsLcc25
from sim_instruments.ports import Ports
from tests.sim_instruments.apt_bench import SerialClient

CURVE = ((1.0, 6.0), (3.0, 2.0), (25.0, 0.0))
AT_REST, LONG_S = 6.0, 50 * FOLLOWING_S


class Bench:
    """A controller, asked without a line between."""

    def __init__(self) -> None:
        ports = Ports()
        placed = Placed("cell", "thorlabs_lcc25", {"retardance": CURVE})
        self.sim = SimThorlabsLcc25.place(placed, ports, np.random.default_rng(1))
        self.port = ports.plates["cell"]

    def ask(self, *commands: str) -> list[str]:
        return [self.sim.answer(command) for command in commands]

    def moving(self) -> bool:
        return self.sim.moving

    def retardance(self, seconds: float = LONG_S) -> float:
        self.sim.advance(seconds)
        ((retardance, axis),) = self.port.plates
        assert axis == pytest.approx(math.pi / 4)
        return retardance


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_the_example_of_the_notes() -> None:
    bench = Bench()
    client = SerialClient(await bench.sim.start())

    async def ask(command: bytes, answer: bytes) -> None:
        assert await client.ask(command.hex(), len(answer)) == answer

    try:
        await ask(b"volt1=2.5\r", b"volt1=2.5\r> ")
        await ask(b"volt1?\r", b"volt1?\r2.5\r> ")
        await ask(b"*idn?\r", b"*idn?\rTHORLABS LCC25 VERSION 1.00\r> ")
        await ask(b"volt1=99\r", b"volt1=99\rCMD_ARG_INVALID\r> ")
        await ask(b"sesame\r", b"sesame\rCMD_NOT_DEFINED\r> ")
        assert client.left == b""
    finally:
        client.close()
        await bench.sim.stop()


def test_a_cell_follows_its_voltage_exponentially() -> None:
    cell = Cell(CURVE, 0.0)
    cell.voltage_v = 3.0
    cell.advance(FOLLOWING_S)
    assert cell.retardance_rad == pytest.approx(2.0 + 4.0 / math.e)
    assert cell.moving
    cell.advance(LONG_S)
    assert cell.plate == (2.0, 0.0)
    assert not cell.moving


def test_the_output_is_disabled_at_first_and_voltages_are_retardances(bench: Bench) -> None:
    assert bench.ask("volt1=2", "enable?", "mode?") == ["", "0", "1"]
    assert bench.retardance() == AT_REST
    assert bench.ask("enable=1") == [""]
    assert bench.moving()
    assert bench.retardance() == 4.0
    assert not bench.moving()
    bench.ask("volt2=14", "mode=2")
    assert bench.retardance() == 1.0
    bench.ask("enable=0")
    assert bench.retardance() == AT_REST


def test_voltages_are_taken_in_tenths(bench: Bench) -> None:
    assert bench.ask("volt1=2.26", "volt1?", "volt1=2", "volt1?") == ["", "2.3", "", "2.0"]


def test_it_modulates_between_its_voltages(bench: Bench) -> None:
    """At 5 Hz each voltage is on for 100 ms, five time constants: within exp(-5) of both ends."""
    bench.ask("volt1=1", "volt2=3", "freq=5", "mode=0", "enable=1")
    assert bench.moving()
    ends = [bench.retardance(0.1) for _ in range(20)][-2:]
    assert sorted(ends) == pytest.approx([2.0, 6.0], abs=2 * 4 * math.exp(-5))
    bench.ask("volt2=1")
    bench.retardance()
    assert not bench.moving(), "between equal voltages nothing moves"


def test_the_test_sweeps_from_min_to_max(bench: Bench) -> None:
    bench.ask("min=1", "max=3", "increment=1", "dwell=1000", "volt1=25", "enable=1", "test")
    assert [bench.retardance(0.95) for _ in range(3)] == pytest.approx([6.0, 4.0, 2.0], abs=0.01)
    assert bench.moving()
    assert bench.retardance(2.0) == 0.0, "back at voltage 1"
    assert not bench.moving()


def test_presets_saved_settings_and_factory_defaults(bench: Bench) -> None:
    bench.ask("volt1=2.5", "set=3", "volt1=7", "freq=80", "save", "enable=1", "get=3")
    assert bench.ask("volt1?", "freq?", "enable?") == ["2.5", "60.0", "1"]
    bench.sim.power_cycle()
    assert bench.ask("volt1?", "freq?", "enable?") == ["7.0", "80.0", "0"]
    assert bench.ask("get=3", "volt1?", "default", "volt1?", "freq?") == ["", "2.5", "", "0.0", "60.0"]


def test_every_setting_reads_back(bench: Bench) -> None:
    for name, number in NUMBERS.items():
        assert bench.ask(f"{name}={number.high}", f"{name}?") == ["", number.show(number.high)], name
        assert bench.ask(f"{name}={number.low}", f"{name}?") == ["", number.show(number.low)], name
        assert bench.ask(f"{name}={number.high + 1}", f"{name}?") == [INVALID, number.show(number.low)], name


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("mode=1.5", INVALID), ("enable=", INVALID), ("volt1=x", INVALID), ("volt1=nan", INVALID),
        ("set=5", INVALID), ("get=0", INVALID), ("test=1", NOT_DEFINED), ("volt3?", NOT_DEFINED),
        ("volt1", NOT_DEFINED), ("id?", NOT_DEFINED), ("", NOT_DEFINED),
    ],
)  # fmt: skip
def test_the_rest_is_an_error_without_effect(bench: Bench, command: str, error: str) -> None:
    before = repr(bench.sim.controller.values)
    assert bench.ask(command) == [error]
    assert repr(bench.sim.controller.values) == before


def test_an_error_of_its_own(bench: Bench) -> None:
    bench.sim.faults.own_errors = 1
    assert bench.ask("*idn?", "volt1=2.5", "volt1?") == ["THORLABS LCC25 VERSION 1.00", NOT_DEFINED, "0.0"]


WORDS = st.sampled_from([*(f"{name}=" for name in NUMBERS), "set=", "get=", "test", "save", "default"])
NOISE = st.one_of(
    st.binary(max_size=40),
    st.builds(lambda word, more: f"{word}{more}".encode(), WORDS, st.text(max_size=6)),
    st.builds(lambda word, value: f"{word}{value}".encode(), WORDS, st.floats()),
    st.builds(lambda word, value: f"{word}{value}".encode(), WORDS, st.integers(0, 30)),
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
    bench.sim._received(b"\r*idn?\r")
    assert sent[-1] == b"*idn?\rTHORLABS LCC25 VERSION 1.00\r> "
