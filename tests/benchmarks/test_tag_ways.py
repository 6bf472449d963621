"""The competitors of the tag benchmarks count what ours does, and the stream is what the figures say."""

import shutil
from itertools import pairwise

import numpy as np
import pytest

from benchmarks import numpy_ways, our_ways
from benchmarks.c_ways import PlainC
from benchmarks.work import CHANNELS, FOURFOLD, Stream, draw


@pytest.fixture(scope="module")
def stream():
    return draw(300_000)


def test_the_stream_has_the_rate_and_the_fourfolds_that_were_asked_for(stream):
    assert len(stream) == 300_000
    assert np.all(np.diff(stream.times) >= 0)
    # 8 Mcps: 37.5 ms; the events at its ends are less than 1 us off.
    assert stream.times[-1] - stream.times[0] == pytest.approx(37.5e9, abs=2e6)
    # Of the four-folds, those are missed whose hub clicks are over 500 ps apart: 2 sqrt(2) 200 ps is 500/283
    # = 1.77 sigma of their difference, so 92 % remain; of the spokes' 1000 ps nearly none.
    _, fourfolds = our_ways.fourfolds(our_ways.cut(stream))
    # Accidental ones are under 2 %. Within 5 sigma of Poisson (false alarm 6e-7; seeded besides).
    made = 16 * int(FOURFOLD * 300_000 / 64)
    assert fourfolds.sum() == pytest.approx(0.923 * made, abs=5 * made**0.5)


def test_a_stream_of_several_pieces_is_in_order_and_cut_at_blocks_without_loss():
    # Two channels at two times suffice to see where the cuts fall; drawing millions of tags would take long.
    whole = Stream(np.repeat(np.arange(1_500_000), 2), np.tile(np.array([0, 1], np.uint8), 1_500_000))
    blocks = our_ways.cut(whole)
    assert len(blocks) == 3
    assert sum(len(block) for block in blocks) == len(whole)
    for one, next_one in pairwise(blocks):
        assert one.end_ps == next_one.start_ps
        assert one.times[-1] < one.end_ps <= next_one.times[0]


def test_numpy_counts_the_same(stream):
    blocks = our_ways.cut(stream)
    np.testing.assert_array_equal(numpy_ways.correlation(stream), our_ways.correlation(blocks))
    pairs = our_ways.all_pairs(blocks)
    assert pairs.shape[0] == CHANNELS * (CHANNELS - 1) // 2
    np.testing.assert_array_equal(numpy_ways.all_pairs(stream), pairs)
    np.testing.assert_array_equal(numpy_ways.all_pairs_by_neighbours(stream), pairs)
    for theirs, ours in zip(numpy_ways.fourfolds(stream), our_ways.fourfolds(blocks), strict=True):
        np.testing.assert_array_equal(theirs, ours)
        assert ours.sum() > 0


@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc here")
def test_plain_c_counts_the_same(stream, tmp_path):
    c, blocks = PlainC(tmp_path), our_ways.cut(stream)
    np.testing.assert_array_equal(c.correlation(stream), our_ways.correlation(blocks))
    np.testing.assert_array_equal(c.all_pairs(stream), our_ways.all_pairs(blocks))
    for theirs, ours in zip(c.fourfolds(stream), our_ways.fourfolds(blocks), strict=True):
        np.testing.assert_array_equal(theirs, ours)


def test_two_threads_count_as_one(stream):
    blocks = our_ways.cut(stream)
    for one, two in zip(*(our_ways.two_correlations(blocks, threads) for threads in (1, 2)), strict=True):
        np.testing.assert_array_equal(one, two)
