"""The simulated N7764A, spoken to as text: the forms of keysight_n77xx.md and of the N77xx guide."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.instrument import Placed
from sim_instruments.optics.keysight_n7764a import TREE, SimKeysightN7764a
from sim_instruments.ports import Ports
from sim_instruments.wire.scpi import Scpi
from tests.sim_instruments.heard import Heard
from tests.sim_instruments.spoken_to import spoken_to

NO_ERROR = '+0,"No error"'


class Bench:
    """A box of which channel 2 stands in light, with 1.5 dB of insertion loss."""

    def __init__(self) -> None:
        ports = Ports()
        placed = Placed("dimmer", "keysight_n7764a", {"channel": 2, "insertion_loss": 1.5})
        self.sim = SimKeysightN7764a.place(placed, ports, np.random.default_rng(1))
        self.port = ports.attenuators["dimmer"]
        self.line = Heard()
        self.dialect = Scpi(self.line, TREE, self.sim.device, self.sim.device.errors, self.sim.faults)  # type: ignore[arg-type]

    def ask(self, message: str) -> str:
        self.dialect.received(f"{message}\n".encode())
        return self.line.take()

    def say(self, message: str) -> str:
        """A command; returns what the error queue says of it."""
        assert self.ask(message) == ""
        return self.ask("SYST:ERR?")


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_over_a_socket() -> None:
    bench = Bench()
    async with spoken_to(bench.sim) as speaker:
        await speaker.ask(b":INP2:ATT 14dB\n:INP2:ATT?\n", b"+1.40000000E+001\n")
        await speaker.ask(b"SYST:ERR?\r\n", b'+0,"No error"\n')


def test_identity_and_the_state_after_power_has_come(bench: Bench) -> None:
    assert bench.ask("*IDN?").startswith("Agilent Technologies,N7764A,DE49")
    assert bench.ask(":OUTP1:STAT?;:OUTP2:STAT?;:OUTP4?") == "0;0;0"
    assert (bench.port.attenuation_db, bench.port.open) == (1.5, False)


@pytest.mark.parametrize("head", [":INP2:ATT", ":INPut2:CHANnel1:ATTenuation", "input2:att"])
@pytest.mark.parametrize("value", ["14", "14dB", "1.4E1 DB"])
def test_short_and_long_forms_and_units(bench: Bench, head: str, value: str) -> None:
    assert bench.say(f"{head} {value}") == NO_ERROR
    bench.sim.advance(1.0)
    assert bench.port.attenuation_db == pytest.approx(15.5)
    assert bench.ask(":INP1:ATT?;:INP:ATT?") == "+0.00000000E+000;+0.00000000E+000"


def test_the_filter_moves_at_its_speed_and_says_so(bench: Bench) -> None:
    assert bench.say(":INP2:ATT:SPE 2;:INP2:ATT 10") == NO_ERROR
    assert bench.ask(":STAT2:OPER:COND?;:STAT1:OPER:COND?;:STAT:OPER:COND?;*OPC?") == "+2;+0;+4;0"
    assert bench.sim.moving
    bench.sim.advance(2.0)
    assert bench.port.attenuation_db == pytest.approx(5.5)
    bench.sim.advance(3.5)
    assert bench.port.attenuation_db == pytest.approx(11.5)
    assert bench.ask(":STAT2:OPER:COND?;*OPC?") == "+0;1"
    assert bench.say(":INP2:ATT:SPE 81") == NO_ERROR
    assert bench.ask(":INP2:ATT:SPE?") == "+1.00000000E+003"


def test_the_offset_is_added_to_what_is_shown_and_not_to_the_filter(bench: Bench) -> None:
    bench.say(":INP2:ATT 10")
    bench.sim.advance(1.0)
    assert bench.say(":INP2:OFFS 2dB") == NO_ERROR
    assert bench.ask(":INP2:ATT?;:INP2:ATT? MIN;:INP2:ATT? MAX") == (
        "+1.20000000E+001;+2.00000000E+000;+4.70000000E+001"
    )
    assert bench.port.attenuation_db == pytest.approx(11.5)
    assert bench.say(":INP2:OFFS:DISP") == NO_ERROR
    assert bench.ask(":INP2:ATT?") == "+0.00000000E+000"


@pytest.mark.parametrize(("command", "number"), [(":INP2:ATT 45.1", -222), (":INP2:ATT -0.1", -222), (":INP2:WAV 1200nm", -222), (":OUTP2:STAT 2", -104), (":INP5:ATT 1", -113), (":INP2:ATT", -109)])  # fmt: skip  # noqa: E501
def test_out_of_range_changes_nothing(bench: Bench, command: str, number: int) -> None:
    assert bench.say(command).startswith(f"{number},")
    bench.sim.advance(1.0)
    assert bench.port.attenuation_db == 1.5


def test_the_shutter(bench: Bench) -> None:
    assert bench.say(":OUTP2:STAT ON") == NO_ERROR
    assert bench.port.open
    assert bench.ask(":OUTP2?") == "1"
    assert bench.say(":OUTP:STAT:ALL OFF") == NO_ERROR
    assert not bench.port.open
    assert bench.say(":OUTP2:STAT:APOW ON") == NO_ERROR
    bench.sim.power_cycle()
    assert bench.port.open
    assert bench.say(":OUTP2:STAT:APOW 0;:OUTP1 ON") == NO_ERROR
    bench.sim.power_cycle()
    assert not bench.port.open


def test_output_power_is_reckoned_from_the_reference(bench: Bench) -> None:
    assert bench.say(":OUTP2:POW -20DBM") == NO_ERROR
    bench.sim.advance(1.0)
    assert bench.port.attenuation_db == pytest.approx(21.5)
    assert bench.ask(":OUTP2:POW?;:OUTP2:APM?;:OUTP2:POW:CONT?") == "-2.00000000E+001;1;0"
    assert bench.say(":INP2:WAV 1310nm") == NO_ERROR
    assert bench.ask(":INP2:WAV?") == "+1.31000000E-006"


def test_there_is_no_monitor_to_read(bench: Bench) -> None:
    assert bench.ask(":READ2:POW?") == ""
    assert bench.ask("SYST:ERR?").startswith("-221,")


def test_reset_closes_and_its_own_error_has_no_effect(bench: Bench) -> None:
    bench.say(":OUTP2 ON;:INP2:ATT 5")
    assert bench.say("*RST") == NO_ERROR
    assert (bench.port.attenuation_db, bench.port.open) == (1.5, False)
    bench.sim.faults.own_errors = 1
    assert bench.say(":OUTP2 ON").startswith("-200,")
    assert not bench.port.open


HEADS = st.sampled_from(
    [":INP2:ATT", ":INP2:ATT:SPE", ":OUTP2:POW", ":OUTP2", ":STAT2:OPER:COND", "*RST", ":READ"]
)


@given(st.lists(st.one_of(st.binary(max_size=30), st.builds("{}{}{}\n".format, HEADS, st.sampled_from([" ", "?", "? "]), st.text(max_size=8)).map(str.encode)), max_size=12))  # fmt: skip  # noqa: E501
@settings(max_examples=50, deadline=None, derandomize=True)
def test_any_bytes_leave_it_answering(pieces: list[bytes]) -> None:
    bench = Bench()
    for piece in pieces:
        bench.dialect.received(piece)
        bench.sim.advance(0.1)
    bench.ask("")
    assert bench.ask("*IDN?").startswith("Agilent")
