"""Compile the kernels of all analyses, so that none has to be waited for later."""

import numpy as np

from timetags.analyses.allpairs import AllPairs
from timetags.analyses.analysis import OnePass
from timetags.analyses.around import TagsAroundHeralds
from timetags.analyses.coincidences import Analyser, Coincidences
from timetags.analyses.correlate import Correlation
from timetags.analyses.fourfold import HeraldedFourfolds
from timetags.analyses.hom import HomHistogram
from timetags.analyses.rates import Singles
from timetags.analyses.rates_over_time import RatesOverTime
from timetags.analyses.virtual import GatedChannel, VirtualChannels
from timetags.block import TagBlock


def compile_kernels() -> None:
    """Run each kernel of this folder, and those that they stand on, over a few tags."""
    hub, (a, b) = (0, 1, 2, 3), ((4, 5), (6, 7))
    OnePass(
        Singles(),
        RatesOverTime(hub, 1000),
        Correlation([0], [4], {}, bin_ps=1, range_ps=(-10, 10)),
        AllPairs(range(8), {}, bin_ps=1, range_ps=(-10, 10)),
        AllPairs(range(8), {4: 1000}, bin_ps=1, range_ps=(-10, 10)),
        Coincidences([(0, 4)], {}, window_ps=10),
        HomHistogram([(0, 1)], [Analyser(a, 10)], {}, bin_ps=1, range_ps=(-10, 10)),
        HeraldedFourfolds(hub, (a, b), {}, bsm_window_ps=10, spoke_window_ps=10, spoke_centre_ps=0),
        TagsAroundHeralds(hub, {}, Singles(), bsm_window_ps=10, around_ps=100),
        VirtualChannels({8: GatedChannel(4, opened_by=0, closed_by=1)}, Singles()),
    ).run([TagBlock(np.arange(512), (np.arange(512) % 8).astype(np.uint8), 0, 512)])
