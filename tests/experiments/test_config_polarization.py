"""States of polarization as testbed files write them, against textbook matrices."""

import json

import numpy as np
import pytest
from pydantic import ValidationError

from experiments.config.polarization import PairState, Polarization

H, V = np.array([1, 0]), np.array([0, 1])
HH, HV, VH, VV = (np.kron(a, b) for a, b in ((H, H), (H, V), (V, H), (V, V)))


@pytest.mark.parametrize(
    ("bell", "vector"), [("Phi+", HH + VV), ("Phi-", HH - VV), ("Psi+", HV + VH), ("Psi-", HV - VH)]
)
@pytest.mark.parametrize("fidelity", [0.25, 0.8, 1.0])
def test_a_werner_state_has_its_fidelity_and_is_white_besides(
    bell: str, vector: np.ndarray, fidelity: float
) -> None:
    rho = PairState.model_validate({"bell": bell, "fidelity": fidelity}).density_matrix
    pure = np.outer(vector, vector) / 2
    assert (vector @ rho @ vector / 2).real == pytest.approx(fidelity)
    # What is orthogonal to the Bell state is the same in all directions.
    rest = rho - fidelity * pure
    assert np.allclose(rest, (1 - fidelity) / 3 * (np.eye(4) - pure))


def test_coloured_noise_keeps_the_correlation_in_h_and_v_and_no_other() -> None:
    rho = PairState.model_validate({"bell": "Psi-", "coloured_noise": "20 %"}).density_matrix
    assert np.allclose(rho.diagonal(), [0, 0.5, 0.5, 0])
    assert rho[1, 2] == pytest.approx(-0.4)
    white = PairState.model_validate({"white_noise": 0.1, "coloured_noise": 0.2}).density_matrix
    # <Phi+|rho|Phi+> = 1 - w - c + w/4 + c/2
    assert (HH + VV) @ white @ (HH + VV) / 2 == pytest.approx(0.7 + 0.025 + 0.1)
    assert white.trace() == pytest.approx(1)


def test_a_matrix_is_taken_as_it_is_and_comes_back_as_it_was_written() -> None:
    rows = [[0.5, 0, 0, "0.25-0.25i"], [0, 0, 0, 0], [0, 0, 0, 0], ["0.25 + 0.25j", 0, 0, 0.5]]
    state = PairState.model_validate({"matrix": rows})
    assert state.density_matrix[0, 3] == 0.25 - 0.25j
    written = json.loads(json.dumps(state.model_dump(mode="json", exclude_none=True)["matrix"]))
    assert np.array_equal(PairState.model_validate({"matrix": written}).density_matrix, state.density_matrix)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"matrix": np.eye(4).tolist()}, "the matrix is no state: its trace is 4, not 1"),
        ({"matrix": [[1, 1, 0, 0], *np.zeros((3, 4)).tolist()]}, "the matrix is no state: not Hermitian"),
        ({"matrix": np.diag([1.5, -0.5, 0, 0]).tolist()}, "no state: its lowest eigenvalue is -0.5"),
        ({"matrix": np.eye(3).tolist()}, "matrix"),
        ({"matrix": [["x", 0, 0, 0]] * 4}, "'x' is no complex number; write for example 0.5-0.25j"),
        ({"matrix": (np.eye(4) / 4).tolist(), "bell": "Psi-"}, "a matrix says all of a state"),
        ({"white_noise": 0.6, "coloured_noise": 0.6}, "together are more than the whole"),
        ({"fidelity": 0.2}, "greater than or equal to 0.25"),
        ({"bell": "phi+", "fidelity": 0.9}, "Input should be 'Phi"),
    ],
)
def test_what_is_no_state_is_refused(data: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message.replace("+", r"\+")):
        PairState.model_validate(data)


@pytest.mark.parametrize(
    ("text", "stokes"),
    [
        ("H", (1, 0, 0)),
        ("V", (-1, 0, 0)),
        ("D", (0, 1, 0)),
        ("A", (0, -1, 0)),
        ("R", (0, 0, 1)),
        ("L", (0, 0, -1)),
        ("22.5 deg", (0.5**0.5, 0.5**0.5, 0)),
    ],
)
def test_letters_and_angles_lie_where_they_belong_on_the_sphere(text: str, stokes: tuple[float, ...]) -> None:
    h, v = Polarization.parse(text).jones
    cross = np.conj(h) * v
    assert (abs(h) ** 2 - abs(v) ** 2, 2 * cross.real, 2 * cross.imag) == pytest.approx(stokes)
