"""The simulated CC1, spoken to as text (strings of qubitekk_cc1.md); coincidences are counted by hand too."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.instrument import Placed
from sim_instruments.ports import Ports
from sim_instruments.time_taggers.coincidence_logic import CoincidenceLogic, Tally
from sim_instruments.time_taggers.qubitekk_cc1 import FIRMWARE, LOOK_PS, UNABLE, UNKNOWN, SimQubitekkCc1
from tests.sim_instruments.apt_bench import SerialClient

S = 10**12
NS = 1000


class Bench:
    """A counter with its echo off, asked without a line between."""

    def __init__(self) -> None:
        ports = Ports()
        self.sim = SimQubitekkCc1.place(Placed("counter", "qubitekk_cc1"), ports, np.random.default_rng(1))
        self.port = ports.taggers["counter"]
        assert self.sim.answer(":ACKN OF") == [":ACKN OF"]

    def ask(self, *commands: str) -> list[str]:
        return [" ".join(self.sim.answer(command)) for command in commands]

    async def click(self, first: list[int], second: list[int], until_ps: int) -> None:
        await self.sim.take({1: np.array(first, np.int64), 2: np.array(second, np.int64)}, until_ps)
        self.port.clock_ps = until_ps


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_the_strings_of_the_notes_on_the_wire() -> None:
    bench = Bench()
    bench.sim.power_cycle()
    client = SerialClient(await bench.sim.start())

    async def ask(command: bytes, answer: bytes) -> None:
        assert await client.ask(command.hex(), len(answer)) == answer

    try:
        await ask(b":ACKN OF\n", b":ACKN OF\n")  # echo is on at power-up
        await ask(b"FIRM?\n", b"Firmware v2.010\n")
        await ask(b":WIND 7\nWIND?\n", b"7\n")
        await ask(b":DELA 2\nDELA?\n", b"2\n")
        await ask(b":DWEL 2\nDWEL?\n", b"2\n")
        await ask(b":GATE:ON\nGATE?\n", b"ON\n")
        await ask(b":GATE:OFF\nGATE?\n", b"OFF\n")
        await ask(b":SUBT:ON\nSUBT?\n", b"ON\n")
        await ask(b":TRIG:MODE STOP\nTRIG?\n", b"MODE STOP\n")
        await ask(b":TRIG:MODE CONT\nTRIG?\n", b"MODE CONT\n")
        await ask(b"COUN:C1?\nCOUN:C2?\nCOUN:CO?\n", b"0\n0\n0\n")
        await ask(b"nonsense\n", b"Unknown Command\n")
        await ask(b":WIND 8\n", b"Unable to comply\n")
        await ask(b":ACKN ON\nCLEA\nFIRM?\n", b"CLEA\nFIRM?\nFirmware v2.010\n")
    finally:
        client.close()
        await bench.sim.stop()


async def test_counts_are_of_the_last_whole_dwell_time(bench: Bench) -> None:
    assert bench.ask("COUN:C1?") == ["0"]
    assert bench.port.recording
    await bench.click([10 * NS, 500 * NS, S - 100 * NS], [11 * NS, 700 * NS], S // 2)
    assert bench.ask("COUN:C1?", "COUN:C2?", "COUN:CO?") == ["0", "0", "0"]
    await bench.click([], [], S + S // 4)
    assert bench.ask("COUN:C1?", "COUN:C2?", "COUN:CO?") == ["3", "2", "1"]
    await bench.click([S + S // 2], [], 2 * S + 100 * NS)
    assert bench.ask("COUN:C1?", "COUN:C2?", "COUN:CO?") == ["1", "0", "0"]


async def test_window_and_delay_decide_what_is_a_coincidence(bench: Bench) -> None:
    async def coincidences(*commands: str) -> str:
        bench.ask(*commands, "COUN:CO?", "CLEA")
        begin = bench.port.clock_ps
        await bench.click([begin + 1000 * NS], [begin + 1005 * NS], begin + 2 * S)
        return bench.ask("COUN:CO?")[0]

    bench.ask(":TRIG:MODE STOP")
    assert await coincidences(":WIND 4") == "0"
    assert await coincidences(":WIND 5") == "1"
    assert await coincidences(":WIND 0", ":DELA 6") == "0"
    assert await coincidences(":WIND 1", ":DELA 6") == "1"


async def test_start_stop_counts_one_dwell_time_after_each_clear(bench: Bench) -> None:
    bench.ask(":TRIG:MODE STOP", "CLEA")
    await bench.click([1 * NS], [], 3 * S)
    await bench.click([4 * S], [], 6 * S)
    assert bench.ask("COUN:C1?") == ["1"]
    bench.ask("CLEA")
    await bench.click([6 * S + 1, 6 * S + 2], [], 8 * S)
    assert bench.ask("COUN:C1?") == ["2"]


async def test_accidentals_are_subtracted_and_a_gate_without_a_signal_closes(bench: Bench) -> None:
    """8 coincidences; 1000 clicks on each input in 1 ms at a window of 5 ns make 5 accidentals."""
    bench.ask(":DWEL 0.001", ":WIND 2", "COUN:CO?")
    first = np.arange(1000) * 1000 * NS
    second = first + 500 * NS
    second[:8] = first[:8]
    await bench.click(list(first), list(np.sort(second)), 2 * S // 1000)
    assert bench.ask("COUN:CO?", ":SUBT:ON", "COUN:CO?", ":SUBT:OFF") == ["8", "", "3", ""]
    bench.ask(":GATE:ON")
    await bench.click([3 * S // 1000], [], 5 * S // 1000)
    assert bench.ask("COUN:C1?") == ["0"]


def test_interest_lapses(bench: Bench) -> None:
    bench.ask("COUN:C1?")
    bench.port.clock_ps = LOOK_PS - 1
    bench.sim.advance(0.25)
    assert bench.port.recording
    bench.port.clock_ps = LOOK_PS
    bench.sim.advance(0.25)
    assert not bench.port.recording


def test_power_cycle_and_own_errors(bench: Bench) -> None:
    bench.sim.faults.own_errors = 1
    assert bench.ask("FIRM?", ":WIND 5", "WIND?") == [FIRMWARE, UNKNOWN, "2"]
    bench.ask(":WIND 5", ":GATE:ON")
    bench.sim.power_cycle()
    assert bench.sim.answer("WIND?") == ["WIND?", "2"]
    assert bench.sim.answer("GATE?") == ["GATE?", "OFF"]


@pytest.mark.parametrize("command", [":WIND -1", ":DELA 3", ":DELA 16", ":DWEL 0", ":DWEL 5000"])
def test_what_is_out_of_range_cannot_be_complied_with(bench: Bench, command: str) -> None:
    assert bench.ask(command) == [UNABLE]


def counted_by_hand(first: list[int], second: list[int], window_ticks: int, delay_ticks: int) -> int:
    ticks = [t // NS for t in second]
    return sum(any(abs((t // NS + delay_ticks) - u) <= window_ticks for u in ticks) for t in first)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(0, 99_000), max_size=12),
    st.lists(st.integers(0, 99_000), max_size=12),
    st.lists(st.integers(0, 140_000), max_size=4),
    st.integers(0, 7),
    st.integers(0, 7),
)
def test_counts_do_not_depend_on_the_slices(
    first: list[int], second: list[int], cuts: list[int], window: int, half_delay: int
) -> None:
    """Against a count click by click. All clicks are in the first dwell time, also with the delay."""
    logic = CoincidenceLogic(window, 2 * half_delay, dwell_ps=120_000)
    logic.begin(0)
    since = 0
    for until in [*sorted(cuts), 150_000]:
        tags = {
            n: np.array(sorted(t for t in clicks if since <= t < until), np.int64)
            for n, clicks in ((1, first), (2, second))
        }
        logic.take(tags, until)
        since = until
    assert logic.last == Tally(
        len(first), len(second), counted_by_hand(first, second, window, 2 * half_delay)
    )


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.binary(max_size=20) | st.sampled_from([b":WIND 9999999\n", b"COUN:", b":DWEL 1.\n"])))
def test_no_request_crashes_the_simulator(pieces: list[bytes]) -> None:
    sim = Bench().sim
    for piece in pieces:
        sim._received(piece)
    assert sim.answer("FIRM?")[-1] == FIRMWARE
