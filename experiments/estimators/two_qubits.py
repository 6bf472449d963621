"""What a two-photon polarization state amounts to: fidelity, purity, concurrence, the largest S.

Every function takes states over HH, HV, VH, VV in arrays (..., 4, 4), any number of them at once. Concurrence
and the largest S are *biased upwards* for states that come from few counts, since noise looks like a
correlation: at 900 counts they were 0.684 for 0.660, and 2.37 for 2.25 (`physics.md` 6). Take S from CHSH
settings and quote these beside their bias only.
"""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from experiments.estimators.bell import PAULI, BellState, Complex, bell_vector

Floats = NDArray[np.float64]

_FLIP = np.kron(PAULI["Y"], PAULI["Y"])
_CORRELATIONS = np.array([np.kron(PAULI[a], PAULI[b]) for a, b in product("XYZ", repeat=2)])
_MAGIC = np.array(
    [
        bell_vector("Phi+"),
        1j * bell_vector("Phi-"),
        1j * bell_vector("Psi+"),
        bell_vector("Psi-"),
    ]
)


def fidelity(states: Complex, to: Complex | BellState) -> Floats:
    """<psi|rho|psi> to a pure state (a normalised vector) or a Bell state."""
    vector = bell_vector(to) if isinstance(to, str) else to
    overlap: Floats = np.einsum("i,...ij,j->...", vector.conj(), states, vector).real
    return overlap


def purity(states: Complex) -> Floats:
    """Tr rho^2, from 1/4 for the fully mixed state to 1."""
    found: Floats = np.einsum("...ij,...ji->...", states, states).real
    return found


def concurrence(states: Complex) -> Floats:
    """max(0, l1 - l2 - l3 - l4), l the roots of the eigenvalues of rho (YY) rho* (YY), the largest first
    (W. K. Wootters, Phys. Rev. Lett. 80, 2245, 1998). 0 for separable states, 1 for Bell states."""
    values = np.linalg.eigvals(states @ _FLIP @ states.conj() @ _FLIP).real
    roots = np.sort(np.sqrt(np.maximum(values, 0.0)), axis=-1)
    found: Floats = np.maximum(0.0, 2 * roots[..., -1] - roots.sum(axis=-1))
    return found


def largest_s(states: Complex) -> Floats:
    """The largest CHSH S that any settings would give, 2 sqrt(m1 + m2), m the two largest eigenvalues of
    T^t T with T the 3 x 3 correlations (R., P. and M. Horodecki, Phys. Lett. A 200, 340, 1995)."""
    t = np.einsum("kij,...ji->...k", _CORRELATIONS, states).real.reshape(*states.shape[:-2], 3, 3)
    values = np.linalg.eigvalsh(np.swapaxes(t, -1, -2) @ t)
    found: Floats = 2 * np.sqrt(values[..., -1] + values[..., -2])
    return found


def best_fidelity(states: Complex) -> Floats:
    """The largest fidelity to a Bell state that local rotations of either photon can give: the largest
    eigenvalue of the real part of rho in the magic basis (C. H. Bennett et al., Phys. Rev. A 54, 3824, 1996,
    III C). It says how good the source is where nobody has aligned the polarizations. Biased upwards too."""
    inside = np.einsum("ai,...ij,bj->...ab", _MAGIC.conj(), states, _MAGIC).real
    found: Floats = np.linalg.eigvalsh(inside)[..., -1]
    return found


def werner(bell: BellState, fidelity_: float) -> Complex:
    """A Bell state with white noise, of this fidelity."""
    vector, part = bell_vector(bell), (4 * fidelity_ - 1) / 3
    state: Complex = part * np.outer(vector, vector.conj()) + (1 - part) * np.eye(4) / 4
    return state
