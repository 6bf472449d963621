"""Jones matrices and POVM elements, written down here anew so that nothing comes from the light field."""

from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray

Complex = NDArray[np.complex128]

H, V = np.diag([1.0, 0.0]) + 0j, np.diag([0.0, 1.0]) + 0j
PAULI = {
    "X": np.array([[0, 1], [1, 0]]) + 0j,
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.array([[1, 0], [0, -1]]) + 0j,
}
WAVE_PLATES = {"Z": (0.0, 0.0), "X": (pi / 4, pi / 8), "Y": (0.0, pi / 8)}
"""Angles of an analyser's quarter-wave and half-wave plate, in radians, for a basis."""


def retarder(retardance: float, axis: float) -> Complex:
    """A linear retarder, phase -retardance/2 along its fast axis: M. Born and E. Wolf, Principles of
    Optics."""
    turn = np.array([[cos(axis), -sin(axis)], [sin(axis), cos(axis)]])
    return turn @ np.diag(np.exp([-0.5j * retardance, 0.5j * retardance])) @ turn.T


def stack(plates: list[tuple[float, float]]) -> Complex:
    """Retarders (retardance, axis) in beam order."""
    total = np.eye(2) + 0j
    for plate in plates:
        total = retarder(*plate) @ total
    return total


def analyser(qwp: float, hwp: float) -> tuple[Complex, Complex]:
    """POVM elements of the two detectors behind plates at these angles and a polarizing beam splitter."""
    jones = stack([(pi / 2, qwp), (pi, hwp)])
    return jones.conj().T @ H @ jones, jones.conj().T @ V @ jones


def werner(fidelity: float) -> Complex:
    """Phi+ mixed with white noise."""
    phi = np.zeros((4, 4)) + 0j
    phi[::3, ::3] = 0.5
    part = (4 * fidelity - 1) / 3
    return part * phi + (1 - part) * np.eye(4) / 4
