"""Fit of a Hong-Ou-Mandel dip in the ratio of two histograms: parallel polarizations over orthogonal ones.

Both are taken at once and hold the same light, windows and losses, so that whatever else shapes them over d
(above all windows about the mean of both clicks) falls out. A bin with n counts in all holds as many parallel
ones as a binomial of

    p = q / (1 + q),    q = ratio (1 - V exp(-|d - d0| / tau))

says. Bins without any count say nothing, and few are as good as many: nothing is divided by counts.
"""

import numpy as np

from experiments.estimators.dip import Dip, Shape, dip_shape, fit_dip
from experiments.estimators.estimate import Estimate
from experiments.estimators.poisson_fit import Floats, fit_poisson


def fit_dip_against(
    positions: Floats,
    parallel: Floats,
    orthogonal: Floats,
    *,
    bin_width: float = 0.0,
    shape: Shape = "exponential",
    tau: float | None = None,
    centre: float | None = None,
    ratio: float | None = None,
) -> Dip:
    """Fit counts of both polarizations over positions (equal arrays; at least 5).

    `tau`, `centre` and `ratio`, that of both far away, are not fitted where they are given; the dip's `level`
    is the ratio. FitError if the fit does not settle; ValueError where either has no counts at all.
    """
    positions = np.asarray(positions, float)
    parallel, orthogonal = np.asarray(parallel, float), np.asarray(orthogonal, float)
    if min(parallel.sum(), orthogonal.sum()) <= 0:
        raise ValueError("no counts of one of the two polarizations")
    both = parallel + orthogonal
    # A start: the mean of the reference at d and -d is smooth enough to divide by.
    exposures = np.maximum((orthogonal + orthogonal[::-1]) / 2, 0.5)
    start = fit_dip(
        positions, parallel, bin_width=bin_width, shape=shape, tau=tau, centre=centre, exposures=exposures
    )
    values = np.array([e.value for e in (start.level, start.visibility, start.centre, start.tau)])
    values[0] = values[0] if ratio is None else ratio
    given = ratio is not None, False, centre is not None, tau is not None
    free = [k for k in range(4) if not given[k]]

    def model(found: Floats) -> Floats:
        everything = values.copy()
        everything[free] = found
        level, depth, place, width = everything.tolist()
        q = level * (1 - depth * dip_shape(positions, bin_width, place, width, shape))
        share = np.clip(q / (1 + q), 1e-9, 1 - 1e-9)
        return np.concatenate([both * share, both * (1 - share)])

    span = float(np.ptp(positions))
    low = np.array([1e-3, -1.0, positions.min(), 0.2 * span / (len(positions) - 1)])
    high = np.array([1e3, 1.0, positions.max(), span])
    fit = fit_poisson(model, values[free], np.concatenate([parallel, orthogonal]), low[free], high[free])
    errors = np.zeros(4)
    values[free], errors[free] = fit.values, fit.errors
    level_, depth_, centre_, tau_ = (
        Estimate(float(value), float(error)) for value, error in zip(values, errors, strict=True)
    )
    seen = int(np.count_nonzero(both))
    return Dip(depth_, centre_, tau_, level_, fit.deviance, seen - len(free))
