"""Streams of several taggers on their way to being merged: bounded, with back-pressure, none silent unseen.

Whoever reads a tagger puts its blocks in; whoever analyses takes the stretches out that have become whole.
A producer waits while its tagger is too far ahead of the slowest, or the analyses do not keep up. A tagger
that holds all others back for longer than allowed is an error that names it. All waiting goes by the clock
that the caller gives.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Protocol

from timetags.block import TagBlock
from timetags.clocks.affine import AffineClock
from timetags.clocks.align import Aligner, Stretch

MOST_BLOCKS = 4
MOST_TAGS = 8_000_000
"""What may wait of one source: so many blocks, and tags (72 MB), but always one block of any size."""
LEFT_BEHIND_BLOCKS = 2
"""A source is late when another is this many of its own blocks ahead."""


class Clock(Protocol):
    """Seconds, by which it is decided that a source is silent."""

    def now(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class SilentSourceError(Exception):
    """A source delivers nothing while others wait for it. `reach_ps` is how far it has come, in its own time;
    None if it has never delivered."""

    def __init__(self, source: str, reach_ps: int | None, silence_s: float) -> None:
        stands = "has not begun" if reach_ps is None else f"stands at {reach_ps * 1e-12:.3f} s"
        super().__init__(
            f"{source}: no tags for {silence_s:g} s while other taggers went on; its stream {stands}. "
            "Check the tagger's power and its network"
        )
        self.source, self.reach_ps, self.silence_s = source, reach_ps, silence_s


class _Arrivals:
    """What has come of one source, in its own time."""

    def __init__(self, now: float) -> None:
        self.last_s = now
        self.blocks = 0
        self.start_ps = 0
        self.reach_ps: int | None = None
        self.span_ps = 0
        """The longest block so far."""

    def note(self, block: TagBlock, now: float) -> None:
        if not self.blocks:
            self.start_ps = block.start_ps
        self.last_s, self.reach_ps = now, block.end_ps
        self.blocks += 1
        self.span_ps = max(self.span_ps, block.end_ps - block.start_ps)

    def is_ahead_of(self, other: "_Arrivals") -> bool:
        if self.reach_ps is None:
            return False
        other_reach = self.start_ps if other.reach_ps is None else other.reach_ps
        return self.reach_ps - other_reach >= max(1, LEFT_BEHIND_BLOCKS * self.span_ps)


class AlignedStreams:
    """The streams of `sources` on their way from the taggers to one consumer of `stretches()`.

    `clocks` brings each source to the time-base; without, blocks are let through unkept until `align` is
    called. `silence_s` is measured on `clock`. Memory holds at most `most_blocks` blocks and `most_tags` tags
    of each source (but always one block of any size), beside those that are being handed in.
    """

    def __init__(
        self,
        sources: Iterable[str],
        clock: Clock,
        silence_s: float,
        clocks: Mapping[str, AffineClock] | None = None,
        *,
        most_blocks: int = MOST_BLOCKS,
        most_tags: int = MOST_TAGS,
    ) -> None:
        self._names = tuple(sources)
        self._clock, self._silence_s = clock, silence_s
        self._most_blocks, self._most_tags = most_blocks, most_tags
        self._arrivals = {name: _Arrivals(clock.now()) for name in self._names}
        self._ended: set[str] = set()
        self._news = asyncio.Condition()
        self._aligner: Aligner | None = None
        self._at_work = False
        self._closed = False
        if clocks is not None:
            self.align(clocks)

    @property
    def skipped(self) -> dict[str, int]:
        """Tags of each source from before all streams had begun, which are in no stretch."""
        return dict.fromkeys(self._names, 0) if self._aligner is None else dict(self._aligner.skipped)

    def align(self, clocks: Mapping[str, AffineClock]) -> None:
        """Merge with these clocks from now on; may be called again with better ones, and the stretches then
        begin anew. ValueError if the clock of a source is missing."""
        if self._aligner is not None:
            self._aligner.align(clocks)
            return
        self._aligner = Aligner(self._names, clocks)
        for name in self._ended:
            self._aligner.end(name)

    async def put(self, source: str, block: TagBlock) -> None:
        """Hand in the next block of a source, in its own time; waits while too much of it is waiting.

        ValueError if it starts before the end of the one before; RuntimeError once nobody takes it.
        """
        self._arrivals[source].note(block, self._clock.now())
        if self._aligner is None:
            return
        async with self._news:
            await self._news.wait_for(lambda: self._closed or self._has_room(source, block))
            if self._closed:
                raise RuntimeError(f"a block of {source} comes when the analysis of its stream has ended")
            self._aligner.add(source, block)
            self._news.notify_all()

    async def end(self, source: str) -> None:
        """No more will come from this source; the others go on without it."""
        self._ended.add(source)
        async with self._news:
            if self._aligner is not None:
                self._aligner.end(source)
            self._news.notify_all()

    async def close(self) -> None:
        """Nobody takes stretches any more: whoever waits in `put` gets its error."""
        self._closed = True
        async with self._news:
            self._news.notify_all()

    async def stretches(self) -> AsyncIterator[Stretch]:
        """The stretches in order, each when it has become whole; ends when all sources have ended. Until the
        next one is asked for, whoever asks is at work on it, and no source counts as silent."""
        while (stretch := await self._next()) is not None:
            self._at_work = True
            try:
                yield stretch
            finally:
                self._at_work = False

    async def watch(self) -> None:
        """Watch over the sources, for ever. SilentSourceError when one has delivered nothing for `silence_s`
        while another is well ahead of it; time in which a stretch is worked on does not count."""
        self._all_heard(self._clock.now())
        while True:
            await self._clock.sleep(min(1.0, self._silence_s / 4))
            now = self._clock.now()
            if self._at_work:
                self._all_heard(now)
            for name in self._names:
                arrivals = self._arrivals[name]
                if name in self._ended or now - arrivals.last_s <= self._silence_s:
                    continue
                if any(other.is_ahead_of(arrivals) for other in self._arrivals.values()):
                    raise SilentSourceError(name, arrivals.reach_ps, self._silence_s)

    def _all_heard(self, now: float) -> None:
        for arrivals in self._arrivals.values():
            arrivals.last_s = now

    def _has_room(self, source: str, block: TagBlock) -> bool:
        assert self._aligner is not None
        blocks, tags = self._aligner.waiting(source)
        return blocks == 0 or (blocks < self._most_blocks and tags + len(block) <= self._most_tags)

    async def _next(self) -> Stretch | None:
        async with self._news:
            while True:
                stretch = self._aligner.take() if self._aligner is not None else None
                self._news.notify_all()  # what was taken or skipped has made room
                if stretch is not None or len(self._ended) == len(self._names):
                    return stretch
                await self._news.wait()
