"""Delayed streams in time order, against a sort of the whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.timetags.analyses.streams import (
    CUTS,
    END_PS,
    FIRST_PS,
    Kept,
    block_of,
    blocks,
    repeatable,
    streams,
)
from timetags.retime import Retimer

CHANNELS = [0, 1, 255]


@given(streams(CHANNELS), CUTS, st.dictionaries(st.sampled_from(CHANNELS), st.integers(-90, 90)))
@repeatable(200)
def test_the_stream_is_that_of_delayed_tags_in_order(tags, cuts, delays):
    retimer, kept = Retimer(delays), Kept()
    for block in blocks(tags, cuts):
        kept.add(retimer.add(block))
        block.times[:] = 2**61
    kept.add(retimer.finish())
    # Of equal times, the lower delay first; channels of one delay as they came.
    moved = [(t + delays.get(c, 0), delays.get(c, 0), c) for t, c in tags]
    assert kept.tags == [(t, c) for t, _, c in sorted(moved, key=lambda tag: tag[:2])]
    least = min(0, *delays.values(), 0)
    assert kept.start_ps == FIRST_PS + least
    last = max((t + 1 for t, _, _ in moved), default=END_PS + least)
    assert kept.end_ps == max(END_PS + least, last)


def test_lost_tags_are_carried_along():
    retimer = Retimer({1: 5})
    assert retimer.add(block_of([(3, 1)], 0, 10, lost=7)).lost == 7
    assert retimer.add(block_of([], 10, 20)).lost == 0


def test_a_block_that_is_out_of_order_is_refused():
    retimer = Retimer({1: 5})
    retimer.add(block_of([], 0, 10))
    with pytest.raises(ValueError, match="9 ps follows one that ended at 10 ps"):
        retimer.add(block_of([], 9, 20))
