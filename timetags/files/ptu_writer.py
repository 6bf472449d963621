"""Write a tag stream as a PicoQuant PTU file: T2, 32-bit records of the MultiHarp kind, 1 ps.

Source: picoquant_tttr.md. Records are on their way to the disk when `append` returns. The number of records
and what else is known only at the end stands in the header as 0 until `close`, so that after a crash every
reader that follows PicoQuant's rule reads to the end of the file.
"""

import os
import uuid
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from timetags.block import Channels, TagBlock, Times
from timetags.files.order import is_sorted
from timetags.files.ptu import ORIGIN_TAG
from timetags.files.ptu_header import HeaderTag, build, value_places
from timetags.files.ptu_records import HYDRA_T2_WRAP, MARKER_CHANNEL, MARKERS
from timetags.jit import kernel

MULTIHARP_T2: Final = 0x00010207
LOST_TAG: Final = "Bellbench_LostTags"
"""A header tag of ours, the sum of the blocks' `lost`; readers pass over names that they do not know."""
INPUTS: Final = MARKER_CHANNEL - 1
LAST_CHANNEL: Final = INPUTS + MARKERS

_MOST_PACKED: Final = 127
"""Overflows in one record. There is room for 2^25 - 1, but ptufile (2026.2.6) multiplies in 32 bits, and from
128 on its times are wrong."""


class PtuWriter:
    """Appends blocks to a new PTU file at `path`; one that is there is overwritten.

    Channels are those that `timetags.files.ptu` reads: 0 the sync, 1 to 64 inputs, 65 to 68 markers. Time 0
    of the file is `origin_ps` of the stream. An OSError (disk full) comes through unchanged; the file then
    holds what was appended before, and the block can be appended again.
    """

    def __init__(self, path: Path, *, origin_ps: int = 0, comment: str = "") -> None:
        self._origin = self._end = origin_ps
        self._base = self._records = self._lost = 0
        self._counts = np.zeros(LAST_CHANNEL + 1, np.int64)
        tags = _header_tags(origin_ps, comment)
        header = build(tags)
        self._places = value_places(tags)
        self._begin = len(header)
        self._file = path.open("wb", buffering=0)
        self._write(header, 0)

    def __enter__(self) -> "PtuWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, block: TagBlock) -> None:
        """Write the tags of the next block of the stream. ValueError if it starts before the end of the one
        before it or before the origin, its times are not sorted, or a channel has no place in a PTU file."""
        if block.start_ps < self._end or (len(block) and block.times[0] < self._end):
            raise ValueError(f"a block from {block.start_ps} ps follows one that ended at {self._end} ps")
        if not is_sorted(block.times):
            raise ValueError("the times of a block are not sorted")
        if len(block) and int(block.channels.max()) > LAST_CHANNEL:
            raise ValueError(
                f"channel {block.channels.max()} has no place in a PTU file: 0 is the sync, 1 to {INPUTS} "
                f"are inputs, and up to {LAST_CHANNEL} markers"
            )
        if len(block):
            span = int(block.times[-1]) - self._origin - self._base
            records = np.empty(2 * len(block) + 1 + span // (_MOST_PACKED * HYDRA_T2_WRAP), np.uint32)
            count, base = _encode(block.times, block.channels, self._origin, self._base, records)
            self._append_records(records[:count], int(base))
        self._counts += np.bincount(block.channels, minlength=len(self._counts))
        self._lost += block.lost
        self._end = max(self._end, block.end_ps)

    def flush(self) -> None:
        """Force what was appended to the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write how far time has come, complete the header, force all to the disk; nothing if that is
        done."""
        if self._file.closed:
            return
        try:
            # The stream went on after its last tag: overflows say how far.
            overflows = (self._end - self._origin - self._base) // HYDRA_T2_WRAP
            if overflows:
                full, rest = divmod(overflows, _MOST_PACKED)
                marks = np.array([_MOST_PACKED] * full + [rest] * (rest > 0), np.uint32)
                self._append_records(marks | np.uint32(0xFE000000), self._base + overflows * HYDRA_T2_WRAP)
            self.flush()
            self._complete_header()
            self.flush()
        finally:
            self._file.close()

    def _complete_header(self) -> None:
        milliseconds = round((self._end - self._origin) / 10**9)
        seconds = (self._end - self._origin) / 10**12
        inputs = self._counts[1 : INPUTS + 1]
        known = {
            ("TTResult_NumberOfRecords", -1): self._records,
            ("TTResult_StopAfter", -1): milliseconds,
            ("MeasDesc_AcquisitionTime", -1): milliseconds,
            ("TTResult_SyncRate", -1): round(self._counts[0] / seconds) if seconds else 0,
            ("HW_InpChannels", -1): int(np.flatnonzero(inputs).max(initial=0)) + 1,
            (LOST_TAG, -1): self._lost,
        }
        known |= {("HWInpChan_Enabled", k): int(inputs[k] > 0) for k in range(INPUTS)}
        for name, value in known.items():
            self._write(value.to_bytes(8, "little"), self._places[name])

    def _append_records(self, records: NDArray[np.uint32], base: int) -> None:
        end = self._begin + 4 * self._records
        try:
            self._write(records.astype("<u4", copy=False).tobytes(), end)
        except OSError:
            os.ftruncate(self._file.fileno(), end)
            raise
        self._records += len(records)
        self._base = base

    def _write(self, content: bytes, at: int) -> None:
        left = memoryview(content)
        while left:
            written = os.pwrite(self._file.fileno(), left, at)
            left, at = left[written:], at + written


def _header_tags(origin_ps: int, comment: str) -> Sequence[HeaderTag]:
    try:
        release = version("bellbench")
    except PackageNotFoundError:
        release = "unknown"  # timetags used by itself, from a checkout
    return (
        HeaderTag("File_GUID", "{" + str(uuid.uuid4()).upper() + "}"),
        HeaderTag("File_Comment", comment),
        HeaderTag("File_CreatingTime", datetime.now()),  # noqa: DTZ005 - PicoQuant's dates state no zone
        HeaderTag("Measurement_Mode", 2),
        HeaderTag("Measurement_SubMode", 0),
        HeaderTag("CreatorSW_Name", "bellbench"),
        HeaderTag("CreatorSW_Version", release),
        HeaderTag("HW_Type", "bellbench"),
        HeaderTag("HW_InpChannels", INPUTS),
        *(HeaderTag("HWInpChan_Enabled", True, k) for k in range(INPUTS)),
        HeaderTag("MeasDesc_AcquisitionTime", 0),
        HeaderTag("MeasDesc_Resolution", 1e-12),
        HeaderTag("MeasDesc_GlobalResolution", 1e-12),
        HeaderTag("TTResult_SyncRate", 0),
        HeaderTag("TTResult_StopAfter", 0),
        HeaderTag("TTResultFormat_TTTRRecType", MULTIHARP_T2),
        HeaderTag("TTResultFormat_BitsPerRecord", 32),
        HeaderTag(ORIGIN_TAG, origin_ps),
        HeaderTag(LOST_TAG, 0),
        HeaderTag("TTResult_NumberOfRecords", 0),
    )


@kernel
def _encode(
    times: Times, channels: Channels, origin: int, base: int, records: NDArray[np.uint32]
) -> tuple[int, int]:
    """Records of sorted tags, and overflows packed in as few as can be; how many there are, and the new
    base."""
    n = 0
    for k in range(len(times)):
        time = times[k] - origin - base
        while time >= HYDRA_T2_WRAP:
            overflows = min(time // HYDRA_T2_WRAP, _MOST_PACKED)
            records[n] = np.uint32(0xFE000000) | np.uint32(overflows)
            n += 1
            base += overflows * HYDRA_T2_WRAP
            time -= overflows * HYDRA_T2_WRAP
        channel = np.int64(channels[k])
        if channel == 0:
            head = np.int64(0x80000000)
        elif channel < MARKER_CHANNEL:
            head = (channel - 1) << 25
        else:
            head = np.int64(0x80000000) | 1 << (channel - MARKER_CHANNEL + 25)
        records[n] = np.uint32(head | time)
        n += 1
    return n, base
