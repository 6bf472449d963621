"""One recording of a PicoQuant tagger, from its first record until its last block has been taken.

The records are those of PTU files, and are decoded by what reads such files. Sync and markers are left out.
"""

import asyncio
from contextlib import suppress
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from drivers.errors import InstrumentError
from drivers.time_taggers.block_cutter import BlockCutter
from drivers.time_taggers.picoquant_library import COUNTS_DROPPED, FIFO_FULL, HarpLibrary

Records = NDArray[np.uint32]


class HarpRecording:
    """A recording of `inputs`, in records of a TTResultFormat_TTTRRecType whose unit is `resolution_ps`."""

    def __init__(self, inputs: tuple[int, ...], record_type: int, resolution_ps: float) -> None:
        from timetags.files.ptu import RECORD_TYPES, PtuDecoder

        self.cutter = BlockCutter()
        self.is_told_to_stop = self.has_stopped = False
        """Whether a stop is under way, and whether the library has confirmed it."""
        self.has_ended = False
        """Whether the device says that it is over."""
        self.flags = 0
        """As last seen; a buffer that was full stays so."""
        self.failure: InstrumentError | None = None
        self._lost = 0
        self._inputs = inputs
        # The resolution as the decimal number that it stands for, so that times add up exactly.
        unit = Fraction(repr(resolution_ps))
        self._decoder = PtuDecoder(RECORD_TYPES[record_type], unit, step=Fraction(0))
        self._ended = asyncio.Event()

    def end(self) -> None:
        self.has_stopped = True
        self._ended.set()

    def fail(self, failure: InstrumentError) -> None:
        self.failure = failure
        self.end()

    async def pause(self, seconds: float) -> None:
        """Let records gather, or the recording end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()

    def fetch(self, library: HarpLibrary, index: int) -> Records:
        """The records that have come since the last time, in the library's thread."""
        # In this order: what is in the device when it has ended, or was full, is all.
        flags = library.flags(index)
        self.has_ended = library.has_ended(index)
        self._lost += bool(flags & ~self.flags & (COUNTS_DROPPED | FIFO_FULL))
        self.flags = flags | self.flags & FIFO_FULL
        return library.read(index).copy()

    def take(self, records: Records) -> None:
        """Take these records. ValueError for records that cannot be."""
        from timetags.files.places import begin_places

        raw = records.view(np.uint8)
        while len(raw):
            room = len(raw) // self._decoder.record_bytes + self._decoder.tags_per_record
            times, channels = np.empty(room, np.int64), np.empty(room, np.uint8)
            places = np.empty((room + 4, 2), np.int64)
            begin_places(places)
            decoded = self._decoder.decode(raw, False, times, channels, places)
            if decoded.faults or decoded.stop:
                raise ValueError(decoded.stop or decoded.faults[0].reason)
            is_wanted = np.isin(channels[: decoded.tags], self._inputs)
            times, channels = times[: decoded.tags][is_wanted], channels[: decoded.tags][is_wanted]
            self.cutter.put(times, channels, decoded.reached_ps or 0)
            raw = raw[decoded.consumed :]
        lost, self._lost = self._lost, 0
        self.cutter.put(np.empty(0, np.int64), np.empty(0, np.uint8), 0, lost)
