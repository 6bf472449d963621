"""Gates, merging and watching of tag streams, against brute force over the whole stream."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest

from drivers.errors import DeadlineError, ProtocolError
from experiments.engine.feed import Feed
from experiments.engine.gates import Capture, Gate
from experiments.engine.tags import TagCollector
from tests.experiments.fakes import PS, FakeClock, FakeTagger
from timetags.block import TagBlock

SHIFTS = {"hub": 0, "alice": 2_000_000_123, "bob": -3_000_000_457}
LENGTH_PS = 4 * PS


def stream(seed: int, inputs: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, LENGTH_PS, 4000))
    times[100:110] = times[100]  # tags of one time
    return times, rng.integers(1, inputs + 1, 4000).astype(np.uint8)


def blocks(times: np.ndarray, channels: np.ndarray, edges: Sequence[int]) -> Iterator[TagBlock]:
    for begin, end in itertools.pairwise(edges):
        i, j = np.searchsorted(times, (begin, end))
        yield TagBlock(times[i:j], channels[i:j], begin, end)


class Bench:
    def __init__(self, silence_s: float = 15.0) -> None:
        self.taggers = {name: FakeTagger(name, 2) for name in SHIFTS}
        self.feeds = [Feed(t, {1: 2 * k, 2: 2 * k + 1}, 6) for k, t in enumerate(self.taggers.values())]
        self.clock = FakeClock()
        self.lost: list[tuple[str, int]] = []
        self.told = asyncio.Event()
        self.collector = TagCollector(self.feeds, "hub", self.clock, self.on_lost, silence_s)

    def on_lost(self, tagger: str, tags: int) -> None:
        self.lost.append((tagger, tags))
        self.told.set()

    async def play(self, streams: dict[str, Iterator[TagBlock]]) -> None:
        async def one(name: str, source: Iterator[TagBlock]) -> None:
            for block in source:
                await self.taggers[name].put(block)

        await asyncio.gather(*(one(name, source) for name, source in streams.items()))

    @asynccontextmanager
    async def running(self):
        await self.collector.start()
        task = asyncio.create_task(self.collector.run())
        try:
            yield
        finally:
            await self.collector.stop()
            await task


def edges(seed: int, pieces: int) -> list[int]:
    cuts = np.random.default_rng(seed).choice(LENGTH_PS // 10**6, pieces - 1, replace=False) * 10**6
    return [0, *sorted(cuts.tolist()), LENGTH_PS]


STREAMS = {name: stream(k, 2) for k, name in enumerate(SHIFTS)}


def brute_force(begin: int, end: int) -> list[tuple[int, int]]:
    tags = [
        (int(t) + SHIFTS[name], 2 * k + int(c) - 1)
        for k, name in enumerate(SHIFTS)
        for t, c in zip(*STREAMS[name], strict=True)
    ]
    return sorted(tag for tag in tags if begin <= tag[0] < end)


@pytest.mark.parametrize("seed", range(5))
async def test_gates_are_exact_under_any_cuts(seed: int) -> None:
    bench = Bench()
    at_a_tag = int(STREAMS["alice"][0][2000]) + SHIFTS["alice"]
    gates = [(PS // 10, PS), (PS, 3 * PS // 2), (3 * PS // 2, at_a_tag), (at_a_tag, at_a_tag + PS // 2)]
    captures = [Capture() for _ in gates]
    async with bench.running():
        bench.collector.align(SHIFTS)
        for (begin, end), capture in zip(gates, captures, strict=True):
            bench.collector.open_gate(begin, end, capture)
        cut = {
            name: blocks(*STREAMS[name], edges(10 * seed + k, (3, 40, 400)[(k + seed) % 3]))
            for k, name in enumerate(SHIFTS)
        }
        async with asyncio.timeout(20):
            await bench.play(cut)
            await bench.collector.reached(gates[-1][1])
    for (begin, end), capture in zip(gates, captures, strict=True):
        times, channels = capture.tags()
        assert np.all(np.diff(times) >= 0)
        assert sorted(zip(times.tolist(), channels.tolist(), strict=True)) == brute_force(begin, end)


async def test_order_of_equal_times_does_not_depend_on_cuts() -> None:
    found = []
    for pieces in (2, 50):
        bench, capture = Bench(), Capture()
        same = np.repeat(np.arange(100) * 10**9 + PS, 3), np.tile(np.array([2, 1, 2], np.uint8), 100)
        async with bench.running():
            bench.collector.align(dict.fromkeys(SHIFTS, 0))
            bench.collector.open_gate(PS // 2, 2 * PS, capture)
            cut = {name: blocks(*same, edges(pieces + k, pieces)) for k, name in enumerate(SHIFTS)}
            await bench.play(cut)
            await bench.collector.reached(2 * PS)
        found.append(capture.tags())
    assert np.array_equal(found[0][1], found[1][1])
    assert len(found[0][0]) == 900


async def test_capture_is_in_each_taggers_own_time() -> None:
    bench = Bench()
    async with bench.running():
        captures = bench.collector.capture(PS, 2 * PS)
        await bench.play({name: blocks(*STREAMS[name], edges(1, 20)) for name in SHIFTS})
        await bench.collector.captured(LENGTH_PS)
    assert [feed.counts.sum() for feed in bench.feeds] == [4000, 4000, 4000]
    for name, capture in captures.items():
        times, _ = STREAMS[name]
        assert np.array_equal(capture.tags()[0], times[(times >= PS) & (times < 2 * PS)])


async def test_window_lies_within_its_sleep_whatever_the_latency() -> None:
    bench = Bench()
    async with bench.running():
        await bench.clock.sleep(3.0)
        begin, end = bench.collector.window(2.0)
        assert end - begin == 2 * PS
        # A tagger that began up to 10 ms late: its time + latency is the run clock's.
        for latency in (0.0, 0.01):
            assert begin / PS + latency >= 3.0
            assert end / PS + latency <= 3.0 + bench.collector.lasts(2.0)


async def test_window_lies_ahead_of_a_tagger_that_is_faster_than_the_run_clock() -> None:
    bench = Bench()
    async with bench.running():
        bench.collector.align(dict.fromkeys(SHIFTS, 0))
        await bench.play({name: blocks(*STREAMS[name], edges(1, 4)) for name in SHIFTS})
        await bench.collector.reached(LENGTH_PS)
        await bench.clock.sleep(LENGTH_PS / PS - 0.1)
        begin, end = bench.collector.window(2.0)
        assert begin >= LENGTH_PS + 0.01 * PS
        assert end / PS <= bench.clock.now() + 0.1 + bench.collector.lasts(2.0)
        bench.collector.open_gate(begin, end, Capture())


async def test_gates_need_alignment_and_lie_ahead() -> None:
    bench = Bench()
    async with bench.running():
        with pytest.raises(RuntimeError, match="calibrate_delays"):
            bench.collector.open_gate(0, PS, Capture())
        with pytest.raises(ValueError, match="alice, bob"):
            bench.collector.align({"hub": 0})
        bench.collector.align(SHIFTS)
        await bench.play({name: blocks(*STREAMS[name], edges(1, 4)) for name in SHIFTS})
        await bench.collector.reached(3 * PS)
        with pytest.raises(RuntimeError, match="are gone"):
            bench.collector.open_gate(PS, 2 * PS, Capture())


async def test_slow_analysis_holds_the_streams_back() -> None:
    bench = Bench()
    gate_open = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Slow(Capture):
        def add(self, block: TagBlock) -> None:
            asyncio.run_coroutine_threadsafe(gate_open.wait(), loop).result()
            super().add(block)

    slow = Slow()
    async with bench.running():
        bench.collector.align(SHIFTS)
        bench.collector.open_gate(PS // 100, 3 * PS, slow)
        evenly = list(range(0, LENGTH_PS + 1, LENGTH_PS // 100))
        playing = asyncio.create_task(bench.play({n: blocks(*STREAMS[n], evenly) for n in SHIFTS}))
        for _ in range(300):
            await asyncio.sleep(0.001)
        held_back = [feed.blocks for feed in bench.feeds]
        gate_open.set()
        await playing
        await bench.collector.reached(3 * PS)
    assert max(held_back) <= 6  # one held, two waiting, one in hand, and what the merge has used up
    assert len(slow.tags()[0]) == len(brute_force(PS // 100, 3 * PS))


async def test_silent_tagger_ends_the_wait() -> None:
    bench = Bench(silence_s=1.0)
    await bench.collector.start()
    task = asyncio.create_task(bench.collector.run())
    bench.collector.align(SHIFTS)
    evenly = list(range(0, LENGTH_PS + 1, LENGTH_PS // 20))
    streams = {n: blocks(*STREAMS[n], evenly) for n in SHIFTS}
    streams["bob"] = iter([next(streams["bob"])])
    playing = asyncio.create_task(bench.play(streams))
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(10):
            await task
    playing.cancel()
    (error,) = caught.value.exceptions
    assert isinstance(error, DeadlineError)
    assert error.name == "bob"
    assert "stands at 0.200 s" in str(error)
    assert "Check the tagger's power" in str(error)


async def test_taggers_at_rest_are_not_silent() -> None:
    bench = Bench(silence_s=0.5)
    async with bench.running():
        await bench.play({n: blocks(*STREAMS[n], edges(1, 4)) for n in SHIFTS})
        await asyncio.sleep(1.0)


async def test_tags_that_do_not_come_through_name_the_tagger_behind() -> None:
    bench = Bench()
    async with bench.running():
        bench.collector.align(SHIFTS)
        streams = {n: blocks(*STREAMS[n], [0, PS, 2 * PS]) for n in SHIFTS}
        streams["alice"] = blocks(*STREAMS["alice"], [0, PS])
        await bench.play(streams)
        await bench.collector.reached(PS)
        with pytest.raises(DeadlineError, match="alice"):
            await bench.collector.reached(2 * PS, deadline_s=0.1)


async def test_jump_in_a_stream_is_an_error() -> None:
    bench = Bench()
    await bench.collector.start()
    task = asyncio.create_task(bench.collector.run())
    whole = list(blocks(*STREAMS["hub"], [0, PS, 2 * PS, 3 * PS]))
    for block in (whole[0], whole[2]):
        await bench.taggers["hub"].put(block)
    with pytest.raises(ExceptionGroup) as caught:
        await task
    assert isinstance(caught.value.exceptions[0], ProtocolError)
    assert "jumps from" in str(caught.value.exceptions[0])


async def test_loss_is_reported() -> None:
    bench = Bench()
    nothing = np.empty(0, np.int64), np.empty(0, np.uint8)
    async with bench.running():
        await bench.taggers["bob"].put(TagBlock(*nothing, 0, PS, lost=5))
        await bench.told.wait()
    assert bench.lost == [("bob", 5)]
    assert bench.collector.lost()["bob"] == 5


def test_gate_finishes_once_and_also_when_the_stream_ends_early() -> None:
    class Sink(Capture):
        finished = 0

        def finish(self) -> None:
            self.finished += 1

    whole, early = Sink(), Sink()
    gates = [Gate(0, PS, whole), Gate(0, 9 * PS, early)]
    for block in blocks(*STREAMS["hub"], [0, PS // 2, PS, 2 * PS]):
        for gate in gates:
            gate.offer(block)
    assert (whole.finished, early.finished) == (1, 0)
    for gate in gates:
        gate.finish()
    assert (whole.finished, early.finished) == (1, 1)


def test_a_feed_says_how_far_it_is_only_when_the_gates_have_their_tags() -> None:
    """Whoever waits for `reach_ps` takes what a capture holds at that moment."""
    feed = Feed(FakeTagger("hub", 2), {1: 0, 2: 1}, 2)
    reached: list[int] = []

    class Watching:
        def add(self, block: TagBlock) -> None:
            reached.append(feed.reach_ps)

        def finish(self) -> None:
            reached.append(feed.reach_ps)

    block = TagBlock(np.array([5], np.int64), np.array([1], np.uint8), 0, PS)
    feed.take_in(block, (Gate(0, PS, Watching()),))
    assert reached == [0, 0]
    assert feed.reach_ps == PS
