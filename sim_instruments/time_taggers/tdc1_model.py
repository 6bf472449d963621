"""What a TDC1 does with clicks: counts over an integration time, and the words of a recording.

The model knows nothing of wires. Times are int64 picoseconds of the unit's own clock, clicks come slice by
slice as sorted arrays, and every result is the same wherever the slices are cut. Source: sfifteen_tdc1.md.
Invented: that coincidences are clicks in the same 2 ns, and how often dummies are sent.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sim_instruments.ports import Tags
from timetags.block import Times

INPUTS = (1, 2, 3, 4)
PAIRS = ((1, 3), (1, 4), (2, 3), (2, 4))
UNIT_PS = 2000
WRAP_UNITS = 1 << 27
DUMMY_UNITS = WRAP_UNITS // 2
"""A dummy at least once per wrap keeps readers in time; here two of them."""
DUMMY = 1 << 4
NO_TIMES: Times = np.empty(0, dtype=np.int64)
Words = NDArray[np.uint32]


class Count:
    """Counts for an integration time, which begins where the first slice ends that it is shown: what that
    slice had of clicks before somebody looked is not known."""

    def __init__(self, integration_ps: int, pairs: Sequence[tuple[int, int]]) -> None:
        self._integration_ps, self._pairs = integration_ps, pairs
        self._begin_ps: int | None = None
        self._counts = [0] * (len(INPUTS) + len(pairs))
        self._units = dict.fromkeys(INPUTS, NO_TIMES)
        self.is_over = False

    @property
    def text(self) -> str:
        return " ".join(map(str, self._counts))

    def take(self, tags: Tags, until_ps: int) -> None:
        """Take all clicks before `until_ps` that were not taken before."""
        if self._begin_ps is None:
            self._begin_ps = until_ps
            return
        end_ps = self._begin_ps + self._integration_ps
        for k, n in enumerate(INPUTS):
            times = tags.get(n, NO_TIMES)
            times = times[np.searchsorted(times, self._begin_ps) : np.searchsorted(times, end_ps)]
            self._counts[k] += len(times)
            self._units[n] = np.concatenate((self._units[n], times // UNIT_PS))
        self._count_pairs(min(until_ps, end_ps) // UNIT_PS)
        if until_ps >= end_ps:
            self._count_pairs(end_ps // UNIT_PS + 1)
            self.is_over = True

    def _count_pairs(self, unit: int) -> None:
        """Count pairs in whole units, those before this one."""
        ready = {n: units[: np.searchsorted(units, unit)] for n, units in self._units.items()}
        for k, (a, b) in enumerate(self._pairs):
            self._counts[len(INPUTS) + k] += len(np.intersect1d(ready[a], ready[b]))
        self._units = {n: units[len(ready[n]) :] for n, units in self._units.items()}


class Stream:
    """A recording from `begin_ps` on, for `length_ps` or, if that is None, until it is aborted."""

    def __init__(self, begin_ps: int, length_ps: int | None) -> None:
        self._begin_ps = begin_ps
        self._units = None if length_ps is None else length_ps // UNIT_PS
        self._done = 0
        """Units of time that have been told."""
        self._waiting = dict.fromkeys(INPUTS, NO_TIMES)

    @property
    def is_over(self) -> bool:
        return self._units is not None and self._done >= self._units

    def words(self, tags: Tags, until_ps: int) -> Words:
        """What is sent for the clicks before `until_ps` that were not given before, in the order of time.
        Clicks within one unit of time, by whatever inputs, are one word; a unit that is not over waits."""
        ready = max(self._done, (until_ps - self._begin_ps) // UNIT_PS)
        if self._units is not None:
            ready = min(ready, self._units)
        units, patterns = [], []
        for n in INPUTS:
            new = (tags.get(n, NO_TIMES) - self._begin_ps) // UNIT_PS
            known = np.concatenate((self._waiting[n], new[np.searchsorted(new, self._done) :]))
            cut = np.searchsorted(known, ready)
            units.append(known[:cut])
            patterns.append(np.full(cut, 1 << (n - 1), np.uint32))
            self._waiting[n] = known[cut:]
        words = self._with_dummies(*_combined(np.concatenate(units), np.concatenate(patterns)), ready)
        self._done = ready
        return words

    def _with_dummies(self, units: Times, patterns: Words, ready: int) -> Words:
        first, end = -(-self._done // DUMMY_UNITS), -(-ready // DUMMY_UNITS)
        dummies = np.arange(first, end, dtype=np.int64) * DUMMY_UNITS
        places = np.searchsorted(units, dummies)
        units = np.insert(units, places, dummies)
        patterns = np.insert(patterns, places, DUMMY)
        return ((units % WRAP_UNITS).astype(np.uint32) << np.uint32(5)) | patterns


def _combined(units: Times, patterns: Words) -> tuple[Times, Words]:
    """Patterns of equal time as one."""
    order = np.argsort(units, kind="stable")
    units, patterns = units[order], patterns[order]
    begins = np.flatnonzero(np.diff(units, prepend=-1))
    if not len(begins):
        return units, patterns
    return units[begins], np.bitwise_or.reduceat(patterns, begins)
