"""Heralded Hong-Ou-Mandel histograms: three-folds and four-folds over d = t1 - t2 at the beam splitter.

With CW sources no delay needs to be scanned: the dip stands in the differences of the clicks themselves
(`physics.md` 6, HOM). The unheralded histogram, normalised, is `analyses.g2.G2` of the two outputs; a scan
of a delay stage, for pulsed sources, is `analyses.scan.Scan` over any counting of coincidences.
"""

from collections.abc import Mapping, Sequence
from itertools import chain, product

import numpy as np
from numpy.typing import NDArray

from timetags.analyses.coincidences import Analyser
from timetags.analyses.combinations import Array, Combinations, Instants
from timetags.analyses.correlate import bin_centres
from timetags.analyses.heralds import delay_table
from timetags.block import Channels, TagBlock, Times, check_channels
from timetags.jit import kernel
from timetags.lookaround import Lookaround, Stretch


class HomHistogram:
    """Pairs of clicks at the outputs of a beam splitter over d = t1 - t2, with a click at every analyser.

    - `pairs`: (first, second) channels, t1 and t2 their clicks; each two channels once. Which ports are
      parallel and which orthogonal is the caller's to say.
    - `analysers`: none for all pairs, one for three-folds, two for four-folds; windows about (t1 + t2)/2.
      Their channels differ from the pairs'.
    - `delays_ps`: what is added to the times of a channel; 0 for channels that are not named.
    - `bin_ps`, `range_ps`: bins of d, as in `Correlation`.

    `counts[p, ..., k]` is the number (int64) for `pairs[p]`, the outcome of each analyser, and bin k.
    Combinations are counted. ValueError if channels repeat, a window is not positive, or the range is not a
    positive number of whole bins.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[int, int]],
        analysers: Sequence[Analyser],
        delays_ps: Mapping[int, int],
        *,
        bin_ps: int,
        range_ps: tuple[int, int],
    ) -> None:
        self.centres_ps = bin_centres(bin_ps, range_ps)
        self._bin, (self._start, self._stop) = bin_ps, range_ps
        if not pairs or len({frozenset(pair) for pair in pairs if len(set(pair)) == 2}) != len(pairs):
            raise ValueError(f"pairs are of two different channels, and differ: {list(pairs)}")
        check_channels(chain(*pairs))
        splitter = sorted(set(chain(*pairs)))
        used = [*splitter, *chain(*(analyser.outcomes for analyser in analysers))]
        if len(set(used)) != len(used):
            raise ValueError(f"the channels of all analysers differ from each other and the pairs': {used}")
        self._delays = delay_table(delays_ps)
        # The place of a pair, by the channels of the first and of the second.
        self._pair_of = np.full((256, 256), -1, np.int64)
        for place, pair in enumerate(pairs):
            self._pair_of[pair] = place
        windows = {}
        for analyser in analysers:
            windows.update(analyser.windows(delays_ps))
        self._combinations = Combinations(
            windows, [list(product(*(analyser.outcomes for analyser in analysers)))]
        )
        least, greatest = int(self._delays[splitter].min()), int(self._delays[splitter].max())
        # How far apart the clicks of a pair may lie in the stream itself.
        self._reach = max(abs(self._start), abs(self._stop)) + greatest - least
        latest = self._reach + greatest + self._combinations.latest_ps
        self._stream = Lookaround(
            back_ps=-(least + self._combinations.earliest_ps), ahead_ps=max(self._reach, latest)
        )
        outcomes = tuple(len(analyser.outcomes) for analyser in analysers)
        # The bin before the outcomes, as the kernel wants it.
        self._counts = np.zeros((len(pairs), len(self.centres_ps), *outcomes), np.int64)

    @property
    def counts(self) -> Array:
        """The counts so far: pair, outcome of each analyser, bin."""
        return np.moveaxis(self._counts, 1, -1)

    def add(self, block: TagBlock) -> None:
        """Count on with the next block of the merged stream (undelayed). Pairs near its end wait for the
        blocks that complete their surroundings. ValueError if it starts before the last one's end."""
        for stretch in self._stream.add(block):
            self._count(stretch)

    def finish(self) -> None:
        """Count what still waits."""
        for stretch in self._stream.finish():
            self._count(stretch)

    def _count(self, stretch: Stretch) -> None:
        pairs, sums, differences = _find(
            *stretch, self._pair_of, self._delays, self._start, self._stop, self._reach
        )
        places = pairs * len(self.centres_ps) + (differences - self._start) // self._bin
        flat = self._counts.reshape(-1)
        rows = places * int(np.prod(self._counts.shape[2:], dtype=np.int64))
        self._combinations.count(stretch, Instants(sums, np.zeros_like(rows), rows), flat)


@kernel
def _find(
    times: Times,
    channels: Channels,
    first: int,
    stop: int,
    pair_of: NDArray[np.int64],
    delays: Array,
    start: int,
    end: int,
    reach: int,
) -> tuple[Array, Array, Array]:
    """Pairs whose earlier click is due: their place, t1 + t2 and t1 - t2 of delayed times."""
    # Once to know how many, once to write them down.
    found = 0
    pairs = sums = differences = np.empty(0, np.int64)
    for writes in (False, True):
        if writes:
            pairs, sums = np.empty(found, np.int64), np.empty(found, np.int64)
            differences = np.empty(found, np.int64)
            found = 0
        for i in range(first, stop):
            here = channels[i]
            for j in range(i + 1, len(times)):
                if times[j] - times[i] > reach:
                    break
                there = channels[j]
                pair, reversed_pair = pair_of[here, there], pair_of[there, here]
                if pair < 0 and reversed_pair < 0:
                    continue
                one, other = times[i] + delays[here], times[j] + delays[there]
                difference = one - other if pair >= 0 else other - one
                if not start <= difference < end:
                    continue
                if writes:
                    pairs[found] = max(pair, reversed_pair)
                    sums[found] = one + other
                    differences[found] = difference
                found += 1
    return pairs, sums, differences
