"""g2 and heralded g2: against brute force for any cuts, and against what light of known statistics shows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.timetags.analyses import brute
from tests.timetags.analyses.streams import CUTS, END_PS, FIRST_PS, block_of, feed, repeatable, streams
from timetags.analyses.g2 import G2, HeraldedG2
from timetags.block import TagBlock

CHANNELS = [0, 1, 2, 9]
SETS = st.lists(st.sampled_from(CHANNELS), min_size=1, unique=True)
DELAYS = st.dictionaries(st.sampled_from(CHANNELS), st.integers(-50, 50))
BINS = st.tuples(st.integers(1, 7), st.integers(-70, 40), st.integers(1, 20))


@given(streams(CHANNELS), SETS, SETS, DELAYS, BINS, CUTS)
@repeatable(100)
def test_g2_is_pairs_over_what_the_rates_give(tags, first, second, delays, bins, cuts):
    width, start, number = bins
    g2 = G2(first, second, delays, bin_ps=width, range_ps=(start, start + width * number))
    feed(g2, tags, cuts)
    length = END_PS - FIRST_PS
    singles = {c: sum(channel == c for _, channel in tags) for c in CHANNELS}
    pairs = brute.histogram(tags, delays, first, second, bins)
    for k in range(number):
        tau = start + k * width + (width - 1) / 2
        expected = sum(
            singles[a]
            * (singles[b] - (a == b))
            * width
            * (length - abs(tau - delays.get(b, 0) + delays.get(a, 0)))
            / length**2
            for a in first
            for b in second
        )
        assert g2.counts[k] == pairs[k]
        assert g2.expected[k] == pytest.approx(expected)
        if expected:
            assert g2.g2[k] == pytest.approx(pairs[k] / expected)
            assert g2.errors[k] == pytest.approx(max(pairs[k], 1) ** 0.5 / expected)
        else:
            assert np.isnan([g2.g2[k], g2.errors[k]]).all()


def test_unrelated_streams_have_a_g2_of_one_up_to_the_length_of_the_record():
    # Two regular streams over 1 ms whose periods have nothing in common: 1 us, and 1 us times the square root
    # of 2. Within a bin of 50 us every difference is as frequent as any other, but for the last clicks.
    length = 10**9
    one = range(0, length, 10**6)
    other = [round(k * 10**6 * 2**0.5) for k in range(708)]
    tags = sorted([(t, 1) for t in one] + [(t, 2) for t in other])
    g2 = G2([1], [2], {2: -40_000_000}, bin_ps=50_000_000, range_ps=(-800_000_000, 700_000_000))
    g2.add(block_of(tags, 0, length))
    assert np.abs(g2.g2 - 1).max() < 0.02


def test_the_side_peaks_of_a_pulsed_source_are_its_unit():
    # A pulse every 1000 ps; of four, the first gives a click in arm 1 and the third one in arm 2; and one in
    # ten of the first gives one in arm 2 as well, the pairs about 0.
    first = [4000 * k for k in range(100)]
    second = [4000 * k + 2000 for k in range(100)] + [4000 * k + 3 for k in range(0, 100, 10)]
    tags = sorted([(t, 1) for t in first] + [(t, 2) for t in second])
    g2 = G2([1], [2], {}, bin_ps=10, range_ps=(-2500, 2500))
    g2.add(block_of(tags, 0, 400_000))
    value, error = g2.pulsed(1000, 100)
    # Side peaks at -2000 (99 pairs, one end has no partner), -1000 (0), 1000 (0) and 2000 (100).
    side = 99 + 100
    assert value == pytest.approx(10 / (side / 4))
    assert error == pytest.approx(value * (1 / 10 + 1 / side) ** 0.5)
    with pytest.raises(ValueError, match="no pairs about other multiples"):
        g2.pulsed(3000, 100)


ARMS = ([5, 6], [0, 1], [9])


@given(
    streams([0, 1, 5, 6, 9], most=50),
    st.dictionaries(st.sampled_from([0, 1, 5, 6, 9]), st.integers(-30, 30)),
    st.integers(1, 60),
    st.lists(st.integers(-40, 40), min_size=1, max_size=3),
    CUTS,
)
@repeatable(100)
def test_heralded_g2_counts_heralds_and_their_clicks_in_either_arm(tags, delays, width, displacements, cuts):
    g2 = HeraldedG2(*ARMS, delays, window_ps=width, displacements_ps=displacements)
    feed(g2, tags, cuts)
    instants = [t for herald in ARMS[0] for t in brute.references(tags, delays, herald)]
    for k, displacement in enumerate(displacements):
        first = [sum(clicks(tags, delays, t, c, width, 0) for c in ARMS[1]) for t in instants]
        second = [sum(clicks(tags, delays, t, c, width, displacement) for c in ARMS[2]) for t in instants]
        both = sum(a * b for a, b in zip(first, second, strict=True))
        assert g2.counts[k] == (len(instants), sum(first), sum(second), both)
        if sum(first) and sum(second):
            expected = len(instants) * both / (sum(first) * sum(second))
            assert g2.g2[k] == pytest.approx(expected)
            relative = (1 / max(both, 1) + 1 / sum(first) + 1 / sum(second)) ** 0.5
            if both:
                assert g2.errors[k] == pytest.approx(expected * relative)
            else:
                assert g2.errors[k] == pytest.approx(len(instants) / (sum(first) * sum(second)))
        else:
            assert np.isnan([g2.g2[k], g2.errors[k]]).all()


def clicks(tags, delays, instant, channel, width, centre):
    return len(brute.clicks_about(tags, delays, instant, (channel, width, centre, 0)))


def test_heralded_single_photons_are_antibunched_and_their_neighbours_are_not():
    # A pulsed source of single photons, 400,000 pulses 10 ns apart, one photon each that takes either arm
    # with probability 0.2 and is lost otherwise: g2(0) is 0, with the next pulse 1.
    random = np.random.default_rng(13)
    pulses = 10_000 * np.arange(400_000)
    arm = random.choice(np.array([1, 2, 0], np.uint8), len(pulses), p=[0.2, 0.2, 0.6])
    times = np.concatenate([pulses, (pulses + 40)[arm > 0]])
    order = np.argsort(times, kind="stable")
    channels = np.concatenate([np.full(len(pulses), 7, np.uint8), arm[arm > 0]])[order]
    g2 = HeraldedG2([7], [1], [2], {}, window_ps=200, displacements_ps=[0, 10_000])
    g2.add(TagBlock(times[order], channels, 0, 10_000 * len(pulses)))
    g2.finish()
    assert g2.g2[0] == 0
    # One pair where N_h1 N_h2 / N_h = 400,000 x 0.2 x 0.2 = 16,000 are expected.
    assert g2.errors[0] == pytest.approx(1 / 16_000, rel=0.03)
    # 5 standard errors, a false-alarm rate of 6e-7; seeded.
    assert g2.g2[1] == pytest.approx(1, abs=5 * float(g2.errors[1]))
    assert g2.errors[1] < 0.01


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="must be different channels"):
        HeraldedG2([1], [2], [1], {}, window_ps=1)
    with pytest.raises(ValueError, match="not a positive number of bins"):
        G2([1], [2], {}, bin_ps=3, range_ps=(0, 10))
