"""Accidental coincidences, measured: the same windows, displaced so far that nothing true falls into them.

The displacements must be larger than the correlation (20 of its decay times t1), the windows and the dead
time of the detectors, and differ by more than the windows; the average is taken over at least ten
(`physics.md` 6, Figures). Results are always stated raw and subtracted.
"""

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from timetags.analyses.analysis import Analysis, OnePass
from timetags.block import TagBlock

Floats = NDArray[np.float64]

FEWEST = 10
"""Displacements, of which the average is taken."""


class Counting(Analysis, Protocol):
    """An analysis whose result is counts."""

    @property
    def counts(self) -> NDArray[np.int64]: ...


C = TypeVar("C", bound=Counting)


class Accidentals(Generic[C]):
    """One counting of coincidences and its accidentals, for any analysis with `counts`.

    `make(displacement_ps)` builds the analysis with one or more of its channels displaced by so much, with
    0 as it is meant: what is displaced against what says which coincidences are taken for accidental. In a
    heralded four-fold, for instance, `shifts_ps=(d, -d)` displaces both spokes, against the hub and each
    other. `displacements_ps` are at least ten, none of them 0 or twice: ValueError otherwise. The work is
    that of so many analyses more; `threads` as in `OnePass`.
    """

    def __init__(
        self, make: Callable[[int], C], displacements_ps: Sequence[int], *, threads: int = 1
    ) -> None:
        number = len(displacements_ps)
        if number < FEWEST or 0 in displacements_ps or len(set(displacements_ps)) != number:
            raise ValueError(
                f"accidentals need at least {FEWEST} different displacements, none of them 0: "
                f"{list(displacements_ps)}"
            )
        self.undisplaced = make(0)
        self._displaced = [make(displacement) for displacement in displacements_ps]
        self._pass = OnePass(self.undisplaced, *self._displaced, threads=threads)

    def add(self, block: TagBlock) -> None:
        """Count on with the next block."""
        self._pass.add(block)

    def finish(self) -> None:
        """Count what still waits."""
        self._pass.finish()

    @property
    def raw(self) -> NDArray[np.int64]:
        """The counts as they are, accidentals included."""
        return self.undisplaced.counts

    @property
    def raw_error(self) -> Floats:
        """Standard error of the raw counts, the root of the counts (Poisson)."""
        return np.sqrt(self.raw)

    @property
    def displaced(self) -> NDArray[np.int64]:
        """The counts of each displacement, one row each."""
        return np.stack([analysis.counts for analysis in self._displaced])

    @property
    def mean(self) -> Floats:
        """The accidentals expected among the raw counts: the mean over the displacements."""
        mean: Floats = self.displaced.mean(axis=0)
        return mean

    @property
    def mean_error(self) -> Floats:
        """Standard error of the mean, the root of all displaced counts over the number of displacements.
        That the same clicks take part in several displacements is left out of account; it is the
        smaller part as long as a click rarely has a partner."""
        error: Floats = np.sqrt(self.displaced.sum(axis=0)) / len(self._displaced)
        return error

    @property
    def subtracted(self) -> Floats:
        """The raw counts less the accidentals; may be negative."""
        return self.raw - self.mean

    @property
    def subtracted_error(self) -> Floats:
        """Standard error of `subtracted`: both Poisson errors, in quadrature."""
        return np.hypot(self.raw_error, self.mean_error)


def both_ways(step_ps: int, number: int = FEWEST) -> list[int]:
    """So many displacements, alternately later and earlier: step, -step, 2 step, -2 step, ...

    ValueError if the step is not positive."""
    if step_ps <= 0:
        raise ValueError(f"the step between displacements must be positive, not {step_ps} ps")
    return [step_ps * (k // 2 + 1) * (-1 if k % 2 else 1) for k in range(number)]
