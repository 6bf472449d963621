"""The simulated 650ML, spoken to as bytes. Expected lines are those of ozoptics_dd100.md."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.instrument import Placed
from sim_instruments.optics.ozoptics_650ml import LAST_STEP, SimOzOptics650ml
from sim_instruments.ports import Ports
from tests.sim_instruments.heard import Heard
from tests.sim_instruments.spoken_to import spoken_to

PS_PER_MM = 1e9 / 299_792_458


class Bench:
    """A delay line, asked without a line between."""

    def __init__(self) -> None:
        ports = Ports()
        self.sim = SimOzOptics650ml.place(Placed("line", "ozoptics_650ml"), ports, np.random.default_rng(1))
        self.port = ports.delays["line"]
        self.line = self.sim.line = Heard()  # type: ignore[assignment]

    def ask(self, *commands: str) -> str:
        for command in commands:
            self.sim.received(f"{command}\r\n".encode())
        data, self.line.data = self.line.data, b""
        return data.decode()

    def homed(self) -> "Bench":
        assert self.ask("FH") == "FH\r\n"
        self.sim.advance(60.0)
        assert self.ask("") == "Done\r\n"
        return self


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_the_commands_of_the_notes() -> None:
    sim = SimOzOptics650ml.place(Placed("line", "ozoptics_650ml"), Ports(), np.random.default_rng(1))
    async with spoken_to(sim) as speaker:
        await speaker.ask(b"S?\r\n", b"S?\r\nUNKNOWN\r\nDone\r\n")
        await speaker.ask(b"FH\r\n", b"FH\r\n")
        sim.advance(60.0)
        await speaker.ask(b"", b"Done\r\n")
        await speaker.ask(b"e0\r\n", b"e0\r\nDone\r\n")
        await speaker.ask(b"S?\r\n", b"POS:0\r\nDone\r\n")


def test_delay_is_steps_of_path(bench: Bench) -> None:
    bench.homed()
    assert bench.port.delay_s == 0.0
    assert bench.ask("S64504") == "S64504\r\n"  # 10 mm of path, 33.36 ps
    bench.sim.advance(0.25)
    assert bench.sim.moving
    assert bench.port.delay_s == pytest.approx(5 * PS_PER_MM * 1e-12, rel=1e-3)
    bench.sim.advance(1.0)
    assert bench.port.delay_s == pytest.approx(10 * PS_PER_MM * 1e-12, rel=1e-4)
    assert bench.ask("") == "POS:64504\r\nDone\r\n"
    assert bench.ask("S?") == "S?\r\nPOS:64504\r\nDone\r\n"
    assert pytest.approx(200 * 6450.39, rel=1e-5) == LAST_STEP


def test_a_motion_is_stopped_and_what_waited_is_forgotten(bench: Bench) -> None:
    bench.homed()
    assert bench.ask("S1290078", "S?") == "S1290078\r\n"
    bench.sim.advance(1.0)
    assert bench.ask("G0") == "Done\r\nG0\r\nDone\r\n"
    assert not bench.sim.moving
    assert bench.port.delay_s == pytest.approx(20 * PS_PER_MM * 1e-12, rel=1e-3)


def test_running_until_stopped_or_the_end(bench: Bench) -> None:
    bench.homed()
    assert bench.ask("GF") == "GF\r\nDone\r\n"
    bench.sim.advance(1.0)
    assert bench.ask("S?").startswith("S?\r\nPOS:12900")
    assert bench.ask("G0") == "G0\r\nDone\r\n"
    bench.ask("GF")
    bench.sim.advance(60.0)
    assert bench.ask("S?") == f"S?\r\nPOS:{LAST_STEP}\r\nDone\r\n"
    bench.ask("GR")
    bench.sim.advance(60.0)
    assert bench.port.delay_s == 0.0


def test_who_it_is_and_the_rest_of_the_commands(bench: Bench) -> None:
    name, _, version = bench.ask("V1").split("\r\n")[1].partition("V")
    assert name == "ODL-650-MC"
    assert "_" in version
    for command in ("V2", "d?", "OW", "OZ-SHS0", "OZ-SHS1", "e1"):
        assert bench.ask(command).endswith("Done\r\n")
        assert "Error" not in bench.ask(command)


@pytest.mark.parametrize("command", ["S1290079", "S-1", "S", "NONE", "e2"])
def test_what_it_refuses_has_no_effect(bench: Bench, command: str) -> None:
    bench.homed()
    assert "Error-" in bench.ask(command)
    assert not bench.sim.moving


def test_before_homing_it_goes_nowhere_and_after_a_reset_neither(bench: Bench) -> None:
    assert "Error-" in bench.ask("S100")
    bench.homed().ask("e0", "RESET")
    assert bench.ask("S?") == "S?\r\nUNKNOWN\r\nDone\r\n"


def test_its_own_error_has_no_effect(bench: Bench) -> None:
    bench.homed()
    bench.sim.faults.own_errors = 1
    assert "Error-" in bench.ask("S1000")
    assert not bench.sim.moving


COMMANDS = st.sampled_from(["FH", "S100", "S999999999", "GF", "GR", "G0", "S?", "e0", "e1", "RESET", "V2"])


@given(st.lists(st.one_of(st.binary(max_size=12), COMMANDS.map(lambda c: f"{c}\r\n".encode())), max_size=12))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_any_bytes_leave_it_answering(pieces: list[bytes]) -> None:
    bench = Bench()
    for piece in pieces:
        bench.sim.received(piece)
        bench.sim.advance(0.1)
    bench.sim.received(b"\r\n")
    bench.sim.advance(4000.0)
    bench.ask("")
    assert "ODL-650-MC" in bench.ask("V1")
