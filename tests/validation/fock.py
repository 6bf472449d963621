"""Photons in Fock space: creation operators applied to the vacuum, one after the other, and amplitudes read
off. Nothing here comes from the light field."""

from itertools import product
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Complex = NDArray[np.complex128]
Floats = NDArray[np.float64]


def created(photons: list[Complex]) -> dict[tuple[int, ...], complex]:
    """Amplitudes by occupation numbers of what a+(photon 1) a+(photon 2) ... makes of the vacuum; a photon is
    its amplitudes in all modes."""
    state: dict[tuple[int, ...], complex] = {(0,) * len(photons[0]): 1.0}
    for photon in photons:
        grown: dict[tuple[int, ...], complex] = {}
        for occupied, amplitude in state.items():
            for mode in np.flatnonzero(photon):
                more = (*occupied[:mode], occupied[mode] + 1, *occupied[mode + 1 :])
                grown[more] = grown.get(more, 0) + amplitude * photon[mode] * sqrt(more[mode])
        state = grown
    return state


def two_photon_probabilities(
    states: list[Complex], ports: list[Complex], temporal: Floats, overlap: float
) -> Floats:
    """(4, 4) P(one photon at port p at t1, one at port q at t2), not normalised.

    Photon k is in the polarization `states[k]` (2, 2), not normalised; `ports[k]` (4, 2) lead to the ports;
    `temporal[k, j]` is its amplitude at t_j. The second photon's mode is that of the first with the
    probability amplitude sqrt(overlap), else one of its own that detectors do not tell from it.
    """
    found = np.zeros((4, 4))
    pure = [[sqrt(max(w, 0.0)) * v for w, v in zip(*_eigen(state), strict=True)] for state in states]
    for first, second in product(*pure):
        photons = []
        for k, (state, kinds) in enumerate(
            ((first, (1.0, 0.0)), (second, (sqrt(overlap), sqrt(1 - overlap))))
        ):
            at_ports = ports[k] @ state
            photons.append(np.kron(kinds, np.kron(temporal[k], at_ports)))  # kind, time, port
        for occupied, amplitude in created(photons).items():
            at = np.array(occupied).reshape(2, 2, 4).sum(axis=0)  # time, port
            if at[0].sum() == 1:
                found[at[0].argmax(), at[1].argmax()] += abs(amplitude) ** 2
    return found


def _eigen(state: Complex) -> tuple[Floats, list[Complex]]:
    values, vectors = np.linalg.eigh(state)
    return values, list(vectors.T)
