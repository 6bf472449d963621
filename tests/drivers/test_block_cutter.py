"""A stream in pieces, cut into blocks of one length: the same wherever the pieces end."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.time_taggers.block_cutter import BlockCutter
from timetags.block import TagBlock


def put(cutter: BlockCutter, times: list[int], reached: int, channel: int = 1, lost: int = 0) -> None:
    cutter.put(np.array(times, np.int64), np.full(len(times), channel, np.uint8), reached, lost)


def shown(block: TagBlock | None) -> tuple[int, int, list[int], int] | None:
    return None if block is None else (block.start_ps, block.end_ps, block.times.tolist(), block.lost)


def test_a_block_comes_when_the_stream_has_come_beyond_its_end() -> None:
    cutter = BlockCutter(period_ps=100)
    put(cutter, [3, 99], 99)
    assert cutter.next_block() is None
    put(cutter, [99, 100, 250], 250, lost=2)
    assert shown(cutter.next_block()) == (0, 100, [3, 99, 99], 2)
    assert shown(cutter.next_block()) == (100, 200, [100], 0)
    assert cutter.next_block() is None
    put(cutter, [], 270)
    assert shown(cutter.last_block()) == (200, 270, [250], 0)
    assert cutter.last_block() is None


def test_the_last_block_ends_behind_its_last_tag() -> None:
    cutter = BlockCutter(period_ps=100)
    put(cutter, [42], 42)
    assert shown(cutter.last_block()) == (0, 43, [42], 0)


def test_tags_that_were_lost_at_the_very_end_are_told() -> None:
    cutter = BlockCutter(period_ps=100)
    put(cutter, [], 100)
    cutter.next_block()
    put(cutter, [], 100, lost=7)
    assert shown(cutter.last_block()) == (100, 100, [], 7)


def test_disorder_is_an_error() -> None:
    cutter = BlockCutter(period_ps=100)
    with pytest.raises(ValueError, match="not in the order of time"):
        put(cutter, [5, 4], 10)
    put(cutter, [], 50)
    with pytest.raises(ValueError, match="not in the order of time"):
        put(cutter, [49], 60)


def test_the_rate_is_that_of_the_latest_blocks() -> None:
    cutter = BlockCutter(period_ps=10**12)
    assert cutter.rate_hz(1) == 0.0
    put(cutter, list(range(10)), 10**12, channel=1)
    put(cutter, [10**12 + 1], 3 * 10**12, channel=2)
    for _ in range(2):
        cutter.next_block()
    assert (cutter.rate_hz(1), cutter.rate_hz(2)) == (5.0, 0.5)
    cutter.next_block()
    assert cutter.rate_hz(1) == 0.0


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 999)), st.lists(st.integers(0, 999), max_size=6))
def test_blocks_do_not_depend_on_the_pieces(times: list[int], cuts: list[int]) -> None:
    cutter, blocks, since = BlockCutter(period_ps=100), [], 0
    for until in [*sorted(cuts), 1000]:
        put(cutter, sorted(t for t in times if since <= t < until), until)
        since = until
        while (block := cutter.next_block()) is not None:
            blocks.append(shown(block))
    assert blocks == [
        (k, k + 100, sorted(t for t in times if k <= t < k + 100), 0) for k in range(0, 1000, 100)
    ]
