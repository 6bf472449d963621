"""One pass over a stream for many analyses."""

from threading import Barrier

import pytest

from tests.timetags.analyses.streams import Kept, block_of
from timetags.analyses.analysis import OnePass
from timetags.analyses.rates import Singles

BLOCKS = [block_of([(1, 3), (2, 3)], 0, 5), block_of([], 5, 9), block_of([(9, 4)], 9, 12)]


@pytest.mark.parametrize("threads", [1, 2])
def test_every_analysis_sees_the_whole_stream_and_its_end(threads):
    kept, singles = [Kept(), Kept(), Kept()], Singles()
    OnePass(*kept, singles, threads=threads).run(BLOCKS)
    for one in kept:
        assert one.tags == [(1, 3), (2, 3), (9, 4)]
        assert (one.start_ps, one.end_ps, one.finished) == (0, 12, True)
    assert singles.counts[[3, 4]].tolist() == [2, 1]


def test_two_threads_work_on_a_block_at_the_same_time():
    class Meets(Kept):
        def add(self, block):
            barrier.wait()  # BrokenBarrierError unless the other one comes too
            super().add(block)

    barrier = Barrier(2, timeout=30)
    both = Meets(), Meets()
    OnePass(*both, threads=2).run(BLOCKS)
    assert both[0].tags == both[1].tags == [(1, 3), (2, 3), (9, 4)]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_error_of_an_analysis_reaches_the_caller(threads):
    class Broken(Kept):
        def add(self, block):
            raise ValueError("blocks must come in order")

    with pytest.raises(ValueError, match="in order"):
        OnePass(Broken(), Kept(), threads=threads).run(BLOCKS)


def test_one_pass_is_an_analysis_itself():
    inner = Kept()
    OnePass(OnePass(inner), OnePass()).run(BLOCKS)
    assert inner.tags == [(1, 3), (2, 3), (9, 4)]
    assert inner.finished
