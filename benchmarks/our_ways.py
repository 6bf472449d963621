"""The same counts with timetags, block by block as a stream comes."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from benchmarks.work import (
    BIN_PS,
    BSM_WINDOW_PS,
    CHANNELS,
    DELAYS_PS,
    FIRST,
    HUB,
    RANGE_PS,
    SECOND,
    SPOKE_CENTRE_PS,
    SPOKE_WINDOW_PS,
    SPOKES,
    Array,
    Stream,
)
from timetags.analyses.allpairs import AllPairs
from timetags.analyses.analysis import OnePass
from timetags.analyses.correlate import Correlation, correlate
from timetags.analyses.fourfold import HeraldedFourfolds
from timetags.block import TagBlock

Blocks = Sequence[TagBlock]

_BLOCK = 1 << 20


def cut(stream: Stream) -> Blocks:
    """The stream in blocks of a million tags, as views."""
    whole = stream.block
    borders = [0, *np.unique(stream.times[_BLOCK::_BLOCK]).tolist(), whole.end_ps]
    return [whole.between(begin, end) for begin, end in pairwise(borders)]


def correlator(first: int = FIRST, second: int = SECOND) -> Correlation:
    """The analysis of one pair of channels."""
    return Correlation([first], [second], DELAYS_PS, bin_ps=BIN_PS, range_ps=RANGE_PS)


def pairer() -> AllPairs:
    """The analysis of all pairs."""
    return AllPairs(range(CHANNELS), DELAYS_PS, bin_ps=BIN_PS, range_ps=RANGE_PS)


def folder() -> HeraldedFourfolds:
    """The analysis of heralds and four-folds."""
    return HeraldedFourfolds(
        HUB,
        SPOKES,
        DELAYS_PS,
        bsm_window_ps=BSM_WINDOW_PS,
        spoke_window_ps=SPOKE_WINDOW_PS,
        spoke_centre_ps=SPOKE_CENTRE_PS,
    )


def correlation(blocks: Blocks) -> Array:
    """As `numpy_ways.correlation`."""
    analysis = correlator()
    OnePass(analysis).run(blocks)
    return analysis.counts


def correlation_in_steps(blocks: Blocks) -> Array:
    """As `correlation`, of times that come in steps of a bin once delayed: what tttrlib counts."""
    first, second = (
        np.concatenate([block.times[block.channels == channel] for block in blocks]) + DELAYS_PS[channel]
        for channel in (FIRST, SECOND)
    )
    steps = RANGE_PS[0] // BIN_PS, RANGE_PS[1] // BIN_PS
    return correlate(first // BIN_PS, second // BIN_PS, bin_ps=1, range_ps=steps)


def all_pairs(blocks: Blocks) -> Array:
    """As `numpy_ways.all_pairs`."""
    analysis = pairer()
    OnePass(analysis).run(blocks)
    return analysis.counts


def fourfolds(blocks: Blocks) -> tuple[Array, Array]:
    """As `numpy_ways.fourfolds`."""
    analysis = folder()
    OnePass(analysis).run(blocks)
    return analysis.pattern_heralds, analysis.pattern_counts


def two_correlations(blocks: Blocks, threads: int) -> list[Array]:
    """Two pairs of channels in one pass, on one thread or two."""
    analyses = correlator(), correlator(1, 5)
    OnePass(*analyses, threads=threads).run(blocks)
    return [analysis.counts for analysis in analyses]
