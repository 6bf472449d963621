"""Whether error bars are honest: pulls (estimate - truth) / error over many seeds have mean 0 and width 1.

A check here fails by chance less than once in 10^6 new seeds, if pulls are normal: each of its two limits is
set at 2e-7. Seeds are fixed, so what passes once passes always.
"""

from collections.abc import Callable, Iterable
from math import sqrt

import numpy as np
from scipy.stats import chi2, norm

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
