"""Count heralded four-folds: a herald at the hub with a click at each of the two spokes.

This is the figure an entanglement-swapping experiment lives on. It is exact and streaming: the counts do not
depend on where the stream was cut into blocks. Combinations are counted, so two clicks in a spoke's
window are two four-folds, as the reference calculation does (`physics.md` 3, pitfall 8, and 5).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from timetags.analyses.heralds import Array, HeraldRule, ceil_half, delay_table, seek
from timetags.block import Channels, TagBlock, Times
from timetags.jit import kernel
from timetags.lookaround import Lookaround, Stretch

_ALWAYS = (-(2**61), 2**61)


class HeraldedFourfolds:
    """Heralds and four-folds within a gate, for one setting of the analysers.

    - `hub`: the channels of cH, cV, dH, dV. `spokes`: the channels (H, V) of spoke A and of spoke B.
    - `delays_ps`: what is added to the times of a channel; 0 for channels that are not named. All times
      below are delayed times.
    - `bsm_window_ps`: full width on t1 - t2, see `analyses.heralds` for its borders and the patterns.
    - `spoke_window_ps`, `spoke_centre_ps`: a spoke's click s belongs to a herald if
      -window/2 <= s - (t1 + t2)/2 - centre < window/2; exactly `spoke_window_ps` integer times do.
    - `gate_ps`: (start, end); heralds with start <= (t1 + t2)/2 < end count. None: all.
    - `spoke_shifts_ps`: added to the times of the spokes A and B besides. A second instance with shifts far
      outside the window (`physics.md` 6: over 20 t1 and over the dead time) counts accidentals.

    Times must lie within +-2**60 ps (13 days). ValueError if channels repeat or a window is not positive.
    """

    def __init__(
        self,
        hub: Sequence[int],
        spokes: tuple[tuple[int, int], tuple[int, int]],
        delays_ps: Mapping[int, int],
        *,
        bsm_window_ps: int,
        spoke_window_ps: int,
        spoke_centre_ps: int,
        gate_ps: tuple[int, int] | None = None,
        spoke_shifts_ps: tuple[int, int] = (0, 0),
    ) -> None:
        self._rule = HeraldRule.of(hub, delays_ps, bsm_window_ps)
        (a_h, a_v), (b_h, b_v) = spokes
        self._spokes = np.array([a_h, a_v, b_h, b_v], np.int64)
        if len({*hub, a_h, a_v, b_h, b_v}) != 8:
            raise ValueError(f"hub {tuple(hub)} and spokes {spokes} must be eight different channels")
        if spoke_window_ps <= 0:
            raise ValueError(f"the spoke window must be positive, not {spoke_window_ps} ps")
        self._window = spoke_window_ps
        self._gate = _ALWAYS if gate_ps is None else gate_ps
        shifts = np.repeat(np.array(spoke_shifts_ps, np.int64), 2)
        # A spoke's tag at t matches a herald with sum t1 + t2 if 2 (t + offset) - sum is in the window.
        self._offsets = delay_table(delays_ps)[self._spokes] + shifts - spoke_centre_ps
        earliest = self._rule.least_delay_ps - spoke_window_ps // 2 - 1 - int(self._offsets.max())
        latest = (
            self._rule.reach_ps
            + self._rule.greatest_delay_ps
            + spoke_window_ps // 2
            + 1
            - int(self._offsets.min())
        )
        self._stream = Lookaround(back_ps=-earliest, ahead_ps=max(self._rule.reach_ps, latest))
        self.pattern_heralds = np.zeros(4, np.int64)
        self.pattern_counts = np.zeros((4, 2, 2), np.int64)

    @property
    def heralds(self) -> Array:
        """Heralds of [Psi-, Psi+]."""
        return self.pattern_heralds[0::2] + self.pattern_heralds[1::2]

    @property
    def counts(self) -> Array:
        """Four-folds [Psi-, Psi+][A: H, V][B: H, V]. `pattern_counts` has them for the four patterns of
        `timetags.analyses.heralds.PATTERNS` apart."""
        return self.pattern_counts[0::2] + self.pattern_counts[1::2]

    @property
    def counted_until_ps(self) -> int:
        """Every herald before this time has been counted, up to `gate_ps`; no more tags are needed."""
        return self._stream.due_until_ps + self._rule.least_delay_ps

    @property
    def complete(self) -> bool:
        """Whether the whole gate has been counted."""
        return self.counted_until_ps >= self._gate[1]

    def add(self, block: TagBlock) -> None:
        """Count on with the next block of the merged stream (undelayed). Heralds near its end wait for the
        blocks that complete their surroundings. ValueError if it starts before the last one's end."""
        for stretch in self._stream.add(block):
            self._count(stretch)

    def finish(self) -> None:
        """Count what still waits. No block can follow."""
        for stretch in self._stream.finish():
            self._count(stretch)

    def _count(self, stretch: Stretch) -> None:
        patterns, sums = self._rule.find(*stretch)
        start, end = self._gate
        _count_fourfolds(
            stretch.times,
            stretch.channels,
            patterns,
            sums,
            self._spokes,
            self._offsets,
            self._window,
            2 * start,
            2 * end,
            self.pattern_heralds,
            self.pattern_counts,
        )


@kernel
def _count_fourfolds(
    times: Times,
    channels: Channels,
    patterns: Array,
    sums: Array,
    spokes: Array,
    offsets: Array,
    window: int,
    twice_start: int,
    twice_end: int,
    heralds: Array,
    counts: Array,
) -> None:
    cursors = np.zeros(4, np.int64)
    clicks = np.zeros(4, np.int64)
    for herald in range(len(sums)):
        total = sums[herald]
        if not twice_start <= total < twice_end:
            continue
        heralds[patterns[herald]] += 1
        moved = 0
        for spoke in range(4):
            begin = ceil_half(total - window) - offsets[spoke]
            end = ceil_half(total + window) - offsets[spoke]
            # From one herald to the next, all spokes' places move on by about the same.
            k = seek(times, begin, cursors[spoke] + moved)
            if spoke == 0:
                moved = k - cursors[0]
            cursors[spoke] = k
            clicks[spoke] = 0
            while k < len(times) and times[k] < end:
                clicks[spoke] += channels[k] == spokes[spoke]
                k += 1
        for a in range(2):
            for b in range(2):
                counts[patterns[herald], a, b] += clicks[a] * clicks[2 + b]
