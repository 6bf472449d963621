"""The simulated Cobolt 06-01, spoken to as text. Expected lines are those of cobolt_0601.md."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.instrument import Placed
from sim_instruments.lasers.cobolt_0601 import COMMANDS, ILLEGAL, RISE_S, WARM_UP_S, SimCobolt0601
from sim_instruments.ports import Ports
from tests.sim_instruments.apt_bench import SerialClient

WARM = WARM_UP_S + 20 * RISE_S


class Bench:
    """A laser of 60 mW, asked without a line between."""

    def __init__(self) -> None:
        ports = Ports()
        self.sim = SimCobolt0601.place(
            Placed("pump", "cobolt_0601", {"max_power": 60e-3}), ports, np.random.default_rng(1)
        )
        self.port = ports.lasers["pump"]

    def ask(self, *commands: str) -> list[str]:
        return [self.sim.answer(command) for command in commands]

    def moving(self) -> bool:
        return self.sim.moving


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_the_example_of_the_notes() -> None:
    bench = Bench()
    client = SerialClient(await bench.sim.start())

    async def ask(command: bytes, answer: bytes) -> None:
        assert await client.ask(command.hex(), len(answer)) == answer

    try:
        await ask(b"p 0.020000\r", b"OK\r\n")
        await ask(b"l1\r", b"OK\r\n")
        bench.sim.advance(WARM)
        await ask(b"pa?\r", b"0.019987\r\n")
        await ask(b"hrs?\r\n", b"123.40\r\n")
        await ask(b"nonsense\r", ILLEGAL.encode() + b"\r\n")
        client.send(b"l".hex())
        await asyncio.sleep(0)
        await ask(b"?\rilk?\r", b"1\r\n0\r\n")
        assert client.left == b""
    finally:
        client.close()
        await bench.sim.stop()


def test_light_comes_after_the_warm_up_and_goes_at_once(bench: Bench) -> None:
    assert bench.ask("l?", "gom?", "p 0.030000", "l1", "l?") == ["0", "0", "OK", "OK", "1"]
    bench.sim.advance(0.9 * WARM_UP_S)
    assert bench.port.power_w == 0.0
    assert bench.ask("i?") == ["0.0"]
    assert bench.moving()
    bench.sim.advance(WARM)
    assert bench.port.power_w == pytest.approx(30e-3, rel=1e-4)
    assert bench.ask("gom?", "f?") == ["2", "0"]
    assert float(bench.ask("i?")[0]) > 0
    assert not bench.moving()
    bench.ask("p 0.010000")
    bench.sim.advance(20 * RISE_S)
    assert bench.port.power_w == pytest.approx(10e-3, rel=1e-4)
    assert bench.ask("l0") == ["OK"]
    assert bench.port.power_w == 0.0


def test_constant_current_goes_by_the_diodes_line(bench: Bench) -> None:
    bench.ask("p 0.030000", "l1")
    bench.sim.advance(WARM)
    [at_30_mw] = bench.ask("i?")
    assert bench.ask(f"slc {at_30_mw}", "ci") == ["OK", "OK"]
    bench.ask("p 0.060000")  # means nothing now
    bench.sim.advance(WARM)
    assert bench.port.power_w == pytest.approx(30e-3, rel=1e-3)
    assert bench.ask("gam?", "cp", "gam?") == ["0", "OK", "1"]
    bench.sim.advance(WARM)
    assert bench.port.power_w == pytest.approx(60e-3, rel=1e-4)


def test_an_open_interlock_is_a_fault_that_stays_until_it_is_cleared(bench: Bench) -> None:
    bench.ask("l1")
    bench.sim.advance(WARM)
    bench.sim.open_interlock()
    assert bench.port.power_w == 0.0
    assert bench.ask("ilk?", "f?", "l?", "gom?", "l1", "l?") == ["1", "3", "0", "5", "OK", "0"]
    bench.sim.close_interlock()
    assert bench.ask("ilk?", "l1", "l?", "f?") == ["0", "OK", "0", "3"]
    assert bench.ask("cf", "f?", "l1", "l?") == ["OK", "0", "OK", "1"]


def test_the_interlock_is_looked_at_when_it_is_switched_on(bench: Bench) -> None:
    bench.sim.open_interlock()
    assert bench.ask("f?", "l1", "l?", "f?") == ["0", "OK", "0", "3"]


def test_without_the_key_it_waits(bench: Bench) -> None:
    bench.sim.turn_key(False)
    assert bench.ask("l1", "gom?") == ["OK", "1"]
    bench.sim.advance(WARM)
    assert bench.port.power_w == 0.0
    bench.sim.turn_key(True)
    bench.sim.advance(WARM)
    assert bench.port.power_w > 0


@pytest.mark.parametrize("restart", ["power cycle", "@cob1"])
def test_set_points_outlive_a_restart_and_emission_does_not(bench: Bench, restart: str) -> None:
    bench.ask("p 0.012345", "slc 80.0", "ci", "l1")
    bench.sim.advance(WARM)
    if restart == "@cob1":
        assert bench.ask("@cob1") == ["OK"]
    else:
        bench.sim.power_cycle()
    assert bench.port.power_w == 0.0
    assert bench.ask("l?", "p?", "glc?", "gam?") == ["0", "0.012345", "80.0", "0"]


def test_with_autostart_it_emits_by_itself(bench: Bench) -> None:
    assert bench.ask("@cobas 1", "@cobas?") == ["OK", "1"]
    bench.sim.power_cycle()
    bench.sim.advance(WARM)
    assert bench.port.power_w > 0


def test_modulation_settings(bench: Bench) -> None:
    for read, write in (("gdmes?", "sdmes"), ("games?", "sames"), ("galis?", "salis")):
        assert bench.ask(read, f"{write} 1", read, f"{write} 0", read) == ["0", "OK", "1", "OK", "0"]
    bench.ask("em", "l1")
    bench.sim.advance(WARM)
    assert bench.ask("gom?") == ["4"]


def test_identity(bench: Bench) -> None:
    assert bench.ask("gsn?")[0].isdigit()
    assert bench.ask("sn?") == bench.ask("gsn?")
    assert bench.ask("glm?", "?") == ["0780-06-01-0060-100", "OK"]
    assert "." in bench.ask("gfv?")[0]


@pytest.mark.parametrize(
    "command",
    ["p", "p -0.001", "p 0.0601", "p nan", "p 1e-3 2", "slc 1e9", "slc x", "l2", "L1", "l?x", "", "sdmes 2"],
)
def test_the_rest_is_an_error_text_without_effect(bench: Bench, command: str) -> None:
    before = repr(vars(bench.sim.diode))
    assert bench.ask(command) == [ILLEGAL]
    assert repr(vars(bench.sim.diode)) == before


def test_an_error_of_its_own(bench: Bench) -> None:
    bench.sim.faults.own_errors = 1
    assert bench.ask("glm?", "l1", "l?") == ["0780-06-01-0060-100", ILLEGAL, "0"]


WORDS = st.sampled_from([pattern.replace("\\", "").split("(")[0] for pattern in COMMANDS])
NOISE = st.one_of(
    st.binary(max_size=40),
    st.builds(lambda word, more: f"{word}{more}".encode(), WORDS, st.text(max_size=8)),
    st.builds(lambda word, value: f"{word}{value}".encode(), WORDS, st.floats()),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(NOISE, max_size=8))
def test_any_bytes_leave_it_able_to_answer(chunks: list[bytes]) -> None:
    bench = Bench()
    sent: list[bytes] = []
    bench.sim._line.send = sent.append  # type: ignore[method-assign, assignment]
    for chunk in chunks:
        bench.sim._received(chunk + b"\r")
        bench.sim.advance(0.25)
    bench.sim._received(b"\rglm?\r")
    assert sent[-1] == b"0780-06-01-0060-100\r\n"
