"""Every tag is due once, with whole surroundings, in blocks of any length; what waits is all that is kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.timetags.analyses.streams import CUTS, blocks, repeatable, streams
from timetags.block import TagBlock
from timetags.lookaround import Lookaround


@given(streams([1, 2, 250]), CUTS, st.integers(0, 90), st.integers(0, 90))
@repeatable(300)
def test_each_tag_is_due_once_and_sees_all_around_it(tags, cuts, back, ahead):
    stream = Lookaround(back, ahead)
    due = []

    def take(stretches):
        for times, channels, first, stop in stretches:
            assert 0 <= first < stop <= len(times) == len(channels)
            seen = list(zip(times.tolist(), channels.tolist(), strict=True))
            due.extend(seen[first:stop])
            around = [tag for tag in tags if times[first] - back <= tag[0] <= times[stop - 1] + ahead]
            low, high = np.searchsorted(times, times[first] - back), len(around)
            assert seen[low : low + high] == around

    for block in blocks(tags, cuts):
        take(stream.add(block))
        assert len(due) == sum(t < stream.due_until_ps for t, _ in tags)
        block.times[:] = 2**62  # what waits has been copied
    take(stream.finish())
    assert due == tags


@pytest.mark.parametrize("tags_in_block", [1, 10, 5000])
def test_memory_is_what_waits_however_small_the_blocks_are(tags_in_block):
    # One tag per ps; 150 ps around a tag wait.
    stream = Lookaround(50, 100)
    most, due = 0, 0
    for start in range(0, 100_000, tags_in_block):
        times = np.arange(start, start + tags_in_block)
        block = TagBlock(times, np.zeros(tags_in_block, np.uint8), start, start + tags_in_block)
        for stretch in stream.add(block):
            most = max(most, len(stretch.times))
            due += stretch.stop - stretch.first
    assert due == 100_000 - 100
    assert most <= 2 * tags_in_block + 300


def test_a_mapped_file_that_cannot_be_written_serves_as_well():
    times, channels = np.arange(10), np.zeros(20, np.uint8)[::2]
    times.setflags(write=False)
    (stretch,) = Lookaround(0, 0).add(TagBlock(times, channels, 0, 10))
    assert stretch.times.tolist() == list(range(10))
    assert stretch.times.flags.writeable
    assert stretch.channels.flags.c_contiguous


def test_a_block_longer_than_a_stretch_is_given_in_stretches_without_a_seam():
    # One tag every 10 ps; each sees 3 behind and 2 ahead of it.
    times = 10 * np.arange(700_000)
    stream, due = Lookaround(30, 20), 0
    stretches = [*stream.add(TagBlock(times, np.zeros(700_000, np.uint8), 0, 7_000_000)), *stream.finish()]
    assert len(stretches) > 3
    for seen, _, first, stop in stretches:
        assert seen[first] == 10 * due
        due += stop - first
        assert seen[0] == max(0, seen[first] - 30)
        assert seen[-1] == min(6_999_990, seen[stop - 1] + 20)
        assert len(seen) == (seen[-1] - seen[0]) // 10 + 1
    assert due == 700_000
