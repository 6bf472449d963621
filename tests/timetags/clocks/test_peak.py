"""The shape of a correlation peak: its slopes against differences of the shape itself."""

import numpy as np
import pytest

from timetags.clocks import peak


@pytest.mark.parametrize("taus_ps", [(700.0, 300.0), (2.0, 2.0), (40.0, 5000.0)])
@pytest.mark.parametrize("sigma_ps", [1.0, 60.0, 900.0])
def test_slopes_are_those_of_the_shape(taus_ps: tuple[float, float], sigma_ps: float) -> None:
    """Central differences of a hundred-thousandth: off by 1e-10 of the curvature, and by rounding."""
    centres = np.arange(-4000.0, 4000.0, 50.0)
    values = np.array([130.0, *np.log([*taus_ps, sigma_ps]), 5000.0, 3.0])
    found = peak._slopes(values, centres, 50)
    for number, step in enumerate(np.diag([1e-2, 1e-5, 1e-5, 1e-5, 1e-2, 1e-2])):
        up, down = (peak._model(values + way * step, centres, 50) for way in (1, -1))
        expected = (up - down) / (2 * step.sum())
        assert found[:, number] == pytest.approx(expected, rel=1e-5, abs=1e-4 * max(abs(expected).max(), 1.0))
