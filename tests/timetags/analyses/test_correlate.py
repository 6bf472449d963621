"""Two-fold correlation against brute force over all pairs, for any cuts of the stream."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.timetags.analyses import brute
from tests.timetags.analyses.streams import CUTS, block_of, feed, repeatable, streams
from timetags.analyses.correlate import Correlation, CorrelationTable, bin_centres, correlate
from timetags.block import TagBlock

CHANNELS = [0, 1, 2, 9, 255]
STREAMS = streams(CHANNELS)
SETS = st.lists(st.sampled_from(CHANNELS), min_size=1, unique=True)
DELAYS = st.dictionaries(st.sampled_from(CHANNELS), st.integers(-50, 50))
BINS = st.tuples(st.integers(1, 7), st.integers(-70, 40), st.integers(1, 20))


@given(STREAMS, SETS, SETS, DELAYS, BINS, CUTS)
@repeatable(150)
def test_all_pairs_are_counted_once_wherever_the_cuts_fall(tags, first, second, delays, bins, cuts):
    bin_ps, start, number = bins
    range_ps = start, start + number * bin_ps
    table = CorrelationTable(first, second, delays, bin_ps=bin_ps, range_ps=range_ps)
    feed(table, tags, cuts)
    found = brute.histograms(tags, delays, (bin_ps, start, number))
    expected = [[found[a, b] for b in second] for a in first]
    np.testing.assert_array_equal(table.table, expected)

    total = Correlation(set(first), set(second), delays, bin_ps=bin_ps, range_ps=range_ps)
    feed(total, tags, cuts)
    np.testing.assert_array_equal(total.counts, np.sum(expected, axis=(0, 1)))


@given(streams(range(64), most=100, span=(-15, 15)), st.integers(1, 4), CUTS)
@repeatable(30)
def test_all_pairs_of_64_channels_are_counted_in_one_pass(tags, bin_ps, cuts):
    delays = {channel: channel % 7 - 3 for channel in range(64)}
    table = CorrelationTable(range(64), range(64), delays, bin_ps=bin_ps, range_ps=(-3 * bin_ps, 2 * bin_ps))
    feed(table, tags, cuts)
    found = brute.histograms(tags, delays, (bin_ps, -3 * bin_ps, 5))
    expected = np.array([[found[first, second] for second in range(64)] for first in range(64)])
    np.testing.assert_array_equal(table.table, expected)


@given(STREAMS, BINS)
@repeatable(100)
def test_two_arrays_correlate_as_two_channels_do(tags, bins):
    bin_ps, start, number = bins
    one, other = (np.array([t for t, c in tags if c == channel], np.int64) for channel in (0, 1))
    counts = correlate(one, other, bin_ps=bin_ps, range_ps=(start, start + number * bin_ps))
    np.testing.assert_array_equal(counts, brute.histogram(tags, {}, [0], [1], bins))


def test_a_long_stream_is_counted_across_internal_steps_and_microseconds_of_delay():
    # Channel 9 repeats channel 1 later by 43.1 us + 0..9 ps in turn; 300,000 tags are several steps.
    random = np.random.default_rng(2)
    first = np.sort(random.integers(0, 10**12, 150_000)) * 100
    second = first + 43_100_000 + np.arange(150_000) % 10
    tags = np.concatenate([first, second])
    order = np.argsort(tags, kind="stable")
    channels = np.repeat(np.array([1, 9], np.uint8), 150_000)[order]
    correlation = Correlation([1], [9], {9: -43_100_000}, bin_ps=1, range_ps=(-20, 20))
    correlation.add(TagBlock(tags[order], channels, 0, 10**15))
    repeats = np.diff(first) == 0  # the same time twice makes further pairs; there are few
    assert repeats.sum() == 0
    assert correlation.counts[20:30].tolist() == [15_000] * 10
    assert correlation.counts.sum() == 150_000


def test_accidentals_follow_the_product_of_the_rates():
    # Two independent Poisson streams of r1 = 2e5/s and r2 = 1e5/s for 1 s: r1 r2 w T pairs in a range of
    # w = 1 us, 20,000, within 5 sigma (false alarm 6e-7; seeded, so it does not vary).
    random = np.random.default_rng(3)
    one, other = (np.sort(random.integers(0, 10**12, random.poisson(n))) for n in (200_000, 100_000))
    counts = correlate(one, other, bin_ps=1000, range_ps=(-500_000, 500_000))
    assert counts.sum() == pytest.approx(20_000, abs=5 * 20_000**0.5)


def test_centres_are_the_mean_of_the_integers_in_a_bin():
    correlation = Correlation([0], [1], {}, bin_ps=20, range_ps=(-40, 20))
    assert correlation.centres_ps.tolist() == [-30.5, -10.5, 9.5]
    assert bin_centres(1, (0, 3)).tolist() == [0, 1, 2]


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="not a positive number of bins"):
        Correlation([0], [1], {}, bin_ps=3, range_ps=(0, 10))
    with pytest.raises(ValueError, match="not a positive number of bins"):
        correlate(np.array([1]), np.array([1]), bin_ps=0, range_ps=(0, 10))
    with pytest.raises(ValueError, match="at least one"):
        Correlation([], [1], {}, bin_ps=1, range_ps=(0, 10))
    with pytest.raises(ValueError, match="none twice"):
        CorrelationTable([1, 1], [1], {}, bin_ps=1, range_ps=(0, 10))
    correlation = Correlation([0], [1], {}, bin_ps=1, range_ps=(0, 10))
    correlation.add(block_of([(5, 0)], 0, 6))
    with pytest.raises(ValueError, match="a block from 4 ps follows a tag at 5 ps"):
        correlation.add(block_of([(4, 0)], 4, 6))
