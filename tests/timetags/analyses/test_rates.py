"""Singles per channel within a gate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timetags.analyses.rates import Singles

TAGS = st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 255)), max_size=80).map(sorted)


@given(TAGS, st.integers(-60, 60), st.integers(0, 60), st.lists(st.integers(0, 80), max_size=5))
@settings(deadline=None)
def test_tags_within_the_gate_count_wherever_the_cuts_fall(tags, start, length, cuts):
    singles, everything = Singles((start, start + length)), Singles()
    times = np.array([t for t, _ in tags], np.int64)
    channels = np.array([c for _, c in tags], np.uint8)
    for part in zip(np.split(times, sorted(cuts)), np.split(channels, sorted(cuts)), strict=True):
        singles.add(*part)
        everything.add(*part)
    inside = [c for t, c in tags if start <= t < start + length]
    assert singles.counts(range(256)).tolist() == [inside.count(c) for c in range(256)]
    assert everything.counts(range(256)).sum() == len(tags)


def test_a_rate_is_counts_over_the_length_of_the_gate():
    singles = Singles((10**12, 3 * 10**12))
    times = np.arange(0, 4 * 10**12, 10**9)
    singles.add(times, np.where(np.arange(len(times)) % 4 == 0, 7, 200).astype(np.uint8))
    np.testing.assert_allclose(singles.rates_hz([200, 7, 1]), [750, 250, 0])


def test_a_rate_needs_a_gate():
    with pytest.raises(ValueError, match="gate"):
        Singles().rates_hz([1])
