"""The simulated S-Fifteen detector, spoken to as text. Commands: sfifteen_spd.md; its numbers are invented,
so what is tested of them is what the notes ask to be simulated."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.detectors.sfifteen_spd import (
    BREAKDOWN_V,
    BREAKDOWN_V_PER_C,
    CUT_OFF_V,
    IDENTITY,
    THERMAL_S,
    UNKNOWN,
    SimSFifteenSpd,
)
from sim_instruments.instrument import Placed
from sim_instruments.ports import Ports
from tests.sim_instruments.apt_bench import SerialClient

COLD = 20 * THERMAL_S


class Bench:
    """A module, asked without a line between."""

    def __init__(self) -> None:
        ports = Ports()
        self.sim = SimSFifteenSpd.place(Placed("apd", "sfifteen_spd"), ports, np.random.default_rng(1))
        self.port = ports.diodes["apd", 1]
        self.said: list[bytes] = []
        self.sim._line.send = self.said.append  # type: ignore[method-assign, assignment]

    def ask(self, *commands: str) -> list[str]:
        self.said.clear()
        for command in commands:
            self.sim._received(command.encode() + b"\r\n")
        return self.answers()

    def answers(self) -> list[str]:
        assert all(answer.endswith(b"\r\n") for answer in self.said)
        return [answer.decode().removesuffix("\r\n") for answer in self.said]

    def moving(self) -> bool:
        return self.sim.moving

    def number(self, question: str) -> float:
        [answer] = self.ask(question)
        return float(answer)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_over_a_serial_line_as_the_makers_client_does() -> None:
    sim = SimSFifteenSpd.place(Placed("apd", "sfifteen_spd"), Ports(), np.random.default_rng(1))
    client = SerialClient(await sim.start())

    async def ask(request: bytes, answer: bytes) -> None:
        assert await client.ask(request.hex(), len(answer)) == answer

    try:
        await ask(b"\r\n*idn?\r\n", f"{IDENTITY}\r\n".encode())
        await ask(b"hvolt 140.5\r\nhvolt?\r\n", b"140.50\r\n")
        await ask(b"time 500.0;TIME?;", b"500\r\n")
        assert client.left == b""
    finally:
        client.close()
        await sim.stop()


def test_breakdown_rises_with_temperature(bench: Bench) -> None:
    before = bench.port.enabled
    bench.ask("hvolt 140")
    assert (before, bench.port.enabled) == (False, True)
    excess = []
    for celsius in (-30.0, -20.0, 0.0):
        bench.ask(f"settemp {celsius}")
        bench.sim.advance(COLD)
        assert bench.number("temp?") == pytest.approx(celsius, abs=0.01)
        assert bench.port.temperature_k == pytest.approx(celsius + 273.15, abs=0.01)
        assert bench.port.excess_v is not None
        excess.append(bench.port.excess_v)
    assert excess[0] - excess[1] == pytest.approx(10 * BREAKDOWN_V_PER_C, abs=0.01)
    assert excess[2] == pytest.approx(140 - BREAKDOWN_V, abs=0.01)


def test_the_temperature_takes_its_time(bench: Bench) -> None:
    bench.ask("settemp -10")
    assert bench.moving()
    bench.sim.advance(THERMAL_S)
    assert bench.number("temp?") == pytest.approx(-10 - 10 / np.e, abs=0.01)
    bench.sim.advance(COLD)
    assert not bench.moving()


def test_without_the_loop_the_cooler_has_the_voltage_that_was_set(bench: Bench) -> None:
    held = bench.number("pvolt?")
    bench.ask("settemp 0")
    bench.sim.advance(COLD)
    assert bench.number("pvolt?") < held
    bench.ask("pvolt 0", "loop 0")
    assert bench.ask("loop?", "pvolt?") == ["0", "0.000"]
    bench.sim.advance(COLD)
    assert bench.number("temp?") > 20.0


def test_too_much_bias_cuts_the_high_voltage_off(bench: Bench) -> None:
    cut_off = BREAKDOWN_V + BREAKDOWN_V_PER_C * -20.0 + CUT_OFF_V
    bench.ask(f"hvolt {cut_off - 0.1}")
    assert bench.number("hvolt?") == pytest.approx(cut_off - 0.1)
    bench.ask("settemp -40")  # breakdown falls, excess rises
    bench.sim.advance(COLD)
    assert bench.number("hvolt?") == 0.0
    assert bench.port.enabled is False
    bench.ask("hvolt 299")
    assert bench.number("hvolt?") == 0.0


def test_counts_of_the_counting_time_that_begins_with_the_question(bench: Bench) -> None:
    bench.ask("time 100")
    bench.port.clicks += 1000  # before
    bench.sim.advance(0.25)
    assert bench.ask("counts?", "temp?") == []  # while it counts it hears nothing
    for _ in range(4):
        bench.port.clicks += 7
        bench.sim.advance(0.025)
    counts, temperature = bench.answers()
    assert counts == "28"
    assert float(temperature) == pytest.approx(-20.0)
    bench.port.clicks += 7
    bench.sim.advance(0.25)
    assert bench.answers() == [counts, temperature]  # once asked, once answered


def test_a_slice_that_is_longer_has_its_share(bench: Bench) -> None:
    """40 % of the 10,000 clicks of a slice: binomial, within 6 standard deviations (49), false alarm 2e-9."""
    bench.ask("time 100", "counts?")
    bench.port.clicks += 10_000
    bench.sim.advance(0.25)
    [counts] = bench.answers()
    assert int(counts) == pytest.approx(4000, abs=6 * 49)


def test_what_is_saved_comes_back_after_a_power_cycle(bench: Bench) -> None:
    bench.ask("hvolt 135", "threshvolt 0.25", "delay 12", "constp 2.5", "consti 0.3", "time 300")
    [saved] = bench.ask("save")
    assert saved
    bench.ask("hvolt 141", "delay 13", "counts?")
    bench.sim.power_cycle()
    asked = bench.ask("hvolt?", "threshvolt?", "delay?", "constp?", "consti?", "time?")
    assert asked == ["135.00", "0.250", "12", "2.500", "0.300", "300"]
    assert bench.port.enabled


def test_help_is_one_line_and_case_means_nothing(bench: Bench) -> None:
    [text] = bench.ask("HELP")
    assert "hvolt" in text
    assert bench.ask("*IDN?", "*idn?") == [IDENTITY, IDENTITY]


@pytest.mark.parametrize(
    "command",
    ["hvolt 301", "hvolt -1", "hvolt", "hvolt x", "hvolt nan", "hvolt 1 2", "temp 5", "temp", "time 0",
     "time 65536", "loop 2", "settemp -60", "counts", "counts 5", "idn?", "hvolt? 1", "save?", "nonsense"],
)  # fmt: skip
def test_the_rest_is_a_line_of_text_without_effect(bench: Bench, command: str) -> None:
    before = bench.sim.detector.state
    assert bench.ask(command) == [UNKNOWN]
    assert bench.sim.detector.state == before


def test_an_error_of_its_own(bench: Bench) -> None:
    bench.sim.faults.own_errors = 1
    assert bench.ask("*idn?", "hvolt 100", "hvolt?") == [IDENTITY, UNKNOWN, "0.00"]


WORDS = st.sampled_from([b"hvolt", b" 140", b"counts?", b"time 5", b";", b"\r\n", b"?", b"loop 0", b"1e99"])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.one_of(st.binary(max_size=12), WORDS), max_size=30))
def test_any_bytes_leave_it_able_to_answer(chunks: list[bytes]) -> None:
    bench = Bench()
    for chunk in chunks:
        bench.sim._received(chunk)
        bench.sim.advance(0.25)
    bench.sim._received(b"\r\n")
    bench.sim.advance(70.0)  # whatever it counts is over
    bench.sim._received(b"*idn?\r\n")
    assert bench.answers()[-1] == IDENTITY
