"""The simulated Polatis switch, spoken to as bytes. Expected lines are those of polatis_switch.md."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.instrument import Placed
from sim_instruments.optics.polatis_switch import COMMANDS, SWITCHING_S, TREE, SimPolatisSwitch
from sim_instruments.ports import Ports, SwitchPort
from sim_instruments.wire.scpi import Scpi
from tests.sim_instruments.heard import Heard
from tests.sim_instruments.spoken_to import spoken_to


class Bench:
    """A switch of 24 x 24, asked without a line between."""

    def __init__(self) -> None:
        ports = Ports()
        placed = Placed("matrix", "polatis_switch", {"inputs": 24, "outputs": 24})
        self.sim = SimPolatisSwitch.place(placed, ports, np.random.default_rng(1))
        self.port: SwitchPort = ports.switches["matrix"]
        self.line = Heard()
        self.dialect = Scpi(self.line, TREE, self.sim.device, self.sim.device.errors, self.sim.faults)  # type: ignore[arg-type]

    def ask(self, message: str) -> str:
        self.dialect.received(f"{message}\n".encode())
        return self.line.take()

    def light(self) -> dict[int, int]:
        self.sim.advance(SWITCHING_S)
        return self.port.connected


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_the_example_of_the_notes() -> None:
    async with spoken_to(Bench().sim) as speaker:
        await speaker.ask(b":oxc:swit:conn:add (@1,2),(@27,26)\n:oxc:swit:conn:stat?\n", b"(@1,2),(@27,26)\n")
        await speaker.ask(b":OXC:SWIT:SIZE?;\r\n", b"24,24\n")
        await speaker.ask(b"oxc:swit:conn:port? 3\nsyst:err?\n", b'\n0,"No error"\n')


def test_identity_holds_the_size(bench: Bench) -> None:
    maker, model, serial, firmware = bench.ask("*idn?").split(",")
    assert (maker, model, firmware) == ("Polatis", "N-OST-24x24-LA1-DMHNS", "6.5.2.18")
    assert len(serial) == 6


def test_ports_in_use_are_re_routed(bench: Bench) -> None:
    bench.ask(":oxc:swit:conn:add (@1,2),(@26,25)")
    assert bench.light() == {1: 2, 2: 1}
    bench.ask(":oxc:swit:conn:add (@1),(@25)")
    assert bench.ask(":oxc:swit:conn:stat?") == "(@1),(@25)"
    assert bench.light() == {1: 1}
    assert bench.ask(":oxc:swit:conn:port? 1;:oxc:swit:conn:port? 25") == "25;1"


def test_it_is_dark_while_mirrors_move(bench: Bench) -> None:
    bench.ask(":oxc:swit:conn:add (@1,2),(@26,25)")
    bench.light()
    bench.ask(":oxc:swit:conn:add (@1),(@30)")
    assert bench.port.connected == {2: 1}
    assert bench.sim.moving
    bench.sim.advance(0.4 * SWITCHING_S)
    assert bench.port.connected == {2: 1}
    bench.sim.advance(0.7 * SWITCHING_S)
    assert bench.port.connected == {1: 6, 2: 1}
    assert not bench.sim.moving


def test_taking_away_by_one_side_or_both_and_only(bench: Bench) -> None:
    bench.ask(":oxc:swit:conn:add (@1,2,3),(@26,25,40)")
    bench.ask(":oxc:swit:conn:sub (@1),(@26)")
    assert bench.light() == {2: 1, 3: 16}
    bench.ask(":oxc:swit:conn:sub (@2),(@)")
    assert bench.light() == {3: 16}
    bench.ask(":oxc:swit:conn:sub (@),(@40)")
    assert bench.ask(":oxc:swit:conn:stat?") == "(@),(@)"
    bench.ask(":oxc:swit:conn:add (@1),(@26)")
    bench.ask(":oxc:swit:conn:only (@5),(@29)")
    assert bench.light() == {5: 5}
    bench.ask(":oxc:swit:disc:all")
    assert bench.light() == {}


@pytest.mark.parametrize(
    ("ports", "number"),
    [
        ("(@1),(@2)", -222), ("(@26),(@1)", -222), ("(@0),(@26)", -222), ("(@1),(@49)", -222),
        ("(@1,2),(@26)", -108), ("(@1)", -108), ("(@1,1),(@26,27)", -221), ("1,26", -104), ("", -109),
    ],
)  # fmt: skip
def test_bad_ports_change_nothing_and_queue_an_error(bench: Bench, ports: str, number: int) -> None:
    bench.ask(":oxc:swit:conn:add (@1),(@25)")
    bench.ask(f":oxc:swit:conn:add {ports}")
    assert bench.ask(":syst:err?").startswith(f"{number},")
    assert bench.ask(":syst:err?") == '0,"No error"'
    assert bench.ask(":oxc:swit:conn:stat?") == "(@1),(@25)"


def test_ports_out_of_service(bench: Bench) -> None:
    bench.ask(":oxc:swit:conn:add (@2,3),(@26,27)")
    bench.ask(":oxc:swit:port:dis (@2,27)")
    assert bench.ask(":oxc:swit:port:stat? (@1,2,27)") == "(E,D,D)"
    assert bench.light() == {}
    bench.ask(":oxc:swit:conn:add (@2),(@28)")
    assert bench.ask(":syst:err:all?").startswith("-221,")
    bench.ask(":oxc:swit:port:enab (@2,27)")
    bench.ask(":oxc:swit:conn:add (@2),(@28)")
    assert bench.light() == {2: 4}


@pytest.mark.parametrize(("mode", "kept"), [("dark", {}), ("rest", {1: 1}), ("aut", {1: 1})])
def test_boot_mode_decides_what_is_there_after_a_power_cycle(
    bench: Bench, mode: str, kept: dict[int, int]
) -> None:
    bench.ask(f":oxc:boot:mode {mode}")
    assert bench.ask(":oxc:boot:mode?") == mode.upper()
    bench.ask(":oxc:swit:conn:add (@1),(@25)")
    bench.sim.power_cycle()
    assert bench.port.connected == kept
    bench.ask("*rst")
    assert bench.light() == {}


def test_a_model_without_monitors_does_not_know_them(bench: Bench) -> None:
    assert bench.ask(":pmon:pow? (@25,26)") == ""
    assert bench.ask("*stb?;:syst:err?") == '4;-113,"Undefined header"'


def test_its_own_error_has_no_effect(bench: Bench) -> None:
    bench.sim.faults.own_errors = 1
    bench.ask(":oxc:swit:conn:add (@1),(@25)")
    assert bench.ask(":syst:err?").startswith("-200,")
    assert bench.light() == {}


HEADERS = st.sampled_from([header.replace("[", "").replace("]", "") for header in COMMANDS])
ARGUMENTS = st.one_of(st.text(max_size=12), st.sampled_from(["(@1),(@25)", "(@),(@)", "(@,)", "99999999"]))


@given(st.lists(st.one_of(st.binary(max_size=30), st.builds("{}{} {}\n".format, HEADERS, st.sampled_from(["", "?"]), ARGUMENTS).map(str.encode)), max_size=12))  # fmt: skip  # noqa: E501
@settings(max_examples=50, deadline=None, derandomize=True)
def test_any_bytes_leave_it_answering(pieces: list[bytes]) -> None:
    bench = Bench()
    for piece in pieces:
        bench.dialect.received(piece)
    bench.line.take()
    bench.ask("")
    assert bench.ask("*IDN?").startswith("Polatis,")


async def test_a_power_cycle_breaks_the_lines() -> None:
    bench = Bench()
    async with spoken_to(bench.sim) as speaker:
        await speaker.ask(b":oxc:swit:size?\n", b"24,24\n")
        bench.sim.power_cycle()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await speaker.exchange(b":oxc:swit:size?\n", 6)
