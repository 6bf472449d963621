"""Fit of a Hong-Ou-Mandel dip: N = B (1 - V exp(-|d - d0| / tau)), or with a Gaussian for pulsed light.

With CW sources d is the difference of the two clicks at the beam splitter, no stage is moved, and the dip is
the two-sided exponential; a scan of a delay stage with pulsed light gives a Gaussian (`physics.md` 6, HOM).
Only *heralded* dips are meant: the unheralded one of two thermal sources is flat, whatever the alignment.

Errors come from the likelihood. Some hundred counts do not fix V, tau and the centre at once (V = 0.5 comes
out 0.1 too high then): give `tau`, from the sources' correlation time, and the centre, which is 0 once delays
are calibrated.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np

from experiments.estimators.estimate import Estimate
from experiments.estimators.poisson_fit import Floats, covariance, deviance, fit_poisson

Shape = Literal["exponential", "gaussian"]


@dataclass(frozen=True)
class Dip:
    """A fitted dip. `centre` and `tau` are in the unit of the positions: `tau` is the decay of the
    exponential, or the standard deviation of the Gaussian; without error where it was given. `level` is the
    count per bin (and exposure) far away."""

    visibility: Estimate
    centre: Estimate
    tau: Estimate
    level: Estimate
    deviance: float
    freedom: int

    def at(self, positions: Floats, shape: Shape, bin_width: float = 0.0) -> Floats:
        """What it leaves at these positions, as a share of the level."""
        depth = dip_shape(positions, bin_width, self.centre.value, self.tau.value, shape)
        left: Floats = 1 - self.visibility.value * depth
        return left


def dip_shape(positions: Floats, width: float, centre: float | Floats, tau: float, shape: Shape) -> Floats:
    """The dip's depth in bins of this width about these positions, 1 at its bottom, averaged over each bin;
    with a width of 0, at the positions themselves."""
    u = positions - centre
    if width == 0:
        points: Floats = np.exp(-np.abs(u) / tau if shape == "exponential" else -(u**2) / (2 * tau**2))
        return points
    ends = u - width / 2, u + width / 2
    if shape == "exponential":
        below, above = (-np.sign(end) * tau * np.expm1(-np.abs(end) / tau) for end in ends)
    else:
        from scipy.special import erf

        below, above = (sqrt(np.pi / 2) * tau * erf(end / (sqrt(2) * tau)) for end in ends)
    averaged: Floats = (above - below) / width
    return averaged


def fit_dip(
    positions: Floats,
    counts: Floats,
    *,
    bin_width: float = 0.0,
    shape: Shape = "exponential",
    tau: float | None = None,
    centre: float | None = None,
    exposures: Floats | None = None,
    background: Floats | None = None,
) -> Dip:
    """Fit counts over positions (equal arrays, any unit of length or time; at least 5).

    `bin_width` is that of the bins, 0 for a scan of points. `tau` and `centre` are not fitted where they are
    given. `exposures`: how long, or against what reference, each point was counted; equal if not given.
    `background`: counts of another kind that are expected among those of each point, none if not given; the
    dip is then that of the others. FitError if the fit does not settle.
    """
    positions, counts = np.asarray(positions, float), np.asarray(counts, float)
    weights = np.ones_like(counts) if exposures is None else np.asarray(exposures, float)
    besides = np.zeros_like(counts) if background is None else np.asarray(background, float)
    if not len(positions) == len(counts) == len(weights) == len(besides) >= 5:
        raise ValueError(f"{len(counts)} counts at {len(positions)} positions")
    span = float(np.ptp(positions))
    spacing = span / (len(positions) - 1)

    def means(values: Floats) -> Floats:
        level, depth, place, width = values.tolist()
        dip = 1 - depth * dip_shape(positions, bin_width, place, width, shape)
        expected: Floats = weights * level * dip + besides
        return expected

    given = {k: value for k, value in ((2, centre), (3, tau)) if value is not None}
    free = [k for k in range(4) if k not in given]
    # Every place and some widths: with these given, level and depth are found in one linear step.
    places = (positions if centre is None else np.array([centre]))[:, None]
    widths = [span / k for k in (40, 20, 10, 5, 2.5)] if tau is None else [tau]
    best, start = np.inf, np.zeros(4)
    for width in widths:
        shapes = dip_shape(positions, bin_width, places, width, shape)
        level, depth = _linear(counts - besides, weights, shapes)
        found = deviance(counts, weights * level * (1 - depth * shapes) + besides)
        k = int(np.argmin(found))
        if found[k] < best:
            best, start = found[k], np.array([level[k, 0], depth[k, 0], places[k, 0], width])
    # A dip is not narrower than a fifth of a bin (nothing would be seen of it) and not wider than the scan.
    low = np.array([1e-12, -1.0, positions.min(), 0.2 * spacing])
    high = np.array([np.inf, 2.0, positions.max(), span])

    def model(values: Floats) -> Floats:
        everything = start.copy()
        everything[free] = values
        return means(everything)

    fit = fit_poisson(model, start[free], counts, low[free], high[free])
    values = start.copy()
    values[free] = fit.values
    # At V = 1 nothing is expected at the bottom, and its emptiness would count as certain knowledge. Errors
    # are those of a slightly shallower dip: with one count more among those that the deepest takes out.
    deepest = dip_shape(positions, bin_width, float(values[2]), float(values[3]), shape)
    missing = values[0] * float((weights * deepest).sum())
    shallower = values.copy()
    shallower[1] = min(values[1], 1.0) * missing / (missing + 1)
    errors = np.zeros(4)
    errors[free] = np.sqrt(np.diag(covariance(model, shallower[free], low[free], high[free])))
    level_, depth_, centre_, tau_ = (
        Estimate(float(value), float(error)) for value, error in zip(values, errors, strict=True)
    )
    return Dip(depth_, centre_, tau_, level_, fit.deviance, fit.freedom)


def _linear(counts: Floats, weights: Floats, shapes: Floats) -> tuple[Floats, Floats]:
    """Level and depth by least squares, counts = weights (level - drop shape), for each row of shapes."""
    w2 = (weights**2).sum()
    ws, wss = (weights**2 * shapes).sum(axis=1), (weights**2 * shapes**2).sum(axis=1)
    wn, wsn = (weights * counts).sum(), (weights * counts * shapes).sum(axis=1)
    determinant = np.maximum(w2 * wss - ws**2, 1e-300)
    level = np.maximum((wn * wss - ws * wsn) / determinant, 1e-9)
    depth = np.clip((ws * wn - w2 * wsn) / determinant / level, -0.9, 0.99)
    return level[:, None], depth[:, None]
