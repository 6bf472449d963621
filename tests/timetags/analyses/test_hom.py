"""Hong-Ou-Mandel histograms against brute force over all combinations, for any cuts of the stream."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.timetags.analyses import brute
from tests.timetags.analyses.streams import CUTS, END_PS, FIRST_PS, block_of, feed, repeatable, streams
from timetags.analyses.coincidences import Analyser
from timetags.analyses.hom import HomHistogram

PORTS = [0, 3, 7, 255]
PAIRS = st.lists(
    st.sampled_from([(0, 3), (3, 0), (7, 255), (7, 0), (255, 3)]),
    min_size=1,
    unique_by=lambda pair: frozenset(pair),
)
OUTCOMES = ((10, 4), (5, 200))
CHANNELS = [*PORTS, 10, 4, 5, 200]
DELAYS = st.dictionaries(st.sampled_from(CHANNELS), st.integers(-40, 40))
ANALYSERS = st.tuples(
    *(
        st.builds(Analyser, st.just(outcomes), st.integers(1, 40), st.integers(-20, 20))
        for outcomes in OUTCOMES
    )
)
BINS = st.tuples(st.integers(1, 7), st.integers(-50, 30), st.integers(1, 12))


@given(streams(CHANNELS, most=90), PAIRS, ANALYSERS, st.integers(0, 2), DELAYS, BINS, CUTS)
@repeatable(120)
def test_pairs_threefolds_and_fourfolds_wherever_the_cuts_fall(
    tags, pairs, analysers, number, delays, bins, cuts
):
    width, start, size = bins
    range_ps = start, start + width * size
    analysers = analysers[:number]
    counted = HomHistogram(pairs, analysers, delays, bin_ps=width, range_ps=range_ps)
    feed(counted, tags, cuts)
    expected = np.zeros((len(pairs), *(2,) * number, size), np.int64)
    for place, pair in enumerate(pairs):
        for difference, middle in brute.pairs(tags, delays, *pair):
            if range_ps[0] <= difference < range_ps[1]:
                for outcome in product(range(2), repeat=number):
                    clicks = [
                        (analyser.outcomes[k], analyser.window_ps, analyser.centre_ps, 0)
                        for analyser, k in zip(analysers, outcome, strict=True)
                    ]
                    ways = brute.combinations_about(tags, delays, middle, clicks)
                    expected[(place, *outcome, (difference - start) // width)] += ways
    np.testing.assert_array_equal(counted.counts, expected)


@pytest.mark.parametrize("port_delay", [-70, 0, 70])
@pytest.mark.parametrize("delay", [-50, 0, 50])
@pytest.mark.parametrize(("window", "centre"), [(1, 0), (2, 15), (11, -15), (60, 0)])
def test_clicks_at_the_very_ends_of_a_window_are_seen_when_each_ps_is_a_block(
    port_delay, delay, window, centre
):
    # Clicks at 0 and 20, at the first difference of the range, and clicks at every ps around their middle.
    tags = [(0 - port_delay, 0), (20 - port_delay, 3)]
    tags += [(10 + centre + k - delay, 5) for k in range(-40, 41)]
    delays = {0: port_delay, 3: port_delay, 5: delay}
    counted = HomHistogram([(0, 3)], [Analyser((5,), window, centre)], delays, bin_ps=10, range_ps=(-20, 0))
    feed(counted, sorted(tags), range(FIRST_PS + 1, END_PS))
    assert counted.counts.tolist() == [[[window, 0]]]


def test_the_sign_of_the_difference_is_first_less_second():
    histogram = HomHistogram([(3, 0)], [], {0: 10}, bin_ps=5, range_ps=(-50, 50))
    feed(histogram, [(0, 3), (17, 0)], [])
    # t1 - t2 = 0 - 27, in the bin of -30 to -26.
    assert histogram.centres_ps[histogram.counts[0] == 1].tolist() == [-28.0]
    assert histogram.counts.sum() == 1


def test_what_makes_no_sense_is_refused():
    def make(pairs, analysers=(), range_ps=(0, 10)):
        HomHistogram(pairs, analysers, {}, bin_ps=5, range_ps=range_ps)

    for pairs in ([], [(1, 1)], [(1, 2), (2, 1)]):
        with pytest.raises(ValueError, match="two different channels"):
            make(pairs)
    with pytest.raises(ValueError, match="differ from each other"):
        make([(1, 2)], [Analyser((2,), 5)])
    with pytest.raises(ValueError, match="channel -1 is outside"):
        make([(1, -1)])
    with pytest.raises(ValueError, match="not a positive number of bins"):
        make([(1, 2)], range_ps=(0, 7))
    with pytest.raises(ValueError, match="blocks must come in order"):
        feed(HomHistogram([(1, 2)], [], {}, bin_ps=5, range_ps=(0, 5)), [], []).add(block_of([(0, 1)], 0, 1))
