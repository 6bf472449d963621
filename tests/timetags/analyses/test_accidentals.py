"""Accidentals by displaced windows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.timetags.analyses import brute
from tests.timetags.analyses.streams import CUTS, feed, repeatable, streams
from timetags.analyses.accidentals import Accidentals, both_ways
from timetags.analyses.coincidences import CoincidenceMatrix, Coincidences
from timetags.block import TagBlock

FOLDS = [(1, 2), (1, 2, 3)]


@given(streams([1, 2, 3]), st.integers(1, 30), st.integers(1, 20), CUTS, st.sampled_from([1, 2]))
@repeatable(30)
def test_displaced_counts_are_those_of_displaced_tags(tags, width, step, cuts, threads):
    counted = Accidentals(
        lambda by: Coincidences(FOLDS, {2: by, 3: -2 * by}, window_ps=width), both_ways(step), threads=threads
    )
    feed(counted, tags, cuts)
    widths = dict.fromkeys((1, 2, 3), width)

    def displaced(by):
        return [brute.coincidences(tags, {2: by, 3: -2 * by}, fold, widths) for fold in FOLDS]

    # Ten displacements by the multiples of the step both ways.
    rows = np.array([displaced(k * step) for k in (1, -1, 2, -2, 3, -3, 4, -4, 5, -5)])
    raw = np.array(displaced(0))
    np.testing.assert_array_equal(counted.displaced, rows)
    np.testing.assert_array_equal(counted.raw, raw)
    np.testing.assert_allclose(counted.mean, rows.sum(axis=0) / 10)
    np.testing.assert_allclose(counted.subtracted, raw - rows.sum(axis=0) / 10)
    np.testing.assert_allclose(counted.raw_error**2, raw)
    np.testing.assert_allclose(counted.mean_error**2, rows.sum(axis=0) / 100)
    np.testing.assert_allclose(counted.subtracted_error**2, raw + rows.sum(axis=0) / 100)


def test_subtraction_leaves_the_true_coincidences_of_a_source():
    # 20,000 pairs among singles of 1 Mcps each for 0.5 s. Accidentals r1 r2 w T (`physics.md` 4, test 11)
    # in a window of 2 ns: 1.04e6^2 x 2e-9 x 0.5 = 1,082. Bounds are 5 standard errors, a false-alarm rate
    # of 6e-7 each; seeded, so it does not vary.
    random = np.random.default_rng(8)
    length = 500_000_000_000
    pairs = random.integers(0, length, 20_000)
    one, other = (np.concatenate([pairs, random.integers(0, length, 500_000)]) for _ in range(2))
    times = np.concatenate([one, other])
    order = np.argsort(times)
    channels = np.repeat(np.array([1, 2], np.uint8), len(one))[order]
    counted = Accidentals(
        lambda by: CoincidenceMatrix([(1,), (2,)], {2: by}, window_ps=2000), both_ways(100_000, 12)
    )
    counted.add(TagBlock(times[order], channels, 0, length))
    counted.finish()
    expected = 520_000**2 * 2000 / length
    error = float(counted.mean_error[0])
    assert error == pytest.approx((expected / 12) ** 0.5, rel=0.05)
    assert counted.mean[0] == pytest.approx(expected, abs=5 * error)
    assert counted.subtracted[0] == pytest.approx(20_000, abs=5 * float(counted.subtracted_error[0]))


@pytest.mark.parametrize("displacements", [range(1, 10), [0, *range(10)], [1, *range(1, 11)]])
def test_too_few_or_useless_displacements_are_refused(displacements):
    with pytest.raises(ValueError, match="at least 10 different displacements"):
        Accidentals(lambda by: Coincidences(FOLDS, {2: by}, window_ps=1), list(displacements))


def test_displacements_alternate():
    assert both_ways(7, 5) == [7, -7, 14, -14, 21]
    with pytest.raises(ValueError, match="must be positive"):
        both_ways(0)
