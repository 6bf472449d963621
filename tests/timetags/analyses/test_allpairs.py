"""All pairs of channels against brute force, for any cuts, narrow and wide delays, and 64 channels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.timetags.analyses.streams import CUTS, block_of, feed, repeatable, streams
from timetags.analyses.allpairs import AllPairs
from timetags.analyses.correlate import Correlation
from timetags.block import TagBlock

CHANNELS = [0, 1, 2, 9, 255]
BINS = st.tuples(st.integers(1, 7), st.integers(-70, 40), st.integers(1, 20))
SETS = st.lists(st.sampled_from(CHANNELS), min_size=2, unique=True)
DELAYS = st.dictionaries(st.sampled_from(CHANNELS), st.integers(-50, 50))


def brute(tags, pairs, delays, bin_ps, start, bins):
    counts = np.zeros((len(pairs), bins), np.int64)
    for row, (first, second) in enumerate(pairs):
        for t1 in (t + delays.get(first, 0) for t, c in tags if c == first):
            for t2 in (t + delays.get(second, 0) for t, c in tags if c == second):
                if start <= t2 - t1 < start + bins * bin_ps:
                    counts[row, (t2 - t1 - start) // bin_ps] += 1
    return counts


@given(streams(CHANNELS), SETS, DELAYS, BINS, CUTS)
@repeatable(300)
def test_all_pairs_are_counted_once_wherever_the_cuts_fall(tags, channels, delays, bins, cuts):
    bin_ps, start, number = bins
    pairs = AllPairs(channels, delays, bin_ps=bin_ps, range_ps=(start, start + number * bin_ps))
    feed(pairs, tags, cuts)
    assert pairs.pairs == [(a, b) for k, a in enumerate(channels) for b in channels[k + 1 :]]
    np.testing.assert_array_equal(pairs.counts, brute(tags, pairs.pairs, delays, bin_ps, start, number))


@pytest.mark.parametrize("delay", [0, 800, 43_000])
def test_sixty_four_channels_agree_with_their_correlations_one_by_one(delay):
    # 60,000 tags are more than a vector or a step of hits holds. Every third channel is delayed, once by less
    # and once by more than the range, which are two ways through the engine.
    random = np.random.default_rng(4)
    times = np.sort(random.integers(0, 20_000_000, 60_000))
    channels = random.integers(100, 164, len(times)).astype(np.uint8)
    delays = dict.fromkeys(range(100, 164, 3), delay)
    pairs = AllPairs(range(100, 164), delays, bin_ps=50, range_ps=(-1000, 1000))
    for begin in range(0, len(times), 7919):
        end = int(times[begin + 7919]) if begin + 7919 < len(times) else 20_000_000
        start = int(times[begin]) if begin else 0
        inside = (times >= start) & (times < end)
        pairs.add(TagBlock(times[inside], channels[inside], start, end))
    pairs.finish()
    whole = TagBlock(times, channels, 0, 20_000_000)
    for first, second in [(100, 101), (102, 163), (100, 163), (130, 131), (111, 113)]:
        one = Correlation([first], [second], delays, bin_ps=50, range_ps=(-1000, 1000))
        one.add(whole)
        np.testing.assert_array_equal(pairs.counts[pairs.pairs.index((first, second))], one.counts)
    # 2016 pairs at 46.9 tags per ms and channel, 2 us wide: the expected number within 5 sigma (6e-7).
    expected = 2016 * (len(times) / 64) ** 2 * 2000 / 20_000_000
    assert pairs.counts.sum() == pytest.approx(expected, abs=5 * expected**0.5)


def test_counts_may_be_read_between_blocks():
    pairs = AllPairs([1, 2], {}, bin_ps=1, range_ps=(0, 3))
    pairs.add(block_of([(10, 1), (11, 2)], 0, 100))
    assert pairs.counts.tolist() == [[0, 1, 0]]
    pairs.add(block_of([(110, 1), (112, 2)], 100, 200))
    pairs.finish()
    assert pairs.counts.tolist() == [[0, 1, 1]]
    assert pairs.centres_ps.tolist() == [0, 1, 2]


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="two or more different"):
        AllPairs([1], {}, bin_ps=1, range_ps=(0, 3))
    with pytest.raises(ValueError, match="two or more different"):
        AllPairs([1, 2, 1], {}, bin_ps=1, range_ps=(0, 3))
    with pytest.raises(ValueError, match="not a positive number of bins"):
        AllPairs([1, 2], {}, bin_ps=2, range_ps=(0, 3))
    for delays in ({}, {1: 500}):
        pairs = AllPairs([1, 2], delays, bin_ps=1, range_ps=(0, 3))
        pairs.add(block_of([(10, 1)], 0, 100))
        with pytest.raises(ValueError, match="follow"):
            pairs.add(block_of([(20, 1)], 15, 200))
