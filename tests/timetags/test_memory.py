"""A longer file takes no more memory."""

import tracemalloc
from dataclasses import replace

import numpy as np

from timetags.analyses.allpairs import AllPairs
from timetags.analyses.analysis import OnePass
from timetags.analyses.correlate import Correlation
from timetags.analyses.fourfold import HeraldedFourfolds
from timetags.analyses.rates import Singles
from timetags.block import TagBlock
from timetags.files.opening import open_tags
from timetags.files.ptu_writer import PtuWriter

PIECE = 500_000


def peak_of_analysis(path):
    tracemalloc.start()
    correlation = Correlation([1], [5], {5: -43_000_000}, bin_ps=100, range_ps=(-10_000, 10_000))
    analyses = OnePass(
        Singles(),
        correlation,
        HeraldedFourfolds(
            (1, 2, 3, 4),
            ((5, 6), (7, 8)),
            {5: -43_000_000},
            bsm_window_ps=1000,
            spoke_window_ps=2000,
            spoke_centre_ps=0,
        ),
        AllPairs(range(1, 9), {5: -43_000_000}, bin_ps=100, range_ps=(-10_000, 10_000)),
    )
    tags = 0
    for block in open_tags(path):
        tags += len(block)
        analyses.add(block)
    analyses.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return tags, correlation.counts.sum(), peak


def test_memory_does_not_grow_with_the_file(tmp_path):
    random = np.random.default_rng(8)
    times = np.sort(random.integers(0, 62_500_000_000, PIECE))
    first = TagBlock(times, random.integers(1, 9, PIECE).astype(np.uint8), 0, 62_500_000_000)
    found = {}
    for pieces in (8, 24):
        with PtuWriter(tmp_path / "tags.ptu") as file:
            for k in range(pieces):
                begin = k * first.end_ps
                file.append(
                    replace(first, times=times + begin, start_ps=begin, end_ps=begin + first.end_ps)
                )  # fmt: skip
        found[pieces] = peak_of_analysis(tmp_path / "tags.ptu")
    tags, pairs, peak = zip(*found.values(), strict=True)
    assert tags == (8 * PIECE, 24 * PIECE)
    assert pairs[1] > 2 * pairs[0] > 0
    # Blocks are a million tags or so; what a tag more would take is 9 bytes at the least.
    assert peak[1] < peak[0] + 16 * PIECE
    assert peak[1] < 200e6
