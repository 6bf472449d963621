"""A couple: one entangled-pair source whose photons both go to analysers, as in a Bell test.

Only pairs of which both photons click are drawn with their times; a click whose partner is lost is plain
noise. Source: physics.md 1, "Other experiments": pairs alone, without the bunching of a thermal source.
"""

from dataclasses import dataclass

import numpy as np

from sim_instruments.world.interference import Complex
from sim_instruments.world.layout import Source
from sim_instruments.world.pairs import TWO_SIDED, Floats, Shape, sorted_times, split_couples
from sim_instruments.world.polarization import Matrix, werner_state
from sim_instruments.world.scratch import Scratch

Both = tuple[float, float]


@dataclass(frozen=True)
class Coincidences:
    """What the settings make of the pairs, until one changes. Rates in 1/ps; outcomes H, V are 0, 1."""

    pairs: float
    """Rate of pairs of which both photons click."""
    outcomes: Floats
    """Cumulative probabilities of (signal, idler) = HH, HV, VH, VV among them, (4,)."""
    lone: tuple[Both, Both]
    """Rate of clicks without a partner: [signal or idler][H or V]."""
    clicks: tuple[Both, Both]
    """All clicks of pairs."""

    @classmethod
    def of(
        cls, rate: float, rho: Complex, signal: tuple[Matrix, Matrix], idler: tuple[Matrix, Matrix]
    ) -> "Coincidences":
        """`rate` pairs per ps; `rho` the 4x4 state; POVM elements of a click at H and V of either side."""
        state = rho.reshape(2, 2, 2, 2)  # signal, idler; signal', idler'
        joint = np.array([[np.einsum("ba,ji,aibj->", e, f, state).real for f in idler] for e in signal])
        alone = np.eye(2)
        clicks = np.array(
            [
                [np.einsum("ba,ji,aibj->", e, alone, state).real for e in signal],
                [np.einsum("ba,ji,aibj->", alone, f, state).real for f in idler],
            ]
        )
        lone = np.maximum(clicks - np.array([joint.sum(axis=1), joint.sum(axis=0)]), 0.0)
        total = float(joint.sum())
        cumulative = np.cumsum(joint.ravel()) / total if total > 0.0 else np.ones(4)
        cumulative[3] = 1.0
        return cls(rate * total, cumulative, _pairs(rate * lone), _pairs(rate * clicks))


def _pairs(rates: Floats) -> tuple[Both, Both]:
    (a, b), (c, d) = rates.tolist()
    return (a, b), (c, d)


class Couple:
    """A source in operation."""

    def __init__(self, source: Source, rng: np.random.Generator) -> None:
        self.source = source
        self.shape = Shape.of(source.biphoton)
        self.rho = werner_state(source.fidelity)
        self._rng = rng
        self._scratch = Scratch()

    def emit(self, statistics: Coincidences, span_ps: float) -> tuple[list[Floats], list[Floats]]:
        """Times of the next `span_ps` at the signal's analyser and the idler's, each for H and V; the
        idler is born at its time, the signal x later. Valid until the next slice."""
        rng, scratch = self._rng, self._scratch
        n = rng.poisson(statistics.pairs * span_ps)
        t = sorted_times(rng.standard_exponential(out=scratch("gaps", n + 1)), span_ps)
        if self.shape.kind == TWO_SIDED:
            decays = rng.standard_exponential(out=scratch("decays", n))
        else:
            decays = rng.standard_normal(out=scratch("decays", n))
        sides = rng.random(out=scratch("sides", n))
        draws = rng.random(out=scratch("draws", n))
        times = scratch("times", 4 * (n + 1)).reshape(4, n + 1)
        count = np.zeros(4, dtype=np.int64)
        split_couples(t, decays, sides, draws, self.shape.row, statistics.outcomes, times, count)
        cut = [row[:k] for row, k in zip(times, count, strict=True)]
        return cut[:2], cut[2:]
