"""The affine clock map, against exact arithmetic with fractions, and its order."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timetags.clocks.affine import AffineClock

WITHIN = st.integers(-(2**61), 2**61)
RATES = st.floats(-1e-3, 1e-3)


@settings(max_examples=300, deadline=None)
@given(WITHIN, RATES, WITHIN, WITHIN)
def test_times_are_mapped_as_the_formula_says(offset, rate, at, time):
    exact = time + offset + Fraction(rate) * (time - at)
    found = AffineClock(offset, rate, at).instant(time)
    # Half a picosecond of rounding, and float64's share of the correction, which is below 2**52.01 ps.
    assert abs(found - exact) <= Fraction(1, 2) + abs(Fraction(rate) * (time - at)) * Fraction(1, 2**51)


@settings(max_examples=300, deadline=None)
@given(WITHIN, RATES, WITHIN, WITHIN)
def test_arrays_instants_and_the_way_back_agree(offset, rate, at, time):
    clock = AffineClock(offset, rate, at)
    times = np.arange(time - 3, time + 4)
    mapped = clock.to_base(times)
    assert mapped.tolist() == [clock.instant(t) for t in times.tolist()]
    for base in range(mapped[0] + 1, mapped[-1] + 1):
        assert clock.own(base) == times[np.searchsorted(mapped, base)]


@settings(max_examples=300, deadline=None)
@given(RATES, WITHIN, st.integers(-(2**61), 2**61 - 4096))
def test_no_two_tags_are_turned_round_however_far_from_the_reference(rate, at, start):
    mapped = AffineClock(0, rate, at).to_base(np.arange(start, start + 4096))
    assert np.all(np.diff(mapped) >= 0)


def test_equal_rates_only_shift_and_the_argument_stays_as_it_is():
    times = np.array([3, 5, 2**60], np.int64)
    assert AffineClock(-7).to_base(times).tolist() == [-4, -2, 2**60 - 7]
    assert AffineClock(0, 5e-6).to_base(times).tolist() == [3, 5, 2**60 + 5 * 2**60 // 10**6]
    assert times.tolist() == [3, 5, 2**60]


def test_what_is_no_clock_is_refused():
    with pytest.raises(ValueError, match="rate must lie within"):
        AffineClock(0, 2e-3)
    with pytest.raises(ValueError, match="rate must lie within"):
        AffineClock(0, float("nan"))
    with pytest.raises(ValueError, match="2\\*\\*61"):
        AffineClock(2**62)
