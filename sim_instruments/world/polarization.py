"""Polarization optics as Jones matrices: wave plates, fibre paddles, a fibre that drifts.

Jones vectors are (H, V), complex; a matrix maps what enters to what leaves, so a chain in beam order
is multiplied from the left.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.complex128]

IDENTITY: Matrix = np.eye(2, dtype=np.complex128)
PAULI: NDArray[np.complex128] = np.array(
    [[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]], dtype=np.complex128
)
PROJECT_H: Matrix = np.diag([1.0, 0.0]).astype(np.complex128)
PROJECT_V: Matrix = np.diag([0.0, 1.0]).astype(np.complex128)


def retarder(retardance_rad: float, fast_axis_rad: float) -> Matrix:
    """A linear retarder with its fast axis at an angle from horizontal."""
    c, s = np.cos(fast_axis_rad), np.sin(fast_axis_rad)
    turn: Matrix = np.array([[c, -s], [s, c]], dtype=np.complex128)
    phases = np.diag(np.exp([-0.5j * retardance_rad, 0.5j * retardance_rad]))
    matrix: Matrix = turn @ phases @ turn.T
    return matrix


def half_wave_plate(angle_rad: float) -> Matrix:
    return retarder(np.pi, angle_rad)


def quarter_wave_plate(angle_rad: float) -> Matrix:
    return retarder(np.pi / 2, angle_rad)


def paddles(angles_rad: Iterable[float]) -> Matrix:
    """Three fibre paddles wound as quarter, half and quarter wave plate. [assumed: the usual winding]

    With all three at the same angle the retardances add up to a full wave: no effect.
    """
    matrix: Matrix = IDENTITY
    for retardance, angle in zip((np.pi / 2, np.pi, np.pi / 2), angles_rad, strict=True):
        matrix = retarder(retardance, angle) @ matrix
    return matrix


def rotation(vector: NDArray[np.float64]) -> Matrix:
    """exp(-i v.sigma/2): a turn of the Poincare sphere by |v| radians about v."""
    angle = float(np.linalg.norm(vector))
    if angle == 0.0:
        return IDENTITY
    axis: Matrix = np.einsum("k,kij->ij", vector / angle, PAULI)
    matrix: Matrix = complex(np.cos(angle / 2)) * IDENTITY - 1j * complex(np.sin(angle / 2)) * axis
    return matrix


def werner_state(fidelity: float) -> NDArray[np.complex128]:
    """Signal x idler, 4x4: the state |Phi+> = (HH + VV)/sqrt 2 mixed with white noise to this fidelity."""
    phi_plus = np.zeros((4, 4), dtype=np.complex128)
    phi_plus[::3, ::3] = 0.5
    purity = (4 * fidelity - 1) / 3
    return purity * phi_plus + (1 - purity) / 4 * np.eye(4, dtype=np.complex128)
