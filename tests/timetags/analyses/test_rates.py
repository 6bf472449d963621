"""Singles per channel within gates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.timetags.analyses.streams import CUTS, END_PS, FIRST_PS, block_of, feed, repeatable, streams
from timetags.analyses.rates import Singles
from timetags.block import TagBlock

BORDERS = st.lists(st.integers(-250, 250), max_size=8)


@given(streams(range(256)), BORDERS, CUTS)
@repeatable(100)
def test_tags_within_gates_count_wherever_the_cuts_fall(tags, borders, cuts):
    gates = list(zip(*[iter(sorted(borders))] * 2, strict=False))
    singles, everything = feed(Singles(gates), tags, cuts), feed(Singles(), tags, cuts)
    inside = [c for t, c in tags if any(start <= t < end for start, end in gates)]
    assert singles.counts.tolist() == [inside.count(c) for c in range(256)]
    assert everything.counts.sum() == len(tags)
    live = sum(any(start <= t < end for start, end in gates) for t in range(FIRST_PS, END_PS))
    assert (singles.live_ps, everything.live_ps) == (live, END_PS - FIRST_PS)


def test_a_rate_is_counts_over_the_time_within_the_gates():
    singles = Singles([(10**12, 2 * 10**12), (3 * 10**12, 4 * 10**12)])
    times = np.arange(0, 4 * 10**12, 10**9)
    channels = np.where(np.arange(len(times)) % 4 == 0, 7, 200).astype(np.uint8)
    singles.add(TagBlock(times, channels, 0, 4 * 10**12))
    np.testing.assert_allclose(singles.rates_hz([200, 7, 1]), [750, 250, 0])


def test_there_is_no_rate_before_time_has_passed():
    assert np.isnan(Singles().rates_hz([1, 2])).all()


def test_lost_tags_count_where_they_may_lie_in_a_gate():
    singles = Singles([(5, 10)])
    singles.add(block_of([], 0, 5, lost=3))
    singles.add(block_of([], 5, 8, lost=4))
    assert singles.lost == 4


@pytest.mark.parametrize("gates", [[(5, 4)], [(0, 5), (4, 8)]])
def test_gates_that_overlap_or_end_before_they_start_are_refused(gates):
    with pytest.raises(ValueError, match="ends before it starts, or overlaps"):
        Singles(gates)
