"""Puts the messages of several tag streams, one per input, together into sub-acquisitions.

An ID900 sends the tags of each input as messages of any size, little-endian u64 picoseconds since the start
of the sub-acquisition, and an empty message where a sub-acquisition ends (idq_id900.md, DataLink; M). The
streams are read side by side by a task each. Nothing here copies tags or touches a single one: a message
stays where the network put it until its sub-acquisition is merged, in a worker thread.

Memory is bounded: no stream is read further ahead than a fixed number of sub-acquisitions beyond
those that have been taken, so that a slow consumer holds the sender back.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from drivers.errors import LineError
from timetags.block import Channels, Times

TAG_BYTES = 8


class Source(Protocol):
    """Where the messages of one input come from."""

    async def receive(self) -> memoryview:
        """The next message."""

    async def until_lost(self) -> LineError:
        """Return, with the error to raise, when no more can come."""


@dataclass
class InputStream:
    """What has come of one input, cut where its sub-acquisitions end."""

    period_ps: int
    ended: deque[list[Times]] = field(default_factory=deque)
    current: list[Times] = field(default_factory=list)
    ends: int = 0
    tags: int = 0

    def feed(self, message: memoryview) -> bool:
        """Take one message; True when it ends a sub-acquisition. ValueError when it cannot be right."""
        if len(message) == 0:
            self.ended.append(self.current)
            self.current = []
            self.ends += 1
            return True
        if len(message) % TAG_BYTES:
            raise ValueError(f"a message of {len(message)} bytes, which is no whole number of tags")
        times = np.frombuffer(message, "<i8")
        if not 0 <= times[-1] < self.period_ps:
            # Tags are sorted, so the last one speaks for all.
            raise ValueError(
                f"a tag at {times[-1]} ps in a sub-acquisition of {self.period_ps} ps, so its times do not "
                "count from the start of the sub-acquisition as this driver assumes"
            )
        self.current.append(times)
        self.tags += len(times)
        return False


class SubAcquisitions:
    """The sub-acquisitions of a recording, number 0 first, as they come in on all inputs."""

    def __init__(self, inputs: Iterable[int], period_ps: int, read_ahead: int) -> None:
        self._read_ahead = read_ahead
        self.streams = {input_: InputStream(period_ps) for input_ in inputs}
        self.taken = 0
        """How many sub-acquisitions the consumer is done with; also the number of the next one."""
        self.messages = 0
        self.failure: Exception | None = None
        """Why no more can come, apart from what is here already."""
        self._changed, self._room = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, sources: Mapping[int, Source]) -> None:
        """Begin to read from one source for each input."""
        for input_, source in sources.items():
            self._tasks.append(asyncio.create_task(self._read(input_, source)))
            self._tasks.append(asyncio.create_task(self._watch(source)))

    async def close(self, reason: Exception) -> None:
        """End the reading; `reason` is the failure for a consumer that still waits."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self._fail(reason)

    @property
    def most_ends(self) -> int:
        """How many sub-acquisitions have ended on at least one input."""
        return max(stream.ends for stream in self.streams.values())

    @property
    def has_next(self) -> bool:
        """Whether the next sub-acquisition has ended on every input."""
        return all(stream.ends > self.taken for stream in self.streams.values())

    @property
    def goes_beyond_next(self) -> bool:
        """Whether something has come of the sub-acquisition after the next one."""
        return any(
            stream.ends > self.taken + 1 or (stream.ends == self.taken + 1 and stream.current)
            for stream in self.streams.values()
        )

    @property
    def is_level(self) -> bool:
        """Whether all inputs stand between the same two sub-acquisitions."""
        streams = self.streams.values()
        return len({stream.ends for stream in streams}) == 1 and not any(s.current for s in streams)

    async def changed(self, timeout: float) -> bool:
        """Wait until a sub-acquisition has ended on an input, reading has failed, or `wake()`; False when
        nothing of that came about within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    def wake(self) -> None:
        """End a wait in `changed`."""
        self._changed.set()

    async def merge_next(self, start_ps: int) -> tuple[Times, Channels]:
        """The tags of the next sub-acquisition, sorted, `start_ps` added; `advance` is then due."""
        pieces = [stream.ended[0] for stream in self.streams.values()]
        return await asyncio.to_thread(merge, pieces, tuple(self.streams), start_ps)

    def advance(self) -> None:
        """Be done with the next sub-acquisition, which makes room for another."""
        for stream in self.streams.values():
            stream.ended.popleft()
        self.taken += 1
        self._room.set()

    async def _read(self, input_: int, source: Source) -> None:
        stream = self.streams[input_]
        try:
            while True:
                while stream.ends >= self.taken + self._read_ahead:
                    self._room.clear()
                    await self._room.wait()
                has_ended = stream.feed(await source.receive())
                self.messages += 1
                if has_ended:
                    self.wake()
        except Exception as error:
            self._fail(error)

    async def _watch(self, source: Source) -> None:
        self._fail(await source.until_lost())

    def _fail(self, error: Exception) -> None:
        if self.failure is None:
            self.failure = error
        self.wake()


def merge(pieces: Sequence[Sequence[Times]], inputs: Sequence[int], start_ps: int) -> tuple[Times, Channels]:
    """Merge the messages of each input into one sorted stream, `start_ps` added to every time."""
    from timetags.merge import merge_channels

    arrays = []
    for messages in pieces:
        times = np.concatenate(messages) if messages else np.empty(0, np.int64)
        times += start_ps
        arrays.append(times)
    return merge_channels(arrays, inputs)
