"""Merging: against a stable sort, for any split of a stream into sorted parts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timetags.merge import merge_channels, merge_streams

# Times close together, so that ties are common, and a few far apart.
TIMES = st.lists(st.one_of(st.integers(-20, 20), st.integers(-(2**62), 2**62)), max_size=40).map(sorted)


@given(st.lists(TIMES, max_size=11))
@settings(deadline=None)
def test_channels_are_merged_as_a_stable_sort_would(parts):
    arrays = [np.array(part, np.int64) for part in parts]
    channels = [(7 * k) % 256 for k in range(len(parts))]
    times, numbers = merge_channels(arrays, channels)
    expected = sorted(
        ((t, k) for k, part in enumerate(parts) for t in part), key=lambda tag: tag[0]
    )  # Python's sort is stable
    assert times.tolist() == [t for t, _ in expected]
    assert numbers.tolist() == [channels[k] for _, k in expected]
    assert times.dtype == np.int64
    assert numbers.dtype == np.uint8


@given(st.lists(st.tuples(TIMES, st.integers(-30, 30)), max_size=9), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_streams_are_merged_with_their_shifts_and_keep_their_own_order(parts, random):
    streams = [
        (np.array(part, np.int64), np.array([random.randrange(256) for _ in part], np.uint8))
        for part, _ in parts
    ]
    times, numbers = merge_streams(streams, [shift for _, shift in parts])
    expected = sorted(
        (
            (t + shift, c)
            for (part, channels), (_, shift) in zip(streams, parts, strict=True)
            for t, c in zip(part.tolist(), channels.tolist(), strict=True)
        ),
        key=lambda tag: tag[0],
    )
    assert list(zip(times.tolist(), numbers.tolist(), strict=True)) == expected


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 6, 7, 8, 10, 12])
def test_long_streams_with_ties_across_every_internal_border(parts):
    # 300,000 tags at 3,000 distinct times: every cut that the merge makes falls into a tie. One part is
    # far shorter than the others, and one lies after all of them.
    random = np.random.default_rng(parts)
    arrays = [np.sort(random.integers(0, 3_000, 300_000 // parts)) for _ in range(parts)]
    arrays[parts // 2] = arrays[parts // 2][:: 300_000 // 17]
    arrays[-1] = arrays[-1] + (3_000 if parts > 1 else 0)
    times, numbers = merge_channels(arrays, range(parts))
    everything = np.concatenate(arrays)
    order = np.argsort(everything, kind="stable")
    owner = np.repeat(np.arange(parts), [len(array) for array in arrays])
    np.testing.assert_array_equal(times, everything[order])
    np.testing.assert_array_equal(numbers, owner[order])


def test_the_result_is_a_copy():
    times, channels = np.array([1, 2]), np.array([3, 4], np.uint8)
    merged_times, merged_channels = merge_streams([(times, channels)], [0])
    merged_times[0] = merged_channels[0] = 9
    assert times.tolist() == [1, 2]
    assert channels.tolist() == [3, 4]


def test_what_does_not_fit_together_is_refused():
    times = np.array([1, 2])
    with pytest.raises(ValueError, match="1 arrays of times but 2 channel numbers"):
        merge_channels([times], [1, 2])
    with pytest.raises(ValueError, match=r"channel 256 is outside 0\.\.255"):
        merge_channels([times], [256])
    with pytest.raises(ValueError, match="2 times has 1 channels"):
        merge_streams([(times, np.zeros(1, np.uint8))], [0])
    with pytest.raises(ValueError, match="1 streams but 2 shifts"):
        merge_streams([(times, np.zeros(2, np.uint8))], [0, 0])
