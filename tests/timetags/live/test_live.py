"""The live engine: exact whatever comes when, bounded, patient with the slow and not with the silent.

Time is a clock that the tests move; nothing here waits for the wall's.
"""

import asyncio
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from timetags.block import TagBlock
from timetags.clocks.affine import AffineClock
from timetags.live.engine import Live
from timetags.live.streams import SilentSourceError

PS = 10**12
CLOCKS = {
    "hub": AffineClock(),
    "alice": AffineClock(2_000_123, 5e-6, PS),
    "bob": AffineClock(-3_000_457, -3e-6),
}


class ByHand:
    """A clock that stands still until it is moved on."""

    def __init__(self) -> None:
        self._now, self._moved = 0.0, asyncio.Condition()

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        end = self._now + seconds
        async with self._moved:
            await self._moved.wait_for(lambda: self._now >= end)

    async def move(self, seconds: float) -> None:
        """On in steps, so that whoever sleeps has its turn."""
        for _ in range(round(4 * seconds)):
            self._now += 0.25
            async with self._moved:
                self._moved.notify_all()
            await idle()


async def idle() -> None:
    """Let every task do what it can without help from threads."""
    for _ in range(50):
        await asyncio.sleep(0)


class Keep:
    """An analysis that keeps all it gets."""

    def __init__(self) -> None:
        self.blocks: list[TagBlock] = []
        self.finished = 0

    def add(self, block: TagBlock) -> None:
        self.blocks.append(block)

    def finish(self) -> None:
        self.finished += 1

    def tags(self) -> list[tuple[int, int]]:
        return [tag for b in self.blocks for tag in zip(b.times.tolist(), b.channels.tolist(), strict=True)]


def stream(seed: int, channel: int, pieces: int, lost: int = 0) -> list[TagBlock]:
    random = np.random.default_rng(seed)
    times = np.sort(random.integers(0, PS, 3000))
    cuts = [0, *sorted(random.integers(0, PS, pieces - 1).tolist()), PS]
    found = []
    for begin, end in pairwise(cuts):
        i, j = np.searchsorted(times, (begin, end))
        found.append(TagBlock(times[i:j], np.full(j - i, channel, np.uint8), begin, end, lost))
    return found


def empty(start: int, end: int, lost: int = 0) -> TagBlock:
    return TagBlock(np.empty(0, np.int64), np.empty(0, np.uint8), start, end, lost)


def brute(streams: dict[str, list[TagBlock]]) -> list[tuple[int, int]]:
    begin = max(clock.instant(0) for clock in CLOCKS.values())
    tags = sorted(
        (CLOCKS[name].instant(t), k)
        for k, name in enumerate(CLOCKS)
        for block in streams[name]
        for t in block.times.tolist()
    )
    return [tag for tag in tags if tag[0] >= begin]


async def play(live: Live, name: str, blocks: list[TagBlock] | Iterator[TagBlock]) -> None:
    for block in blocks:
        await live.put(name, block)
    await live.end(name)


@pytest.mark.parametrize("pieces", [(1, 1, 1), (3, 40, 200), (100, 2, 7)])
async def test_what_is_analysed_does_not_depend_on_cuts_and_nothing_is_lost_silently(pieces) -> None:
    keep, other = Keep(), Keep()
    live = Live(CLOCKS, ByHand(), keep, other, silence_s=10, threads=2)
    streams = {name: stream(k, k, pieces[k], lost=k) for k, name in enumerate(CLOCKS)}
    async with asyncio.timeout(20):
        await asyncio.gather(live.run(), *(play(live, name, blocks) for name, blocks in streams.items()))
    expected = brute(streams)
    assert keep.tags() == other.tags() == expected
    assert keep.finished == 1
    tallies = live.tallies()
    for k, name in enumerate(CLOCKS):
        assert tallies[name].counts[k] == sum(channel == k for _, channel in expected)
        assert tallies[name].counts.sum() == tallies[name].counts[k]
        assert tallies[name].lost + live.skipped[name] + tallies[name].counts[k] == 3000 + k * pieces[k]
    assert live.skipped["hub"] == 0
    assert sum(block.lost for block in keep.blocks) == sum(tally.lost for tally in tallies.values())


async def test_a_slow_source_holds_the_others_back_up_to_the_bound() -> None:
    live = Live(CLOCKS, ByHand(), silence_s=10, most_blocks=3)
    run = asyncio.create_task(live.run())
    put = dict.fromkeys(("hub", "alice"), 0)

    async def fill(name: str) -> None:
        for k in range(50):
            await live.put(name, empty(k * PS, (k + 1) * PS))
            put[name] += 1

    fillers = [asyncio.create_task(fill(name)) for name in put]
    await idle()
    assert put == {"hub": 3, "alice": 3}
    await live.put("bob", empty(0, 50 * PS))
    async with asyncio.timeout(20):
        await asyncio.gather(*fillers)
    for name in CLOCKS:
        await live.end(name)
    await run
    assert live.done_ps == CLOCKS["alice"].instant(50 * PS)


async def test_the_bound_is_in_tags_too_but_one_block_of_any_size_passes() -> None:
    live = Live(CLOCKS, ByHand(), silence_s=10, most_blocks=100, most_tags=2500)
    put = 0

    async def fill() -> None:
        nonlocal put
        for block in stream(1, 0, 30):
            await live.put("hub", block)
            put += len(block)

    filler = asyncio.create_task(fill())
    await idle()
    assert 2000 < put <= 2500
    filler.cancel()
    big = Live(CLOCKS, ByHand(), silence_s=10, most_tags=10)
    async with asyncio.timeout(30):
        await big.put("hub", stream(1, 0, 1)[0])


async def test_a_silent_source_is_an_error_after_the_deadline_by_the_callers_clock() -> None:
    clock, keep = ByHand(), Keep()
    live = Live(CLOCKS, clock, keep, silence_s=8)
    run = asyncio.create_task(live.run())
    await idle()
    for name in CLOCKS:
        await live.put(name, empty(0, PS))
    for name in ("hub", "alice"):
        for second in (1, 2):
            await live.put(name, empty(second * PS, (second + 1) * PS))
    await live.reached(PS // 2)
    await clock.move(7)
    assert not run.done()
    await clock.move(3)
    with pytest.raises(SilentSourceError, match=r"bob: no tags for 8 s.*stands at 1\.000 s") as caught:
        await run
    assert (caught.value.source, caught.value.reach_ps) == ("bob", PS)
    assert keep.finished == 0
    with pytest.raises(RuntimeError, match="a block of hub comes when the analysis of its stream has ended"):
        await live.put("hub", empty(3 * PS, 4 * PS))


async def test_a_source_that_never_begins_is_named_too() -> None:
    clock = ByHand()
    live = Live(CLOCKS, clock, silence_s=2)
    run = asyncio.create_task(live.run())
    await idle()
    for name in ("hub", "bob"):
        for second in range(3):
            await live.put(name, empty(second * PS, (second + 1) * PS))
    await clock.move(4)
    with pytest.raises(SilentSourceError, match=r"alice: .*has not begun"):
        await run


async def test_sources_at_rest_together_are_not_silent() -> None:
    clock = ByHand()
    live = Live(CLOCKS, clock, silence_s=2)
    run = asyncio.create_task(live.run())
    for name in CLOCKS:
        await live.put(name, empty(0, PS))
    await clock.move(100)
    assert not run.done()
    for name in CLOCKS:
        await live.end(name)
    async with asyncio.timeout(10):
        await run


async def test_rates_say_what_was_lost_and_when_there_was_nothing() -> None:
    live = Live({"hub": AffineClock()}, ByHand(), silence_s=2)
    run = asyncio.create_task(live.run())
    times = np.arange(0, PS, 10**9)
    await live.put("hub", TagBlock(times, np.full(1000, 7, np.uint8), 0, PS))
    await live.reached(PS)
    first = live.tallies()["hub"]
    assert first.complete
    assert (first.rates_hz()[7], first.remark()) == (1000.0, "")
    await live.put("hub", TagBlock(times[:500] + 2 * PS, np.full(500, 7, np.uint8), 2 * PS, 3 * PS, lost=12))
    await live.end("hub")
    await run
    later = live.tallies()["hub"].since(first)
    assert (later.span_ps, later.live_ps, later.lost) == (2 * PS, PS, 12)
    assert not later.complete
    assert later.rates_hz()[7] == 500.0  # of the second that there was
    assert later.remark() == "hub: 12 tags lost in 1 s, 1 s without data"


async def test_the_error_of_an_analysis_ends_the_engine_and_frees_the_producers() -> None:
    class Fails(Keep):
        def add(self, block: TagBlock) -> None:
            raise ArithmeticError("no")

    live = Live({"hub": AffineClock()}, ByHand(), Fails(), silence_s=2, most_blocks=1)
    run = asyncio.create_task(live.run())
    producer = asyncio.create_task(play(live, "hub", (empty(k, k + 1) for k in range(100))))
    with pytest.raises(ArithmeticError):
        await run
    with pytest.raises(RuntimeError, match="has ended"):
        await producer
    with pytest.raises(RuntimeError, match="ended before 50 ps"):
        await live.reached(50)


async def test_cancelling_waits_for_what_is_under_way_and_finishes_nothing() -> None:
    loop, begun, go = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    class Slow(Keep):
        def add(self, block: TagBlock) -> None:
            loop.call_soon_threadsafe(begun.set)
            asyncio.run_coroutine_threadsafe(go.wait(), loop).result()
            super().add(block)

    slow = Slow()
    live = Live({"hub": AffineClock()}, ByHand(), slow, silence_s=2)
    run = asyncio.create_task(live.run())
    await live.put("hub", empty(0, PS))
    await begun.wait()
    run.cancel()
    await idle()
    assert not run.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (len(slow.blocks), slow.finished) == (1, 0)
