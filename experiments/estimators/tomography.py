"""Quantum state tomography of photon pairs: maximum likelihood, with errors by the bootstrap.

From coincidences in any settings that are complete together (nine: Z, X and Y of either analyser) the state
under which they are most likely, by the R rho R iteration (Z. Hradil; J. Rehacek et al., Phys. Rev. A 75,
042108, 2007):

    R = sum_k n_k E_k / p_k,  p_k = Tr rho E_k,   rho <- R rho R / Tr(R rho R).

- Counts are first divided by the detectors' relative efficiencies (pairwise), which need not be known to
  better than the statistics.
- Accidentals are not taken off the counts, which would make some negative: they are a part of what is
  expected, N p_k + a_k in place of N p_k. So the state stays a state and unbiased to first order.
- Errors come from resampled counts: Poisson numbers about what the found state predicts, which also stand in
  for those outcomes that happened not to occur; accidentals are resampled likewise.
- A state has no negative eigenvalues, so noise that would make some does not average out: near a pure state
  with few counts, or under many accidentals, the fidelity is biased, by up to two thirds of its error bar.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from experiments.estimators import two_qubits
from experiments.estimators.bell import BellState, Complex
from experiments.estimators.estimate import Estimate
from experiments.estimators.poisson_fit import FitError, Floats

SETTLED = 1e-7
"""Largest change of an element in one round, at which a state is found (`physics.md` 6)."""
SETTLED_RESAMPLE = 1e-5
"""That is enough for error bars."""
MOST_ROUNDS = 20_000
RESAMPLES = 200
FEWEST_RESAMPLES = 100

BIASED = ("concurrence", "largest_s", "best_fidelity")
BIAS = "biased upwards: noise of few counts looks like correlation"


@dataclass(frozen=True)
class Tomogram:
    """What was counted: arrays of settings x outcome of the first analyser x of the second.

    `counts` (S, 2, 2); `elements` (S, 2, 2, 4, 4), what each outcome projects on (see `analyser`);
    `displaced` (S, 2, 2), the coincidences of all displaced windows, of which there were `displacements`;
    `efficiencies`: of H and V of either analyser, (2, 2), of which only the ratio within one matters."""

    counts: NDArray[np.int64]
    elements: Complex
    displaced: NDArray[np.int64] | None = None
    displacements: int = 1
    efficiencies: Floats | None = None

    def corrected(self, counts: Floats) -> Floats:
        """Counts (..., S, 2, 2) divided by relative efficiencies, outcomes in one row: (..., S, 4)."""
        relative = np.ones((2, 2)) if self.efficiencies is None else np.asarray(self.efficiencies, float)
        relative = relative / np.sqrt(relative.prod(axis=1, keepdims=True))
        pairwise = np.multiply.outer(relative[0], relative[1])
        corrected: Floats = (counts / pairwise).reshape(*counts.shape[:-2], 4)
        return corrected

    @property
    def accidentals(self) -> Floats:
        """Expected among the counts, (S, 2, 2)."""
        if self.displaced is None:
            return np.zeros(self.counts.shape)
        mean: Floats = self.displaced / self.displacements
        return mean


@dataclass(frozen=True)
class StateFigures:
    """A state's figures with bootstrap errors. Those of `BIASED` are too high by chance where counts are few,
    and no resampling shows it, since what is resampled has that chance in it already."""

    fidelity: Estimate
    purity: Estimate
    concurrence: Estimate
    largest_s: Estimate
    best_fidelity: Estimate

    def to_json(self) -> dict[str, dict[str, object]]:
        found = {}
        for field in fields(self):
            takes = {"takes": BIAS} if field.name in BIASED else {}
            found[field.name] = {**getattr(self, field.name).to_json(), **takes}
        return found


def reconstruct(tomogram: Tomogram) -> Complex:
    """The most likely state, (4, 4). ValueError without any counts, or with incomplete settings."""
    counts, accidentals = tomogram.counts.astype(float), tomogram.accidentals
    state: Complex = _most_likely(tomogram, counts[None], accidentals[None], SETTLED)[0]
    return state


def resampled(
    tomogram: Tomogram, state: Complex, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Complex:
    """States (resamples, 4, 4) from counts drawn anew about what this state predicts, each reconstructed in
    the same way. ValueError for fewer than 100."""
    if resamples < FEWEST_RESAMPLES:
        raise ValueError(f"a bootstrap takes at least {FEWEST_RESAMPLES} resamples, not {resamples}")
    shape = (resamples, *tomogram.counts.shape)
    counts = rng.poisson(predicted(tomogram, state), shape).astype(float)
    windows = tomogram.displacements
    accidentals = rng.poisson(windows * tomogram.accidentals, shape) / windows
    return _most_likely(tomogram, counts, accidentals, SETTLED_RESAMPLE, start=state)


def predicted(tomogram: Tomogram, state: Complex) -> Floats:
    """The counts that a state makes one expect, as many in each setting as there were, (S, 2, 2)."""
    p = np.einsum("saij,ji->sa", tomogram.elements.reshape(-1, 4, 4, 4), state).real
    one_each = np.ones(tomogram.counts.shape)
    seen = p / tomogram.corrected(one_each)  # as the detectors see it
    accidental = tomogram.accidentals.reshape(-1, 4)
    true = np.maximum(tomogram.counts.reshape(-1, 4).sum(axis=1) - accidental.sum(axis=1), 0.0)
    means: Floats = seen * (true / seen.sum(axis=1))[:, None] + accidental
    return means.reshape(tomogram.counts.shape)


def figures(state: Complex, resamples: Complex, bell: BellState) -> StateFigures:
    """The figures of a state and their errors from its resamples, the fidelity that to a Bell state."""
    ways: dict[str, Callable[[Complex], Floats]] = {
        "fidelity": lambda states: two_qubits.fidelity(states, bell),
        "purity": two_qubits.purity,
        "concurrence": two_qubits.concurrence,
        "largest_s": two_qubits.largest_s,
        "best_fidelity": two_qubits.best_fidelity,
    }
    return StateFigures(
        **{name: Estimate(float(way(state)), float(way(resamples).std(ddof=1))) for name, way in ways.items()}
    )


def _most_likely(
    tomogram: Tomogram, counts: Floats, accidentals: Floats, settled: float, start: Complex | None = None
) -> Complex:
    """States (B, 4, 4) for counts and accidentals (B, S, 2, 2)."""
    n = tomogram.corrected(counts)
    total = n.sum(axis=(1, 2), keepdims=True)
    if not np.all(total > 0):
        raise ValueError("nothing was counted")
    elements = tomogram.elements.reshape(-1, 16)
    if np.linalg.matrix_rank(elements) < 16:
        raise ValueError(f"{len(tomogram.counts)} settings do not tell all states apart; nine do")
    accidental = tomogram.corrected(accidentals)
    # The pairs behind each setting's counts; of a setting without any, nothing is expected.
    pairs = np.maximum(n.sum(axis=2) - accidental.sum(axis=2), 1e-9 * n.sum(axis=2) + 1e-12)
    offset = (accidental / pairs[:, :, None]).reshape(len(n), -1)
    weight = (n / total).reshape(len(n), -1)
    states = np.empty((len(n), 4, 4), np.complex128)
    states[:] = np.eye(4) / 4 if start is None else 0.98 * start + 0.02 * np.eye(4) / 4
    left = np.arange(len(n))
    # Tr rho E = sum conj(E_ij) rho_ij of Hermitian matrices: one real product for all states and outcomes.
    flat = np.concatenate([elements.real, elements.imag], axis=1).T.copy()
    rho = states.copy()
    for _ in range(MOST_ROUNDS):
        square = rho.reshape(-1, 16)
        p = np.concatenate([square.real, square.imag], axis=1) @ flat
        r = (weight[left] / np.maximum(p + offset[left], 1e-12)) @ elements
        r = r.reshape(-1, 4, 4)
        after = r @ rho @ r
        after /= np.einsum("bii->b", after).real[:, None, None]
        moved = np.abs(after - rho).max(axis=(1, 2))
        rho = after
        done = moved < settled
        if done.any():
            states[left[done]] = rho[done]
            left, rho = left[~done], rho[~done]
            if not len(left):
                break
    else:
        raise FitError(f"no most likely state after {MOST_ROUNDS} rounds")
    return (states + np.conj(np.swapaxes(states, -1, -2))) / 2
