"""The simulated OSW switch, spoken to as bytes. Expected lines are those of small_switches.md."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.instrument import Placed
from sim_instruments.optics.thorlabs_osw import SimThorlabsOsw
from sim_instruments.ports import Ports, SwitchPort
from tests.sim_instruments.spoken_to import spoken_to

BAR, CROSS = {1: 1, 2: 2}, {1: 2, 2: 1}


def placed(inputs: int = 2) -> tuple[SimThorlabsOsw, SwitchPort]:
    ports = Ports()
    entry = Placed("cross", "thorlabs_osw", {"inputs": inputs})
    return SimThorlabsOsw.place(entry, ports, np.random.default_rng(1)), ports.switches["cross"]


async def test_the_commands_of_the_notes() -> None:
    sim, port = placed()
    async with spoken_to(sim) as speaker:
        await speaker.ask(b"S?\n", b"1\r\n")
        assert port.connected == BAR
        await speaker.ask(b"S 2\nS?\n", b"2\r\n")  # setting is silent
        assert port.connected == CROSS
        assert (await speaker.exchange(b"I?\n", 18)).endswith(b"\r\n")
        assert sim.answer("T?")


def test_one_input() -> None:
    sim, port = placed(inputs=1)
    sim.received(b"S 2\n")
    assert port.connected == {1: 2}


@pytest.mark.parametrize("command", ["S 3", "S", "S 1 2", "X?", "s?"])
def test_what_it_does_not_understand_has_no_effect(command: str) -> None:
    sim, port = placed()
    assert sim.answer(command) == ""
    assert port.connected == BAR


def test_its_own_error_is_silence_and_it_comes_back_in_bar() -> None:
    sim, port = placed()
    sim.faults.own_errors = 1
    assert sim.answer("S 2") == ""
    assert port.connected == BAR
    sim.answer("S 2")
    sim.power_cycle()
    assert port.connected == BAR


@given(st.lists(st.one_of(st.binary(max_size=12), st.sampled_from([b"S 2\n", b"S 1\r", b"\n"])), max_size=12))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_any_bytes_leave_it_working(pieces: list[bytes]) -> None:
    sim, port = placed()
    for piece in pieces:
        sim.received(piece)
    sim.received(b"\nS 2\n")
    assert port.connected == CROSS
