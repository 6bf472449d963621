"""Polarization as Jones vectors and matrices: retarders, polarizers, turns of the Poincare sphere.

A Jones vector is (H, V), complex; a matrix maps what enters to what leaves, so a chain in beam order is
multiplied from the left. The Poincare sphere has the axes S1 (H against V), S2 (45 deg against -45 deg) and
S3 (+1 for (1, i)/sqrt 2); a retarder turns it about its fast axis, by the right-hand rule. Every matrix is a
Kraus operator: none makes more light than there was.
"""

from math import cos, pi, sin, sqrt

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.complex128]
Floats = NDArray[np.float64]

IDENTITY: Matrix = np.eye(2, dtype=np.complex128)
PAULI: Matrix = np.array([[[1, 0], [0, -1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]]], dtype=np.complex128)
"""The Pauli matrices in the order of S1, S2, S3."""
PROJECT_H: Matrix = np.diag([1.0, 0.0]).astype(np.complex128)
PROJECT_V: Matrix = np.diag([0.0, 1.0]).astype(np.complex128)

DIFFUSION_STEP = 0.25
"""Largest D t of one draw of `diffused`: what its formula leaves out is exp(-pi^2 / 0.25) = 7e-18."""
FORGOTTEN = 40.0
"""D t after which a diffused turn is any turn, to exp(-3/4 * 40) = 1e-13."""


def retarder(retardance_rad: float, fast_axis_rad: float) -> Matrix:
    """A linear retarder with its fast axis at an angle from horizontal."""
    c, s = cos(retardance_rad / 2), sin(retardance_rad / 2)
    along, across = -1j * s * cos(2 * fast_axis_rad), -1j * s * sin(2 * fast_axis_rad)
    return np.array([[c + along, across], [across, c - along]])


def polarizer(angle_rad: float) -> Matrix:
    """A perfect linear polarizer with its axis at an angle from horizontal."""
    c, s = cos(angle_rad), sin(angle_rad)
    return np.array([[c * c, c * s], [c * s, s * s]], dtype=np.complex128)


def polarization_dependent_loss(db: float, axis: Floats) -> Matrix:
    """Hermitian, of norm 1: light at the unit vector `axis` of the sphere passes whole, light opposite to it
    loses `db`."""
    least = 10 ** (-db / 20)
    matrix: Matrix = (1 + least) / 2 * IDENTITY + (1 - least) / 2 * np.einsum("k,kij->ij", axis, PAULI)
    return matrix


def rotation(vector: Floats) -> Matrix:
    """exp(-i v.sigma/2): a turn of the Poincare sphere by |v| radians about v = (v1, v2, v3)."""
    x, y, z = (float(component) for component in vector)
    angle = sqrt(x * x + y * y + z * z)
    if angle == 0.0:
        return IDENTITY
    c, s = cos(angle / 2), sin(angle / 2) / angle
    return np.array([[c - 1j * s * x, s * (-z - 1j * y)], [s * (z - 1j * y), c + 1j * s * x]])


def special_unitary(matrix: Matrix) -> Matrix:
    """The turn nearest to a matrix that rounding has taken off SU(2)."""
    a = (matrix[0, 0] + matrix[1, 1].conjugate()) / 2
    b = (matrix[1, 0] - matrix[0, 1].conjugate()) / 2
    norm = sqrt(abs(a) ** 2 + abs(b) ** 2)
    a, b = a / norm, b / norm
    return np.array([[a, -b.conjugate()], [b, a.conjugate()]])


def random_axis(rng: np.random.Generator) -> Floats:
    """A unit vector, uniform over the sphere."""
    vector: Floats = rng.normal(size=3)
    vector /= sqrt(vector @ vector)
    return vector


def random_rotation(rng: np.random.Generator) -> Matrix:
    """Any turn with equal probability (Haar)."""
    q = rng.normal(size=4)
    return special_unitary(
        np.array([[q[0] - 1j * q[1], -q[3] - 1j * q[2]], [q[3] - 1j * q[2], q[0] + 1j * q[1]]])
    )


def diffused(rng: np.random.Generator, spread: float) -> Matrix:
    """What isotropic diffusion with D makes of the identity in a time t, `spread` = D t >= 0; exact.

    A matrix element of spin j decays as exp(-D j (j + 1) t), so the mean of |tr U|^2 / 4, the fidelity of a
    pair of which one photon is turned, is (1 + 3 exp(-2 D t)) / 4 (physics.md 2). Over an instant it is
    exp(-i v.sigma/2) with v ~ N(0, 2 D dt) per axis. Over a finite time that Gaussian is too wide: with
    w = |v|/2 it has the density w^2 exp(-w^2 / D t), but the heat kernel of SU(2) has sin w * sum over k of
    (w + 2 pi k) exp(-(w + 2 pi k)^2 / D t) (its series over j, summed by Poisson's formula). Up to
    `DIFFUSION_STEP` the term k = 0 is all of it: a draw from the Gaussian is accepted with probability
    sin w / w.
    """
    if spread >= FORGOTTEN:
        return random_rotation(rng)
    turn = IDENTITY
    left = spread
    while left > 0.0:
        step = min(left, DIFFUSION_STEP)
        left -= step
        while True:
            vector = rng.normal(0.0, sqrt(2 * step), 3)
            half = sqrt(vector @ vector) / 2
            if half < pi and rng.random() * half < sin(half):
                break
        turn = rotation(vector) @ turn
    return turn


def stokes(jones: Matrix) -> Floats:
    """Stokes vector (S0, S1, S2, S3) of a Jones vector, in the unit of its square."""
    h, v = complex(jones[0]), complex(jones[1])
    cross = h.conjugate() * v
    return np.array([abs(h) ** 2 + abs(v) ** 2, abs(h) ** 2 - abs(v) ** 2, 2 * cross.real, 2 * cross.imag])


def werner_state(fidelity: float) -> Matrix:
    """Signal x idler, 4x4: the state |Phi+> = (HH + VV)/sqrt 2 mixed with white noise to this fidelity."""
    phi_plus = np.zeros((4, 4), dtype=np.complex128)
    phi_plus[::3, ::3] = 0.5
    purity = (4 * fidelity - 1) / 3
    return purity * phi_plus + (1 - purity) / 4 * np.eye(4, dtype=np.complex128)
