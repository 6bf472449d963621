"""A time tagger: what becomes of the clicks at its inputs.

Dead time, the tagger's own noise, its test signal, input delays, and a finite buffer in front of a link of
finite speed. Every tag comes out once and in order, or is counted as lost, wherever the slices are cut.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil, inf

import numpy as np
from numpy.typing import NDArray

from sim_instruments.ports import TaggerInput, Tags
from sim_instruments.world.channel import TRIGGER_NOISE_HZ
from sim_instruments.world.detection import NOISE_V
from sim_instruments.world.layout import Tagger
from sim_instruments.world.randomness import generator
from timetags.jit import kernel

Times = NDArray[np.int64]
NOTHING: Times = np.empty(0, dtype=np.int64)
SECOND_PS = 10**12
FRAME_PS = 10_000_000_000
"""How often the link takes tags away: every 10 ms, or as often as it needs to never take more than a
sixteenth of what the buffer holds. [assumed: USB and network carry tags in packets, not one by one]"""


@dataclass(frozen=True)
class Overflow:
    """A time in which tags were lost, in the tagger's clock before input delays: `begin_ps` is that of the
    first lost tag, and from `end_ps` on none was. Some tags between may have got through."""

    begin_ps: int
    end_ps: int
    missed: dict[int, int]
    """Tags lost, by input."""

    def followed_by(self, other: "Overflow") -> "Overflow":
        """The two as one."""
        missed = {n: self.missed.get(n, 0) + other.missed.get(n, 0) for n in self.missed | other.missed}
        return Overflow(self.begin_ps, other.end_ps, missed)


@dataclass(frozen=True)
class Clicks:
    """What one tagger saw: tags per input, all those before `until_ps` of its clock that were not in a
    slice before; and what it lost in the slice."""

    tags: Tags
    until_ps: int
    overflows: tuple[Overflow, ...] = ()

    @property
    def count(self) -> int:
        """Number of tags."""
        return sum(len(tags) for tags in self.tags.values())

    @property
    def lost(self) -> int:
        """Number of tags that the buffer had no room for."""
        return sum(sum(overflow.missed.values()) for overflow in self.overflows)


@kernel
def keep_apart(tags: Times, dead: int, last: int) -> int:
    """Drop what comes sooner than `dead` after a tag that is kept, the latest before being at `last`; returns
    how many are kept, at the front."""
    n = 0
    for tag in tags:
        if tag - last >= dead:
            last = tag
            tags[n] = tag
            n += 1
    return n


def merged(a: Times, b: Times) -> Times:
    """Two sorted arrays as one."""
    both = np.concatenate((a, b))
    both.sort(kind="stable")  # which finds the sorted parts and merges them
    return both


class Buffer:
    """The tags of all inputs wait here for the link, which takes away what it can at every frame."""

    def __init__(self, max_rate_hz: float, room: int) -> None:
        self._room = room
        self._frame_ps = FRAME_PS
        if max_rate_hz < inf:
            self._frame_ps = max(1, min(FRAME_PS, int(room / 16 / max_rate_hz * SECOND_PS)))
        self._per_frame = max_rate_hz * self._frame_ps / SECOND_PS
        self.forget()

    def forget(self) -> None:
        self._waiting = 0.0

    def admit(self, tags: Tags, since_ps: int, until_ps: int) -> tuple[Tags, list[Overflow]]:
        """Of all tags of a time, those that find room, and a record of the others."""
        if self._per_frame == inf or not tags:
            return tags, []
        first, last = (-(-time // self._frame_ps) for time in (since_ps, until_ps))
        borders = [since_ps, *(k * self._frame_ps for k in range(first, last)), until_ps]
        cuts = {n: np.searchsorted(times, borders).tolist() for n, times in tags.items()}
        kept: dict[int, list[Times]] = {n: [] for n in tags}
        overflows: list[Overflow] = []
        whole_from = 0
        """The interval from which on all tags are kept, so far."""
        for k, (begin_ps, end_ps) in enumerate(pairwise(borders)):
            if k > 0:
                self._waiting = max(self._waiting - self._per_frame, 0.0)
            arrived = sum(cut[k + 1] - cut[k] for cut in cuts.values())
            space = max(int(self._room - self._waiting), 0)
            self._waiting += min(arrived, space)
            if arrived <= space:
                continue
            frame = {n: tags[n][cut[k] : cut[k + 1]] for n, cut in cuts.items()}
            fitting, overflow = _earliest(frame, space, end_ps)
            for n, cut in cuts.items():
                kept[n] += [tags[n][cut[whole_from] : cut[k]], frame[n][: fitting[n]]]
            whole_from = k + 1
            if overflows and overflows[-1].end_ps == begin_ps:
                overflow = overflows.pop().followed_by(overflow)
            overflows.append(overflow)
        if not overflows:
            return tags, []
        return {
            n: np.concatenate([*kept[n], times[cuts[n][whole_from] :]]) for n, times in tags.items()
        }, overflows


def _earliest(tags: Tags, space: int, end_ps: int) -> tuple[dict[int, int], Overflow]:
    """How many tags of every input are among the first `space` of all, and the loss of the others."""
    times = np.concatenate(list(tags.values()))
    inputs = np.repeat(list(tags), [len(part) for part in tags.values()])
    order = np.argsort(times, kind="stable")
    first = inputs[order[:space]]
    fitting = {n: int(np.count_nonzero(first == n)) for n in tags}
    missed = {n: len(part) - fitting[n] for n, part in tags.items()}
    return fitting, Overflow(int(times[order[space]]), end_ps, missed)


class TaggerLine:
    """A tagger at work, behind the channels that lead to its inputs."""

    def __init__(self, tagger: Tagger, seed: int) -> None:
        self.tagger = tagger
        self._rng = generator(seed, tagger.name)
        self._buffer = Buffer(tagger.max_rate_hz, tagger.buffer_tags)
        self.forget(0)

    def forget(self, now_ps: int) -> None:
        """Begin anew at a time of the tagger's clock, after a time in which nobody looked."""
        self._since_ps = self._out_ps = now_ps
        """Up to where clicks have been taken in, and tags given out."""
        self._last: dict[int, int] = {}
        """The latest tag that an input has recorded."""
        self._waiting: dict[int, Times] = {}
        """Delayed tags of later slices."""
        self._buffer.forget()

    def take(self, tags: Tags, until_ps: int, inputs: Mapping[int, TaggerInput]) -> Clicks:
        """What comes out, once all clicks before `until_ps` have come in: `tags` has those of the detectors,
        by input, and may be written over."""
        until_ps = max(until_ps, self._since_ps)
        recorded = {
            n: self._recorded(n, tags.get(n, NOTHING), entry, until_ps) for n, entry in inputs.items()
        }
        admitted, overflows = self._buffer.admit(recorded, self._since_ps, until_ps)
        self._since_ps = until_ps
        return self._delayed(admitted, until_ps, inputs, overflows)

    def _recorded(self, n: int, tags: Times, entry: TaggerInput, until_ps: int) -> Times:
        """What an input makes of its clicks, its noise, or the test signal."""
        if not entry.enabled:
            return NOTHING
        if entry.test_signal_hz > 0.0:
            tags = self._test_signal(entry.test_signal_hz, until_ps)
        noise_hz = self.tagger.noise_counts_hz
        if abs(entry.threshold_v) <= NOISE_V:
            noise_hz += TRIGGER_NOISE_HZ
        noise = self._rng.poisson(noise_hz * (until_ps - self._since_ps) / SECOND_PS)
        if noise:
            times = self._rng.integers(self._since_ps, until_ps, noise)
            times.sort()
            tags = merged(tags, self._in_steps(times))
        dead_ps = round(self.tagger.dead_time_s * SECOND_PS)
        if dead_ps and len(tags):
            tags = tags[: keep_apart(tags, dead_ps, self._last.get(n, int(tags[0]) - dead_ps))]
            if len(tags):
                self._last[n] = int(tags[-1])
        return tags

    def _in_steps(self, times: Times) -> Times:
        return times // self.tagger.resolution_ps * self.tagger.resolution_ps

    def _test_signal(self, rate_hz: float, until_ps: int) -> Times:
        """Whole periods of the tagger's clock."""
        period = SECOND_PS / Fraction(rate_hz)
        first, end = ceil(self._since_ps / period), ceil(until_ps / period)
        begin = first * period
        rest = np.arange(end - first) * float(period) + float(begin % 1)
        return self._in_steps(np.minimum(np.floor(rest).astype(np.int64) + int(begin), until_ps - 1))

    def _delayed(
        self, tags: Tags, until_ps: int, inputs: Mapping[int, TaggerInput], overflows: list[Overflow]
    ) -> Clicks:
        """Add the input delays and hold back what lies behind the point up to which all tags are known. Tags
        that a delay made shorter brings to where all is out already are lost too."""
        delays = {n: entry.delay_ps if entry.enabled else 0 for n, entry in inputs.items()}
        since_ps = self._out_ps
        self._out_ps = max(since_ps, until_ps + min(0, *delays.values(), 0))
        out: Tags = {}
        for n, times in tags.items():
            if delays[n]:
                times = times + delays[n]
            waiting = self._waiting.get(n, NOTHING)
            if len(waiting):
                times = merged(waiting, times)
            late, due = np.searchsorted(times, (since_ps, self._out_ps))
            if late:
                overflows = [*overflows, Overflow(int(times[0]), since_ps, {n: int(late)})]
            out[n] = times[late:due]
            self._waiting[n] = times[due:].copy() if due < len(times) else NOTHING
        return Clicks(out, self._out_ps, tuple(overflows))
