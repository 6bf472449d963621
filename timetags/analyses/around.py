"""Keep only the tags around heralds: a hundredth of a percent of the stream that holds all that matters.

The selection is exact and streaming: which tags are kept does not depend on the cuts into blocks.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from timetags.analyses.analysis import Analysis
from timetags.analyses.heralds import Array, HeraldRule, ceil_half, seek
from timetags.block import Channels, TagBlock, Times
from timetags.jit import kernel
from timetags.lookaround import Lookaround, Stretch


class TagsAroundHeralds:
    """Hands the tags of all channels with -around <= t - (t1 + t2)/2 < around for any herald (t1, t2) on.

    They go to `sink`, as a stream of blocks of their own that covers the time of the stream; what was lost
    in it is carried along. Each tag waits until its surroundings are known.

    `hub`, `delays_ps` and `bsm_window_ps` define heralds as in `analyses.fourfold`; the delays are added to
    every channel's times for the comparison, but the tags come out with their original times and order.
    ValueError if a channel repeats or a width is not positive.
    """

    def __init__(
        self,
        hub: Sequence[int],
        delays_ps: Mapping[int, int],
        sink: Analysis,
        *,
        bsm_window_ps: int,
        around_ps: int,
    ) -> None:
        self._rule = HeraldRule.of(hub, delays_ps, bsm_window_ps)
        if around_ps <= 0:
            raise ValueError(f"the range around a herald must be positive, not {around_ps} ps")
        self._around = around_ps
        self._sink = sink
        self._handed_on_ps: int | None = None
        self._end_ps = self._lost = 0
        # One search per herald and distinct delay; channels of equal delay are served together.
        self._delays = np.unique(self._rule.delays_ps)
        least, greatest = int(self._delays[0]), int(self._delays[-1])
        # For a tag t, the clicks of a herald lie between t + least - around - reach - greatest hub delay
        # and t + greatest + around + reach - least hub delay, generously.
        reach = around_ps + self._rule.reach_ps + 1
        self._stream = Lookaround(
            back_ps=reach - least + self._rule.greatest_delay_ps,
            ahead_ps=reach + greatest - self._rule.least_delay_ps,
        )

    def add(self, block: TagBlock) -> None:
        """Take the next block and hand on what can now be decided. ValueError if it is not in order."""
        if self._handed_on_ps is None:
            self._handed_on_ps = block.start_ps
        kept = [self._select(stretch) for stretch in self._stream.add(block)]
        self._end_ps = block.end_ps
        self._lost += block.lost
        self._hand_on(kept, max(self._handed_on_ps, self._stream.due_until_ps))

    def finish(self) -> None:
        """Hand on the rest. No block can follow."""
        self._hand_on([self._select(stretch) for stretch in self._stream.finish()], self._end_ps)
        self._sink.finish()

    def _hand_on(self, kept: list[tuple[Times, Channels]], until_ps: int) -> None:
        if self._handed_on_ps is None:
            return
        self._sink.add(TagBlock(*_joined(kept), self._handed_on_ps, until_ps, self._lost))
        self._handed_on_ps, self._lost = until_ps, 0

    def _select(self, stretch: Stretch) -> tuple[Times, Channels]:
        times, channels, first, stop = stretch
        _, sums = self._rule.find(times, channels, 0, len(times))
        kept = np.zeros(len(times), np.bool_)
        _mark(times, channels, sums, self._rule.delays_ps, self._delays, 2 * self._around, kept)
        due = slice(first, stop)
        return times[due][kept[due]], channels[due][kept[due]]


def _joined(parts: list[tuple[Times, Channels]]) -> tuple[Times, Channels]:
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.uint8)
    return np.concatenate([times for times, _ in parts]), np.concatenate([channels for _, channels in parts])


@kernel
def _mark(
    times: Times,
    channels: Channels,
    sums: Array,
    delays: Array,
    distinct_delays: Array,
    width: int,
    kept: NDArray[np.bool_],
) -> None:
    cursors = np.zeros(len(distinct_delays), np.int64)
    for total in sums:
        for group, delay in enumerate(distinct_delays):
            begin, end = ceil_half(total - width) - delay, ceil_half(total + width) - delay
            k = seek(times, begin, cursors[group])
            cursors[group] = k
            while k < len(times) and times[k] < end:
                if delays[channels[k]] == delay:
                    kept[k] = True
                k += 1
