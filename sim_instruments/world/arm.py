"""An arm: one entangled-pair source, its signal path to an analyser, its idler path to a Bell-state
measurement."""

from dataclasses import dataclass

import numpy as np

from sim_instruments.world.interference import Complex
from sim_instruments.world.layout import Source
from sim_instruments.world.pairs import (
    LOST,
    TWO_SIDED,
    Bytes,
    Floats,
    Shape,
    bunched,
    insert_idlers,
    outcomes,
    partners,
    sorted_times,
)
from sim_instruments.world.polarization import Matrix, werner_state
from sim_instruments.world.scratch import Scratch

PS = 1e-12


@dataclass(frozen=True)
class Statistics:
    """What an arm's settings make of its pairs, until a setting changes. Rates in 1/ps."""

    conditional: Complex
    """G[u] (3, 4, 4): unnormalised port density matrices at the Bell-state measurement."""
    idlers: float
    """Base rate of idlers that arrive."""
    clicks: tuple[float, float]
    """Probability that an arriving idler's signal clicks at H, V."""
    lone_signals: tuple[float, float]
    """Rate of clicks at H, V whose idler is lost: noise that nothing else is correlated with."""
    proposals: float
    """Rate of proposed two-pair clusters."""
    fates: Floats
    """Cumulative probabilities of a cluster's 36 fates, see `pairs.bunched`."""
    signal_rates: tuple[float, float]
    """All clicks at H, V."""

    @classmethod
    def of(
        cls, rate: float, shape: Shape, rho: Complex, analyser: tuple[Matrix, Matrix], ports: Complex
    ) -> "Statistics":
        """`rate` pairs per ps; `rho` the 4x4 state; `analyser` the POVM elements of a click at H and V
        (2x2, with all losses); `ports` (4, 2) the amplitudes from the idler's (H, V) to the ports."""
        lost = np.eye(2) - analyser[0] - analyser[1]
        state = rho.reshape(2, 2, 2, 2)  # signal, idler; signal', idler'
        conditional = np.empty((3, 4, 4), dtype=np.complex128)
        click = np.empty(3)
        for u, povm in enumerate((*analyser, lost)):
            sigma = np.einsum("ba,aibj->ij", povm, state)
            click[u] = sigma.trace().real
            conditional[u] = ports @ sigma @ ports.conj().T
        arrive = np.einsum("upp->u", conditional).real
        total = float(arrive.sum())
        fates = np.zeros((3, 3, 2, 2))
        if total > 0.0:
            likely = (1.0 - total) / total
            for u1 in range(3):
                for u2 in range(3):
                    both = np.trace(conditional[u1] @ conditional[u2]).real
                    for a1 in range(2):
                        for a2 in range(2):
                            fates[u1, u2, a1, a2] = both * likely ** (2 - a1 - a2)
        bunching = float(fates.sum())  # all fates together: the purity of the idler
        fates[LOST, LOST, 0, 0] = 0.0
        seen = float(fates.sum())
        base = max(rate - rate * rate * shape.coherence_ps * bunching, 0.0)
        lone = base * np.maximum(click - arrive, 0.0)
        return cls(
            conditional=conditional,
            idlers=base * total,
            clicks=(float(arrive[0] / total), float(arrive[1] / total)) if total > 0.0 else (0.0, 0.0),
            lone_signals=(float(lone[0]), float(lone[1])),
            proposals=rate * rate * shape.reach_ps * seen,
            fates=np.cumsum(fates.ravel()) / seen if seen > 0.0 else np.ones(36),
            signal_rates=(float(rate * click[0]), float(rate * click[1])),
        )


@dataclass(frozen=True)
class Born:
    """One slice of an arm: idlers in the order of their times at the source, signals that click. Valid
    until the arm's next slice."""

    t: Floats
    x: Floats
    u: Bytes
    signals: tuple[Floats, Floats]


class Arm:
    """A source in operation."""

    def __init__(self, source: Source, rng: np.random.Generator) -> None:
        self.source = source
        self.shape = Shape.of(source.biphoton)
        self.rho = werner_state(source.fidelity)
        self._rng = rng
        self._scratch = Scratch()

    def emit(self, statistics: Statistics, span_ps: float) -> Born:
        """Draw everything that is born in the next `span_ps`. An idler that arrives at the hub is
        drawn with its time, as is a signal whose idler arrives or that belongs to a bunched cluster."""
        rng, shape, scratch = self._rng, self.shape, self._scratch
        n = rng.poisson(statistics.idlers * span_ps)
        t = sorted_times(rng.standard_exponential(out=scratch("gaps", n + 1)), span_ps)
        x, u = scratch("x", n), scratch("u", n, np.int8)
        if shape.kind == TWO_SIDED:
            decays = rng.standard_exponential(out=scratch("decays", n))
        else:
            decays = rng.standard_normal(out=scratch("decays", n))
        outcomes(decays, rng.random(out=scratch("draws", n)), shape.row, *statistics.clicks, x, u)
        clusters = rng.poisson(statistics.proposals * span_ps)
        starts = sorted_times(rng.standard_exponential(clusters + 1), span_ps)
        idlers, idler_u = scratch("idlers", 2 * (2 * clusters)), scratch("idler_u", 2 * clusters, np.int8)
        extra, extra_u = scratch("extra", 2 * clusters), scratch("extra_u", 2 * clusters, np.int8)
        idlers = idlers.reshape(-1, 2)
        n_idlers, n_extra = bunched(
            starts, shape.row, shape.reach_ps, statistics.fates, rng, idlers, idler_u, extra, extra_u
        )
        signals = []
        for port in (0, 1):
            times = scratch(f"signals{port}", n + n_extra + 1)
            signals.append(times[: partners(t, x, u, extra[:n_extra], extra_u[:n_extra], port, times)])
        n += n_idlers
        all_t, all_x, all_u = scratch("all_t", n), scratch("all_x", n), scratch("all_u", n, np.int8)
        insert_idlers(t, x, u, idlers[:n_idlers], idler_u[:n_idlers], all_t, all_x, all_u)
        return Born(all_t, all_x, all_u, (signals[0], signals[1]))
