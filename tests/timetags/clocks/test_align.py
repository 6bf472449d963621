"""Alignment of several nodes' streams, against sorting everything at once, for any cut into blocks."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timetags.block import TagBlock
from timetags.clocks.affine import AffineClock
from timetags.clocks.align import Aligner, merged

END = 10_000
TAGS = st.lists(st.integers(0, END - 1), max_size=60).map(sorted)
CUTS = st.lists(st.integers(0, END), max_size=8).map(lambda cuts: [0, *sorted(cuts), END])
CLOCKS = st.builds(
    AffineClock, st.integers(-3000, 3000), st.floats(-1e-3, 1e-3), st.integers(-(10**7), 10**7)
)
SOURCE = st.tuples(TAGS, CUTS, CLOCKS)


def blocks(tags: list[int], cuts: list[int], channel: int, lost: int = 0) -> Iterator[TagBlock]:
    for begin, end in pairwise(cuts):
        times = np.array([t for t in tags if begin <= t < end], np.int64)
        yield TagBlock(times, np.full(len(times), channel, np.uint8), begin, end, lost)


def brute(sources: list[tuple[list[int], list[int], AffineClock]]) -> list[tuple[int, int]]:
    """All tags by base time, those of equal time in the order of the sources."""
    return sorted((clock.instant(t), k) for k, (tags, _, clock) in enumerate(sources) for t in tags)


def collected(stream: Iterator[TagBlock]) -> list[tuple[int, int]]:
    found, end = [], None
    for block in stream:
        assert end is None or block.start_ps == end
        assert block.start_ps < block.end_ps
        end = block.end_ps
        assert all(block.start_ps <= t < block.end_ps for t in block.times.tolist())
        found += list(zip(block.times.tolist(), block.channels.tolist(), strict=True))
    return found


@settings(max_examples=150, deadline=None)
@given(st.lists(SOURCE, min_size=1, max_size=4))
def test_merged_streams_are_all_tags_sorted(sources):
    streams = [blocks(tags, cuts, k) for k, (tags, cuts, _) in enumerate(sources)]
    assert collected(merged(streams, [clock for _, _, clock in sources])) == brute(sources)


@settings(max_examples=100, deadline=None)
@given(st.lists(SOURCE, min_size=2, max_size=3))
def test_from_the_common_start_to_the_common_end_nothing_else_is_left_out(sources):
    streams = [blocks(tags, cuts, k) for k, (tags, cuts, _) in enumerate(sources)]
    begin = max(clock.instant(0) for _, _, clock in sources)
    end = min(clock.instant(END) for _, _, clock in sources)
    found = collected(merged(streams, [clock for _, _, clock in sources], whole=False))
    assert found == [tag for tag in brute(sources) if begin <= tag[0] < end]


@settings(max_examples=100, deadline=None)
@given(st.lists(SOURCE, min_size=2, max_size=3), st.randoms(use_true_random=False))
def test_whatever_order_blocks_come_in_all_is_accounted_for(sources, random):
    """Lost tags, time and tags before the start add up, whoever comes first."""
    names = [str(k) for k in range(len(sources))]
    aligner = Aligner(names, {name: clock for name, (_, _, clock) in zip(names, sources, strict=True)})
    rest = {str(k): list(blocks(tags, cuts, k, lost=3)) for k, (tags, cuts, _) in enumerate(sources)}
    given_, stretches = dict.fromkeys(names, 0), []
    while any(rest.values()):
        name = random.choice([name for name in names if rest[name]])
        given_[name] += len(rest[name][0]) + 3
        aligner.add(name, rest[name].pop(0))
        while (stretch := aligner.take()) is not None:
            stretches.append(stretch)
    for name in names:
        aligner.end(name)
    while (stretch := aligner.take()) is not None:
        stretches.append(stretch)
    for k, name in enumerate(names):
        parts = [part for stretch in stretches for part in stretch.parts if part.source == name]
        tags = sum(len(piece) for part in parts for piece in part.pieces)
        left = sum(3 for cut in pairwise(sources[k][1]) if cut == (END, END))  # empty, and at the very end
        assert tags + sum(part.lost for part in parts) + aligner.skipped[name] in {
            given_[name],
            given_[name] - left,
        }
    merged_tags = sum(len(stretch.merge()) for stretch in stretches)
    assert merged_tags == sum(len(p) for s in stretches for part in s.parts for p in part.pieces)
    assert sum(stretch.merge().lost for stretch in stretches) == sum(stretch.lost for stretch in stretches)


def tags(*times: int, start: int, end: int, channel: int = 0, lost: int = 0) -> TagBlock:
    return TagBlock(np.array(times, np.int64), np.full(len(times), channel, np.uint8), start, end, lost)


def test_gaps_and_losses_are_told_with_their_length():
    aligner = Aligner(["a", "b"], {"a": AffineClock(), "b": AffineClock(1000)})
    aligner.add("a", tags(start=0, end=2000))
    aligner.add("b", tags(5, start=0, end=500, lost=7))
    stretch = aligner.take()
    assert (stretch.start_ps, stretch.end_ps, stretch.lost) == (1000, 1500, 7)
    a, b = stretch.parts
    assert (a.lost, a.damaged_ps, a.missing_ps, a.span_ps) == (0, 0, 0, 500)
    assert (b.lost, b.damaged_ps, b.missing_ps, b.span_ps) == (7, 500, 0, 500)
    aligner.add("b", tags(start=700, end=900))  # 200 ps are missing
    stretch = aligner.take()
    assert (stretch.end_ps, [part.missing_ps for part in stretch.parts]) == (1900, [0, 200])
    aligner.add("a", tags(start=2000, end=3000))
    aligner.end("b")
    stretch = aligner.take()
    assert (stretch.end_ps, [part.missing_ps for part in stretch.parts]) == (3000, [0, 1100])


def test_a_loss_in_a_block_that_is_cut_is_counted_once_and_its_time_wholly():
    aligner = Aligner(["a", "b"], dict.fromkeys(["a", "b"], AffineClock()))
    aligner.add("a", tags(start=0, end=1000, lost=9))
    found = []
    for begin in range(0, 1000, 250):
        aligner.add("b", tags(start=begin, end=begin + 250))
        found.append(aligner.take().parts[0])
    assert [part.lost for part in found] == [9, 0, 0, 0]
    assert sum(part.damaged_ps for part in found) == 1000


def test_clocks_may_change_between_stretches_and_nothing_held_is_lost():
    aligner = Aligner(["a", "b"], dict.fromkeys(["a", "b"], AffineClock()))
    aligner.add("a", tags(10, 1010, start=0, end=2000))
    aligner.add("b", tags(20, start=0, end=1000, channel=1))
    assert aligner.take().merge().times.tolist() == [10, 20]
    aligner.align({"a": AffineClock(5_000), "b": AffineClock(5_000)})
    aligner.add("b", tags(1020, start=1000, end=2000, channel=1))
    stretch = aligner.take()
    assert (stretch.start_ps, stretch.end_ps) == (6000, 7000)
    assert stretch.merge().times.tolist() == [6010, 6020]


def test_blocks_out_of_order_and_forgotten_clocks_are_refused():
    aligner = Aligner(["a"], {"a": AffineClock()})
    aligner.add("a", tags(start=0, end=100))
    with pytest.raises(ValueError, match="of a from 99 ps follows one that ended at 100 ps"):
        aligner.add("a", tags(start=99, end=200))
    aligner.end("a")
    with pytest.raises(ValueError, match="a from 100 ps, which has ended"):
        aligner.add("a", tags(start=100, end=200))
    with pytest.raises(ValueError, match="no clock for b"):
        Aligner(["a", "b"], {"a": AffineClock()})


def test_a_long_stream_beside_one_of_small_blocks_is_held_block_by_block():
    """Of a source nothing is asked for before it is needed, so little is ever held."""
    taken = {"long": 0, "small": 0}

    def counted(name: str, stream: Iterator[TagBlock]) -> Iterator[TagBlock]:
        for block in stream:
            taken[name] += block.end_ps - block.start_ps
            yield block

    long = counted("long", blocks([], list(range(0, END + 1, 2000)), 0))
    small = counted("small", blocks([], list(range(0, END + 1, 10)), 1))
    for block in merged([long, small], [AffineClock(), AffineClock()]):
        assert taken["long"] - block.end_ps <= 2000
        assert taken["small"] - block.end_ps <= 10
