"""How a polarization analyser really stands: the zeros of its wave plates, their retardances, its extinction.

Light of a known linear polarization comes in. The half-wave plate is turned through 180 degrees with the
quarter-wave plate at 0, then the quarter-wave plate with the half-wave plate at 0.2 rad, and each time both
outputs are counted. What an analyser of unknown errors would count is fitted to all of it. Source: physics.md
6, "Analyser", which also says how well it can be done.

What it cannot tell: a plate from one that stands 90 degrees further, since nothing but the handedness of
circular light depends on that; zeros are looked for within 45 degrees of the mount's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.calibrations.polarization.sphere import retarders
from experiments.estimators.analyser import AnalyserOptics

Floats = NDArray[np.float64]

ANGLES = 12
HALF_TURN = pi
HWP_MEANWHILE_RAD = 0.2
"""Where the half-wave plate stands while the quarter-wave plate turns: between the places where the outputs
hardly change with it."""
GRID_RAD = np.linspace(-pi / 4, pi / 4, 15)
"""Zeros of either plate that are tried for a start of the fit."""
STARTS = 3
"""The fit begins at so many of the best of them."""
NAMES = ("qwp_zero_rad", "hwp_zero_rad", "qwp_error_rad", "hwp_error_rad", "extinction", "balance")
UNITS = {"extinction": "1", "balance": "1"}
LOW = np.array([-pi / 4, -pi / 4, -0.5, -0.5, 0.0, 0.2])
HIGH = np.array([pi / 4, pi / 4, 0.5, 0.5, 0.3, 5.0])
SCALE = np.array([0.1, 0.1, 0.1, 0.1, 0.01, 0.1])
WORST_CHI2 = 3.0
"""Per degree of freedom, above which the counts are not those of an analyser in this light."""


class FitError(Exception):
    """The counts do not fit; the message says what to look for."""


def settings() -> list[tuple[float, float]]:
    """The angles (QWP, HWP) in radians at which an analyser is to be counted."""
    turns = np.arange(ANGLES) * HALF_TURN / ANGLES
    return [(0.0, float(a)) for a in turns] + [(float(a), HWP_MEANWHILE_RAD) for a in turns]


@dataclass(frozen=True)
class AnalyserFit:
    """What was found. `balance` is the ratio of the two outputs' efficiencies, H over V; `errors` are
    standard errors by the names of `values`."""

    values: dict[str, float]
    errors: dict[str, float]
    chi2_per_dof: float

    @property
    def optics(self) -> AnalyserOptics:
        found = {name: value for name, value in self.values.items() if name != "balance"}
        return AnalyserOptics(**found)


def fit(
    angles_rad: Sequence[tuple[float, float]], counts: NDArray[np.int64], sent: tuple[float, float, float]
) -> AnalyserFit:
    """Fit the counts (n, 2) of outputs H and V at these angles (QWP, HWP), with light of the Stokes vector
    `sent`. Raises FitError."""
    from scipy.optimize import least_squares

    if counts.sum(axis=1).min() < 1:
        raise FitError("there is a setting without a single count; see whether light comes in")
    qwp, hwp = np.array(angles_rad).T
    total = counts.sum(axis=1)
    fraction = counts[:, 0] / total
    # Of a binomial, with half a count added on either side so that a dark output has an error too.
    error = np.sqrt((counts[:, 0] + 0.5) * (counts[:, 1] + 0.5) / (total + 1.0) ** 3)

    def misses(x: Floats) -> Floats:
        """Of one analyser (6,) or several (k, 6): (n,) or (k, n)."""
        wrong: Floats = (_share(x, qwp, hwp, sent) - fraction) / error
        return wrong

    zeros = np.stack(np.meshgrid(GRID_RAD, GRID_RAD), axis=-1).reshape(-1, 2)
    tried = np.concatenate([zeros, np.tile([0.0, 0.0, 0.01, 1.0], (len(zeros), 1))], axis=1)
    likeliest = np.argsort(np.sum(misses(tried) ** 2, axis=-1))[:STARTS]
    fits: list[Any] = [
        least_squares(misses, tried[k], bounds=(LOW, HIGH), x_scale=SCALE, max_nfev=60) for k in likeliest
    ]
    best = min(fits, key=lambda found: found.cost)
    chi2 = 2 * best.cost / max(len(total) - best.x.size, 1)
    if chi2 > WORST_CHI2:
        raise FitError(
            f"the counts do not fit an analyser in this light (chi2 per degree of freedom {chi2:.1f}). See "
            "whether the light is linear and steady, and whether other light reaches the detectors"
        )
    covariance = np.linalg.pinv(best.jac.T @ best.jac) * max(chi2, 1.0)
    return AnalyserFit(
        dict(zip(NAMES, best.x.tolist(), strict=True)),
        dict(zip(NAMES, np.sqrt(np.diag(covariance)).tolist(), strict=True)),
        float(chi2),
    )


def share_of(
    found: AnalyserFit, angles_rad: Sequence[tuple[float, float]], sent: tuple[float, float, float]
) -> Floats:
    """The share of output H in all counts that a fit expects at these angles (QWP, HWP): (n,)."""
    qwp, hwp = np.array(angles_rad).T
    return _share(np.array(list(found.values.values())), qwp, hwp, sent)


def _share(x: Floats, qwp: Floats, hwp: Floats, sent: tuple[float, float, float]) -> Floats:
    """The share of output H in all counts: the plates turn the light, and the splitter looks along s1."""
    qwp_zero, hwp_zero, qwp_error, hwp_error, extinction, balance = np.moveaxis(x[..., None], -2, 0)
    turns = retarders(pi + hwp_error, hwp + hwp_zero) @ retarders(pi / 2 + qwp_error, qwp + qwp_zero)
    contrast = (1 - 2 * extinction) * (turns @ np.array(sent))[..., 0]
    h, v = balance * (1 + contrast), 1 - contrast
    share: Floats = h / (h + v)
    return share
