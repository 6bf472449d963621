"""Whether error bars are honest: pulls (estimate - truth) / error over many seeds have mean 0 and width 1,
and as many of them as of a normal number, 68 %, are within one error bar.

A check here fails by chance less than once in 10^6 new seeds, if pulls are normal: each of its three limits
is set at 2e-7. Seeds are fixed, so what passes once passes always.
"""

from collections.abc import Callable, Iterable
from math import sqrt

import numpy as np
from scipy.stats import binom, chi2, norm

from experiments.estimators.estimate import Estimate

FALSE_ALARM = 2e-7


def honest(
    draw: Callable[[np.random.Generator], Estimate],
    truth: float,
    runs: int,
    *,
    seed: int = 1,
    shift: float = 0.0,
    widen: float = 0.0,
) -> None:
    """Assert it of an estimator, run with so many seeds.

    `shift` is allowed of the mean besides (what the estimator is known to be biased by, in standard
    errors), `widen` of the width (where it is known to be on the safe side, or its pulls skewed)."""
    pulls = [pull(draw(np.random.default_rng([seed, k])), truth) for k in range(runs)]
    check(pulls, shift=shift, widen=widen)


def pull(estimate: Estimate, truth: float) -> float:
    return (estimate.value - truth) / estimate.error


def check(pulls: Iterable[float], *, shift: float = 0.0, widen: float = 0.0) -> None:
    """The same for pulls themselves."""
    found = np.array(list(pulls))
    runs = len(found)
    assert runs >= 100
    limit = -norm.ppf(FALSE_ALARM / 2) / sqrt(runs) + shift
    assert abs(found.mean()) < limit, f"mean pull {found.mean():.3f}, limit {limit:.3f}"
    low, high = (sqrt(chi2.ppf(p, runs - 1) / (runs - 1)) for p in (FALSE_ALARM / 2, 1 - FALSE_ALARM / 2))
    width = found.std(ddof=1)
    assert low - widen < width < high + widen, f"width {width:.3f}, allowed {low:.3f} to {high:.3f}"
    fewest = binom.ppf(FALSE_ALARM / 2, runs, within_one(shift, 1 + widen))
    most = binom.isf(FALSE_ALARM / 2, runs, within_one(0.0, 1 - widen))
    covered = int((np.abs(found) < 1).sum())
    assert fewest <= covered <= most, (
        f"{covered} of {runs} cover the truth, allowed {fewest:.0f} to {most:.0f}"
    )


def within_one(shift: float, width: float) -> float:
    """The probability that a normal number with this mean and width is between -1 and 1."""
    return float(norm.cdf((1 - shift) / width) - norm.cdf((-1 - shift) / width))
