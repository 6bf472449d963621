"""Fit a model to counts by maximum likelihood: Poisson deviance, Fisher scoring, errors from the likelihood.

Unlike least squares with errors taken from the counts it is not biased where counts are few, and bins without
any count are data like others.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_MOST_ROUNDS = 200
_SETTLED = 1e-5
"""Gain of deviance at which a fit has settled: values are within 0.003 standard errors then."""
_LEAST_MEAN = 1e-9
"""A model that expects less than this expects this: it may not exclude a count altogether."""
_LEAST_INFORMATION = 1e-200
"""What the points do not depend on at all: its variance is then still a number."""


class FitError(ValueError):
    """The counts do not say what was asked for; the text says what to do."""


@dataclass(frozen=True)
class PoissonFit:
    """The best values, their covariance (inverse of Fisher's information there), and the deviance, which is
    distributed like chi-square of `freedom` degrees if the model is right and counts are not too few."""

    values: Floats
    covariance: Floats
    deviance: float
    freedom: int

    @property
    def errors(self) -> Floats:
        """Standard errors."""
        errors: Floats = np.sqrt(np.diag(self.covariance))
        return errors


def deviance(counts: Floats, means: Floats) -> Floats:
    """2 sum(n ln(n/m) - n + m) over the last axis."""
    means = np.maximum(means, _LEAST_MEAN)
    logs = np.where(counts > 0, counts * np.log(np.maximum(counts, 1.0) / means), 0.0)
    total: Floats = 2 * np.sum(logs - counts + means, axis=-1)
    return total


def fit_poisson(
    model: Callable[[Floats], Floats],
    start: Floats,
    counts: Floats,
    low: Floats,
    high: Floats,
) -> PoissonFit:
    """The values within `low` and `high` under which `counts` are most likely; `model` gives their means.

    Begins at `start`, so this should be in the right valley. FitError if it does not settle.
    """
    values = np.clip(start, low, high).astype(float)
    means = model(values)
    best = float(deviance(counts, means))
    damping = 1e-3
    for _ in range(_MOST_ROUNDS):
        slopes = _slopes(model, values, low, high)
        weight = 1 / np.maximum(means, _LEAST_MEAN)
        uphill = slopes.T @ ((counts - means) * weight)
        # A value that wants to leave through its border stays there, and the others are found beside it:
        # clipped out of a common step it would spoil theirs, and the fit creep along the border.
        slopes[:, ((values <= low) & (uphill < 0)) | ((values >= high) & (uphill > 0))] = 0.0
        information = slopes.T @ (slopes * weight[:, None])
        # Scaled to a diagonal of one: values may differ by many orders of magnitude.
        scale = 1 / np.sqrt(np.maximum(np.diag(information), 1e-300))
        towards = scale * (slopes.T @ ((counts - means) * weight))
        scaled = information * np.outer(scale, scale)
        while damping < 1e12:
            step = scale * np.linalg.solve(scaled + damping * np.eye(len(values)), towards)
            tried = np.clip(values + step, low, high)
            tried_means = model(tried)
            found = float(deviance(counts, tried_means))
            if found <= best:
                break
            damping *= 8
        else:
            break  # no way leads down: this is the bottom
        gain, best, values, means = best - found, found, tried, tried_means
        damping = max(damping / 5, 1e-9)
        if gain < _SETTLED:
            break
    else:
        raise FitError(f"the fit does not settle: {len(counts)} numbers, {counts.sum():.0f} counts")
    return PoissonFit(values, covariance(model, values, low, high), best, len(counts) - len(values))


def covariance(model: Callable[[Floats], Floats], values: Floats, low: Floats, high: Floats) -> Floats:
    """Of fitted values: the inverse of Fisher's information where the model has these. What the points do not
    determine gets an error as wide as can be, a million times what it would be if it stood alone; it does
    not spoil the others'."""
    slopes, means = _slopes(model, values, low, high), np.maximum(model(values), _LEAST_MEAN)
    information = slopes.T @ (slopes / means[:, None])
    scale = 1 / np.sqrt(np.maximum(np.diag(information), _LEAST_INFORMATION))
    known, ways = np.linalg.eigh(information * np.outer(scale, scale))
    inverse: Floats = (ways / np.maximum(known, 1e-12)) @ ways.T * np.outer(scale, scale)
    return inverse


def _slopes(model: Callable[[Floats], Floats], values: Floats, low: Floats, high: Floats) -> Floats:
    """Derivatives of all means by each value, one column each; one-sided at a border."""
    columns = []
    for k, value in enumerate(values):
        width = 1e-5 * max(abs(value), 1e-3 * min(high[k] - low[k], 1.0))
        ends = [values.copy(), values.copy()]
        ends[0][k], ends[1][k] = max(value - width, low[k]), min(value + width, high[k])
        columns.append((model(ends[1]) - model(ends[0])) / (ends[1][k] - ends[0][k]))
    return np.column_stack(columns)
