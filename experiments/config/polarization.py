"""States of polarization as a testbed file writes them: of one beam, and of a pair of photons.

Jones vectors are (H, V); a pair's density matrix is that of signal x idler over HH, HV, VH, VV.
"""

from collections.abc import Mapping
from math import cos, sin, sqrt
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, PlainSerializer, model_validator
from pydantic_core import CoreSchema, core_schema

from drivers.units import ANGLE, Fraction
from experiments.config.model import Part
from experiments.config.problems import show_value

_HALF = sqrt(0.5)
_LETTERS: Mapping[str, tuple[complex, complex]] = {
    "H": (1, 0),
    "V": (0, 1),
    "D": (_HALF, _HALF),
    "A": (_HALF, -_HALF),
    "R": (_HALF, 1j * _HALF),
    "L": (_HALF, -1j * _HALF),
}
"""R is the circular light with a Stokes S3 of +1 here; books differ on which hand that is."""

_BELL: Mapping[str, tuple[float, float, float, float]] = {
    "Phi+": (_HALF, 0, 0, _HALF),
    "Phi-": (_HALF, 0, 0, -_HALF),
    "Psi+": (0, _HALF, _HALF, 0),
    "Psi-": (0, _HALF, -_HALF, 0),
}


class Polarization(str):
    """The polarization of a beam: a letter out of H, V, D, A, R, L, or the angle of linear light from H
    towards V, like `22.5 deg`."""

    __slots__ = ()

    @property
    def jones(self) -> tuple[complex, complex]:
        """The Jones vector, normalised."""
        if self in _LETTERS:
            return _LETTERS[self]
        angle = ANGLE.parse(str(self))
        return cos(angle), sin(angle)

    @property
    def stokes(self) -> tuple[float, float, float]:
        """The Stokes vector (s1, s2, s3), of length 1."""
        h, v = map(complex, self.jones)
        cross = h.conjugate() * v
        return abs(h) ** 2 - abs(v) ** 2, 2 * cross.real, 2 * cross.imag

    @classmethod
    def parse(cls, text: str) -> "Polarization":
        """Raises ValueError that says what would be right."""
        if text not in _LETTERS:
            try:
                ANGLE.parse(text)
            except ValueError as error:
                raise ValueError(
                    f"{show_value(text)} is no polarization; allowed: {', '.join(_LETTERS)}, or the angle of "
                    "linear light from H, like 22.5 deg"
                ) from error
        return cls(text)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(cls.parse, core_schema.str_schema(max_length=80))


def _complex(value: object) -> complex:
    if isinstance(value, complex | int | float) and not isinstance(value, bool):
        return complex(value)
    try:
        return complex(str(value).replace(" ", "").replace("i", "j"))
    except ValueError:
        raise ValueError(f"{show_value(value)} is no complex number; write for example 0.5-0.25j") from None


def _shown(value: complex) -> float | str:
    return str(value).strip("()") if value.imag else value.real


Complex = Annotated[complex, BeforeValidator(_complex), PlainSerializer(_shown)]
Row = tuple[Complex, Complex, Complex, Complex]


class PairState(Part):
    """The state of a pair's polarization: a Bell state with noise, or any density matrix.

    The noise is given as a `fidelity` (the rest white: a Werner state), or by its parts: `white_noise` is
    the share of the fully mixed state, `coloured_noise` the share of the Bell state without its coherence
    (HH and VV alike for Phi, HV and VH for Psi).
    """

    bell: Literal["Phi+", "Phi-", "Psi+", "Psi-"] = "Phi+"
    fidelity: Annotated[Fraction, Field(ge=0.25)] | None = None
    """With the Bell state; 1/4 is the fully mixed state."""
    white_noise: Fraction | None = None
    coloured_noise: Fraction | None = None
    matrix: tuple[Row, Row, Row, Row] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "PairState":
        given = self.model_fields_set
        if "matrix" in given and len(given) > 1:
            raise ValueError("a matrix says all of a state; leave the other keys out")
        if "fidelity" in given and given & {"white_noise", "coloured_noise"}:
            raise ValueError("noise is given by the fidelity or by its parts, not by both")
        if not given & {"matrix", "fidelity", "white_noise", "coloured_noise"}:
            raise ValueError("say how good it is: fidelity, white_noise and coloured_noise, or a matrix")
        if (self.white_noise or 0.0) + (self.coloured_noise or 0.0) > 1.0:
            raise ValueError("white_noise and coloured_noise together are more than the whole")
        if self.matrix is not None and (wrong := _no_state(np.array(self.matrix))):
            raise ValueError(f"the matrix is no state: {wrong}")
        return self

    @property
    def density_matrix(self) -> NDArray[np.complex128]:
        """(4, 4), Hermitian, of trace 1."""
        if self.matrix is not None:
            return np.array(self.matrix, dtype=np.complex128)
        white, coloured = self.white_noise or 0.0, self.coloured_noise or 0.0
        if self.fidelity is not None:
            white = 4 * (1 - self.fidelity) / 3
        vector = np.array(_BELL[self.bell], dtype=np.complex128)
        pure = np.outer(vector, vector.conj())
        state: NDArray[np.complex128] = (
            (1 - white - coloured) * pure + white * np.eye(4) / 4 + coloured * np.diag(np.diag(pure))
        )
        return state


def _no_state(matrix: NDArray[np.complex128]) -> str:
    """Why a matrix is not a density matrix, or nothing."""
    if not np.allclose(matrix, matrix.conj().T, atol=1e-9):
        return "not Hermitian"
    if abs(matrix.trace() - 1) > 1e-6:
        return f"its trace is {matrix.trace().real:g}, not 1"
    lowest = float(np.linalg.eigvalsh(matrix)[0])
    return f"its lowest eigenvalue is {lowest:g}" if lowest < -1e-9 else ""
