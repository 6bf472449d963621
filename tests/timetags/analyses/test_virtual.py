"""Virtual channels against brute force, for any cuts of the stream, and what they feed."""

from collections import Counter
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.timetags.analyses import brute
from tests.timetags.analyses.streams import (
    CUTS,
    END_PS,
    FIRST_PS,
    Kept,
    block_of,
    blocks,
    feed,
    repeatable,
    streams,
)
from timetags.analyses.coincidences import Coincidences
from timetags.analyses.heralded import HERALDS
from timetags.analyses.virtual import (
    CoincidenceChannel,
    DelayedChannel,
    GatedChannel,
    HeraldChannel,
    TimeGatedChannel,
    VirtualChannels,
)

CHANNELS = [0, 1, 2, 3]
STREAMS = streams(CHANNELS)
DELAYS = st.dictionaries(st.sampled_from(CHANNELS), st.integers(-50, 50))
WINDOW = st.integers(1, 40)


def in_record(times):
    return [t for t in times if FIRST_PS <= t < END_PS]


def check(tags, cuts, made):
    """Feed the stream through virtual channels, `made` by number as (channel, the times it should have)."""
    kept = Kept()
    feed(VirtualChannels({number: channel for number, (channel, _) in made.items()}, kept), tags, cuts)
    expected = tags + [(t, number) for number, (_, times) in made.items() for t in in_record(times)]
    # In time order with the stream's own tags first: what `Kept` sees is sorted, so a stable sort is that.
    assert kept.tags == sorted(expected, key=lambda tag: tag[0])
    assert (kept.start_ps, kept.end_ps, kept.finished) == (FIRST_PS, END_PS, True)


@given(STREAMS, CUTS, st.integers(-150, 150), st.integers(-150, 150))
@repeatable(60)
def test_delayed_tags_come_in_time_order(tags, cuts, one, other):
    made = {
        number: (DelayedChannel(channel, delay), [t + delay for t, c in tags if c == channel])
        for number, channel, delay in ((100, 2, one), (4, 2, other), (255, 0, one))
    }
    check(tags, cuts, made)


@given(STREAMS, CUTS)
@repeatable(100)
def test_a_gate_passes_from_opening_to_closing(tags, cuts):
    def is_open(time):
        closed = max((t for t, c in tags if c == 2 and t <= time), default=-1000)
        opened = max((t for t, c in tags if c == 1 and t <= time), default=-1000)
        return opened > closed

    check(
        tags,
        cuts,
        {9: (GatedChannel(0, opened_by=1, closed_by=2), [t for t, c in tags if c == 0 and is_open(t)])},
    )


@given(STREAMS, CUTS, st.lists(st.integers(-70, 70), max_size=8))
@repeatable(60)
def test_gates_of_time_pass_what_lies_in_them(tags, cuts, borders):
    gates = [*zip(sorted(borders)[0::2], sorted(borders)[1::2], strict=False)]
    inside = [t for t, c in tags if c == 3 and any(start <= t < end for start, end in gates)]
    check(tags, cuts, {9: (TimeGatedChannel(3, gates), inside)})


@given(
    STREAMS, CUTS, st.lists(st.sampled_from(CHANNELS), min_size=2, max_size=4, unique=True), DELAYS, WINDOW
)
@repeatable(100)
def test_each_coincidence_is_a_tag_at_its_references_time(tags, cuts, channels, delays, width):
    partners = [(channel, width, 0, 0) for channel in channels[1:]]
    times = [
        t
        for t in brute.references(tags, delays, channels[0])
        for _ in range(brute.combinations_about(tags, delays, t, partners))
    ]
    check(tags, cuts, {9: (CoincidenceChannel(channels, delays, window_ps=width), times)})


@given(STREAMS, CUTS, DELAYS, WINDOW, st.lists(st.sampled_from(sorted(HERALDS)), min_size=1, max_size=3))
@repeatable(100)
def test_each_herald_is_a_tag_at_its_time(tags, cuts, delays, width, names):
    found = brute.heralds(tags, delays, CHANNELS, width)
    times = sorted(floor(time) for state, pattern, time in found if {state, pattern} & {*names})
    channel = HeraldChannel(CHANNELS, delays, bsm_window_ps=width, heralded_by=names)
    check(tags, cuts, {9: (channel, times)})


@given(STREAMS, CUTS, st.integers(-40, 40), WINDOW, WINDOW)
@repeatable(60)
def test_virtual_channels_feed_virtual_channels_and_analyses(tags, cuts, delay, width, length):
    # Coincidences of 0 and 1, gated by a window of fixed length after each tag of 2: a gate channel closed by
    # a delayed copy of what opened it; and counted in coincidence with 3.
    kept = Kept()
    counted = Coincidences([(11, 3)], {11: delay}, window_ps=width)
    gate = VirtualChannels({11: GatedChannel(10, opened_by=2, closed_by=12)}, kept, counted, threads=2)
    pairs = CoincidenceChannel([0, 1], {}, window_ps=width)
    feed(VirtualChannels({10: pairs, 12: DelayedChannel(2, length)}, gate), tags, cuts)

    found = [
        t for t in brute.references(tags, {}, 0) for _ in brute.clicks_about(tags, {}, t, (1, width, 0, 0))
    ]
    opened = [t for t, c in tags if c == 2]

    def is_open(time):
        return max((t for t in opened if t <= time), default=-1000) > max(
            (t + length for t in opened if t + length <= time), default=-1000
        )

    passed = [t for t in found if is_open(t)]
    assert Counter(kept.tags) == Counter(
        tags
        + [(t, 10) for t in found]
        + [(t + length, 12) for t in opened if t + length < END_PS]
        + [(t, 11) for t in passed]
    )
    partners = [(3, width, 0, 0)]
    assert counted.counts[0] == sum(brute.combinations_about(tags, {}, t + delay, partners) for t in passed)


def test_lost_tags_and_gaps_are_handed_on():
    kept = Seen()
    virtual = VirtualChannels({9: DelayedChannel(1, -10)}, kept)
    virtual.add(block_of([(5, 1), (18, 1)], 0, 20, lost=3))
    virtual.add(block_of([(38, 1)], 30, 40, lost=4))
    virtual.finish()
    # The tag at 38 - 10 falls into the gap, where nothing was measured, that at 5 - 10 before the start.
    assert kept.tags == [(5, 1), (8, 9), (18, 1), (38, 1)]
    assert kept.spans == [(0, 10), (10, 20), (30, 40)]
    assert kept.lost == 7


class Seen:
    def __init__(self):
        self.tags, self.spans, self.lost = [], [], 0

    def add(self, block):
        self.tags += zip(block.times.tolist(), block.channels.tolist(), strict=True)
        self.spans.append((block.start_ps, block.end_ps))
        self.lost += block.lost

    def finish(self):
        pass


def test_the_stream_waits_no_longer_than_its_channels_need():
    kept = Kept()
    virtual = VirtualChannels({9: DelayedChannel(1, -10), 8: DelayedChannel(1, 500)}, kept)
    for block in blocks([(k, 1) for k in range(0, 100, 3)], [40], 0, 100):
        virtual.add(block)
        assert kept.end_ps == block.end_ps - 10


def test_numbers_that_are_taken_or_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="channel 300"):
        VirtualChannels({300: DelayedChannel(1, 1)})
    with pytest.raises(ValueError, match=r"has tags of channels \[3\]"):
        feed(VirtualChannels({3: DelayedChannel(1, 1)}), [(5, 3)], [])
    with pytest.raises(ValueError, match="two channels or more"):
        CoincidenceChannel([1], {}, window_ps=5)
    with pytest.raises(ValueError, match="both open and close"):
        GatedChannel(1, opened_by=2, closed_by=2)
    with pytest.raises(ValueError, match="overlaps another"):
        TimeGatedChannel(1, [(0, 5), (4, 6)])
    with pytest.raises(ValueError, match="chosen from"):
        HeraldChannel(CHANNELS, {}, bsm_window_ps=1, heralded_by=["Phi+"])
