"""What every analysis of a tag stream is: something that takes the stream block by block.

All analyses keep to one protocol, so that whatever makes blocks (a live tagger, a file, a simulation, a
virtual channel) can feed any of them, and `OnePass` any number of them from one reading of the stream.
They are exact and streaming: after `finish()` the result is that of one look at the whole stream, wherever
it was cut into blocks. Between two blocks the results may be read as they stand.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Protocol

from timetags.block import TagBlock


class Analysis(Protocol):
    """Takes a stream block by block, in order and without overlap."""

    def add(self, block: TagBlock) -> None:
        """Take the next block. It holds all tags of its time, so tags of equal time are never parted, and
        it may be empty. The arrays are lent: an analysis changes nothing in them and copies what it keeps.

        ValueError if the block starts before the end of the one before, as far as the analysis can tell.
        """
        ...

    def finish(self) -> None:
        """The stream has ended: work on what still waits. Called once; no block may follow."""
        ...


class OnePass:
    """Feeds each block of one stream to all `analyses`; itself an analysis.

    With `threads` = 2 or more, independent analyses work on a block at the same time: their kernels
    release the interpreter lock. The analyses must then not share anything that they change. The one that
    took longest over the last block begins first. `add` returns when all are through, so a block's arrays
    may be used again afterwards. If an analysis fails, its error is raised, and which of the others have
    taken the block is open.
    """

    def __init__(self, *analyses: Analysis, threads: int = 1) -> None:
        self._analyses = list(analyses)
        self._seconds = {id(analysis): 0.0 for analysis in analyses}
        parallel = min(threads, len(self._analyses))
        self._pool = ThreadPoolExecutor(parallel, "timetags") if parallel > 1 else None

    def add(self, block: TagBlock) -> None:
        def take(analysis: Analysis) -> None:
            begun = time.perf_counter()
            analysis.add(block)
            self._seconds[id(analysis)] = time.perf_counter() - begun

        self._each(take)

    def finish(self) -> None:
        try:
            self._each(lambda analysis: analysis.finish())
        finally:
            if self._pool is not None:
                self._pool.shutdown()

    def run(self, blocks: Iterable[TagBlock]) -> None:
        """Feed a whole stream, to its end."""
        for block in blocks:
            self.add(block)
        self.finish()

    def _each(self, act: Callable[[Analysis], None]) -> None:
        if self._pool is None:
            for analysis in self._analyses:
                act(analysis)
            return
        longest_first = sorted(self._analyses, key=lambda analysis: -self._seconds[id(analysis)])
        futures = [self._pool.submit(act, analysis) for analysis in longest_first]
        wait(futures)
        for future in futures:
            future.result()
