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


class Coincidences:
    """How often each of `patterns` occurs: `counts[k]` for `patterns[k]`, int64.

    - `patterns`: the channels of each, one or more, the reference first. One alone counts its tags.
    - `delays_ps`: what is added to the times of a channel; 0 for channels that are not named.
    - `window_ps`: full width, one for all channels or by channel. The reference's own does not matter.
    - `gate_ps`: coincidences whose reference has start <= delayed time < end count. None: all.

    ValueError if a pattern repeats a channel, a channel has no window, or a window is not positive. Times
    must lie within +-2**60 ps (13 days).
    """

    def __init__(
        self,
        patterns: Sequence[Sequence[int]],
        delays_ps: Mapping[int, int],
        *,
        window_ps: int | Mapping[int, int],
        gate_ps: tuple[int, int] | None = None,
    ) -> None:
        if not all(patterns):
            raise ValueError("a pattern names at least one channel, its reference")
        self.patterns = [tuple(pattern) for pattern in patterns]
        for pattern in self.patterns:
            if len(set(pattern)) != len(pattern):
                raise ValueError(f"a pattern names no channel twice: {pattern}")
        self._references = References(
            [pattern[0] for pattern in self.patterns], delays_ps, ALWAYS_PS if gate_ps is None else gate_ps
        )
        kinds = self._references.channels
        # Patterns of one reference stand together; `order` says where each was.
        self._order = sorted(range(len(patterns)), key=lambda k: kinds.index(self.patterns[k][0]))
        partners: list[list[Sequence[int]]] = [[] for _ in kinds]
        for pattern in (self.patterns[k] for k in self._order):
            partners[kinds.index(pattern[0])].append(pattern[1:])
        self._combinations = Combinations(
            windows_of(chain(*chain(*partners)), delays_ps, window_ps), partners
        )
        self._stream = self._references.stream(self._combinations)
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
        for stretch in self._stream.add(block):
            self._count(stretch)

    def finish(self) -> None:
        """Count what still waits."""
        for stretch in self._stream.finish():
            self._count(stretch)

    def _count(self, stretch: Stretch) -> None:
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
    """The tags of `channels` (each once, in the order first named) with a delayed time in a gate."""

    def __init__(
        self, channels: Sequence[int], delays_ps: Mapping[int, int], gate_ps: tuple[int, int]
    ) -> None:
        check_channels(channels)
        self.channels = list(dict.fromkeys(channels))
        self._delays = delay_table(delays_ps)
        self._kinds = np.full(256, len(self.channels), np.int64)
        self._kinds[self.channels] = np.arange(len(self.channels))
        self._gate = gate_ps

    def stream(self, around: Combinations) -> Lookaround:
        """What gives each reference together with the tags that `around` wants to see."""
        delays = self._delays[self.channels]
        return Lookaround(
            back_ps=-(around.earliest_ps + int(delays.min())), ahead_ps=around.latest_ps + int(delays.max())
        )

    def find(self, stretch: Stretch) -> tuple[Array, Array]:
        """Of the tags that are due: twice the delayed time and the place in `channels`, sorted by place and
        then by time."""
        start, end = self._gate
        return _find(*stretch, self._kinds, len(self.channels), self._delays, start, end)


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
) -> tuple[Array, Array]:
    places = np.zeros(kinds + 2, np.int64)
    for i in range(first, stop):
        inside = start <= times[i] + delays[channels[i]] < end
        places[(kind_of[channels[i]] if inside else kinds) + 1] += 1
    for kind in range(kinds + 1):
        places[kind + 1] += places[kind]
    size = places[kinds]
    twice, found = np.empty(stop - first, np.int64), np.empty(stop - first, np.int64)
    for i in range(first, stop):
        delayed = times[i] + delays[channels[i]]
        kind = kind_of[channels[i]] if start <= delayed < end else kinds
        twice[places[kind]] = 2 * delayed
        found[places[kind]] = kind
        places[kind] += 1
    return twice[:size], found[:size]
