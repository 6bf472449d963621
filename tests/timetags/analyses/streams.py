"""Random streams of tags, cut into blocks at random, for the property tests of all analyses."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from random import Random
from typing import TypeVar

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from timetags.analyses.analysis import Analysis
from timetags.block import TagBlock

A = TypeVar("A", bound=Analysis)
Tags = list[tuple[int, int]]
"""(time in ps, channel) in time order; tags of one time in any order of channels."""

FIRST_PS, END_PS = -200, 200
SPAN = (-60, 60)
# A few cuts anywhere, or one every few ps; with one every ps, whatever is decided too early is wrong.
CUTS = st.lists(st.integers(FIRST_PS, END_PS), max_size=10) | st.sampled_from([1, 4, 15, 40]).map(
    lambda step: list(range(-90, 90, step))
)


def repeatable(examples: int) -> settings:
    """The same examples in every run, so that a failure in CI is one that everybody sees."""
    return settings(deadline=None, derandomize=True, database=None, max_examples=examples)


def streams(channels: Sequence[int], *, most: int = 60, span: tuple[int, int] = SPAN):
    """Streams of up to `most` tags within `span`: so short that ties and crowds are common. Hypothesis alone
    makes few tags, which rarely meet; so every other stream has all of them."""
    tag = st.tuples(st.integers(*span), st.sampled_from(channels))
    few = st.lists(tag, max_size=most)

    def crowd(seed: int) -> Tags:
        random = Random(seed)
        return [(random.randint(*span), random.choice(channels)) for _ in range(most)]

    return (few | st.integers(0, 2**32).map(crowd)).map(lambda tags: sorted(tags, key=lambda tag: tag[0]))


def block_of(tags: Tags, start_ps: int, end_ps: int, lost: int = 0) -> TagBlock:
    times, channels = np.array([t for t, _ in tags], np.int64), np.array([c for _, c in tags], np.uint8)
    return TagBlock(times, channels, start_ps, end_ps, lost)


def blocks(tags: Tags, cuts: Sequence[int], begin: int = FIRST_PS, end: int = END_PS) -> Iterator[TagBlock]:
    """The stream from `begin` to `end`, cut at the given times; some of the blocks are empty."""
    for start, stop in pairwise([begin, *sorted(cuts), end]):
        yield block_of([tag for tag in tags if start <= tag[0] < stop], start, stop)


def feed(analysis: A, tags: Tags, cuts: Sequence[int], begin: int = FIRST_PS, end: int = END_PS) -> A:
    """Give the analysis the whole stream in blocks, and end it."""
    for block in blocks(tags, cuts, begin, end):
        # An analysis may keep nothing of a block: the arrays are wiped after it.
        analysis.add(block)
        block.times[:] = 2**62
        block.channels[:] = 0
    analysis.finish()
    return analysis


class Kept:
    """An analysis at the end of a chain: it keeps the stream, and holds it to what blocks promise."""

    def __init__(self) -> None:
        self.tags: Tags = []
        self.start_ps: int | None = None
        self.end_ps: int | None = None
        self.lost = 0
        self.finished = False

    def add(self, block: TagBlock) -> None:
        assert not self.finished
        assert self.end_ps is None or block.start_ps == self.end_ps
        assert block.start_ps <= block.end_ps
        times = block.times.tolist()
        assert times == sorted(times)
        assert all(block.start_ps <= t < block.end_ps for t in times)
        self.tags += zip(times, block.channels.tolist(), strict=True)
        if self.start_ps is None:
            self.start_ps = block.start_ps
        self.end_ps = block.end_ps
        self.lost += block.lost

    def finish(self) -> None:
        assert not self.finished
        self.finished = True
