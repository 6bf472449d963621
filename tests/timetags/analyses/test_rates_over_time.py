"""Counts per channel and time bin, and what is known to be missing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.timetags.analyses.streams import CUTS, END_PS, FIRST_PS, block_of, feed, repeatable, streams
from timetags.analyses.rates_over_time import Loss, RatesOverTime

CHANNELS = [0, 7, 63, 255]


@given(streams(CHANNELS, span=(-180, 180)), st.permutations(CHANNELS), st.integers(1, 90), CUTS)
@repeatable(100)
def test_every_tag_is_in_its_bin_wherever_the_cuts_fall(tags, order, width, cuts):
    rates = feed(RatesOverTime(order[:3], width), tags, cuts)
    starts = rates.starts_ps.tolist()
    # Bins begin at whole multiples of their width and cover the stream, no more.
    assert starts == [k * width for k in range(FIRST_PS // width, -(-END_PS // width))]
    for row, channel in enumerate(order[:3]):
        times = [t for t, c in tags if c == channel]
        expected = [sum(start <= t < start + width for t in times) for start in starts]
        assert rates.counts[row].tolist() == expected
    live = [min(start + width, END_PS) - max(start, FIRST_PS) for start in starts]
    assert rates.live_ps.tolist() == live
    np.testing.assert_allclose(rates.rates_hz, rates.counts / (np.array(live) * 1e-12))


def test_64_channels_are_counted_apart():
    tags = [(100 * k + c, c) for k in range(10) for c in range(64)]
    rates = feed(RatesOverTime(range(64), 50), [tag for tag in tags if tag[0] < 190], [95, 100])
    begin = list(rates.starts_ps).index(0)
    for channel in range(64):
        times = [t for t, c in tags if c == channel and t < 190]
        expected = [sum(start <= t < start + 50 for t in times) for start in (0, 50, 100, 150)]
        assert rates.counts[channel, begin : begin + 4].tolist() == expected


def test_a_gap_in_the_stream_has_no_rate():
    rates = RatesOverTime([1], 10)
    rates.add(block_of([(3, 1)], 0, 15))
    rates.add(block_of([(42, 1)], 42, 44))
    assert rates.live_ps.tolist() == [10, 5, 0, 0, 2]
    assert np.isnan(rates.rates_hz[0]).tolist() == [False, False, True, True, False]
    assert rates.rates_hz[0, [0, 1, 4]] == pytest.approx([1e11, 0, 5e11])


def test_where_tags_were_lost_the_rates_say_so():
    rates = RatesOverTime([1], 10)
    assert rates.lossy.tolist() == []
    rates.add(block_of([], 0, 20))
    rates.add(block_of([], 20, 35, lost=7))
    rates.add(block_of([], 35, 60))
    rates.add(block_of([], 60, 61, lost=2))
    assert rates.lossy.tolist() == [False, False, True, True, False, False, True]
    assert rates.losses == [Loss(20, 35, 7), Loss(60, 61, 2)]


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="must be positive"):
        RatesOverTime([1], 0)
    with pytest.raises(ValueError, match="named twice"):
        RatesOverTime([1, 1], 5)
    with pytest.raises(ValueError, match="channel 256"):
        RatesOverTime([256], 5)
    rates = RatesOverTime([1], 5)
    rates.add(block_of([], 0, 10))
    with pytest.raises(ValueError, match="a block from 9 ps follows one that ended at 10 ps"):
        rates.add(block_of([], 9, 20))
