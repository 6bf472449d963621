"""Heralds and four-folds against brute force over all combinations, for any cuts of the stream."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.timetags.analyses import brute
from tests.timetags.analyses.streams import END_PS, FIRST_PS, Kept, block_of, feed, repeatable, streams
from timetags.analyses.around import TagsAroundHeralds
from timetags.analyses.fourfold import HeraldedFourfolds
from timetags.block import TagBlock

HUB = (3, 7, 1, 0)  # cH, cV, dH, dV
SPOKES = ((10, 4), (5, 200))  # (H, V) of A and of B
CHANNELS = [*HUB, 10, 4, 5, 200, 99]  # 99 takes no part
STATES = ("Psi-", "Psi+")


def brute_fourfolds(tags, delays, window, spoke_window, centre, gate, shifts):
    heralds, counts = np.zeros(2, np.int64), np.zeros((2, 2, 2), np.int64)
    for name, _, herald in brute.heralds(tags, delays, HUB, window):
        if brute.within(gate, herald):
            heralds[STATES.index(name)] += 1
            for a, b in product(range(2), repeat=2):
                clicks = [
                    (SPOKES[0][a], spoke_window, centre, shifts[0]),
                    (SPOKES[1][b], spoke_window, centre, shifts[1]),
                ]
                found = brute.combinations_about(tags, delays, herald, clicks)
                counts[STATES.index(name), a, b] += found
    return heralds, counts


STREAMS = streams(CHANNELS, span=(0, 120))
# The whole hub may be early or late, and each channel besides.
DELAYS = st.builds(
    lambda hub, delays: {**dict.fromkeys(HUB, hub), **delays},
    st.just(0) | st.integers(-60, 60),
    st.dictionaries(st.sampled_from(CHANNELS), st.integers(-40, 40)),
)
CUTS = st.lists(st.integers(-30, 150), max_size=12) | st.just(list(range(-30, 150)))
SHORT = st.integers(1, 25)


@given(
    STREAMS,
    DELAYS,
    CUTS,
    SHORT,
    SHORT,
    st.integers(-30, 30),
    st.none() | st.tuples(st.integers(-20, 80), st.integers(0, 150)),
    st.tuples(st.integers(-60, 60), st.integers(-60, 60)),
)
@repeatable(150)
def test_every_combination_is_counted_once_wherever_the_cuts_fall(
    tags, delays, cuts, window, spoke_window, centre, gate, shifts
):
    counter = HeraldedFourfolds(
        HUB,
        SPOKES,
        delays,
        bsm_window_ps=window,
        spoke_window_ps=spoke_window,
        spoke_centre_ps=centre,
        gate_ps=gate,
        spoke_shifts_ps=shifts,
    )
    feed(counter, tags, cuts)
    heralds, counts = brute_fourfolds(tags, delays, window, spoke_window, centre, gate, shifts)
    np.testing.assert_array_equal(counter.heralds, heralds)
    np.testing.assert_array_equal(counter.counts, counts)
    assert counter.complete


@given(STREAMS, DELAYS, CUTS, SHORT, st.integers(1, 40))
@repeatable(100)
def test_the_tags_around_heralds_are_kept_with_their_own_times(tags, delays, cuts, window, around):
    kept = Kept()
    feed(TagsAroundHeralds(HUB, delays, kept, bsm_window_ps=window, around_ps=around), tags, cuts)
    heralds = [time for _, _, time in brute.heralds(tags, delays, HUB, window)]
    expected = [
        (t, c)
        for t, c in tags
        if any(-around <= t + delays.get(c, 0) - herald < around for herald in heralds)
    ]
    assert kept.tags == expected
    assert (kept.start_ps, kept.end_ps) == (FIRST_PS, END_PS)


def test_what_was_lost_is_handed_on_with_the_tags_around_heralds():
    kept = Kept()
    selection = TagsAroundHeralds(HUB, {}, kept, bsm_window_ps=5, around_ps=30)
    selection.add(block_of([(5, HUB[0])], 0, 10, lost=3))
    selection.add(block_of([(16, HUB[3])], 10, 20, lost=4))
    selection.finish()
    assert (kept.start_ps, kept.end_ps, kept.lost, kept.finished) == (0, 20, 7, True)


def test_without_a_stream_there_is_nothing_around_heralds():
    kept = Kept()
    TagsAroundHeralds(HUB, {}, kept, bsm_window_ps=5, around_ps=30).finish()
    assert (kept.tags, kept.end_ps, kept.finished) == ([], None, True)


@pytest.mark.parametrize("window", [1, 2, 5, 800])
def test_a_window_of_w_admits_exactly_w_differences(window):
    # One pair cH, dV per difference, far apart from each other.
    spread = 3 * window
    pairs = [(10_000 * k, 10_000 * k + d) for k, d in enumerate(range(-spread, spread + 1))]
    tags = sorted([(t1, HUB[0]) for t1, _ in pairs] + [(t2, HUB[3]) for _, t2 in pairs])
    counter = HeraldedFourfolds(HUB, SPOKES, {}, bsm_window_ps=window, spoke_window_ps=1, spoke_centre_ps=0)
    counter.add(block_of(tags, 0, 10**9))
    assert counter.heralds.tolist() == [window, 0]


def test_two_clicks_in_a_spokes_window_are_two_fourfolds():
    tags = [(1000, HUB[0]), (1100, HUB[3]), (1150, 10), (1160, 10), (1170, 5), (1180, 5), (1190, 200)]
    counter = HeraldedFourfolds(HUB, SPOKES, {}, bsm_window_ps=800, spoke_window_ps=2200, spoke_centre_ps=250)
    counter.add(block_of(tags, 0, 10_000))
    assert counter.heralds.tolist() == [1, 0]
    assert counter.counts.tolist() == [[[4, 2], [0, 0]], [[0, 0], [0, 0]]]
    assert counter.pattern_counts[0].tolist() == [[4, 2], [0, 0]]


def test_fibre_delays_of_43_microseconds_are_taken_out():
    delay = 43_100_000
    tags = sorted(
        (t + extra, c)
        for k in range(200)
        for t, c, extra in [
            (1_000_000 * k, HUB[1], delay),
            (1_000_000 * k + 20, HUB[2], delay + 7_000),
            (1_000_000 * k + 300, 4, 0),
            (1_000_000 * k + 200, 5, 900),
        ]
    )
    delays = {HUB[1]: -delay, HUB[2]: -delay - 7_000, 5: -900}
    counter = HeraldedFourfolds(
        HUB, SPOKES, delays, bsm_window_ps=800, spoke_window_ps=2200, spoke_centre_ps=250
    )
    whole = block_of(tags, 0, 300_000_000)
    for start in range(0, 300_000_000, 170_000):
        counter.add(whole.between(start, start + 170_000))
    counter.finish()
    assert counter.heralds.tolist() == [200, 0]
    assert counter.counts[0].tolist() == [[0, 0], [200, 0]]


def test_a_gate_is_complete_when_nothing_more_can_enter_it():
    counter = HeraldedFourfolds(
        HUB,
        SPOKES,
        {10: -500},
        bsm_window_ps=100,
        spoke_window_ps=100,
        spoke_centre_ps=0,
        gate_ps=(0, 10_000),
    )
    counter.add(block_of([], 0, 10_400))
    assert not counter.complete  # a tag of channel 10 at 10,450 would still match a herald at 9,950
    counter.add(block_of([], 10_400, 11_000))
    assert counter.complete


def test_a_long_dense_stream_agrees_with_brute_force_per_internal_step():
    # 150,000 tags are more than the finder works on at a time. Reference: numpy searches, another way.
    random = np.random.default_rng(5)
    times = np.sort(random.integers(0, 30_000_000, 150_000))
    channels = random.choice(np.array(CHANNELS, np.uint8), len(times))
    delays = {HUB[0]: 40, HUB[1]: -10, 10: 2_000, 4: 2_010, 5: -100_000, 200: -100_007}
    window, spoke_window, centre = 60, 300, 33
    by_channel = {c: times[channels == c] + delays.get(c, 0) for c in CHANNELS}
    heralds, counts = [0, 0], np.zeros((2, 2, 2), np.int64)
    for state, (first, second) in [(0, (0, 3)), (0, (1, 2)), (1, (0, 1)), (1, (2, 3))]:
        one, other = by_channel[HUB[first]], by_channel[HUB[second]]
        begin, end = np.searchsorted(other, one - 30, "right"), np.searchsorted(other, one + 30, "right")
        sums = np.concatenate([t1 + other[b:e] for t1, b, e in zip(one, begin, end, strict=True)])
        heralds[state] += len(sums)
        in_window = {
            c: np.searchsorted(2 * by_channel[c], sums + 2 * centre + spoke_window)
            - np.searchsorted(2 * by_channel[c], sums + 2 * centre - spoke_window)
            for pair in SPOKES
            for c in pair
        }
        for a, b in product(range(2), repeat=2):
            counts[state, a, b] += (in_window[SPOKES[0][a]] * in_window[SPOKES[1][b]]).sum()
    counter = HeraldedFourfolds(
        HUB, SPOKES, delays, bsm_window_ps=window, spoke_window_ps=spoke_window, spoke_centre_ps=centre
    )
    counter.add(TagBlock(times, channels, 0, 30_000_000))
    counter.finish()
    assert counter.heralds.tolist() == heralds
    np.testing.assert_array_equal(counter.counts, counts)
    assert counts.min() > 0


def test_what_makes_no_sense_is_refused():
    good = {"bsm_window_ps": 1, "spoke_window_ps": 1, "spoke_centre_ps": 0}
    with pytest.raises(ValueError, match="four different channels"):
        HeraldedFourfolds((1, 1, 2, 3), SPOKES, {}, **good)
    with pytest.raises(ValueError, match="must all be different"):
        HeraldedFourfolds(HUB, ((HUB[0], 4), (5, 6)), {}, **good)
    with pytest.raises(ValueError, match="BSM window must be positive"):
        HeraldedFourfolds(HUB, SPOKES, {}, **{**good, "bsm_window_ps": 0})
    with pytest.raises(ValueError, match="window of channel 10 must be positive"):
        HeraldedFourfolds(HUB, SPOKES, {}, **{**good, "spoke_window_ps": 0})
    with pytest.raises(ValueError, match="channel 300"):
        HeraldedFourfolds(HUB, SPOKES, {300: 1}, **good)
    with pytest.raises(ValueError, match="around a herald must be positive"):
        TagsAroundHeralds(HUB, {}, Kept(), bsm_window_ps=1, around_ps=0)


def test_blocks_out_of_order_are_refused():
    counter = HeraldedFourfolds(HUB, SPOKES, {}, bsm_window_ps=1, spoke_window_ps=1, spoke_centre_ps=0)
    counter.add(block_of([(5, 1)], 0, 10))
    with pytest.raises(ValueError, match="blocks must come in order"):
        counter.add(block_of([(9, 1)], 9, 20))
    with pytest.raises(ValueError, match="after the block's end"):
        counter.add(block_of([(12, 1), (20, 1)], 10, 20))
    with pytest.raises(ValueError, match="1 times but 2 channels"):
        counter.add(TagBlock(np.array([12]), np.array([1, 2], np.uint8), 10, 20))
    counter.finish()
    with pytest.raises(ValueError, match="blocks must come in order"):
        counter.add(block_of([(30, 1)], 20, 40))
