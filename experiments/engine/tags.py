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

import numpy as np
from numpy.typing import NDArray

from drivers.errors import DeadlineError, LineError
from experiments.engine.clock import RunClock, WallClock
from experiments.engine.feed import Feed
from experiments.engine.gates import Capture, Gate
from experiments.engine.task_group import TaskGroup
from timetags.analyses.analysis import Analysis
from timetags.clocks.affine import AffineClock
from timetags.clocks.align import Stretch
from timetags.live.hand import Hand
from timetags.live.streams import AlignedStreams, SilentSourceError

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
WAITING_BLOCKS = 3
"""How many blocks of a tagger may wait for the merge; more hold its stream back."""


MERGE = "merge"


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
        # Wall time on purpose: silence is a matter of wires, also on the simulated bench.
        self._streams = AlignedStreams(self.feeds, WallClock(), silence_s, most_blocks=WAITING_BLOCKS)
        self._news = asyncio.Condition()
        self._stop = asyncio.Event()
        self._clocks: dict[str, AffineClock] | None = None
        self._watermark_ps: int | None = None
        self._gates: list[Gate] = []
        self._hands = {name: Hand() for name in (*self.feeds, MERGE)}
        self._origin_ps = max((feed.origin_ps for feed in feeds), default=0)
        self._began = 0.0
        self._start_took = 0.0

    async def start(self) -> None:
        """Start all taggers at once. `run()` must run from then on."""
        self._began = self._clock.now()
        async with TaskGroup() as group:
            for feed in self.feeds.values():
                group.create_task(feed.tagger.start(feed.inputs))
        # Zero on the simulated bench. On hardware time zero lies anywhere within the start commands.
        self._start_took = self._clock.now() - self._began

    async def run(self) -> None:
        """Read, merge and watch until `stop()`. Raises what goes wrong with a stream or an analysis."""
        async with TaskGroup() as group:
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
        async with TaskGroup() as group:
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

    @property
    def now_ps(self) -> int:
        """Hub time by the run clock, in ps. A hub whose clock is faster than that, which adds up in a night,
        says itself how late it is."""
        now = self._origin_ps + round((self._clock.now() - self._began) * PS)
        return max(now, self._watermark_ps or now)

    def window(self, seconds: float) -> tuple[int, int]:
        """Begin and end, in ps, of a stretch of `seconds` that begins now, as seen on every tagger's time;
        it lies wholly after now, and before now + `lasts(seconds)`, by the run clock."""
        begin = self.now_ps + round(GUARD_S * PS)
        return begin, begin + round(seconds * PS)

    def lasts(self, seconds: float) -> float:
        """How long to sleep on the run clock, in seconds, until a window of `seconds` is over for sure."""
        return seconds + 2 * GUARD_S + self._start_took

    def open_gate(self, begin_ps: int, end_ps: int, *sinks: Analysis) -> Gate:
        """Send the merged tags with hub time in `begin_ps <= t < end_ps` to these sinks.

        RuntimeError unless `align` came before and the stretch still lies ahead.
        """
        if self._clocks is None:
            raise RuntimeError("the streams are not aligned yet: calibrate_delays comes first")
        if self._watermark_ps is not None and begin_ps < self._watermark_ps:
            raise RuntimeError(
                f"a gate from {begin_ps} ps, but the tags until {self._watermark_ps} ps are gone"
            )
        gate = Gate(begin_ps, end_ps, *sinks)
        self._gates.append(gate)
        return gate

    async def cut_short(self, gates: Sequence[Gate]) -> None:
        """Close these gates now: their sinks are finished with what they have, and get no more."""
        self._gates = [gate for gate in self._gates if gate not in gates]
        await self._hands[MERGE].do(_finish, gates)

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

    def align(self, shifts: Mapping[str, int | AffineClock]) -> None:
        """Merge from now on, each tagger's times mapped by its clock, or with so many ps added to them (the
        hub's is 0). May be called again with better ones while no gate is open."""
        if self._gates:
            raise RuntimeError("streams cannot be aligned anew while a gate is open")
        clocks = {
            name: shift if isinstance(shift, AffineClock) else AffineClock(shift)
            for name, shift in shifts.items()
        }
        self._streams.align(clocks)
        self._clocks, self._watermark_ps = clocks, None

    # What people want to see.

    def rates_hz(self) -> NDArray[np.float64]:
        """Singles per second of each channel over its tagger's last block; nothing where no tagger
        records."""
        if not self.feeds:
            return np.zeros(0)
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
            await self._streams.put(feed.name, block)
        raise LineError(
            feed.name,
            str(feed.tagger.address),
            "the tag stream ended by itself",
            "See whether the tagger was restarted or stopped by somebody else",
        )

    async def _merge(self) -> None:
        async for stretch in self._streams.stretches():
            clocks, gates = self._clocks, tuple(self._gates)
            if self._watermark_ps is None and any(gate.begin_ps < stretch.start_ps for gate in gates):
                raise RuntimeError(
                    f"a gate opens before {stretch.start_ps} ps, where the aligned streams begin"
                )
            await self._hands[MERGE].do(_merge_into, gates, stretch)
            self._gates = [gate for gate in self._gates if gate.end_ps > stretch.end_ps]
            if self._clocks is clocks:
                self._watermark_ps = stretch.end_ps
            async with self._news:
                self._news.notify_all()

    async def _watch(self) -> None:
        try:
            await self._streams.watch()
        except SilentSourceError as error:
            problem = f"no tags for {error.silence_s:g} s while other taggers went on"
            raise self._silent(self.feeds[error.source], problem) from None

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


def _finish(gates: Sequence[Gate]) -> None:
    for gate in gates:
        gate.finish()


def _merge_into(gates: Sequence[Gate], stretch: Stretch) -> None:
    """Merge one stretch and show it to the gates; in a worker thread, since kernels release the lock."""
    if any(gate.begin_ps < stretch.end_ps and stretch.start_ps < gate.end_ps for gate in gates):
        block = stretch.merge()
        for gate in gates:
            gate.offer(block)
