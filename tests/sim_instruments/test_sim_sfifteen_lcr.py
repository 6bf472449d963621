"""The simulated S-Fifteen board, spoken to as text. Expected forms are those of sfifteen_lcr.md."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.instrument import Placed
from sim_instruments.polarization.liquid_crystal import FOLLOWING_S
from sim_instruments.polarization.sfifteen_lcr import UNKNOWN, SimSFifteenLcr
from sim_instruments.ports import Ports
from tests.sim_instruments.apt_bench import SerialClient

CURVE = ((0.5, 8.0), (2.5, 4.0), (9.0, 0.0))
LONG_S = 50 * FOLLOWING_S


class Bench:
    """A board, asked without a line between."""

    def __init__(self) -> None:
        ports = Ports()
        placed = Placed("cells", "sfifteen_lcr", {"retardance": CURVE, "drive_frequency": 2000.0})
        self.sim = SimSFifteenLcr.place(placed, ports, np.random.default_rng(1))
        self.port = ports.plates["cells"]

    def ask(self, *commands: str) -> list[str]:
        return [self.sim.answer(command) for command in commands]

    def moving(self) -> bool:
        return self.sim.moving

    def retardances(self) -> list[float]:
        self.sim.advance(LONG_S)
        return [retardance for retardance, _ in self.port.plates]


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_the_client_of_the_notes() -> None:
    """What the maker's client sends, line ends and all; of it, only questions are answered."""
    bench = Bench()
    client = SerialClient(await bench.sim.start())
    try:
        client.send((b";*idn?;").hex())
        assert b"LCD cell driver" in await client.read(20)
        client.left = b""
        client.send(b"ON\r\nDARK\r\nFREQ 2000\r\nAMPLITUDE 1 2.5\r\n".hex())
        assert await client.ask(b"AMP? 1;".hex(), 7) == b"2.500\r\n"
        assert await client.ask(b"OPEN SESAME\r\n".hex(), 17) == b"Unknown command\r\n"
        assert client.left == b""
    finally:
        client.close()
        await bench.sim.stop()


def test_amplitudes_are_retardances_while_the_outputs_are_on(bench: Bench) -> None:
    assert bench.ask("AMPLITUDE 1 2.5", "amp 3 9", "AMP? 1", "AMPLITUDE? 3", "AMP? 2") == [
        "", "", "2.500", "9.000", "0.000",
    ]  # fmt: skip
    assert bench.retardances() == [8.0] * 4
    assert bench.ask("ON") == [""]
    assert bench.moving()
    assert bench.retardances() == [4.0, 8.0, 0.0, 8.0]
    assert not bench.moving()
    assert [axis for _, axis in bench.port.plates] == pytest.approx([0, math.pi / 4, 0, math.pi / 4])
    bench.ask("OFF")
    assert bench.retardances() == [8.0] * 4


@pytest.mark.parametrize("restart", ["*RST", "power cycle"])
def test_a_restart_switches_off(bench: Bench, restart: str) -> None:
    bench.ask("ON", "AMPLITUDE 1 2.5", "DARK", "FREQ 500")
    if restart == "*RST":
        assert bench.ask("*RST") == [""]
    else:
        bench.sim.power_cycle()
    assert bench.ask("AMP? 1") == ["0.000"]
    assert bench.retardances() == [8.0] * 4


def test_help_lists_the_commands(bench: Bench) -> None:
    (listed,) = bench.ask("HELP")
    assert {"ON", "OFF", "DARK", "FREQ", "AMPLITUDE", "AMP?", "*IDN?", "*RST"} <= set(
        listed.replace(";", " ").split()
    )
    assert "\n" not in listed, "replies are one line"


@pytest.mark.parametrize(
    "command",
    [
        "AMPLITUDE 1 10",
        "AMPLITUDE 1 -0.1",
        "AMPLITUDE 5 1",
        "AMPLITUDE 1 nan",
        "AMPLITUDE 1",
        "AMP?",
        "FREQ x",
        "FREQ 0",
    ],
)
def test_the_rest_is_unknown_without_effect(bench: Bench, command: str) -> None:
    before = repr(vars(bench.sim.board)["amplitudes_v"])
    assert bench.ask(command) == [UNKNOWN]
    assert repr(vars(bench.sim.board)["amplitudes_v"]) == before


def test_an_error_of_its_own(bench: Bench) -> None:
    bench.sim.faults.own_errors = 1
    identity, refused, amplitude = bench.ask("*IDN?", "AMPLITUDE 1 2.5", "AMP? 1")
    assert "LCD cell driver" in identity
    assert (refused, amplitude) == (UNKNOWN, "0.000")


WORDS = st.sampled_from(["AMPLITUDE 1 ", "AMP? ", "FREQ ", "ON", "*RST", "HELP", "AMPLITUDE "])
NOISE = st.one_of(
    st.binary(max_size=40),
    st.builds(lambda word, more: f"{word}{more}".encode(), WORDS, st.text(max_size=8)),
    st.builds(lambda word, value: f"{word}{value}".encode(), WORDS, st.floats()),
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(NOISE, max_size=8))
def test_any_bytes_leave_it_able_to_answer(chunks: list[bytes]) -> None:
    bench = Bench()
    sent: list[bytes] = []
    bench.sim._line.send = sent.append  # type: ignore[method-assign, assignment]
    for chunk in chunks:
        bench.sim._received(chunk + b";")
        bench.sim.advance(0.25)
    bench.sim._received(b"\r\n*IDN?;")
    assert b"LCD cell driver" in sent[-1]
