"""Heralded n-folds: heralds at a hub with clicks at any number of analysers, by pattern and outcome.

Heralds are those of `analyses.heralds`: pairs of clicks at the hub of a Bell-state measurement.
"""

from collections.abc import Mapping, Sequence
from itertools import chain, product

import numpy as np

from timetags.analyses.coincidences import Analyser
from timetags.analyses.combinations import Array, Combinations, Instants
from timetags.analyses.gates import ALWAYS_PS
from timetags.analyses.heralds import PATTERNS, HeraldRule
from timetags.block import TagBlock
from timetags.lookaround import Lookaround, Stretch

PORTS = ("cH", "cV", "dH", "dV")
HERALDS = {f"{PORTS[one]}&{PORTS[other]}": (k,) for k, (one, other) in enumerate(PATTERNS)} | {
    "Psi-": (0, 1),
    "Psi+": (2, 3),
}
"""What can herald, by name: four single patterns of clicks, and the Bell states that two each announce, as
places in `analyses.heralds.PATTERNS` (`physics.md` 5)."""


class HeraldedFolds:
    """Heralds of the kinds chosen, and n-folds of these with a click at every analyser.

    - `hub`: the channels of cH, cV, dH, dV. `analysers`: any number, with windows about a herald's time
      (t1 + t2)/2; all channels different.
    - `delays_ps`: what is added to the times of a channel; 0 for channels that are not named. All times
      below are delayed times.
    - `bsm_window_ps`: full width on t1 - t2, see `analyses.heralds` for its borders.
    - `heralded_by`: keys of `HERALDS`, in the order of the results.
    - `gate_ps`: (start, end); heralds with start <= (t1 + t2)/2 < end count. None: all.
    - `shifts_ps`: by analyser, added to the times of its channels besides; for accidentals.

    Times must lie within +-2**60 ps (13 days). ValueError if channels repeat, a window is not positive or a
    name is not known.
    """

    def __init__(
        self,
        hub: Sequence[int],
        analysers: Sequence[Analyser],
        delays_ps: Mapping[int, int],
        *,
        bsm_window_ps: int,
        heralded_by: Sequence[str] = ("Psi-", "Psi+"),
        gate_ps: tuple[int, int] | None = None,
        shifts_ps: Sequence[int] | None = None,
    ) -> None:
        self._kept = herald_places(heralded_by)
        self._rule = HeraldRule.of(hub, delays_ps, bsm_window_ps)
        used = [*hub, *chain(*(analyser.outcomes for analyser in analysers))]
        if len(set(used)) != len(used):
            raise ValueError(f"the channels of hub and analysers must all be different: {used}")
        shifts = [0] * len(analysers) if shifts_ps is None else shifts_ps
        if len(shifts) != len(analysers):
            raise ValueError(f"{len(shifts)} shifts for {len(analysers)} analysers")
        windows = {}
        for analyser, shift in zip(analysers, shifts, strict=True):
            windows.update(analyser.windows(delays_ps, shift))
        # The heralds themselves are counted as what asks for no click.
        patterns = [(), *product(*(analyser.outcomes for analyser in analysers))]
        self._combinations = Combinations(windows, [patterns] * len(PATTERNS))
        self._gate = gate_ps
        # The herald's time is not before its first click, delayed, and not after its second.
        latest = self._rule.reach_ps + self._rule.greatest_delay_ps + self._combinations.latest_ps
        self._stream = Lookaround(
            back_ps=-(self._rule.least_delay_ps + self._combinations.earliest_ps),
            ahead_ps=max(self._rule.reach_ps, latest),
        )
        self._counts = np.zeros(len(PATTERNS) * len(patterns), np.int64)
        table = self._counts.reshape(len(PATTERNS), -1)
        self.pattern_heralds = table[:, 0]
        self.pattern_counts = table[:, 1:].reshape(-1, *(len(analyser.outcomes) for analyser in analysers))

    @property
    def heralds(self) -> Array:
        """Heralds so far, by place in `heralded_by`. `pattern_heralds` has them by single pattern, in the
        order of `analyses.heralds.PATTERNS`, as an array that grows on."""
        return np.stack([self.pattern_heralds[list(places)].sum() for places in self._kept])

    @property
    def counts(self) -> Array:
        """N-folds so far, by place in `heralded_by` and outcome of each analyser. `pattern_counts` has them
        by single pattern."""
        return np.stack([self.pattern_counts[list(places)].sum(axis=0) for places in self._kept])

    @property
    def counted_until_ps(self) -> int:
        """Every herald before this time has been counted, up to `gate_ps`; no more tags are needed."""
        return self._stream.due_until_ps + self._rule.least_delay_ps

    @property
    def complete(self) -> bool:
        """Whether the whole gate has been counted."""
        return self.counted_until_ps >= (ALWAYS_PS if self._gate is None else self._gate)[1]

    def add(self, block: TagBlock) -> None:
        """Count on with the next block of the merged stream (undelayed). Heralds near its end wait for the
        blocks that complete their surroundings. ValueError if it starts before the last one's end."""
        for stretch in self._stream.add(block):
            self._count(stretch)

    def finish(self) -> None:
        """Count what still waits."""
        for stretch in self._stream.finish():
            self._count(stretch)

    def _count(self, stretch: Stretch) -> None:
        patterns, sums = self._rule.find(*stretch)
        if self._gate is not None:
            start, end = self._gate
            inside = (2 * start <= sums) & (sums < 2 * end)
            patterns, sums = patterns[inside], sums[inside]
        self._combinations.count(stretch, Instants(sums, patterns, np.zeros_like(sums)), self._counts)


def herald_places(names: Sequence[str]) -> list[tuple[int, ...]]:
    """What each of these keys of `HERALDS` stands for. ValueError if there is none, or one is not known."""
    unknown = [name for name in names if name not in HERALDS]
    if unknown or not names:
        raise ValueError(f"heralds are chosen from {', '.join(HERALDS)}, not {', '.join(unknown) or 'none'}")
    return [HERALDS[name] for name in names]
