"""Count combinations of clicks around instants: the arithmetic that all n-fold analyses share.

Around an instant T (a tag of a reference channel, a herald, a pair of clicks) each channel c has a window of
`width_ps` about its centre: its clicks t belong to the instant if -width/2 <= t + offset - T < width/2.
Half-open, so that exactly `width_ps` integer times do, odd or even, when T is an integer. A pattern is a set
of channels; it occurs as often as there are ways to choose one click of each, the product of their numbers
of clicks (`physics.md` 3, pitfall 8), and each instant may have several clicks of a channel.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from timetags.analyses.heralds import ceil_half, seek
from timetags.block import Channels, Times, check_channels
from timetags.jit import kernel
from timetags.lookaround import Stretch

Array = NDArray[np.int64]


class Window(NamedTuple):
    """Which clicks of a channel belong to an instant; `offset_ps` is added to the times of its clicks."""

    width_ps: int
    offset_ps: int = 0


class Instants(NamedTuple):
    """Where to count. `twice` are the instants' times, ps, doubled so that the middle of two tags is an
    integer. Instant i is of the kind `kinds[i]`, which says what patterns are counted, and the number of its
    pattern p (counted over all kinds) is added to `counts[rows[i] + p]`."""

    twice: Array
    kinds: Array
    rows: Array


class Combinations:
    """Counts patterns of clicks around instants; `windows` by channel, `patterns[kind]` as sets of channels.

    A pattern without channels occurs once at each instant. ValueError if a pattern repeats a channel, or has
    one without a window, or if a channel does not fit a uint8 or a width is not positive.
    """

    def __init__(self, windows: Mapping[int, Window], patterns: Sequence[Sequence[Collection[int]]]) -> None:
        check_channels(windows)
        for channel, window in windows.items():
            if window.width_ps <= 0:
                raise ValueError(
                    f"the window of channel {channel} must be positive, not {window.width_ps} ps"
                )
        flat = [tuple(pattern) for kind in patterns for pattern in kind]
        for pattern in flat:
            if len(set(pattern)) != len(pattern) or not windows.keys() >= set(pattern):
                raise ValueError(f"a pattern names channels with windows, none of them twice: {pattern}")
        self.earliest_ps = min((-w.offset_ps - w.width_ps // 2 - 1 for w in windows.values()), default=0)
        self.latest_ps = max((-w.offset_ps + w.width_ps // 2 + 1 for w in windows.values()), default=0)
        # Channels with the same window are served by one look at the stream.
        distinct = sorted(set(windows.values()))
        self._lows = np.array([-w.width_ps - 2 * w.offset_ps for w in distinct], np.int64)
        self._highs = np.array([w.width_ps - 2 * w.offset_ps for w in distinct], np.int64)
        places = {channel: place for place, channel in enumerate(windows)}
        # What `places` does not name is counted in one place more, which no pattern looks at.
        self._places = np.full((len(distinct), 256), len(places), np.int64)
        for channel, window in windows.items():
            self._places[distinct.index(window), channel] = places[channel]
        self._members = len(places)
        # Where nothing clicked, nothing counts; unless some pattern asks for no clicks at all.
        self._needs_clicks = all(flat)
        longest = max((len(pattern) for pattern in flat), default=0)
        self._patterns = np.full((len(flat), longest), -1, np.int64)
        for row, pattern in enumerate(flat):
            self._patterns[row, : len(pattern)] = [places[channel] for channel in pattern]
        self._begins = np.cumsum([0, *(len(kind) for kind in patterns)], dtype=np.int64)

    def count(self, stretch: Stretch, instants: Instants, counts: Array) -> None:
        """Add what the stretch holds around the instants to `counts`, flat int64. The tags from `earliest_ps`
        before to `latest_ps` after each instant (times as in the stream) must be in the stretch."""
        _count(
            stretch.times,
            stretch.channels,
            *instants,
            self._lows,
            self._highs,
            self._places,
            self._members,
            self._needs_clicks,
            self._patterns,
            self._begins,
            counts,
        )


@kernel
def _count(
    times: Times,
    channels: Channels,
    twice: Array,
    kinds: Array,
    rows: Array,
    lows: Array,
    highs: Array,
    places: NDArray[np.int64],
    members: int,
    needs_clicks: bool,
    patterns: NDArray[np.int64],
    begins: Array,
    counts: Array,
) -> None:
    windows, longest = len(lows), patterns.shape[1]
    cursors = np.zeros(windows, np.int64)
    clicks = np.zeros(members + 1, np.int64)
    for i in range(len(twice)):
        found, moved = False, 0
        for window in range(windows):
            begin = ceil_half(twice[i] + lows[window])
            end = ceil_half(twice[i] + highs[window])
            # From one instant to the next, the places of all windows move on by about the same.
            k = seek(times, begin, cursors[window] + moved)
            if window == 0:
                moved = k - cursors[0]
            cursors[window] = k
            while k < len(times) and times[k] < end:
                place = places[window, channels[k]]
                clicks[place] += 1
                found |= place < members
                k += 1
        if needs_clicks and not found:
            continue
        for pattern in range(begins[kinds[i]], begins[kinds[i] + 1]):
            number = 1
            for member in range(longest):
                place = patterns[pattern, member]
                if place < 0 or number == 0:
                    break
                number *= clicks[place]
            counts[rows[i] + pattern] += number
        clicks[:] = 0
