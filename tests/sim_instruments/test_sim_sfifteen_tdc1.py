"""The simulated TDC1, spoken to as text and read as words (sfifteen_tdc1.md). Every stream is decoded here
anew, word by word, in the way the note describes."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.instrument import Placed
from sim_instruments.ports import Ports
from sim_instruments.time_taggers import sfifteen_tdc1
from sim_instruments.time_taggers.sfifteen_tdc1 import IDENTITY, OUT_OF_RANGE, UNKNOWN, SimSFifteenTdc1
from sim_instruments.time_taggers.tdc1_model import PAIRS, Count, Stream
from tests.sim_instruments.apt_bench import SerialClient

S = 10**12
MS = 10**9
WRAP_PS = (1 << 27) * 2000
Clicks = dict[int, list[int]]


class Bench:
    """A TDC1, asked without a line between; with `at_line` also with a client at its line."""

    def __init__(self) -> None:
        ports = Ports()
        self.sim = SimSFifteenTdc1.place(Placed("tdc", "sfifteen_tdc1"), ports, np.random.default_rng(1))
        self.port = ports.taggers["tdc"]

    def ask(self, *commands: str) -> list[str]:
        return [" ".join(self.sim.answer(command)) for command in commands]

    async def click(self, clicks: Clicks, until_ps: int) -> None:
        await self.sim.take({n: np.array(times, np.int64) for n, times in clicks.items()}, until_ps)
        self.port.clock_ps = until_ps


class AtLine(Bench):
    client: SerialClient

    async def text(self, command: bytes, answer: bytes) -> None:
        assert await self.client.ask(command.hex(), len(answer)) == answer

    async def words(self, count: int) -> list[tuple[int, int]]:
        return decoded(await self.client.read(4 * count))


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
async def line() -> AsyncIterator[AtLine]:
    bench = AtLine()
    bench.client = SerialClient(await bench.sim.start())
    yield bench
    bench.client.close()
    await bench.sim.stop()


def decoded(data: bytes) -> list[tuple[int, int]]:
    """(ps, input) of every event. Whenever time runs backwards it has wrapped; dummies are no events."""
    events, wraps, before = [], 0, 0
    for k in range(0, len(data), 4):
        value = int.from_bytes(data[k : k + 4], "little")
        unit = value >> 5
        wraps, before = wraps + (unit < before), unit
        if not value & 0x10:
            events += [((unit + (wraps << 27)) * 2000, n) for n in (1, 2, 3, 4) if value >> (n - 1) & 1]
    return events


# -- text -------------------------------------------------------------------------------------------


async def test_commands_end_by_semicolon_or_line_end_and_may_be_chained(line: AtLine) -> None:
    await line.text(b"*idn?\r\n", IDENTITY.encode() + b"\r\n")
    assert "TDC1" in IDENTITY
    await line.text(b"INPKT;time 500;Time?;MODE?\r", b"500\r\n0\r\n")
    await line.text(b"PAIRS;mode?;", b"1\r\n")
    await line.text(b"timestamp\nMODE?\r\n", b"3\r\n")
    await line.text(b"nonsense;MODE?;", UNKNOWN.encode() + b"\r\n3\r\n")


def test_it_starts_up_counting_singles_for_a_second_at_nim_level(bench: Bench) -> None:
    assert bench.ask("MODE?", "TIME?", "REFCLK?", "ECLOCK?") == ["0", "1000", "0", "1"]
    assert float(bench.ask("LEVEL?")[0].split()[0]) == -0.5


def test_the_firmware_answers_the_time_as_a_signed_number(bench: Bench) -> None:
    """65535 is answered as -1, and 32768 as -32768."""
    for time, answer in ((32767, "32767"), (32768, "-32768"), (65535, "-1")):
        assert bench.ask(f"TIME {time}", "TIME?") == ["", answer]


def test_all_inputs_have_one_level(bench: Bench) -> None:
    levels = []
    for command in ("NEG -0.25", "POS 0.3", "TTL", "NIM"):
        bench.ask(command)
        assert len({entry.threshold_v for entry in bench.port.inputs.values()}) == 1
        levels.append(bench.port.inputs[4].threshold_v)
    assert levels[:2] == [-0.25, 0.3]
    assert levels[2] > 0 > levels[3]


@pytest.mark.parametrize(
    "command", ["TIME 65536", "TIME 1.5", "TIME -1", "POS 4", "NEG 0.1", "REFCLK 3", "POS nan"]
)
def test_what_is_out_of_range_is_told(bench: Bench, command: str) -> None:
    assert bench.ask(command) == [OUT_OF_RANGE]


def test_reset_save_and_power_cycle(bench: Bench) -> None:
    bench.ask("TIME 20", "POS 0.3", "SAVE", "TIME 30", "NIM")
    bench.sim.power_cycle()
    assert bench.ask("TIME?", "LEVEL?")[0] == "20"
    assert bench.port.inputs[1].threshold_v == 0.3
    bench.ask("TIMESTAMP", "COUNTS?")
    assert bench.port.recording
    bench.ask("*RST")
    assert bench.ask("TIME?", "MODE?") == ["1000", "0"]
    assert not bench.port.recording


def test_own_errors_have_no_effect(bench: Bench) -> None:
    bench.sim.faults.own_errors = 1
    assert bench.ask("*IDN?", "TIME 20", "TIME?") == [IDENTITY, UNKNOWN, "1000"]


# -- counting ---------------------------------------------------------------------------------------


async def test_singles_are_answered_when_the_time_is_over(line: AtLine) -> None:
    line.client.send(b"TIME 100;SINGLES;COUNTS?\r\n".hex())
    await line.text(b"*IDN?\r\n", IDENTITY.encode() + b"\r\n")
    assert line.port.recording
    await line.click({}, 10 * MS)  # the slice in which it began does not count
    await line.click({1: [10 * MS, 20 * MS], 2: [30 * MS], 4: [109 * MS]}, 109 * MS + 1)
    await line.click({1: [110 * MS - 1, 110 * MS]}, 150 * MS)
    assert await line.client.read(9) == b"3 1 0 1\r\n"
    assert not line.port.recording


async def test_pairs(line: AtLine) -> None:
    line.client.send(b"TIME 100;PAIRS;COUNTS?\r\n".hex())
    await line.text(b"*IDN?\r\n", IDENTITY.encode() + b"\r\n")
    await line.click({}, 0)
    both = [1000 * k for k in range(0, 40, 4)]
    await line.click({1: both, 3: [t + 999 for t in both[:7]], 4: [both[2] + 2000]}, 200 * MS)
    assert await line.client.read(18) == b"10 0 7 1 7 0 0 0\r\n"


async def test_a_count_is_aborted(bench: Bench) -> None:
    bench.ask("COUNTS?", "ABORT")
    assert not bench.port.recording
    assert bench.ask("TIME 0", "COUNTS?") == ["", OUT_OF_RANGE]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(0, 60_000), st.integers(1, 4)), max_size=30),
    st.lists(st.integers(0, 60_000), max_size=4),
)
def test_counts_do_not_depend_on_the_slices(clicks: list[tuple[int, int]], cuts: list[int]) -> None:
    """Against counting by hand, from 10 ns for 40 ns. A pair is two clicks in the same 2 ns."""
    count, since = Count(40_000, PAIRS), 10_000
    count.take({}, 10_000)
    for until in [*sorted(cut for cut in cuts if cut > 10_000), 70_000]:
        count.take(per_input(clicks, since, until), until)
        since = until
    seen = {n: [t for t, m in clicks if m == n and 10_000 <= t < 50_000] for n in (1, 2, 3, 4)}
    bins = {n: {t // 2000 for t in times} for n, times in seen.items()}
    assert count.is_over
    assert count.text.split() == [
        str(k) for k in [*map(len, seen.values()), *(len(bins[a] & bins[b]) for a, b in PAIRS)]
    ]


# -- recording --------------------------------------------------------------------------------------


async def test_the_words_of_the_note(line: AtLine) -> None:
    """1.5 us on input 1 is c1 5d 00 00, 0.2684 s on input 2 is 02 58 f7 ff."""
    line.client.send(b"INPKT;TIME 0;TIMESTAMP;COUNTS?;".hex())
    await line.text(b"*IDN?\r\n", IDENTITY.encode() + b"\r\n")
    await line.click({1: [1_500_000], 2: [268_400_000_000]}, 268_410_000_000)
    data = await line.client.read(16)
    assert data == bytes.fromhex("10 00 00 00" + "c1 5d 00 00" + "10 00 00 80" + "02 58 f7 ff")


async def test_a_recording_ends_by_abort_and_text_comes_again(line: AtLine) -> None:
    line.port.clock_ps = 5 * S
    line.client.send(b"TIME 0;TIMESTAMP;COUNTS?\r\n".hex())
    await line.text(b"*IDN?\r\n", IDENTITY.encode() + b"\r\n")
    await line.click({3: [5 * S + 4001]}, 5 * S + MS)
    assert await line.words(2) == [(4000, 3)]
    await line.text(b"ABORT;MODE?\r\n", b"3\r\n")
    assert not line.port.recording
    await line.click({3: [6 * S]}, 7 * S)
    await line.text(b"TIME?\r\n", b"0\r\n")


async def test_a_recording_of_some_time_ends_by_itself(line: AtLine) -> None:
    line.client.send(b"TIME 2;TIMESTAMP;COUNTS?\r\n".hex())
    await line.text(b"*IDN?\r\n", IDENTITY.encode() + b"\r\n")
    await line.click({1: [MS, 2 * MS - 2000, 2 * MS, 3 * MS]}, 5 * MS)
    assert await line.words(3) == [(MS, 1), (2 * MS - 2000, 1)]
    assert not line.port.recording
    await line.text(b"TIME?\r\n", b"2\r\n")


async def test_a_slow_reader_holds_the_world_back_and_loses_nothing(line: AtLine) -> None:
    line.client.send(b"TIME 0;TIMESTAMP;COUNTS?\r\n".hex())
    await line.text(b"*IDN?\r\n", IDENTITY.encode() + b"\r\n")
    clicks = [4000 * k for k in range(100_000)]
    world = asyncio.create_task(line.click({1: clicks}, MS))
    for _ in range(200):
        await asyncio.sleep(0)
    assert not world.done()
    assert await line.words(100_001) == [(t, 1) for t in clicks]
    await world


async def test_a_line_that_nobody_reads_loses_tags(line: AtLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sfifteen_tdc1, "PATIENCE_S", 0.01)
    line.sim.answer("TIME 0")
    line.sim.answer("TIMESTAMP")
    line.sim.answer("COUNTS?")
    for k in range(20):  # each slice more than the line keeps
        begin = k * MS
        await line.click({1: [begin + 4000 * n for n in range(20_000)]}, begin + MS)
    line.sim.answer("ABORT")
    line.client.send(b"*IDN?\r\n".hex())
    data = b""
    while not data.endswith(b"simulated\r\n"):
        data += await line.client.read(1)
    assert len(data) < 4 * 60_000


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(0, 3 * WRAP_PS), st.integers(1, 4)), max_size=30),
    st.lists(st.tuples(st.integers(0, 40_000), st.integers(1, 4)), max_size=20),
    st.lists(st.integers(0, 3 * WRAP_PS) | st.integers(0, 40_000), max_size=6),
)
def test_a_stream_does_not_depend_on_the_slices(
    far: list[tuple[int, int]], near: list[tuple[int, int]], cuts: list[int]
) -> None:
    """Every click comes once, in 2 ns and in order; what one input has twice in 2 ns comes once."""
    clicks, stream, since, data = far + near, Stream(0, None), 0, b""
    for until in [*sorted(cuts), 3 * WRAP_PS + 4000]:
        data += stream.words(per_input(clicks, since, until), until).astype("<u4").tobytes()
        since = until
    assert decoded(data) == sorted({(t // 2000 * 2000, n) for t, n in clicks})


def per_input(
    clicks: Sequence[tuple[int, int]], since: int, until: int
) -> dict[int, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    return {
        n: np.array(sorted(t for t, m in clicks if m == n and since <= t < until), np.int64)
        for n in (1, 2, 3, 4)
    }


# -- anything ---------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.lists(
        st.binary(max_size=20) | st.sampled_from([b"TIME 1e999;", b"COUNTS?;", b"POS -;", b"TIMESTAMP\n"])
    )
)
def test_no_request_crashes_the_simulator(pieces: list[bytes]) -> None:
    bench = Bench()
    for piece in pieces:
        bench.sim._received(piece)
        asyncio.run(bench.click({1: [bench.port.clock_ps + 1]}, bench.port.clock_ps + S))
    assert bench.ask("*IDN?") == [IDENTITY]
