"""Coincidences of two to n channels against brute force over all combinations, for any cuts of the stream."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.timetags.analyses import brute
from tests.timetags.analyses.streams import CUTS, block_of, feed, repeatable, streams
from timetags.analyses.coincidences import Analyser, CoincidenceMatrix, Coincidences, all_folds
from timetags.block import TagBlock

CHANNELS = [0, 3, 9, 200, 255]
PATTERNS = st.lists(
    st.lists(st.sampled_from(CHANNELS), min_size=2, max_size=5, unique=True), min_size=1, max_size=6
)
DELAYS = st.dictionaries(st.sampled_from(CHANNELS), st.integers(-50, 50))
WIDTHS = st.fixed_dictionaries({channel: st.integers(1, 40) for channel in CHANNELS})
GATES = st.none() | st.tuples(st.integers(-80, 20), st.integers(-20, 80))


@given(streams(CHANNELS, most=40), PATTERNS, DELAYS, WIDTHS, GATES, CUTS)
@repeatable(150)
def test_every_combination_is_counted_once_wherever_the_cuts_fall(tags, patterns, delays, widths, gate, cuts):
    counted = feed(Coincidences(patterns, delays, window_ps=widths, gate_ps=gate), tags, cuts)
    expected = [brute.coincidences(tags, delays, pattern, widths, gate) for pattern in patterns]
    assert counted.counts.tolist() == expected


APART = {0: 0, 3: 150_000, 9: -120_000, 200: 333_333, 255: 7}


@given(
    streams(CHANNELS, most=40),
    PATTERNS,
    DELAYS,
    WIDTHS,
    GATES,
    st.lists(st.integers(-500_000, 500_000), max_size=10),
)
@repeatable(100)
def test_channels_that_arrive_far_apart_are_brought_together(tags, patterns, delays, widths, gate, cuts):
    arrived = sorted(((t - APART[c], c) for t, c in tags), key=lambda tag: tag[0])
    end = arrived[-1][0] + 1 if arrived else 500_000
    all_delays = {c: APART[c] + delays.get(c, 0) for c in CHANNELS}
    counted = Coincidences(patterns, all_delays, window_ps=widths, gate_ps=gate)
    # The stream ends with its last tag, when others still wait for those that would come later.
    feed(counted, arrived, [cut for cut in cuts if not arrived or cut < arrived[-1][0]], -500_000, end)
    expected = [brute.coincidences(tags, delays, pattern, widths, gate) for pattern in patterns]
    assert counted.counts.tolist() == expected


@given(streams(range(64), most=120, span=(-15, 15)), st.integers(1, 9), CUTS)
@repeatable(40)
def test_all_pairs_and_some_threefolds_of_64_channels_are_counted_in_one_pass(tags, width, cuts):
    delays = {channel: channel % 7 - 3 for channel in range(64)}
    patterns = all_folds(range(64), {2}) + [(a, (a + 1) % 64, (a + 13) % 64) for a in range(64)]
    counted = feed(Coincidences(patterns, delays, window_ps=width), tags, cuts)
    widths = dict.fromkeys(range(64), width)
    present = {channel for _, channel in tags}
    expected = [
        brute.coincidences(tags, delays, pattern, widths) if present.issuperset(pattern) else 0
        for pattern in patterns
    ]
    assert counted.counts.tolist() == expected


@given(streams(CHANNELS, most=40), DELAYS, st.integers(1, 30), GATES, CUTS)
@repeatable(60)
def test_a_matrix_has_the_coincidences_of_all_outcomes(tags, delays, width, gate, cuts):
    parties = ((3, 9), (255,), (200, 0))
    counted = feed(CoincidenceMatrix(parties, delays, window_ps=width, gate_ps=gate), tags, cuts)
    widths = dict.fromkeys(CHANNELS, width)
    assert counted.matrix.shape == (2, 1, 2)
    for place in product(range(2), range(1), range(2)):
        pattern = [party[outcome] for party, outcome in zip(parties, place, strict=True)]
        assert counted.matrix[place] == brute.coincidences(tags, delays, pattern, widths, gate)


def test_a_gate_is_half_open_about_the_references_delayed_time():
    tags = [(k, channel) for k in range(20) for channel in (1, 2)]
    counted = Coincidences([(1, 2)], {1: 3, 2: 3}, window_ps=1, gate_ps=(8, 12))
    feed(counted, tags, [])
    assert counted.counts.tolist() == [4]


@pytest.mark.parametrize("window", [1, 2, 5, 800])
def test_a_window_of_w_admits_exactly_w_differences_from_minus_half_on(window):
    spread = 2 * window
    differences = range(-spread, spread + 1)
    tags = sorted(
        [(10_000 * k, 1) for k, _ in enumerate(differences)]
        + [(10_000 * k + d, 2) for k, d in enumerate(differences)]
    )
    counted = Coincidences([(1, 2)], {}, window_ps=window)
    counted.add(block_of(tags, -spread, 10**9))
    counted.finish()
    assert counted.counts.tolist() == [window]
    kept = [d for d in differences if -window <= 2 * d < window]
    assert len(kept) == window


def test_combinations_are_products_of_clicks():
    tags = [(100, 1), (101, 2), (102, 2), (103, 3), (104, 3), (105, 3)]
    counted = feed(Coincidences(all_folds([1, 2, 3], {2, 3}), {}, window_ps=100), tags, [])
    assert all_folds([1, 2, 3], {2, 3}) == [(1, 2), (1, 3), (2, 3), (1, 2, 3)]
    assert counted.counts.tolist() == [2, 3, 6, 6]


@pytest.mark.parametrize(
    "delays",
    [
        {1: -300, 2: 31, 3: -700},
        {1: -43_100_000, 2: 31},
        {0: -43_100_000, 1: -43_100_040, 2: 31, 3: -700},  # so many, so far apart: taken out before
    ],
)
@pytest.mark.parametrize("spacing", [2_000, 100_000])
def test_a_long_stream_agrees_with_searches_per_channel(delays, spacing):
    # 200,000 tags in bunches of five a thousand ps wide: several steps, with tags that have no neighbour in
    # between or (at 2 ns) without. Reference: numpy, another way.
    random = np.random.default_rng(11)
    length = 200_000 * spacing
    bunches = np.repeat(random.integers(0, length, 20_000), 5) + random.integers(0, 1000, 100_000)
    arrived = np.concatenate([bunches, random.integers(0, length, 100_000)])
    channels = random.integers(0, 5, 200_000).astype(np.uint8)
    arrived -= np.array([delays.get(channel, 0) for channel in range(5)])[channels]
    order = np.argsort(arrived)
    times, channels = arrived[order], channels[order]
    widths = {1: 1_001, 2: 600, 3: 80}
    delayed = [np.sort(times[channels == c] + delays.get(c, 0)) for c in range(4)]
    doubled = 2 * delayed[0]

    def clicks(channel):
        begin, end = doubled - widths[channel], doubled + widths[channel]
        return np.searchsorted(2 * delayed[channel], end) - np.searchsorted(2 * delayed[channel], begin)

    counted = Coincidences([(0, 1), (0, 3, 2), (0, 1, 2, 3)], delays, window_ps=widths)
    whole = TagBlock(times, channels, int(times[0]), int(times[-1]) + 1)
    step = (whole.end_ps - whole.start_ps) // 5 + 1
    for start in range(whole.start_ps, whole.end_ps, step):
        counted.add(whole.between(start, start + step))
    counted.finish()
    expected = [
        clicks(1).sum(),
        (clicks(3) * clicks(2)).sum(),
        (clicks(1) * clicks(2) * clicks(3)).sum(),
    ]
    assert counted.counts.tolist() == expected
    assert min(expected) > 100


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="no pattern"):
        Coincidences([], {}, window_ps=1)
    for pattern in ((), (1,), (1, 2, 1)):
        with pytest.raises(ValueError, match="two channels or more, none of them twice"):
            Coincidences([pattern], {}, window_ps=1)
    with pytest.raises(ValueError, match="channel 2 has no window"):
        Coincidences([(1, 2)], {}, window_ps={1: 5})
    with pytest.raises(ValueError, match="window of channel 2 must be positive"):
        Coincidences([(1, 2)], {}, window_ps=0)
    with pytest.raises(ValueError, match="channel 256 is outside"):
        Coincidences([(1, 256)], {}, window_ps=1)
    with pytest.raises(ValueError, match="channel 256 is outside"):
        Coincidences([(256, 1)], {}, window_ps=1)
    with pytest.raises(ValueError, match="different channels"):
        CoincidenceMatrix([(1, 2), (3, 3)], {}, window_ps=1)
    with pytest.raises(ValueError, match="blocks must come in order"):
        feed(Coincidences([(1, 2)], {}, window_ps=1), [(5, 1)], []).add(block_of([(1, 1)], 0, 9))


def test_an_analysers_windows_are_centred_where_it_says():
    windows = Analyser((4, 5), window_ps=10, centre_ps=3).windows({5: 100}, shift_ps=1000)
    assert {c: (w.width_ps, w.offset_ps) for c, w in windows.items()} == {4: (10, 997), 5: (10, 1097)}
