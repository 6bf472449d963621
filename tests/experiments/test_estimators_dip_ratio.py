"""The dip in the ratio of two polarizations: what both share falls out, and error bars are honest."""

import numpy as np
import pytest

from experiments.estimators.dip import Dip
from experiments.estimators.dip_ratio import fit_dip_against
from tests.experiments.pulls import check, pull

BINS = np.linspace(-5, 5, 41)
WIDTH = 0.25
# Acceptance of windows about the mean of both clicks: far from flat, and not even symmetric.
SHARED = np.exp(-((BINS - 0.5) ** 2) / 8)


def drawn(visibility: float, counts: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    fine = (BINS[:, None] + WIDTH * (np.arange(25) / 25 - 0.48)).ravel()
    depth = np.exp(-np.abs(fine)).reshape(41, 25).mean(axis=1)
    random = np.random.default_rng([int(counts), seed, 0xD1B])
    level = counts * SHARED / SHARED.sum()
    return random.poisson(level * (1 - visibility * depth)), random.poisson(level)


def fits(visibility: float, counts: float, runs: int, **given: float) -> list[Dip]:
    return [
        fit_dip_against(BINS, *drawn(visibility, counts, k), bin_width=WIDTH, **given) for k in range(runs)
    ]


@pytest.mark.parametrize("visibility", [0.0, 0.5, 0.8])
def test_error_bars_of_the_depth_are_honest(visibility: float) -> None:
    found = fits(visibility, 5000, 100, tau=1.0, centre=0.0, ratio=1.0)
    check(pull(dip.visibility, visibility) for dip in found)
    assert all(dip.tau.error == dip.centre.error == dip.level.error == 0 for dip in found)


def test_centre_and_width_are_found_where_counts_allow() -> None:
    found = fits(0.8, 20_000, 100, ratio=1.0)
    check((pull(dip.tau, 1.0) for dip in found), shift=0.2, widen=0.2)
    check((pull(dip.centre, 0.0) for dip in found), shift=0.2, widen=0.2)


def test_the_ratio_far_away_is_found() -> None:
    parallel, crossed = drawn(0.6, 50_000, 1)
    dip = fit_dip_against(BINS, parallel, 2 * crossed, bin_width=WIDTH, tau=1.0, centre=0.0)
    assert dip.level.value == pytest.approx(0.5, abs=6 * dip.level.error)


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(ValueError, match="no counts of one"):
        fit_dip_against(BINS, np.ones(41), np.zeros(41))
