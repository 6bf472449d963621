"""Tags in any order: as many as can be are kept in order, equal to brute force, and the others are named."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timetags.files.order import is_sorted, put_in_order


def ordered(times, tolerance=0, floor=None):
    times = np.array(times, np.int64)
    return put_in_order(times, np.arange(len(times)).astype(np.uint8), tolerance, floor)


def longest(times):
    """The length of a longest non-decreasing subsequence, by trying all."""
    for length in range(len(times), 0, -1):
        for chosen in combinations(times, length):
            if list(chosen) == sorted(chosen):
                return length
    return 0


@settings(max_examples=200, deadline=None)
@given(times=st.lists(st.integers(-5, 12), max_size=9), floor=st.none() | st.integers(-5, 12))
def test_a_longest_ordered_subsequence_is_kept(times, floor):
    result = ordered(times, floor=floor)
    allowed = [time for time in times if floor is None or time >= floor]
    assert len(result.times) == longest(allowed)
    assert is_sorted(result.times)
    # What is kept and what is dropped are the tags of the file, each once, kept ones in its order.
    kept = result.numbers
    assert list(np.diff(kept) > 0) == [True] * max(0, len(kept) - 1)
    assert list(result.times) == [times[k] for k in kept]
    assert list(result.channels) == list(kept)
    assert sorted([*result.numbers, *result.dropped]) == list(range(len(times)))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_what_is_within_the_tolerance_is_sorted_and_nothing_dropped(data):
    true = sorted(data.draw(st.lists(st.integers(0, 1000), max_size=30)))
    late = [(time + data.draw(st.integers(0, 50)), time) for time in true]
    times = [time for _, time in sorted(late, key=lambda pair: pair[0])]
    result = ordered(times, tolerance=50)
    assert list(result.times) == true
    assert len(result.dropped) == 0
    running = np.maximum.accumulate(np.array([0, *times]))[:-1]
    assert result.reordered == sum(time < latest for time, latest in zip(times, running, strict=True))


def test_equal_times_keep_the_order_of_the_file():
    result = ordered([5, 3, 5, 3, 4], tolerance=2)
    assert list(result.times) == [3, 3, 4, 5, 5]
    assert list(result.channels) == list(result.numbers) == [1, 3, 4, 0, 2]


@pytest.mark.parametrize("reach", [10, 5000])
def test_any_amount_of_disorder_is_sorted_alike(reach):
    # The second takes hundreds of moves per tag, which is not done by moving.
    rng = np.random.default_rng(3)
    times = np.arange(20_000) + rng.integers(0, reach, 20_000)
    result = ordered(times, tolerance=reach)
    order = np.argsort(times, kind="stable")
    np.testing.assert_array_equal(result.times, times[order])
    np.testing.assert_array_equal(result.numbers, order)
    np.testing.assert_array_equal(result.channels, order.astype(np.uint8))


def test_one_time_far_ahead_costs_one_tag_also_with_disorder_around():
    times = [0, 10, 8, 20, 10**15, 30, 28, 40]
    result = ordered(times, tolerance=5)
    assert list(result.times) == [0, 8, 10, 20, 28, 30, 40]
    assert list(result.dropped) == [4]


def test_sortedness():
    assert is_sorted(np.array([], np.int64))
    assert is_sorted(np.array([1, 1, 2], np.int64))
    assert not is_sorted(np.array([1, 2, 1], np.int64))
