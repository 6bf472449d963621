"""Second-order correlation g2: of two sets of detectors, normalised, and of a heralded source.

g2(tau) is the number of pairs with difference tau over what independent streams of the same rates give, so
1 is uncorrelated, below 1 antibunched and above bunched. The unheralded Hong-Ou-Mandel histogram over
t1 - t2 is the same thing with the outputs of the beam splitter as the two sets (for two thermal CW sources
it is flat: `physics.md` 6, HOM).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from timetags.analyses.analysis import OnePass
from timetags.analyses.coincidences import Coincidences
from timetags.analyses.correlate import Correlation
from timetags.analyses.rates import Singles
from timetags.block import TagBlock

Floats = NDArray[np.float64]


class G2:
    """g2 over tau = t_second - t_first of delayed times; arguments and bins as in `Correlation`."""

    def __init__(
        self,
        first: Collection[int],
        second: Collection[int],
        delays_ps: Mapping[int, int],
        *,
        bin_ps: int,
        range_ps: tuple[int, int],
    ) -> None:
        self._first, self._second = sorted(first), sorted(second)
        self._delays, self._bin = dict(delays_ps), bin_ps
        self._correlation = Correlation(first, second, delays_ps, bin_ps=bin_ps, range_ps=range_ps)
        self._singles = Singles()
        self._pass = OnePass(self._correlation, self._singles)

    def add(self, block: TagBlock) -> None:
        """Count on with the next block of the merged stream."""
        self._pass.add(block)

    def finish(self) -> None:
        """Nothing waits."""
        self._pass.finish()

    @property
    def centres_ps(self) -> Floats:
        """The mean of the integer differences that a bin holds, ps."""
        return self._correlation.centres_ps

    @property
    def counts(self) -> NDArray[np.int64]:
        """Pairs per bin."""
        return self._correlation.counts

    @property
    def expected(self) -> Floats:
        """Pairs per bin if all clicks were independent and their rates constant: N1 N2 bin (T - |tau'|)/T^2
        for each first and second channel, with tau' the difference of the times as recorded: so much of
        the one's record of length T lies beside the other's. A click is no pair with itself."""
        counts, live = self._singles.counts, self._singles.live_ps
        expected = np.zeros(len(self.centres_ps))
        for first in self._first:
            for second in self._second:
                pairs = int(counts[first]) * (int(counts[second]) - (first == second))
                recorded = self.centres_ps - self._delays.get(second, 0) + self._delays.get(first, 0)
                expected += pairs * self._bin * np.maximum(live - np.abs(recorded), 0) / max(live, 1) ** 2
        return expected

    @property
    def g2(self) -> Floats:
        """g2 per bin; nan where nothing is expected."""
        return _ratio(self.counts, self.expected)

    @property
    def errors(self) -> Floats:
        """Standard error of each bin's g2 from the Poisson error of its pairs; of one pair where there is
        none, since no pair is not no error."""
        return _ratio(np.sqrt(np.maximum(self.counts, 1)), self.expected)

    def pulsed(self, period_ps: int, width_ps: int) -> tuple[float, float]:
        """g2(0) of a pulsed source and its standard error: the pairs within `width_ps` about 0 over the mean
        of those about all other whole multiples of the period that lie in the range (`physics.md` 6). A bin
        belongs where its centre lies. ValueError if there is no whole side peak."""
        centres, bins = self.centres_ps, self.counts
        low, high = centres[0] - self._bin / 2, centres[-1] + self._bin / 2
        orders = np.arange(np.ceil(low / period_ps), np.floor(high / period_ps) + 1) * period_ps
        whole = (orders - width_ps / 2 >= low) & (orders + width_ps / 2 <= high)
        peaks = {
            order: int(bins[np.abs(centres - order) <= width_ps / 2].sum())
            for order in orders[whole].tolist()
        }
        centre = peaks.pop(0.0, None)
        side = sum(peaks.values())
        if centre is None or side == 0:
            raise ValueError(
                f"the range holds no pairs about other multiples of {period_ps} ps, or not all about 0"
            )
        mean = side / len(peaks)
        return centre / mean, float(np.sqrt(max(centre, 1) + centre**2 / side) / mean)


class Heralded(NamedTuple):
    """Counts behind a heralded g2: heralds, with a click in the first and in the second arm, and in both."""

    heralds: int
    first: int
    second: int
    both: int


class HeraldedG2:
    """g2 of the light that heralds announce, behind a beam splitter: N_h N_h12 / (N_h1 N_h2).

    - `heralds`, `first`, `second`: the channels of the herald's detectors and of those behind either output
      of the splitter; all different. Clicks of one set add up.
    - `delays_ps`: what is added to the times of a channel; 0 for channels that are not named.
    - `window_ps`: full width about the herald, one for all channels or by channel: a click t belongs to a
      herald at T if -window/2 <= t - T < window/2 (for the second arm, if t - T - displacement is).
    - `displacements_ps`: of the second arm's window. g2(0) stands at 0; others show what light of other
      heralds or pulses does.

    N_h12 are combinations. ValueError if channels repeat or a window is not positive.
    """

    def __init__(
        self,
        heralds: Sequence[int],
        first: Sequence[int],
        second: Sequence[int],
        delays_ps: Mapping[int, int],
        *,
        window_ps: int | Mapping[int, int],
        displacements_ps: Sequence[int] = (0,),
    ) -> None:
        used = [*heralds, *first, *second]
        if len(set(used)) != len(used):
            raise ValueError(f"heralds and arms must be different channels: {used}")
        patterns: list[tuple[int, ...]] = [(h, c) for arm in (first, second) for h in heralds for c in arm]
        patterns += [(h, a, b) for h in heralds for a in first for b in second]
        self._ends = np.cumsum([len(heralds) * len(first), len(heralds) * len(second)])
        self._heralds, self._singles = list(heralds), Singles()
        self._coincidences = []
        for displacement in displacements_ps:
            displaced = {c: delays_ps.get(c, 0) - displacement for c in second}
            delays = {**delays_ps, **displaced}
            self._coincidences.append(Coincidences(patterns, delays, window_ps=window_ps))
        self._pass = OnePass(self._singles, *self._coincidences)

    def add(self, block: TagBlock) -> None:
        """Count on with the next block of the merged stream."""
        self._pass.add(block)

    def finish(self) -> None:
        """Count what still waits."""
        self._pass.finish()

    @property
    def counts(self) -> list[Heralded]:
        """By displacement."""
        heralds = int(self._singles.counts[self._heralds].sum())
        return [
            Heralded(heralds, *(int(part.sum()) for part in np.split(coincidences.counts, self._ends)))
            for coincidences in self._coincidences
        ]

    @property
    def g2(self) -> Floats:
        """By displacement; nan while an arm has no clicks with heralds."""
        return np.array([_heralded(*counts)[0] for counts in self.counts])

    @property
    def errors(self) -> Floats:
        """Standard errors, from the Poisson errors of N_h12, N_h1 and N_h2 taken as independent (which is
        on the safe side). Without any N_h12, the error of one."""
        return np.array([_heralded(*counts)[1] for counts in self.counts])


def _heralded(heralds: int, first: int, second: int, both: int) -> tuple[float, float]:
    if first == 0 or second == 0:
        return np.nan, np.nan
    unit = heralds / (first * second)
    return both * unit, unit * float(np.sqrt(max(both, 1) + both**2 / first + both**2 / second))


def _ratio(counts: NDArray[np.generic], expected: Floats) -> Floats:
    ratio: Floats = np.divide(counts, expected, out=np.full(len(expected), np.nan), where=expected > 0)
    return ratio
