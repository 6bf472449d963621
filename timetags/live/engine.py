"""The live engine: several taggers' blocks as they come, merged on one time-base, into any analyses.

It guarantees that results depend on the tags alone, never on when or in which blocks they came; that memory
is bounded, since producers wait (`live.streams`); and that no tag is dropped silently: what instruments lost
and what they skipped is in the blocks that the analyses get and in every tally of the singles.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timetags.analyses.analysis import Analysis, OnePass
from timetags.block import TagBlock
from timetags.clocks.affine import AffineClock
from timetags.clocks.align import Part, Stretch
from timetags.live.hand import Hand
from timetags.live.streams import MOST_BLOCKS, MOST_TAGS, AlignedStreams, Clock


@dataclass(frozen=True, eq=False)
class Tally:
    """The singles of one source so far, and how far they can be trusted.

    `counts` are int64 by channel (256,). Of `span_ps` of its time, for `missing_ps` the source delivered
    nothing at all, and in blocks of `damaged_ps` together it reported `lost` tags as dropped.
    """

    source: str
    counts: NDArray[np.int64]
    span_ps: int = 0
    lost: int = 0
    damaged_ps: int = 0
    missing_ps: int = 0

    @property
    def complete(self) -> bool:
        """Whether every tag is in: otherwise rates are too low, or leave out some time."""
        return self.lost == 0 and self.missing_ps == 0

    @property
    def live_ps(self) -> int:
        """Time of which there are tags."""
        return self.span_ps - self.missing_ps

    def rates_hz(self) -> NDArray[np.float64]:
        """Counts per second of live time by channel, nan if there was none; too low if tags were lost."""
        if self.live_ps == 0:
            return np.full(len(self.counts), np.nan)
        return self.counts / (self.live_ps * 1e-12)

    def since(self, earlier: "Tally") -> "Tally":
        """What was added after an earlier tally of the same source."""
        return Tally(
            self.source,
            self.counts - earlier.counts,
            self.span_ps - earlier.span_ps,
            self.lost - earlier.lost,
            self.damaged_ps - earlier.damaged_ps,
            self.missing_ps - earlier.missing_ps,
        )

    def with_part(self, part: Part) -> "Tally":
        """With this stretch of the source's stream added."""
        from timetags.analyses.rates import count

        counts = self.counts.copy()
        for piece in part.pieces:
            count(piece.channels, counts)
        return Tally(
            self.source,
            counts,
            self.span_ps + part.span_ps,
            self.lost + part.lost,
            self.damaged_ps + part.damaged_ps,
            self.missing_ps + part.missing_ps,
        )

    def remark(self) -> str:
        """What people should know beside the rates; empty if they are complete."""
        words = []
        if self.lost:
            words.append(f"{self.lost:,} tags lost in {self.damaged_ps * 1e-12:.3g} s")
        if self.missing_ps:
            words.append(f"{self.missing_ps * 1e-12:.3g} s without data")
        return f"{self.source}: {', '.join(words)}" if words else ""


class Live:
    """Aligns the sources named in `clocks` and feeds what is merged to `analyses`.

    Channels of different sources must be numbered apart. `silence_s` is how long a source may hold the others
    back, by `clock`. With `threads` >= 2 independent analyses work at once (`OnePass`).
    """

    def __init__(
        self,
        clocks: Mapping[str, AffineClock],
        clock: Clock,
        *analyses: Analysis,
        silence_s: float,
        most_blocks: int = MOST_BLOCKS,
        most_tags: int = MOST_TAGS,
        threads: int = 1,
    ) -> None:
        self._streams = AlignedStreams(
            clocks, clock, silence_s, clocks, most_blocks=most_blocks, most_tags=most_tags
        )
        self._analyses = OnePass(*analyses, threads=threads)
        self._hand = Hand()
        self._tallies = {name: Tally(name, np.zeros(256, np.int64)) for name in clocks}
        self._news = asyncio.Condition()
        self._ended = False
        self.done_ps: int | None = None
        """The analyses have had everything before this instant of the time-base."""

    @property
    def skipped(self) -> dict[str, int]:
        """Tags of each source from before all sources had begun; the analyses do not get them."""
        return self._streams.skipped

    def tallies(self) -> dict[str, Tally]:
        """The singles of each source, as far as the analyses are. Keep one to ask `since` it later."""
        return dict(self._tallies)

    async def put(self, source: str, block: TagBlock) -> None:
        """Hand in the next block of a source, in its own time; waits while the source is too far ahead, or
        the analyses behind. ValueError if it is not in order; RuntimeError after `run` has ended."""
        await self._streams.put(source, block)

    async def end(self, source: str) -> None:
        """No more will come from this source."""
        await self._streams.end(source)

    async def reached(self, base_ps: int) -> None:
        """Wait until the analyses have had everything before this instant of the time-base. RuntimeError if
        `run` ends before."""
        async with self._news:
            await self._news.wait_for(lambda: self._ended or self._is_past(base_ps))
        if not self._is_past(base_ps):
            raise RuntimeError(f"the live analysis ended before {base_ps} ps")

    def _is_past(self, base_ps: int) -> bool:
        return self.done_ps is not None and self.done_ps >= base_ps

    async def run(self) -> None:
        """Analyse until all sources have ended, and then finish the analyses.

        Raises SilentSourceError, and whatever an analysis raises; the analyses are then not finished, but can
        be read as they stand. Nothing goes on in other threads afterwards, also when this is cancelled.
        """
        tasks = [asyncio.create_task(self._analyse()), asyncio.create_task(self._streams.watch())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.to_thread(self._hand.end)
            await self._streams.close()
            self._ended = True
            await self._tell()

    async def _analyse(self) -> None:
        async for stretch in self._streams.stretches():
            await self._hand.do(self._take, stretch)
            await self._tell()
        await self._hand.do(self._analyses.finish)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    def _take(self, stretch: Stretch) -> None:
        self._analyses.add(stretch.merge())
        # Whole at once, since others look from other threads.
        self._tallies = self._tallies | {
            part.source: self._tallies[part.source].with_part(part) for part in stretch.parts
        }
        self.done_ps = stretch.end_ps
