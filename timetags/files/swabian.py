"""Read the files that Swabian Instruments' Dump measurement writes: records of 16 bytes.

Source: swabian_timetagger.md: u8 type, u8 pad, u16 missed, i32 channel, i64 time in ps, little-endian. Their
.ttbin files are another, undisclosed format.

Channel n, 1 to 127, keeps its number in the blocks; -n, the falling edge at input n, becomes 128 + n. A
channel beyond (such as Swabian's virtual ones) needs a number in `channels`, or its tags are left out and
told as damage. Missed tags are in the blocks' `lost`; the tagger's reports of errors and overflows are told
as damage.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from timetags.block import Channels, Times
from timetags.files.decoder import LATEST_PS, Decoded, Fault
from timetags.files.places import Places, note_place
from timetags.files.record_file import RecordFile
from timetags.files.tag_file import TagFileInfo
from timetags.jit import kernel

RECORD_BYTES: Final = 16
RECORD: Final = np.dtype(
    [("type", "u1"), ("pad", "u1"), ("missed", "<u2"), ("channel", "<i4"), ("time", "<i8")]
)
TAG, ERROR, OVERFLOW_BEGIN, OVERFLOW_END, MISSED = range(5)

FALLING: Final = 128
"""Added to the number of an input for the channel of its falling edge."""
_HALF: Final = 1 << 15
_NONE: Final = -1

REASONS: Final = (
    "records of no known kind",
    "tags on channels that have no number from 0 to 255",
    "the time tagger reports errors of its clock or input",
    "the time tagger reports overflows, in which tags were lost",
)
_UNKNOWN_KIND, _NO_NUMBER, _REPORTS_ERROR, _REPORTS_OVERFLOW = range(len(REASONS))


def open_swabian(path: Path, channels: Mapping[int, int] | None = None) -> RecordFile:
    """The tags of a Dump file; `channels` maps channels of the file to numbers 0 to 255 beyond the usual
    ones.

    ValueError for a number that is not 0 to 255 or a channel beyond +-32767.
    """
    numbers = {n: n for n in range(1, FALLING)} | {-n: FALLING + n for n in range(1, FALLING)}
    numbers |= channels or {}
    table = np.full(2 * _HALF, _NONE, np.int16)
    for channel, number in numbers.items():
        if not (0 <= number <= 255 and -_HALF < channel < _HALF):
            raise ValueError(f"channel {channel} cannot become {number}: it must be 0 to 255")
        table[channel + _HALF] = number
    size = path.stat().st_size
    info = TagFileInfo(
        path=path,
        format="Swabian Dump",
        size_bytes=size,
        channels={number: _name(channel) for channel, number in numbers.items()},
        resolution_ps=1.0,
        records=size // RECORD_BYTES,
    )
    return RecordFile(info, partial(_SwabianDecoder, table))


def looks_like_swabian(head: bytes) -> bool:
    """Whether nearly all of these first bytes are such records, nearly all in order."""
    records = np.frombuffer(head[: len(head) // RECORD_BYTES * RECORD_BYTES], RECORD)
    if len(records) == 0:
        return False
    channel = np.abs(records["channel"].astype(np.int64))
    is_record = (records["type"] <= MISSED) & (records["pad"] == 0) & (channel < _HALF)
    is_back = np.diff(records["time"]) < 0
    return bool(is_record.mean() > 0.9 and (len(is_back) == 0 or is_back.mean() < 0.1))


def _name(channel: int) -> str:
    return f"input {channel}" if channel > 0 else f"input {-channel}, falling edge"


class _SwabianDecoder:
    record_bytes = RECORD_BYTES
    tags_per_record = 1

    def __init__(self, table: NDArray[np.int16]) -> None:
        self._table = table

    def decode(
        self,
        raw: NDArray[np.uint8],
        is_last: bool,  # noqa: ARG002 - records are of one length
        times: Times,
        channels: Channels,
        places: Places,
    ) -> Decoded:
        count = min(len(raw) // RECORD_BYTES, len(times))
        words = raw[: count * RECORD_BYTES].view("<i8")
        noted = np.zeros((len(REASONS), 3), np.int64)
        tags, lost = _decode(words, self._table, noted, times, channels, places)
        faults = [
            Fault(begin * RECORD_BYTES, (last - begin + 1) * RECORD_BYTES, number, reason)
            for (number, begin, last), reason in zip(noted.tolist(), REASONS, strict=True)
            if number
        ]
        return Decoded(count * RECORD_BYTES, tags, lost=lost, faults=faults)


@kernel
def _decode(
    words: NDArray[np.int64],
    table: NDArray[np.int16],
    noted: NDArray[np.int64],
    times: Times,
    channels: Channels,
    places: Places,
) -> tuple[int, int]:
    """How many tags there are, for which there must be room, and how many the tagger missed. `noted` has a
    row for each of REASONS: how many records, and the indices of the first and the last."""
    n, lost = 0, 0
    for k in range(len(words) // 2):
        head, time = words[2 * k], words[2 * k + 1]
        kind = head & 0xFF
        channel = head >> 32
        is_in_range = -_HALF <= channel < _HALF
        number = table[channel + _HALF] if is_in_range else np.int16(_NONE)
        reason = _NONE
        if kind == TAG and -LATEST_PS <= time <= LATEST_PS:
            if number == _NONE:
                reason = _NO_NUMBER
            else:
                times[n] = time
                channels[n] = number
                n += 1
        elif kind == MISSED:
            lost += head >> 16 & 0xFFFF
        elif kind == ERROR:
            reason = _REPORTS_ERROR
        elif OVERFLOW_BEGIN <= kind <= OVERFLOW_END:
            reason = _REPORTS_OVERFLOW
        else:
            reason = _UNKNOWN_KIND
        if kind != TAG or reason != _NONE:
            note_place(places, n, k + 1)
        if reason != _NONE:
            if noted[reason, 0] == 0:
                noted[reason, 1] = k
            noted[reason, 0] += 1
            noted[reason, 2] = k
    return n, lost
