"""One recording of a TDC1, from its first word until its last block has been taken.

Words come in the event loop as fast as the TDC1 sends them, blocks go out as fast as the consumer takes them.
Memory is bounded: what waits for the consumer is no more than `READ_AHEAD_BYTES` and what is read at once
from the line; then the line is held, the operating system's buffer fills, and the TDC1 has to wait. What it
does then the notes do not say. It has no way to tell of tags that it lost for that, so that they cannot be
counted; nor does it lose any, as long as the consumer keeps up on average.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from drivers.errors import InstrumentError
from drivers.time_taggers.block_cutter import BlockCutter
from drivers.time_taggers.tdc1_stream import WordReader
from timetags.block import TagBlock

READ_AHEAD_BYTES = 1 << 24
"""Four million words: about a second at the greatest rate."""
READ_BYTES = 1 << 20
"""Read at a time: what stays in a core's cache is read four times as fast."""


class Tdc1Recording:
    """A recording of `inputs`. `hold` stops and restarts the reading of the line. `why_broken` says why
    nothing can come any more, if so, and is asked every `patience_s` seconds in which nothing came."""

    def __init__(
        self,
        inputs: Sequence[int],
        hold: Callable[[bool], None],
        why_broken: Callable[[], InstrumentError | None],
        patience_s: float,
    ) -> None:
        self.inputs = tuple(inputs)
        self.is_over = False
        """Whether no more words will come."""
        self._hold, self._why_broken, self._patience_s = hold, why_broken, patience_s
        self._reader, self._cutter = WordReader(inputs), BlockCutter()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._may_hold = True
        self._failure: InstrumentError | None = None
        self._news = asyncio.Event()

    def feed(self, data: bytes) -> None:
        """Take the next words."""
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._may_hold and self._waiting_bytes >= READ_AHEAD_BYTES:
            self._hold(True)
        self._news.set()

    def expect_end(self) -> None:
        """The TDC1 is told to stop: what it still says is not held back, since its end is waited for."""
        self._may_hold = False
        self._hold(False)

    def end(self) -> None:
        """There are no more words than those that have come."""
        self.is_over = True
        self._news.set()

    def fail(self, failure: InstrumentError) -> None:
        """No more words can come, and some may be missing."""
        self._failure = self._failure or failure
        self.end()

    def rate_hz(self, input_: int) -> float:
        """Clicks per second on one input in the last second that was taken; 0.0 before."""
        return self._cutter.rate_hz(input_)

    async def next_block(self) -> TagBlock | None:
        """The next block, None after the last. Raises what has gone wrong, after the whole blocks before."""
        while True:
            if (block := self._cutter.next_block()) is not None:
                return block
            if self._waiting:
                await self._digest()
            elif self._failure is not None:
                raise self._failure
            elif self.is_over:
                return self._cutter.last_block()
            else:
                await self._wait()

    async def _digest(self) -> None:
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        self._hold(False)
        await asyncio.to_thread(self._read, data)

    def _read(self, data: bytes) -> None:
        for begin in range(0, len(data), READ_BYTES):
            times, channels = self._reader.read(data[begin : begin + READ_BYTES])
            self._cutter.put(times, channels, self._reader.reached_ps)

    async def _wait(self) -> None:
        self._news.clear()
        try:
            async with asyncio.timeout(self._patience_s):
                await self._news.wait()
        except TimeoutError:
            if (failure := self._why_broken()) is not None:
                self.fail(failure)
