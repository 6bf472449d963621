"""Wave-plate angles, proved with Jones matrices (textbook definitions: fast axis at angle t from H)."""

import numpy as np
import pytest

from experiments.estimators.swapping import SIGNS
from experiments.measurements.analysers import Analysis, circular, linear

H, V = np.array([1, 0]), np.array([0, 1])
PHI_PLUS = np.array([1, 0, 0, 1]) / np.sqrt(2)
PSI = {0: np.array([0, 1, -1, 0]) / np.sqrt(2), 1: np.array([0, 1, 1, 0]) / np.sqrt(2)}


def plate(retardance: float, angle: float) -> np.ndarray:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return turn @ np.diag([1, np.exp(1j * retardance)]) @ turn.T


def jones(analysis: Analysis, sign: int = 1) -> np.ndarray:
    """QWP first, then HWP; `sign` is the sign convention of the phase."""
    return plate(sign * np.pi, analysis.hwp_rad) @ plate(sign * np.pi / 2, analysis.qwp_rad)


@pytest.mark.parametrize("degrees", [0, 22.5, 45, 67.5, 90, -30])
@pytest.mark.parametrize("sign", [1, -1])
def test_linear_polarization_goes_to_h(degrees: float, sign: int) -> None:
    a = np.radians(degrees)
    light = np.array([np.cos(a), np.sin(a)])
    crossed = np.array([-np.sin(a), np.cos(a)])
    matrix = jones(linear(degrees), sign)
    assert abs(H @ matrix @ light) ** 2 == pytest.approx(1)
    assert abs(V @ matrix @ crossed) ** 2 == pytest.approx(1)


@pytest.mark.parametrize("sign", [1, -1])
def test_circular_polarizations_are_told_apart(sign: int) -> None:
    matrix = jones(circular(), sign)
    right, left = (np.array([1, 1j * s]) / np.sqrt(2) for s in (1, -1))
    to_h = [abs(H @ matrix @ light) ** 2 for light in (right, left)]
    assert sorted(to_h) == pytest.approx([0, 1], abs=1e-12)
    # Linear light is split evenly, whatever its angle.
    for a in (0, 0.3, 1.1):
        assert abs(H @ matrix @ np.array([np.cos(a), np.sin(a)])) ** 2 == pytest.approx(0.5)


@pytest.mark.parametrize("name", SIGNS)
@pytest.mark.parametrize("state", [0, 1])
def test_signs_follow_from_the_bell_states_behind_these_angles(name: str, state: int) -> None:
    from experiments.measurements.swapping import SETTINGS

    setting = next(s for group in SETTINGS.values() for s in group if s.name == name)
    both = np.kron(*(jones(analysis) for analysis in setting.analyses))
    p = np.abs(both @ PSI[state]) ** 2  # HH, HV, VH, VV
    e = p[0] - p[1] - p[2] + p[3]
    assert np.sign(e) == SIGNS[name][state]
    assert abs(e) == pytest.approx(1 if "CHSH" not in name else np.sqrt(0.5))
