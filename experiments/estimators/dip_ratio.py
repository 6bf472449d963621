"""Fit of a Hong-Ou-Mandel dip in the ratio of two histograms: parallel polarizations over orthogonal ones.

Both are taken at once and hold the same light, windows and losses, so that whatever else shapes them over d
(above all windows about the mean of both clicks) falls out. A bin with n counts in all holds as many parallel
ones as a binomial of

    p = q / (1 + q),    q = ratio (1 - V exp(-|d - d0| / tau))

says. Bins without any count say nothing, and few are as good as many: nothing is divided by counts.
"""

from itertools import product

import numpy as np

from experiments.estimators.dip import Dip, Shape, dip_shape
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
    span = float(np.ptp(positions))
    low = np.array([1e-3, -1.0, positions.min(), 0.2 * span / (len(positions) - 1)])
    high = np.array([1e3, 1.0, positions.max(), span])
    values = _start(positions, parallel, orthogonal, bin_width, shape, (ratio, centre, tau))
    given = ratio is not None, False, centre is not None, tau is not None
    free = [k for k in range(4) if not given[k]]

    def model(found: Floats) -> Floats:
        everything = values.copy()
        everything[free] = found
        level, depth, place, width = everything.tolist()
        q = level * (1 - depth * dip_shape(positions, bin_width, place, width, shape))
        share = np.clip(q / (1 + q), 1e-9, 1 - 1e-9)
        return np.concatenate([both * share, both * (1 - share)])

    fit = fit_poisson(model, values[free], np.concatenate([parallel, orthogonal]), low[free], high[free])
    errors = np.zeros(4)
    values[free], errors[free] = fit.values, fit.errors
    level_, depth_, centre_, tau_ = (
        Estimate(float(value), float(error)) for value, error in zip(values, errors, strict=True)
    )
    seen = int(np.count_nonzero(both))
    return Dip(depth_, centre_, tau_, level_, fit.deviance, seen - len(free))


def _start(
    positions: Floats,
    parallel: Floats,
    orthogonal: Floats,
    bin_width: float,
    shape: Shape,
    given: tuple[float | None, float | None, float | None],
) -> Floats:
    """Ratio, depth, centre and width to begin with: the likeliest of a grid. `given` are ratio, centre and
    width where they are known."""
    ratio, centre, tau = given
    span = float(np.ptp(positions))
    both = parallel + orthogonal
    outside = np.abs(positions - positions.mean()) > span / 4
    far = parallel[outside].sum() / max(float(orthogonal[outside].sum()), 1.0)
    levels = [max(far, 1e-3), parallel.sum() / orthogonal.sum()] if ratio is None else [ratio]
    centres = (positions.mean() + np.linspace(-0.2, 0.2, 9) * span).tolist() if centre is None else [centre]
    taus = [span / k for k in (40, 20, 10, 5, 2.5)] if tau is None else [tau]
    best, start = np.inf, np.zeros(4)
    for level, place, width in product(levels, centres, taus):
        dip = dip_shape(positions, bin_width, place, width, shape)
        for depth in (0.1, 0.3, 0.5, 0.7, 0.9):
            q = level * (1 - depth * dip)
            unlikely = float(np.sum(both * np.log1p(q) - parallel * np.log(q)))
            if unlikely < best:
                best, start = unlikely, np.array([level, depth, place, width])
    return start
