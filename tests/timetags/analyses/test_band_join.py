"""The kernels of the correlation on arrays of all lengths, against numpy over all pairs."""

import numpy as np
import pytest

from timetags.analyses.band_join import add_pairs, take_channel

LENGTHS = [0, 1, 7, 8, 9, 16, 63, 64, 65, 130, 300]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.7, 1.0])
def test_a_channel_is_taken_whole_and_nothing_is_written_far_behind_it(length, share):
    random = np.random.default_rng(length)
    times = np.sort(random.integers(-(10**15), 10**15, length))
    channels = np.where(random.random(length) < share, 200, 7).astype(np.uint8)
    expected = times[channels == 200] - 123_456_789
    taken = np.full(length + 8, -1)
    assert take_channel(times, channels, 200, -123_456_789, taken) == len(expected)
    np.testing.assert_array_equal(taken[: len(expected)], expected)
    assert (taken[len(expected) + 3 :] == -1).all()


@pytest.mark.parametrize("first_length", LENGTHS)
@pytest.mark.parametrize("second_length", LENGTHS)
@pytest.mark.parametrize(("start", "bin_ps", "bins"), [(-30, 7, 9), (15, 1, 4), (-400, 100, 3), (0, 3, 1000)])
def test_every_pair_is_counted_once(first_length, second_length, start, bin_ps, bins):
    random = np.random.default_rng([first_length, second_length])
    # Of different density and reach, so that blocks of one lie before, behind and inside those of the other.
    first = np.sort(random.integers(0, 4 * first_length + 5, first_length))
    second = np.sort(random.integers(-50, 2 * second_length + 100, second_length))
    counts = np.zeros(bins, np.int64)
    add_pairs(first, second, start, bin_ps, counts)
    differences = (second[None, :] - first[:, None]).ravel()
    edges = start + bin_ps * np.arange(bins + 1) - 0.5
    np.testing.assert_array_equal(counts, np.histogram(differences, edges)[0])


def test_more_hits_than_are_held_at_a_time():
    # 100 x 100 equal times: each of the 10,000 pairs falls into bin 3 of 10.
    counts = np.zeros(10, np.int64)
    add_pairs(np.full(100, 5), np.full(100, 5), -30, 10, counts)
    assert counts.tolist() == [0, 0, 0, 10_000, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("bin_ps", [3, 7, 10**6, 3 * 10**12])
def test_the_borders_of_bins_are_exact_over_a_quarter_of_an_hour(bin_ps):
    # The last and the first integer of bins far from the start, where a rounded quotient would be one off.
    bins = min(2**50 // bin_ps, 10**6)
    borders = bin_ps * np.unique(np.linspace(1, bins - 1, 4000).astype(np.int64))
    counts = np.zeros(bins, np.int64)
    add_pairs(np.zeros(8, np.int64), np.sort(np.concatenate([borders - 1, borders])), 0, bin_ps, counts)
    expected = np.zeros(bins, np.int64)
    np.add.at(expected, borders // bin_ps, 8)
    np.add.at(expected, borders // bin_ps - 1, 8)
    np.testing.assert_array_equal(counts, expected)
