"""Second-order correlation g2 of two sets of detectors, normalised.

g2(tau) is the number of pairs with difference tau over what independent streams of the same rates give, so
1 is uncorrelated, below 1 antibunched and above bunched. The unheralded Hong-Ou-Mandel histogram over
t1 - t2 is the same thing with the outputs of the beam splitter as the two sets (for two thermal CW sources
it is flat: `physics.md` 6, HOM).
"""

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from timetags.analyses.analysis import OnePass
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


def _ratio(counts: NDArray[np.generic], expected: Floats) -> Floats:
    ratio: Floats = np.divide(counts, expected, out=np.full(len(expected), np.nan), where=expected > 0)
    return ratio
