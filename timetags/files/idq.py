"""Read the .bin files that ID Quantique's DataLinkTargetService saves from an ID900 or ID1000.

Source: idq_id900.md, "DataLink" (M): little-endian u64 ps since the start of the acquisition, of one input
per file; with --with-ref-index, each followed by a u64 reference index, which is left out here.

A recording is cut into sub-acquisitions, in each of which times begin anew. The file marks neither their ends
nor their starts in time. OUR READING, as in docs/decisions/0003: sub-acquisition k starts at k times
REC:PPER, so that given this period all of the file can be read. Without it, reading ends where times begin
anew. A sub-acquisition without any tag cannot be seen in a file: what follows it comes out one period early.
"""

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

WORD_BYTES: Final = 8

_STOP: Final = (
    "times begin anew: another sub-acquisition, and the period of these was not given, or is too long"
)

_ACQUISITION, _BEFORE, _LAST, _INVALID, _FIRST_INVALID, _LAST_INVALID, _STOPPED = range(7)
_NONE: Final = -1


def open_idq(
    path: Path, *, channel: int = 1, period_ps: int | None = None, has_reference_index: bool = False
) -> RecordFile:
    """The tags of a DataLink .bin file, all on `channel` (0 to 255): the file does not say of which input
    they are.

    `period_ps` is REC:PPER (ps), if the recording had several sub-acquisitions. ValueError for a channel or
    period out of range. Any content can be such a file.
    """
    if not 0 <= channel <= 255:
        raise ValueError(f"channel {channel} is outside 0..255")
    if period_ps is not None and not 0 < period_ps < LATEST_PS:
        raise ValueError(f"a period of {period_ps} ps is not above 0 or too long")
    size = path.stat().st_size
    words = 2 if has_reference_index else 1
    info = TagFileInfo(
        path=path,
        format="ID Quantique DataLink .bin" + " with reference index" * has_reference_index,
        size_bytes=size,
        channels={channel: f"input {channel}"},
        resolution_ps=1.0,
        records=size // (words * WORD_BYTES),
    )
    return RecordFile(info, partial(_IdqDecoder, words, channel, period_ps), start_ps=0)


def looks_like_idq(head: bytes) -> bool:
    """Whether nearly all of these first bytes are times in order, and none of them absurd."""
    times = np.frombuffer(head[: len(head) // WORD_BYTES * WORD_BYTES], "<u8")
    if len(times) == 0:
        return False
    # Times begin anew with each sub-acquisition.
    back = int(np.count_nonzero(times[1:] < times[:-1]))
    return bool(np.mean(times < LATEST_PS) > 0.9 and back <= 1 + len(times) // 10)


class _IdqDecoder:
    tags_per_record = 1

    def __init__(self, words: int, channel: int, period_ps: int | None) -> None:
        self.record_bytes = words * WORD_BYTES
        self._words, self._channel, self._period = words, channel, period_ps
        self._state = np.array([0, _NONE, _NONE, 0, 0, 0, 0], np.int64)

    def decode(
        self,
        raw: NDArray[np.uint8],
        is_last: bool,
        times: Times,
        channels: Channels,
        places: Places,
    ) -> Decoded:
        count = len(raw) // self.record_bytes
        words = raw[: count * self.record_bytes].view("<u8")[:: self._words]
        state = self._state
        state[_INVALID] = 0
        used, tags = _decode(np.ascontiguousarray(words), is_last, self._period or 0, state, times, places)
        channels[:tags] = self._channel
        faults = []
        if state[_INVALID]:
            begin, last = int(state[_FIRST_INVALID]), int(state[_LAST_INVALID])
            size = (last - begin + 1) * self.record_bytes
            reason = "times beyond the period, or beyond 2^62 ps"
            faults.append(Fault(begin * self.record_bytes, size, int(state[_INVALID]), reason))
        return Decoded(
            used * self.record_bytes,
            tags,
            reached_ps=int(state[_ACQUISITION]) * (self._period or 0),
            faults=faults,
            stop=_STOP if state[_STOPPED] else None,
        )


@kernel
def _decode(
    words: NDArray[np.uint64],
    is_last: bool,
    period: int,
    state: NDArray[np.int64],
    times: Times,
    places: Places,
) -> tuple[int, int]:
    """How many records were taken, if there is room all but the last unless that is the file's, and how many
    tags they gave. `period` is 0 if unknown; then it stops where times begin anew.

    A time earlier than the one before it is the start of a sub-acquisition, unless the one before it is too
    late (it is not earlier than the one before that) or it is itself too early (the next one goes on as
    before).
    """
    n = 0
    limit = period if period else LATEST_PS
    taken = len(words) if is_last else max(0, len(words) - 1)
    for k in range(taken):
        if n >= len(times):
            taken = k
            break
        if words[k] >= np.uint64(limit):
            if state[_INVALID] == 0:
                state[_FIRST_INVALID] = k
            state[_INVALID] += 1
            state[_LAST_INVALID] = k
            note_place(places, n, k + 1)
            continue
        time = np.int64(words[k])
        if time >= state[_LAST]:
            state[_BEFORE] = state[_LAST]
            state[_LAST] = time
        elif (state[_BEFORE] != _NONE or period == 0) and time >= state[_BEFORE]:
            state[_LAST] = time
        elif k + 1 == len(words) or words[k + 1] < np.uint64(state[_LAST]):
            if period == 0 or (state[_ACQUISITION] + 2) * period > LATEST_PS:
                state[_STOPPED] = 1
                taken = k
                break
            state[_ACQUISITION] += 1
            state[_BEFORE] = _NONE
            state[_LAST] = time
        times[n] = state[_ACQUISITION] * period + time
        n += 1
    return taken, n
