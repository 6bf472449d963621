"""Coincidences of two analysers in one setting, and beside them the accidentals of displaced windows.

Accidentals are measured, not calculated from singles: the same windows, displaced so far that nothing true
falls into them, at least ten times (`timetags.analyses.accidentals`, `physics.md` 6, Figures). Every figure
can then be stated raw and subtracted, each with the error of what it took.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from experiments.estimators.estimate import Estimate, RawAndSubtracted

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cells:
    """How many coincidences each pair of outcomes had, and the variance of each number: arrays (2, 2), the
    first analyser's outcome first, H before V. With accidentals taken off, a number may be negative."""

    counts: Floats
    variance: Floats

    @property
    def total(self) -> Estimate:
        """All four together. The error is that of a Poisson mean (see `rate`)."""
        return Estimate(float(self.counts.sum()), sqrt(float(self.variance.sum()) + 1))

    @property
    def correlation(self) -> Estimate:
        """E = (HH + VV - HV - VH) / N, propagated from the variances with half a count added to either sort,
        so that for raw counts it is `estimate.correlation`. 0 +- 1 while N is not positive."""
        return ratio_of(self.counts, self.variance)


def ratio_of(counts: Floats, variance: Floats) -> Estimate:
    """The correlation of (2, 2) counts with any variances; see `Cells.correlation`."""
    agree, differ = float(np.trace(counts)), float(counts[0, 1] + counts[1, 0])
    total = agree + differ
    if total <= 0:
        return Estimate(0.0, 1.0)
    agreeing, differing = max(agree, 0.0) + 0.5, max(differ, 0.0) + 0.5
    variances = np.trace(variance) + 0.5, variance[0, 1] + variance[1, 0] + 0.5
    error = 2 * sqrt(differing**2 * variances[0] + agreeing**2 * variances[1]) / (agreeing + differing) ** 2
    return Estimate((agree - differ) / total, error)


@dataclass(frozen=True)
class PairCounts:
    """`raw`: coincidences, (2, 2). `displaced`: those of all displaced windows together, of which there were
    `displacements`; without any, nothing is subtracted."""

    raw: Ints
    displaced: Ints
    displacements: int

    @classmethod
    def without_accidentals(cls, raw: Ints) -> "PairCounts":
        """Counts beside which no accidentals were measured."""
        return cls(raw, np.zeros_like(raw), 0)

    def __add__(self, other: "PairCounts") -> "PairCounts":
        """Both together. ValueError if their accidentals were averaged over different numbers of windows."""
        if self.displacements != other.displacements:
            raise ValueError(f"accidentals of {self.displacements} and of {other.displacements} windows")
        return PairCounts(self.raw + other.raw, self.displaced + other.displaced, self.displacements)

    @property
    def accidentals(self) -> Floats:
        """Expected among the raw counts, (2, 2)."""
        mean: Floats = self.displaced / max(self.displacements, 1)
        return mean

    @property
    def as_counted(self) -> Cells:
        """Raw, with Poisson variances."""
        return Cells(self.raw.astype(float), self.raw.astype(float))

    @property
    def subtracted(self) -> Cells:
        """Less the accidentals, whose own variance is added."""
        variance = self.raw + self.displaced / max(self.displacements, 1) ** 2
        return Cells(self.raw - self.accidentals, variance)

    def second_turned_over(self) -> "PairCounts":
        """With the second analyser's outcomes exchanged (the Pauli frame)."""
        return PairCounts(self.raw[:, ::-1], self.displaced[:, ::-1], self.displacements)

    def both(self, figure: Callable[[Cells], Estimate]) -> RawAndSubtracted:
        """A figure of the counts, raw and subtracted."""
        return RawAndSubtracted(figure(self.as_counted), figure(self.subtracted))
