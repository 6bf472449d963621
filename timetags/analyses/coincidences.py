"""Coincidences of two to n channels, any number of patterns at once, and matrices of analyser outcomes.

The first channel of a pattern is its reference: at each of its tags, with delayed time T, a click t of
another channel belongs to it if -window/2 <= t - T < window/2 (exactly `window` integer times do), and
combinations are counted (see `analyses.combinations`). So a tag may take part in several coincidences, and
the number does not depend on what other patterns are counted along with it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, product

import numpy as np

from timetags.analyses.combinations import Array, Combinations, Instants, Window
from timetags.analyses.gates import ALWAYS_PS
from timetags.analyses.heralds import delay_table
from timetags.block import Channels, TagBlock, Times, check_channels
from timetags.jit import kernel
from timetags.lookaround import Lookaround, Stretch
from timetags.retime import Retimer
from timetags.vectors import trailing_zeros, where_close

# Each distinct delay is one look more around every reference that has a neighbour as far away as the delays
# spread. At 10 Mcps that is every tag from 100 ns on: then more than a few looks cost more than it does to
# take out the delays before.
_CROWDED_PS = 100_000
_FEW_DELAYS = 3


class Coincidences:
    """How often each of `patterns` occurs: `counts[k]` for `patterns[k]`, int64.

    - `patterns`: the channels of each, two or more, the reference first.
    - `delays_ps`: what is added to the times of a channel; 0 for channels that are not named.
    - `window_ps`: full width, one for all channels or by channel. The reference's own does not matter.
    - `gate_ps`: coincidences whose reference has start <= delayed time < end count. None: all.

    ValueError if a pattern has less than two channels or repeats one, a channel has no window, or a window is
    not positive. Times must lie within +-2**60 ps (13 days).
    """

    def __init__(
        self,
        patterns: Sequence[Sequence[int]],
        delays_ps: Mapping[int, int],
        *,
        window_ps: int | Mapping[int, int],
        gate_ps: tuple[int, int] | None = None,
    ) -> None:
        if not patterns:
            raise ValueError("there is no pattern to count")
        self.patterns = [tuple(pattern) for pattern in patterns]
        for pattern in self.patterns:
            if len(pattern) < 2 or len(set(pattern)) != len(pattern):
                raise ValueError(f"a pattern names two channels or more, none of them twice: {pattern}")
        # Patterns of one reference stand together; `order` says where each was.
        kinds = list(dict.fromkeys(pattern[0] for pattern in self.patterns))
        self._order = sorted(range(len(patterns)), key=lambda k: kinds.index(self.patterns[k][0]))
        partners: list[list[Sequence[int]]] = [[] for _ in kinds]
        for pattern in (self.patterns[k] for k in self._order):
            partners[kinds.index(pattern[0])].append(pattern[1:])
        self._retimer = None
        delays = {delays_ps.get(channel, 0) for channel in chain(*self.patterns)}
        if len(delays) > _FEW_DELAYS and max(delays) - min(delays) > _CROWDED_PS:
            self._retimer, delays_ps = Retimer(delays_ps), {}
        windows = windows_of(chain(*chain(*partners)), delays_ps, window_ps)
        self._combinations = Combinations(windows, partners)
        gate = ALWAYS_PS if gate_ps is None else gate_ps
        self._references = References(kinds, delays_ps, gate, self._combinations)
        self._stream = self._references.stream()
        self._counts = np.zeros(len(patterns), np.int64)

    @property
    def counts(self) -> Array:
        """The coincidences so far of each pattern."""
        counts = np.empty_like(self._counts)
        counts[self._order] = self._counts
        return counts

    def add(self, block: TagBlock) -> None:
        """Count on with the next block of the merged stream (undelayed). Coincidences near its end wait for
        the blocks that complete their surroundings. ValueError if it starts before the last one's end."""
        self._count(self._stream.add(block if self._retimer is None else self._retimer.add(block)))

    def finish(self) -> None:
        """Count what still waits."""
        if self._retimer is not None:
            self._count(self._stream.add(self._retimer.finish()))
        self._count(self._stream.finish())

    def _count(self, stretches: Iterable[Stretch]) -> None:
        for stretch in stretches:
            twice, kinds = self._references.find(stretch)
            self._combinations.count(stretch, Instants(twice, kinds, np.zeros_like(kinds)), self._counts)


def all_folds(channels: Sequence[int], folds: Collection[int]) -> list[tuple[int, ...]]:
    """The patterns of so many (`folds`) of these channels: all sets, each in the order of `channels`."""
    return [pattern for fold in sorted(folds) for pattern in combinations(channels, fold)]


@dataclass(frozen=True)
class Analyser:
    """The detectors behind one analyser: a channel for each of its outcomes, any number, and the window
    of its clicks about what they are in coincidence with.

    A click t belongs to an instant T if -window/2 <= t - T - centre < window/2.
    """

    outcomes: tuple[int, ...]
    window_ps: int
    centre_ps: int = 0

    def windows(self, delays_ps: Mapping[int, int], shift_ps: int = 0) -> dict[int, Window]:
        """The windows of its channels, with `shift_ps` added to their times besides."""
        return {
            channel: Window(self.window_ps, delays_ps.get(channel, 0) + shift_ps - self.centre_ps)
            for channel in self.outcomes
        }


class CoincidenceMatrix(Coincidences):
    """Coincidences by outcome of each analyser: of two, a matrix; of n, an array of n dimensions.

    `parties` are the channels of each analyser's outcomes, any number, all different; the tags of the first
    party are the references. `matrix[i, j, ...]` is the number of coincidences of the first party's outcome i
    with the second's j, and so on. Everything else as in `Coincidences`, a window also by channel.
    """

    def __init__(
        self,
        parties: Sequence[Sequence[int]],
        delays_ps: Mapping[int, int],
        *,
        window_ps: int | Mapping[int, int],
        gate_ps: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(list(product(*parties)), delays_ps, window_ps=window_ps, gate_ps=gate_ps)
        if len(set(chain(*parties))) != sum(map(len, parties)):
            raise ValueError(f"the outcomes of all parties must be different channels: {parties}")
        self._shape = tuple(map(len, parties))

    @property
    def matrix(self) -> Array:
        """The counts so far, one dimension per party."""
        matrix: Array = self.counts.reshape(self._shape)
        return matrix


def windows_of(
    channels: Iterable[int], delays_ps: Mapping[int, int], window_ps: int | Mapping[int, int]
) -> dict[int, Window]:
    """A window about zero for each channel; ValueError for one that has none in the mapping."""
    windows = {}
    for channel in channels:
        width = window_ps if isinstance(window_ps, int) else window_ps.get(channel)
        if width is None:
            raise ValueError(f"channel {channel} has no window")
        windows[channel] = Window(width, delays_ps.get(channel, 0))
    return windows


class References:
    """Finds the tags of `channels` (each once, in the order first named) that others may be in coincidence
    with: with a delayed time in a gate, and a neighbour within the reach of `around`."""

    def __init__(
        self,
        channels: Sequence[int],
        delays_ps: Mapping[int, int],
        gate_ps: tuple[int, int],
        around: Combinations,
    ) -> None:
        check_channels(channels)
        self.channels = list(dict.fromkeys(channels))
        self._delays = delay_table(delays_ps)
        self._kinds = np.full(256, len(self.channels), np.int64)
        self._kinds[self.channels] = np.arange(len(self.channels))
        self._gate = gate_ps
        delays = self._delays[self.channels]
        self._back = -(around.earliest_ps + int(delays.min()))
        self._ahead = around.latest_ps + int(delays.max())

    def stream(self) -> Lookaround:
        """What gives each reference together with the tags that may be in coincidence with it."""
        return Lookaround(back_ps=self._back, ahead_ps=self._ahead)

    def find(self, stretch: Stretch) -> tuple[Array, Array]:
        """Of the tags that are due: twice the delayed time, and the place in `channels`."""
        reach = max(self._back, self._ahead)
        return _find(*stretch, self._kinds, len(self.channels), self._delays, *self._gate, reach)


_ONE, _LAST = np.uint64(1), np.uint64(63)


@kernel
def _find(
    times: Times,
    channels: Channels,
    first: int,
    stop: int,
    kind_of: Array,
    kinds: int,
    delays: Array,
    start: int,
    end: int,
    reach: int,
) -> tuple[Array, Array]:
    twice, found = np.empty(stop - first, np.int64), np.empty(stop - first, np.int64)
    size = 0
    # Bit k of `near`: whether tag begin + k has its next tag within reach; `behind`: the tag before it.
    behind = np.uint64(first > 0 and times[first] - times[first - 1] <= reach)
    for begin in range(first, stop, 64):
        if begin + 65 <= len(times):
            near = where_close(times, begin, 1, reach)
        else:
            near = np.uint64(0)
            for k in range(min(64, len(times) - 1 - begin)):
                near |= np.uint64(times[begin + k + 1] - times[begin + k] <= reach) << np.uint64(k)
        visit = near | near << _ONE | behind
        behind = near >> _LAST
        while visit:
            i = begin + np.int64(trailing_zeros(visit))
            visit &= visit - _ONE
            if i >= stop:
                break
            kind, delayed = kind_of[channels[i]], times[i] + delays[channels[i]]
            if kind < kinds and start <= delayed < end:
                twice[size], found[size] = 2 * delayed, kind
                size += 1
    return twice[:size], found[:size]
