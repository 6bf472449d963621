"""The simulated Agiltron switch, spoken to as bytes. Expected frames are those of small_switches.md."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.instrument import Placed
from sim_instruments.optics.agiltron_cl import SimAgiltronCl
from sim_instruments.ports import Ports, SwitchPort
from tests.sim_instruments.spoken_to import spoken_to

READ = bytes.fromhex("01 11 00 00")


def setting(channel: int) -> bytes:
    return bytes((0x01, 0x12, 0x00, channel))


def placed() -> tuple[SimAgiltronCl, SwitchPort]:
    ports = Ports()
    sim = SimAgiltronCl.place(Placed("fan", "agiltron_cl", {"channels": 8}), ports, np.random.default_rng(1))
    return sim, ports.switches["fan"]


async def test_the_frames_of_the_notes() -> None:
    sim, port = placed()
    async with spoken_to(sim) as speaker:
        for channel in (4, 8, 1):
            await speaker.ask(setting(channel), setting(channel))
            assert port.connected == {1: channel}
            assert (await speaker.exchange(READ, 4))[-1] == channel


@pytest.mark.parametrize("frame", ["01 12 00 00", "01 12 00 09", "01 13 00 01", "02 11 00 00", "01 11 00 05"])
async def test_what_it_does_not_take_is_not_answered(frame: str) -> None:
    sim, port = placed()
    async with spoken_to(sim) as speaker:
        # The next answer is the one to the next question.
        await speaker.ask(bytes.fromhex(frame) + setting(2), setting(2))
        assert port.connected == {1: 2}


async def test_its_own_error_is_silence() -> None:
    sim, port = placed()
    async with spoken_to(sim) as speaker:
        sim.faults.own_errors = 1
        await speaker.ask(setting(5) + READ, bytes.fromhex("01 11 00 01"))
        assert port.connected == {1: 1}


def test_after_a_power_cycle_it_is_at_its_first_channel() -> None:
    sim, port = placed()
    sim.received(setting(7) + b"\x01\x12")
    sim.power_cycle()
    assert port.connected == {1: 1}
    sim.received(setting(3))
    assert port.connected == {1: 3}


@given(st.lists(st.one_of(st.binary(max_size=12), st.just(setting(300 % 256))), max_size=12))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_any_bytes_leave_it_working(pieces: list[bytes]) -> None:
    sim, port = placed()
    for piece in pieces:
        sim.received(piece)
    sim.received(3 * b"\0")  # the rest of a frame that has begun
    sim.received(setting(6))
    assert port.connected == {1: 6}
