"""The simulated DD-100-MC, spoken to as bytes. Expected lines are those of ozoptics_dd100.md."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.instrument import Placed
from sim_instruments.optics.ozoptics_dd100 import SimOzOpticsDd100
from sim_instruments.ports import Ports
from tests.sim_instruments.heard import Heard
from tests.sim_instruments.spoken_to import spoken_to

END = "Done\r\n\r\n"


class Bench:
    """An attenuator, asked without a line between."""

    def __init__(self) -> None:
        ports = Ports()
        self.sim = SimOzOpticsDd100.place(Placed("dimmer", "ozoptics_dd100"), ports, np.random.default_rng(1))
        self.port = ports.attenuators["dimmer"]
        self.line = self.sim.line = Heard()  # type: ignore[assignment]

    def ask(self, *commands: str) -> str:
        for command in commands:
            self.sim.received(f"{command}\r".encode())
        data, self.line.data = self.line.data, b""
        return data.decode()

    def homed(self) -> "Bench":
        self.ask("H")
        self.sim.advance(40.0)
        assert self.ask("") == END
        return self


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_the_example_of_the_notes() -> None:
    sim = SimOzOpticsDd100.place(Placed("dimmer", "ozoptics_dd100"), Ports(), np.random.default_rng(1))
    sim.received(b"H\r")
    sim.advance(40.0)
    async with spoken_to(sim) as speaker:
        await speaker.ask(b"A12.50\r", b"Pos:1250\r\n")
        sim.advance(2.0)
        await speaker.ask(b"", b"Done\r\n\r\n")
        await speaker.ask(b"D\r\n", b"DPos:1250\r\nATTEN:12.50\r\nDone\r\n\r\n")


def test_the_configuration_has_the_limits(bench: Bench) -> None:
    answer = bench.ask("CD")
    assert "IL:0.60\r\n" in answer
    assert "Max Atten:60.00\r\n" in answer
    assert answer.endswith(END)
    assert bench.port.open


def test_before_homing_it_does_not_know_and_an_attenuation_homes_it(bench: Bench) -> None:
    assert bench.ask("D") == f"DPos:unknown\r\nATTEN:unknown\r\n{END}"
    assert bench.ask("A?") == f"Atten:unknown\r\n{END}"
    assert bench.ask("S100").startswith("Error-")
    assert bench.ask("A20.00") == "Pos:2000\r\n"
    bench.sim.advance(40.0)
    assert bench.ask("") == END
    assert bench.ask("D") == f"DPos:2000\r\nATTEN:20.00\r\n{END}"
    assert bench.port.attenuation_db == pytest.approx(20.0)


def test_the_light_follows_the_motor_and_commands_wait(bench: Bench) -> None:
    bench.homed()
    assert bench.port.attenuation_db == 0.60
    assert bench.ask("A60.00", "D") == "Pos:6000\r\n"
    assert bench.sim.moving
    bench.sim.advance(0.5)
    assert bench.port.attenuation_db == pytest.approx(30.0)
    assert bench.ask("") == ""
    bench.sim.advance(0.5)
    assert bench.port.attenuation_db == pytest.approx(60.0)
    assert bench.ask("") == f"{END}DPos:6000\r\nATTEN:60.00\r\n{END}"
    assert not bench.sim.moving


@pytest.mark.parametrize(
    "command", ["A0.59", "A60.01", "S6001", "S+6001", "S-1", "L", "NONSENSE", "A", "A1e9"]
)
def test_what_it_refuses_has_no_effect(bench: Bench, command: str) -> None:
    bench.homed()
    answer = bench.ask(command)
    assert answer.startswith("Error-")
    assert answer.endswith(f"\r\n{END}")
    assert not bench.sim.moving


def test_steps(bench: Bench) -> None:
    bench.homed()
    for command, position in (("S1000", 1000), ("S+50", 1050), ("S-100", 950), ("F", 951), ("L", 950)):
        assert bench.ask(command) == f"Pos:{position}\r\n"
        bench.sim.advance(1.0)
        assert bench.ask("") == END


def test_going_where_it_is_ends_at_once(bench: Bench) -> None:
    bench.homed()
    assert bench.ask("S0") == f"Pos:0\r\n{END}"


def test_a_restart_forgets_the_zero(bench: Bench) -> None:
    bench.homed().ask("S3000")
    bench.sim.advance(1.0)
    bench.ask("RST")
    assert bench.ask("D") == f"DPos:unknown\r\nATTEN:unknown\r\n{END}"
    assert bench.port.attenuation_db == pytest.approx(30.0)


async def test_a_power_cycle_in_motion_leaves_it_where_it_is() -> None:
    ports = Ports()
    sim = SimOzOpticsDd100.place(Placed("dimmer", "ozoptics_dd100"), ports, np.random.default_rng(1))
    async with spoken_to(sim):
        sim.received(b"A60.00\r")
        sim.advance(1.0)
        before = ports.attenuators["dimmer"].attenuation_db
        sim.power_cycle()
        sim.advance(100.0)
        assert ports.attenuators["dimmer"].attenuation_db == pytest.approx(before, abs=0.01)
        assert not sim.homed


def test_its_own_error_has_no_effect(bench: Bench) -> None:
    bench.homed()
    bench.sim.faults.own_errors = 1
    assert bench.ask("A30.00").startswith("Error-")
    assert not bench.sim.moving


COMMANDS = st.sampled_from(["H", "A10.5", "A999", "S+99", "D", "CD", "RST", "L", "F", "A?", "S999999"])


@given(st.lists(st.one_of(st.binary(max_size=12), COMMANDS.map(lambda c: f"{c}\r".encode())), max_size=12))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_any_bytes_leave_it_answering(pieces: list[bytes]) -> None:
    bench = Bench()
    for piece in pieces:
        bench.sim.received(piece)
        bench.sim.advance(0.1)
    bench.sim.received(b"\r")
    bench.sim.advance(4000.0)
    bench.ask("")
    assert "IL:0.60" in bench.ask("CD")
