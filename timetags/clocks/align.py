"""Merge the streams of several nodes on one time-base, as their blocks come, in bounded memory.

`Aligner` holds the blocks of each source until all sources have come as far, and gives the stretch that has
become whole. It is exact: what a stretch holds depends on the tags alone, never on the cuts into blocks;
tags of equal time come in the order of the sources. Nothing is dropped silently: tags that an instrument
lost, time that a source skipped, and tags from before the common start are all counted. It does no input or
output and starts no task; `merged` drives it from iterators, `timetags.live` from live taggers.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from timetags.block import Channels, TagBlock, Times
from timetags.clocks.affine import AffineClock


@dataclass(frozen=True, eq=False)
class Part:
    """What one source has in a stretch, in its own time. `lost` counts tags that the instrument reports as
    dropped, `damaged_ps` the time of the blocks with such a loss, `missing_ps` time without any block."""

    source: str
    clock: AffineClock
    pieces: tuple[TagBlock, ...]
    span_ps: int
    lost: int
    damaged_ps: int
    missing_ps: int

    def tags(self) -> tuple[tuple[Times, Channels], int]:
        """Its tags, and what is still to be added to their times to bring them to the time-base."""
        empty = TagBlock(np.empty(0, np.int64), np.empty(0, np.uint8), 0, 0)
        pieces = self.pieces or (empty,)
        times, channels = pieces[0].times, pieces[0].channels
        if len(pieces) > 1:
            times = np.concatenate([piece.times for piece in pieces])
            channels = np.concatenate([piece.channels for piece in pieces])
        if self.clock.rate == 0:
            return (times, channels), self.clock.offset_ps
        return (self.clock.to_base(times), channels), 0


@dataclass(frozen=True, eq=False)
class Stretch:
    """A stretch of the time-base of which every source's part is whole."""

    start_ps: int
    end_ps: int
    parts: tuple[Part, ...]

    @property
    def lost(self) -> int:
        return sum(part.lost for part in self.parts)

    def merge(self) -> TagBlock:
        """All tags in time order. Channels must have been numbered apart. Meant for a worker thread."""
        from timetags.merge import merge_streams

        streams, shifts = zip(*(part.tags() for part in self.parts), strict=True)
        times, channels = merge_streams(streams, shifts)
        return TagBlock(times, channels, self.start_ps, self.end_ps, self.lost)


class _Held:
    """A block that waits, or what is left of it; or a time for which there is none."""

    def __init__(self, block: TagBlock, *, missing: bool = False) -> None:
        self.block, self.lost, self.missing = block, block.lost, missing
        self.damaged = block.lost > 0

    @property
    def over(self) -> bool:
        return self.block.start_ps >= self.block.end_ps

    def take(self, end_ps: int) -> TagBlock:
        """What comes before `end_ps` of the source's own time; the rest stays."""
        piece = self.block.between(self.block.start_ps, end_ps)
        self.block = self.block.between(end_ps, self.block.end_ps)
        return piece


class _Source:
    def __init__(self) -> None:
        self.held: deque[_Held] = deque()
        self.reach_ps: int | None = None
        self.ended = False

    @property
    def start_ps(self) -> int:
        """Where what is held begins."""
        assert self.reach_ps is not None
        return self.held[0].block.start_ps if self.held else self.reach_ps

    def skip(self, end_ps: int) -> int:
        """Let go of what comes before `end_ps`; how many tags that were."""
        skipped = 0
        while self.held and self.held[0].block.start_ps < end_ps:
            skipped += len(self.held[0].take(end_ps))
            if not self.held[0].over:
                break  # what was lost in it may have been lost later
            skipped += self.held.popleft().lost
        return skipped


class Aligner:
    """Aligns the blocks of `sources`, whose order is that of tags of equal time.

    The stretches follow each other without gap. The first begins where all sources have begun (tags from
    before are counted in `skipped`), or with `whole` where the first of them does, the others' time until
    they begin being missing. What is held is what was added and not yet taken: whoever adds bounds it.
    """

    def __init__(
        self, sources: Iterable[str], clocks: Mapping[str, AffineClock], *, whole: bool = False
    ) -> None:
        self._sources = {name: _Source() for name in sources}
        self._whole = whole
        self.skipped = dict.fromkeys(self._sources, 0)
        """Tags of each source from before the common start, lost ones included."""
        self.align(clocks)

    def align(self, clocks: Mapping[str, AffineClock]) -> None:
        """Use these clocks from now on; the next stretch begins anew, where all sources are. ValueError if
        the clock of a source is missing."""
        if unknown := self._sources.keys() - clocks.keys():
            raise ValueError(f"no clock for {', '.join(sorted(unknown))}")
        self._clocks = {name: clocks[name] for name in self._sources}
        self._start_ps: int | None = None

    def add(self, source: str, block: TagBlock) -> None:
        """Take the next block of a source, in its own time. A gap before it counts as missing time.

        ValueError if it starts before the end of the one before, or the source has ended.
        """
        state = self._sources[source]
        if state.ended:
            raise ValueError(f"a block of {source} from {block.start_ps} ps, which has ended")
        if state.reach_ps is not None:
            if block.start_ps < state.reach_ps:
                raise ValueError(
                    f"a block of {source} from {block.start_ps} ps follows one that ended at "
                    f"{state.reach_ps} ps"
                )
            if block.start_ps > state.reach_ps:
                state.held.append(_missing(state.reach_ps, block.start_ps))
        state.held.append(_Held(block))
        state.reach_ps = block.end_ps

    def end(self, source: str) -> None:
        """No more will come from this source; the others go on without it."""
        self._sources[source].ended = True

    def waiting(self, source: str) -> tuple[int, int]:
        """How many blocks of a source wait, and how many tags."""
        held = self._sources[source].held
        return len(held), sum(len(one.block) for one in held)

    def behind(self) -> str | None:
        """The source that all wait for: the one that has come least far. None if all have ended."""
        going = [name for name, state in self._sources.items() if not state.ended]
        for name in going:
            if self._sources[name].reach_ps is None:
                return name
        return min(going, key=self._reach, default=None)

    def take(self) -> Stretch | None:
        """The next stretch: as far as all sources have come. None if that is nowhere new."""
        known = {name: state for name, state in self._sources.items() if state.reach_ps is not None}
        going = [name for name, state in self._sources.items() if not state.ended]
        if not known or any(name not in known for name in going):
            return None
        if self._start_ps is None:
            self._start_ps = self._begin(known)
        for name, state in known.items():
            self.skipped[name] += state.skip(self._clocks[name].own(self._start_ps))
        start = self._start_ps
        end = min(map(self._reach, going)) if going else max(map(self._reach, known))
        if end <= start:
            return None
        self._start_ps = end
        return Stretch(start, end, tuple(self._part(name, start, end) for name in known))

    def _reach(self, name: str) -> int:
        reach = self._sources[name].reach_ps
        assert reach is not None
        return self._clocks[name].instant(reach)

    def _begin(self, known: Mapping[str, _Source]) -> int:
        starts = {name: self._clocks[name].instant(state.start_ps) for name, state in known.items()}
        if not self._whole:
            return max(starts.values())
        begin = min(starts.values())
        for name, state in known.items():
            own = self._clocks[name].own(begin)
            if own < state.start_ps:
                state.held.appendleft(_missing(own, state.start_ps))
        return begin

    def _part(self, name: str, start_ps: int, end_ps: int) -> Part:
        state, clock = self._sources[name], self._clocks[name]
        until = clock.own(end_ps)
        pieces, lost, damaged, missing = [], 0, 0, 0
        while state.held and state.held[0].block.start_ps < until:
            held = state.held[0]
            piece = held.take(until)
            pieces.append(piece)
            span = piece.end_ps - piece.start_ps
            lost += held.lost
            held.lost = 0
            damaged += span * held.damaged
            missing += span * held.missing
            if not held.over:
                break
            state.held.popleft()
        begin = clock.own(start_ps)
        assert state.reach_ps is not None
        missing += max(0, until - max(begin, state.reach_ps))  # the source has ended
        return Part(name, clock, tuple(pieces), until - begin, lost, damaged, missing)


def merged(
    streams: Sequence[Iterable[TagBlock]], clocks: Sequence[AffineClock], *, whole: bool = True
) -> Iterator[TagBlock]:
    """Merge streams of several nodes into one on the time-base of `clocks`, one for each stream.

    Channels must have been numbered apart. At any time, about a block of each stream is held. With `whole`
    nothing is left out at the ends; without, the result begins where all streams have begun, and ends
    where the first one ends. Lost tags are carried along. ValueError if a stream's blocks are not in order.
    """
    names = [str(k) for k in range(len(streams))]
    aligner = Aligner(names, dict(zip(names, clocks, strict=True)), whole=whole)
    rest = {name: iter(stream) for name, stream in zip(names, streams, strict=True)}
    while (name := aligner.behind()) is not None:
        block = next(rest[name], None)
        if block is None:
            if not whole:
                return
            aligner.end(name)
        else:
            aligner.add(name, block)
        if (stretch := aligner.take()) is not None:
            yield stretch.merge()


def _missing(start_ps: int, end_ps: int) -> _Held:
    return _Held(TagBlock(np.empty(0, np.int64), np.empty(0, np.uint8), start_ps, end_ps), missing=True)
