"""The tag collector: the streams of all taggers merged into one, and cut to the stretches that count.

Each tagger has its own clock; their zeros differ by unknown start latencies and by the fibres. Before the
delays are calibrated the streams are only looked at one by one (`capture`). After `align` they are
merged on the time base of one tagger, the *hub*, up to the common watermark, and each merged block goes
to the open gates in order. It guarantees:

* what a gate counts depends on the tags' times alone, never on when or in which blocks they came;
* no tag is lost or counted twice, and a tag that an instrument dropped is reported, never silent;
* memory is bounded: a slow analysis holds the taggers' streams back;
* a tagger that goes silent while others go on ends the run with DeadlineError, not with a wait.

Block periods of taggers on one bench must be alike within a factor of two, or the stream of one is held
back while another still fills its block.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import Lock
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from drivers.errors import DeadlineError, LineError
from experiments.engine.clock import RunClock
from experiments.engine.feed import WAITING_BLOCKS, Feed
from experiments.engine.gates import Capture, Gate
from timetags.analyses.analysis import Analysis
from timetags.block import Channels, TagBlock, Times

PS = 1e12
GUARD_S = 0.05
"""Added before and after every gate, for what is unknown between the run clock and a tagger's time:
start latencies (up to 10 ms) and fibre delays (tens of microseconds)."""
TAIL_S = 1.0
"""How long the bench must run on after a gate, so that every tagger has delivered the block in which it
ends: longer than any tagger's block period (0.5 s)."""
SILENCE_S = 15.0
"""Wall time after which a tagger that delivers nothing while another goes on counts as silent."""
ARRIVAL_S = 60.0
"""Wall time within which tags that have been taken must have come through."""


MERGE = "merge"
P = ParamSpec("P")
R = TypeVar("R")


class Hand:
    """Does one thing after another in worker threads, until it is ended for good: a task that is cancelled
    leaves its thread at work, and what that does must not come after the end."""

    def __init__(self) -> None:
        self._at_work = Lock()
        self._ended = False

    async def do(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.to_thread(self._do, partial(work, *args, **kwargs))

    def _do(self, work: Callable[[], R]) -> R:
        with self._at_work:
            if self._ended:
                raise asyncio.CancelledError
            return work()

    def end(self) -> None:
        """Wait for what is under way; from then on nothing is done."""
        with self._at_work:
            self._ended = True


class TagCollector:
    """Collects the tags of `feeds`; `hub` is the name of the tagger whose time all merged tags have.

    `on_lost(tagger, tags)` is told of every loss that an instrument reports.
    """

    def __init__(
        self,
        feeds: Sequence[Feed],
        hub: str,
        clock: RunClock,
        on_lost: Callable[[str, int], None],
        silence_s: float = SILENCE_S,
    ) -> None:
        self.feeds = {feed.name: feed for feed in feeds}
        self.hub = hub
        self._clock = clock
        self._on_lost = on_lost
        self._silence_s = silence_s
        self._news = asyncio.Condition()
        self._stop = asyncio.Event()
        self._shifts_ps: dict[str, int] | None = None
        self._watermark_ps: int | None = None
        self._gates: list[Gate] = []
        self._merging = False
        self._hands = {name: Hand() for name in (*self.feeds, MERGE)}
        self._began = 0.0
        self._start_took = 0.0

    async def start(self) -> None:
        """Start all taggers at once. `run()` must run from then on."""
        self._began = self._clock.now()
        async with asyncio.TaskGroup() as group:
            for feed in self.feeds.values():
                group.create_task(feed.tagger.start(feed.inputs))
        # Zero on the simulated bench. On hardware time zero lies anywhere within the start commands.
        self._start_took = self._clock.now() - self._began

    async def run(self) -> None:
        """Read, merge and watch until `stop()`. Raises what goes wrong with a stream or an analysis."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._read(feed), name=f"read {feed.name}") for feed in self.feeds.values()
            ]
            tasks.append(group.create_task(self._merge(), name="merge"))
            tasks.append(group.create_task(self._watch(), name="watch taggers"))
            await self._stop.wait()
            for task in tasks:
                task.cancel()

    async def stop(self) -> None:
        """End `run()` and the recording of all taggers; tags still on the way are dropped."""
        self._stop.set()
        async with asyncio.TaskGroup() as group:
            for feed in self.feeds.values():
                group.create_task(feed.tagger.stop())

    def close(self) -> None:
        """Nothing more comes: let every gate keep what it has, also of a stretch that was cut short. Waits
        for work under way in other threads; none begins afterwards. Call it in a worker thread."""
        for hand in self._hands.values():
            hand.end()
        for gate in (*self._gates, *(gate for feed in self.feeds.values() for gate in feed.gates)):
            gate.finish()

    # Windows of time: from the run clock to the taggers' time.

    def window(self, seconds: float) -> tuple[int, int]:
        """Begin and end, in ps, of a stretch of `seconds` that begins now, as seen on every tagger's time;
        it lies wholly after now, and before now + `lasts(seconds)`, by the run clock."""
        begin = round((self._clock.now() - self._began + GUARD_S) * PS)
        return begin, begin + round(seconds * PS)

    def lasts(self, seconds: float) -> float:
        """How long to sleep on the run clock, in seconds, until a window of `seconds` is over for sure."""
        return seconds + 2 * GUARD_S + self._start_took

    def open_gate(self, begin_ps: int, end_ps: int, *sinks: Analysis) -> None:
        """Send the merged tags with hub time in `begin_ps <= t < end_ps` to these sinks.

        RuntimeError unless `align` came before and the stretch still lies ahead.
        """
        if self._shifts_ps is None:
            raise RuntimeError("the streams are not aligned yet: calibrate_delays comes first")
        if self._watermark_ps is not None and begin_ps < self._watermark_ps:
            raise RuntimeError(
                f"a gate from {begin_ps} ps, but the tags until {self._watermark_ps} ps are gone"
            )
        self._gates.append(Gate(begin_ps, end_ps, *sinks))

    async def reached(self, hub_ps: int, deadline_s: float = ARRIVAL_S) -> None:
        """Wait until all tags before `hub_ps` have gone through their gates. DeadlineError after
        `deadline_s` seconds of wall time, naming the tagger that is behind."""
        await self._wait_for(lambda: (self._watermark_ps or 0) >= hub_ps, deadline_s)

    def capture(self, begin_ps: int, end_ps: int) -> dict[str, Capture]:
        """Keep the tags of this stretch of each tagger's own time; for streams not aligned yet."""
        captures = {name: Capture() for name in self.feeds}
        for name, feed in self.feeds.items():
            feed.gates.append(Gate(begin_ps, end_ps, captures[name]))
        return captures

    async def captured(self, end_ps: int, deadline_s: float = ARRIVAL_S) -> None:
        """Wait until every tagger has delivered its tags before `end_ps` of its own time."""
        await self._wait_for(lambda: all(f.reach_ps >= end_ps for f in self.feeds.values()), deadline_s)

    def align(self, shifts_ps: Mapping[str, int]) -> None:
        """Merge from now on, `shifts_ps[tagger]` added to every time of that tagger (the hub's is 0).
        May be called again with better shifts while no gate is open."""
        if missing := self.feeds.keys() - shifts_ps.keys():
            raise ValueError(f"no shift for {', '.join(sorted(missing))}")
        if self._gates:
            raise RuntimeError("streams cannot be aligned anew while a gate is open")
        self._shifts_ps = dict(shifts_ps)
        self._watermark_ps = None

    # What people want to see.

    def rates_hz(self) -> NDArray[np.float64]:
        """Singles per second of each channel over its tagger's last block."""
        return np.sum([feed.rates_hz for feed in self.feeds.values()], axis=0)  # type: ignore[no-any-return]

    def lost(self) -> dict[str, int]:
        """Tags that each tagger reported as dropped, since the start."""
        return {name: feed.lost for name, feed in self.feeds.items()}

    # Tasks.

    async def _read(self, feed: Feed) -> None:
        async for raw in feed.tagger.blocks():
            block = await self._hands[feed.name].do(feed.take_in, raw, tuple(feed.gates))
            feed.gates = [gate for gate in feed.gates if gate.end_ps > feed.reach_ps]
            if block.lost:
                self._on_lost(feed.name, block.lost)
            async with self._news:
                self._news.notify_all()
            if self._shifts_ps is not None:
                await feed.queue.put(block)
        raise LineError(
            feed.name,
            str(feed.tagger.address),
            "the tag stream ended by itself",
            "See whether the tagger was restarted or stopped by somebody else",
        )

    async def _merge(self) -> None:
        held: dict[str, TagBlock] = {}
        while True:
            for name, feed in self.feeds.items():
                if name not in held:
                    held[name] = await feed.queue.get()
            assert self._shifts_ps is not None  # queues fill only after align()
            shifts = self._shifts_ps
            start = self._watermark_ps
            if start is None:
                start = max(block.start_ps + shifts[name] for name, block in held.items())
                if any(gate.begin_ps < start for gate in self._gates):
                    raise RuntimeError(f"a gate opens before {start} ps, where the aligned streams begin")
            end = min(block.end_ps + shifts[name] for name, block in held.items())
            if end > start:
                # In the order of the feeds, so that tags of equal time always come in the same order.
                parts = {n: held[n].between(start - shifts[n], end - shifts[n]) for n in self.feeds}
                self._merging = True
                gates = tuple(self._gates)
                await self._hands[MERGE].do(_merge_into, gates, parts, shifts, start, end)
                self._merging = False
                self._gates = [gate for gate in self._gates if gate.end_ps > end]
                if self._shifts_ps is shifts:
                    self._watermark_ps = end
                async with self._news:
                    self._news.notify_all()
            done = {n for n, block in held.items() if block.end_ps + shifts[n] <= max(start, end)}
            held = {
                n: block.between(end - shifts[n], block.end_ps) for n, block in held.items() if n not in done
            }

    async def _watch(self) -> None:
        """Wall time on purpose: silence is a matter of wires, also on the simulated bench."""
        now = asyncio.get_running_loop().time
        seen = {name: (feed.blocks, now()) for name, feed in self.feeds.items()}
        while True:
            await asyncio.sleep(min(1.0, self._silence_s / 4))
            for name, feed in self.feeds.items():
                if feed.blocks != seen[name][0] or self._merging:
                    seen[name] = (feed.blocks, now())
                elif now() - seen[name][1] > self._silence_s and self._is_left_behind(feed):
                    raise self._silent(feed, f"no tags for {self._silence_s:g} s while other taggers went on")

    def _is_left_behind(self, feed: Feed) -> bool:
        others = (other for other in self.feeds.values() if other is not feed)
        return any(o.blocks and o.reach_ps - feed.reach_ps >= WAITING_BLOCKS * o.span_ps for o in others)

    async def _wait_for(self, reached: Callable[[], bool], deadline_s: float) -> None:
        try:
            async with asyncio.timeout(deadline_s), self._news:
                await self._news.wait_for(reached)
        except TimeoutError:
            behind = min(self.feeds.values(), key=lambda feed: feed.reach_ps)
            raise self._silent(behind, f"its tags did not come through within {deadline_s:g} s") from None

    def _silent(self, feed: Feed, problem: str) -> DeadlineError:
        return DeadlineError(
            feed.name,
            str(feed.tagger.address),
            f"{problem}; its stream stands at {feed.reach_ps / PS:.3f} s",
            "Check the tagger's power and its network, then run again",
        )


def _merge_into(
    gates: Sequence[Gate],
    parts: Mapping[str, TagBlock],
    shifts_ps: Mapping[str, int],
    start_ps: int,
    end_ps: int,
) -> None:
    """Merge one stretch and show it to the gates; in a worker thread, since kernels release the lock."""
    from timetags.merge import merge_streams

    if not any(gate.begin_ps < end_ps and start_ps < gate.end_ps for gate in gates):
        return
    streams: list[tuple[Times, Channels]] = [(part.times, part.channels) for part in parts.values()]
    times, channels = merge_streams(streams, [shifts_ps[name] for name in parts])
    block = TagBlock(times, channels, start_ps, end_ps)
    for gate in gates:
        gate.offer(block)
