"""Virtual channels: tags made from tags (coincidences, heralds, delayed, gated), for other analyses.

`VirtualChannels` puts them into the stream under numbers of their own and hands it on, in time order. Since
it is an analysis itself, virtual channels may be made from virtual ones: nest them. What a channel gives
does not depend on the cuts into blocks. The stream is handed on as late as its slowest channel needs,
which is its delay or window and nothing more.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from timetags.analyses.analysis import Analysis, OnePass
from timetags.analyses.coincidences import References, windows_of
from timetags.analyses.combinations import Combinations, Instants
from timetags.analyses.gates import ALWAYS_PS, gate_borders
from timetags.analyses.heralded import herald_places
from timetags.analyses.heralds import HeraldRule
from timetags.analyses.rates import count
from timetags.block import Channels, TagBlock, Times, check_channels
from timetags.jit import arrays_for_kernels, kernel
from timetags.lookaround import Lookaround, Stretch
from timetags.merge import merge_streams

_NO_TIMES = np.empty(0, np.int64)


class VirtualChannel(Protocol):
    """Makes the tags of one virtual channel out of a stream."""

    @property
    def decided_until_ps(self) -> int:
        """All its tags before this time have been given; what is given later is not before it."""
        ...

    def add(self, block: TagBlock) -> Times:
        """Take the next block, and give the tags that are decided since the last one, sorted."""
        ...

    def finish(self) -> Times:
        """Give the rest, sorted: the stream has ended."""
        ...


class VirtualChannels:
    """Hands the stream on to `analyses` together with the tags of virtual channels, by channel number.

    Of equal times, the stream's own tags come first, then the virtual ones in the order of `channels`. A
    virtual tag that falls outside the time of the blocks is dropped: there, nothing was measured. `threads`
    as in `OnePass`. ValueError if a number does not fit a uint8, or the stream has tags of that number.
    """

    def __init__(self, channels: Mapping[int, VirtualChannel], *analyses: Analysis, threads: int = 1) -> None:
        check_channels(channels)
        self._numbers, self._makers = list(channels), list(channels.values())
        # Tags made but not handed on, by virtual channel, and the stream's own, in blocks.
        self._made = [_NO_TIMES for _ in channels]
        self._held: list[TagBlock] = []
        self._next = OnePass(*analyses, threads=threads)

    def add(self, block: TagBlock) -> None:
        """Take the next block and hand on what is decided. ValueError if it is not in order."""
        counts = np.zeros(256, np.int64)
        count(block.channels, counts)
        taken = [number for number in self._numbers if counts[number]]
        if taken:
            raise ValueError(f"the stream has tags of channels {taken}, which are to be virtual")
        self._make([maker.add(block) for maker in self._makers])
        self._held.append(block)
        self._hand_on(min([block.end_ps, *(maker.decided_until_ps for maker in self._makers)]))
        if self._held and self._held[-1].end_ps == block.end_ps:
            self._held[-1] = _copied(self._held[-1])

    def finish(self) -> None:
        """Hand on the rest."""
        self._make([maker.finish() for maker in self._makers])
        self._hand_on(ALWAYS_PS[1])
        self._next.finish()

    def _make(self, made: Sequence[Times]) -> None:
        self._made = [np.concatenate(parts) for parts in zip(self._made, made, strict=True)]

    def _hand_on(self, until_ps: int) -> None:
        """Every block before this time, and the first part of one that goes on beyond it."""
        while self._held and (self._held[0].end_ps <= until_ps or self._held[0].start_ps < until_ps):
            block = self._held.pop(0)
            end = min(until_ps, block.end_ps)
            if end < block.end_ps:
                self._held.insert(0, block.between(end, block.end_ps))
            self._next.add(self._with_made(replace(block.between(block.start_ps, end), lost=block.lost)))

    def _with_made(self, block: TagBlock) -> TagBlock:
        streams = [(block.times, block.channels)]
        for place, (made, number) in enumerate(zip(self._made, self._numbers, strict=True)):
            begin, end = np.searchsorted(made, (block.start_ps, block.end_ps))
            streams.append((made[begin:end], np.full(end - begin, number, np.uint8)))
            self._made[place] = made[end:]
        times, channels = merge_streams(streams, [0] * len(streams))
        return replace(block, times=times, channels=channels)


def _copied(block: TagBlock) -> TagBlock:
    return replace(block, times=block.times.copy(), channels=block.channels.copy())


class DelayedChannel:
    """The tags of `channel`, later by `delay_ps` (earlier if negative)."""

    def __init__(self, channel: int, delay_ps: int) -> None:
        self._channel, self._delay = channel, delay_ps
        self.decided_until_ps = ALWAYS_PS[0]

    def add(self, block: TagBlock) -> Times:
        self.decided_until_ps = block.end_ps + self._delay
        delayed: Times = block.times[block.channels == self._channel] + self._delay
        return delayed

    def finish(self) -> Times:
        return _NO_TIMES


class GatedChannel:
    """The tags of `channel` while a gate is open: from each tag of `opened_by` to the next of `closed_by`.

    Half-open: a tag at the time of opening passes, one at the time of closing does not; at a time with both,
    the gate is closed. It is closed at the start of the stream. The three channels may be virtual: a gate of
    fixed length is closed by a delayed `opened_by`. ValueError if `opened_by` is `closed_by`.
    """

    def __init__(self, channel: int, *, opened_by: int, closed_by: int) -> None:
        if opened_by == closed_by:
            raise ValueError(f"channel {opened_by} cannot both open and close the gate")
        self._channel, self._opened_by, self._closed_by = channel, opened_by, closed_by
        self._open = False
        self.decided_until_ps = ALWAYS_PS[0]

    def add(self, block: TagBlock) -> Times:
        passed = np.empty(len(block), np.bool_)
        self._open = _pass_gate(
            *arrays_for_kernels(block), self._channel, self._opened_by, self._closed_by, self._open, passed
        )
        self.decided_until_ps = block.end_ps
        return block.times[passed]

    def finish(self) -> Times:
        return _NO_TIMES


class TimeGatedChannel:
    """The tags of `channel` with start <= time < end for any of `gates_ps`, which are (start, end)."""

    def __init__(self, channel: int, gates_ps: Sequence[tuple[int, int]]) -> None:
        self._channel = channel
        self._starts, self._ends = gate_borders(gates_ps)
        self.decided_until_ps = ALWAYS_PS[0]

    def add(self, block: TagBlock) -> Times:
        self.decided_until_ps = block.end_ps
        times: Times = block.times[block.channels == self._channel]
        begun = np.searchsorted(self._starts, times, "right")
        ended = np.searchsorted(self._ends, times, "right")
        passed: Times = times[begun > ended]
        return passed

    def finish(self) -> Times:
        return _NO_TIMES


class CoincidenceChannel:
    """A tag for each coincidence of `channels`, at the delayed time of the first of them, its reference.

    Coincidences, delays and windows are those of `analyses.coincidences`. Combinations are counted: where a
    reference is in several coincidences, there are several tags of one time.
    """

    def __init__(
        self, channels: Sequence[int], delays_ps: Mapping[int, int], *, window_ps: int | Mapping[int, int]
    ) -> None:
        if len(channels) < 2:
            raise ValueError(f"a coincidence is of two channels or more, not {tuple(channels)}")
        reference, *partners = channels
        self._combinations = Combinations(windows_of(partners, delays_ps, window_ps), [[partners]])
        self._references = References([reference], delays_ps, ALWAYS_PS, self._combinations)
        self._delay = delays_ps.get(reference, 0)
        self._stream = self._references.stream()

    @property
    def decided_until_ps(self) -> int:
        return self._stream.due_until_ps + self._delay

    def add(self, block: TagBlock) -> Times:
        return np.concatenate([_NO_TIMES, *(self._found(stretch) for stretch in self._stream.add(block))])

    def finish(self) -> Times:
        return np.concatenate([_NO_TIMES, *(self._found(stretch) for stretch in self._stream.finish())])

    def _found(self, stretch: Stretch) -> Times:
        twice, kinds = self._references.find(stretch)
        times = np.zeros(len(twice), np.int64)
        self._combinations.count(stretch, Instants(twice, kinds, np.arange(len(twice))), times)
        return np.repeat(twice // 2, times)


class HeraldChannel:
    """A tag for each herald of the kinds chosen, at (t1 + t2)/2 of delayed times, rounded down.

    `hub`, `delays_ps`, `bsm_window_ps` and `heralded_by` as in `analyses.heralded`.
    """

    def __init__(
        self,
        hub: Sequence[int],
        delays_ps: Mapping[int, int],
        *,
        bsm_window_ps: int,
        heralded_by: Sequence[str] = ("Psi-", "Psi+"),
    ) -> None:
        self._kept = sorted({place for places in herald_places(heralded_by) for place in places})
        self._rule = HeraldRule.of(hub, delays_ps, bsm_window_ps)
        self._stream = Lookaround(back_ps=0, ahead_ps=self._rule.reach_ps)
        # Heralds come in the order of their first clicks, not of their own times.
        self._waiting = _NO_TIMES

    @property
    def decided_until_ps(self) -> int:
        """A herald still to be found is not before its first click with the least delay of the hub."""
        return self._stream.due_until_ps + self._rule.least_delay_ps

    def add(self, block: TagBlock) -> Times:
        return self._found(self._stream.add(block))

    def finish(self) -> Times:
        return self._found(self._stream.finish())

    def _found(self, stretches: Iterator[Stretch]) -> Times:
        times = [self._waiting]
        for stretch in stretches:
            patterns, sums = self._rule.find(*stretch)
            times.append(sums[np.isin(patterns, self._kept)] // 2)
        found = np.sort(np.concatenate(times))
        decided = int(np.searchsorted(found, self.decided_until_ps))
        self._waiting = found[decided:]
        return found[:decided]


@kernel
def _pass_gate(
    times: Times,
    channels: Channels,
    channel: int,
    opened_by: int,
    closed_by: int,
    is_open: bool,
    passed: NDArray[np.bool_],
) -> bool:
    begin = 0
    while begin < len(times):
        # First what all tags of one time do to the gate, then which of them pass.
        opens = closes = False
        end = begin
        while end < len(times) and times[end] == times[begin]:
            opens |= channels[end] == opened_by
            closes |= channels[end] == closed_by
            end += 1
        is_open = (is_open or opens) and not closes
        for k in range(begin, end):
            passed[k] = is_open and channels[k] == channel
        begin = end
    return is_open
