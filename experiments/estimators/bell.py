"""The four Bell states of two photons' polarization: vectors, the signs of their correlations, Pauli frame.

A pair's state stands over HH, HV, VH, VV. Z tells H from V, X tells D from A, Y tells the two circular ones
apart. A linear analysis at angle a is cos 2a Z + sin 2a X, so for every Bell state

    E(a, b) = z cos 2a cos 2b + x sin 2a sin 2b,   z, x = +-1 the signs of its ZZ and XX,

which is cos 2(a - b) for Phi+ and -cos 2(a - b), -cos 2(a + b) for Psi-, Psi+ (`physics.md` 5, "CHSH
bookkeeping"). One Bell state becomes another by a Pauli operation on the second photon. Nobody has to do that
to the light: turning the outcomes of the second analyser over does the same (the Pauli frame).
"""

from collections.abc import Mapping, Sequence
from math import cos, pi, sin, sqrt
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

BellState = Literal["Phi+", "Phi-", "Psi+", "Psi-"]
Pauli = Literal["Z", "X", "Y"]

Complex = NDArray[np.complex128]


class Signs(NamedTuple):
    """Of the correlations ZZ, XX and YY of a Bell state."""

    z: int
    x: int
    y: int


SIGNS: Mapping[BellState, Signs] = {
    "Phi+": Signs(+1, +1, -1),
    "Phi-": Signs(+1, -1, +1),
    "Psi+": Signs(-1, +1, +1),
    "Psi-": Signs(-1, -1, -1),
}

CHSH_ANGLES: Mapping[str, tuple[float, float]] = {
    f"CHSH {i}{j}": (a, b) for i, a in enumerate((0.0, 45.0)) for j, b in enumerate((22.5, 67.5))
}
"""The four settings of a CHSH measurement, in degrees of linear polarization: with these |E| = 1/sqrt 2 for
every Bell state in every setting, and S = 2 sqrt 2 once the signs are turned (`physics.md` 5)."""

PAULI: Mapping[str, Complex] = {
    "Z": np.array([[1, 0], [0, -1]], dtype=np.complex128),
    "X": np.array([[0, 1], [1, 0]], dtype=np.complex128),
    "Y": np.array([[0, -1j], [1j, 0]], dtype=np.complex128),
}


def expected_sign(state: BellState, setting: str) -> int:
    """The sign of a Bell state's correlation in ZZ, XX, YY or a CHSH setting. KeyError for another."""
    signs = SIGNS[state]
    if setting in ("ZZ", "XX", "YY"):
        return signs["ZXY".index(setting[0])]
    a, b = (angle * pi / 180 for angle in CHSH_ANGLES[setting])
    e = signs.z * cos(2 * a) * cos(2 * b) + signs.x * sin(2 * a) * sin(2 * b)
    return 1 if e > 0 else -1


def turns_over(basis: Pauli, found: BellState, wanted: BellState) -> bool:
    """Whether the second analyser's outcomes in this basis are to be turned over, so that counts of the state
    `found` become those of the state `wanted`."""
    k = "ZXY".index(basis)
    return SIGNS[found][k] != SIGNS[wanted][k]


def bell_vector(state: BellState) -> Complex:
    """The state's vector over HH, HV, VH, VV, normalised."""
    vector = np.zeros(4, np.complex128)
    signs = SIGNS[state]
    vector[[0, 3] if signs.z > 0 else [1, 2]] = (1, signs.x)
    return vector / sqrt(2)


def in_frame(
    counts: NDArray[np.int64], second_bases: Sequence[Pauli], found: BellState, wanted: BellState
) -> NDArray[np.int64]:
    """Counts (settings, 2, 2) of one Bell state as those of another: the second analyser's outcomes turned
    over wherever its basis asks for it, so that Psi- and Psi+ heralds, say, may be added."""
    turned = counts.copy()
    for k, basis in enumerate(second_bases):
        if turns_over(basis, found, wanted):
            turned[k] = counts[k, :, ::-1]
    return turned
