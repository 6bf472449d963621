"""Read the event files of S-Fifteen's (and the Centre for Quantum Technologies') timestamp units: a1 and a2.

Source: sfifteen_tdc1.md, "TDC2". An event is 64 bits: time in units of 4 ps in bits 63 to 10, bit 4 a dummy
that only says how late it is, bits 3 to 0 the inputs that fired. An a1 file holds events as two little-endian
32-bit words, the low one first, or the high one in "legacy" files, which is recognised; an a2 file as lines
of 16 hexadecimal digits.

Channels in the blocks are the inputs 1 to 4 (bit 0 to 3); an event of several inputs gives a tag for each.
Times are as in the file, ps since an instant of the unit's own.
"""

from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from timetags.block import Channels, Times
from timetags.files.decoder import Decoded, Fault
from timetags.files.places import Places, note_place
from timetags.files.record_file import RecordFile
from timetags.files.tag_file import TagFileInfo
from timetags.jit import inline_kernel, kernel

UNIT_PS: Final = 4
INPUTS: Final = 4
DUMMY: Final = 0x10
EVENT_BYTES: Final = 8
DIGITS: Final = 16
LONGEST_LINE: Final = DIGITS + len("\r\n")

TOLERANCE_PS: Final = (1 << 26) * UNIT_PS
"""How far an event may stand behind a later one. The note says "slightly"; in the data of its source S3
(fpfind, tests/data) it is up to 99 us, less than the 134 us from dummy to dummy. Twice the latter is
INVENTED."""

_CHANNELS: Final = {k: f"input {k}" for k in range(1, INPUTS + 1)}

_REACHED, _BEFORE, _INVALID, _FIRST, _BEHIND = range(5)
_NEW_STATE: Final = (-1, -1, 0, 0, 0)
_LONGEST_GAP: Final = 10**12
"""Events that stand 1 s or more behind the one before them do not tell how far the unit has come: dummies are
sent every 134 us, so that such a time may be damaged (invented)."""


def open_a1(path: Path) -> RecordFile:
    """The tags of an a1 file, standard or legacy. Any content can be an a1 file."""
    with path.open("rb") as file:
        is_legacy = _is_legacy(file.read(1 << 16))
    size = path.stat().st_size
    info = TagFileInfo(
        path=path,
        format="S-Fifteen a1" + " (legacy order of words)" * is_legacy,
        size_bytes=size,
        channels=_CHANNELS,
        resolution_ps=UNIT_PS,
        records=size // EVENT_BYTES,
    )
    return RecordFile(info, partial(_A1Decoder, is_legacy), tolerance_ps=TOLERANCE_PS)


def open_a2(path: Path) -> RecordFile:
    """The tags of an a2 file. Lines that are no events are damage."""
    size = path.stat().st_size
    info = TagFileInfo(
        path=path, format="S-Fifteen a2", size_bytes=size, channels=_CHANNELS, resolution_ps=UNIT_PS
    )
    return RecordFile(info, _A2Decoder, tolerance_ps=TOLERANCE_PS)


def looks_like_a1(head: bytes) -> bool:
    """Whether most of these first bytes are events of one input, or dummies, nearly all about in order."""
    words = _words(head)
    is_legacy = _is_legacy(head)
    low = words[:, 1 if is_legacy else 0]
    is_single = np.bitwise_count(low[low & DUMMY == 0] & 0xF) == 1
    # Of any other numbers, a quarter would be.
    return len(words) > 0 and is_single.sum() >= 0.7 * len(is_single) and _steps_back(words, is_legacy) < 0.1


def looks_like_a2(head: bytes) -> bool:
    """Whether nearly all of the first lines are of 16 hexadecimal digits."""
    lines = head.split(b"\n", 200)[:200]
    # The last line may be cut short by the end of the head.
    return sum(_is_event_line(line) for line in lines) > 0.9 * (len(lines) - 1) and _is_event_line(
        max(lines, key=len)
    )


def _is_event_line(line: bytes) -> bool:
    digits = line.rstrip(b"\r")
    return len(digits) == DIGITS and all(digit in b"0123456789abcdefABCDEF" for digit in digits)


def _words(head: bytes) -> NDArray[np.uint32]:
    return np.frombuffer(head[: len(head) // EVENT_BYTES * EVENT_BYTES], "<u4").reshape(-1, 2)


def _steps_back(words: NDArray[np.uint32], is_legacy: bool) -> float:
    """Which part of the steps from event to event goes back in time, by more than the tolerance."""
    low, high = (words[:, 1], words[:, 0]) if is_legacy else (words[:, 0], words[:, 1])
    units = (high.astype(np.int64) << 22) | (low >> 10)
    return float(np.mean(np.diff(units) < -TOLERANCE_PS // UNIT_PS)) if len(units) > 1 else 0.0


def _is_legacy(head: bytes) -> bool:
    words = _words(head)
    return _steps_back(words, True) < _steps_back(words, False)


class _A1Decoder:
    record_bytes = EVENT_BYTES
    tags_per_record = INPUTS

    def __init__(self, is_legacy: bool) -> None:
        self._low = 1 if is_legacy else 0
        self._state = np.array(_NEW_STATE, np.int64)

    def decode(
        self,
        raw: NDArray[np.uint8],
        is_last: bool,  # noqa: ARG002 - records are of one length
        times: Times,
        channels: Channels,
        places: Places,
    ) -> Decoded:
        events = min(len(raw) // EVENT_BYTES, len(times) // INPUTS)
        words = raw[: events * EVENT_BYTES].view("<u4")
        tags = _decode_words(words, self._low, self._state, times, channels, places)
        return Decoded(events * EVENT_BYTES, tags, reached_ps=_reached(self._state))


class _A2Decoder:
    record_bytes = 1
    tags_per_record = INPUTS

    def __init__(self) -> None:
        self._state = np.array(_NEW_STATE, np.int64)

    def decode(
        self,
        raw: NDArray[np.uint8],
        is_last: bool,
        times: Times,
        channels: Channels,
        places: Places,
    ) -> Decoded:
        self._state[_INVALID] = 0
        used, tags = _decode_lines(raw, is_last, self._state, times, channels, places)
        _, _, invalid, first_invalid, behind = self._state.tolist()
        faults = []
        if invalid:
            size = behind - first_invalid
            faults.append(Fault(first_invalid, size, invalid, "lines that are not 16 hexadecimal digits"))
        return Decoded(used, tags, reached_ps=_reached(self._state), faults=faults)


def _reached(state: NDArray[np.int64]) -> int | None:
    return int(state[_REACHED]) if state[_REACHED] >= 0 else None


@inline_kernel
def _note_time(time: np.int64, state: NDArray[np.int64]) -> None:
    if time - state[_BEFORE] < _LONGEST_GAP:
        state[_REACHED] = max(state[_REACHED], time)
    state[_BEFORE] = time


@inline_kernel
def _put(
    low: np.int64, time: np.int64, place: int, n: int, times: Times, channels: Channels, places: Places
) -> int:
    """Put a tag for each input that fired, from place n on; the next free place."""
    if not low & DUMMY:
        for bit in range(INPUTS):
            if low >> bit & 1:
                times[n] = time
                channels[n] = bit + 1
                note_place(places, n, place)
                n += 1
    return n


@kernel
def _decode_words(
    words: NDArray[np.uint32],
    low_word: int,
    state: NDArray[np.int64],
    times: Times,
    channels: Channels,
    places: Places,
) -> int:
    """How many tags the events have, for which there must be room."""
    n = 0
    for event in range(len(words) // 2):
        low = np.int64(words[2 * event + low_word])
        high = np.int64(words[2 * event + 1 - low_word])
        time = (high << 22 | low >> 10) * UNIT_PS
        _note_time(time, state)
        n = _put(low, time, event, n, times, channels, places)
    return n


@kernel
def _decode_lines(
    raw: NDArray[np.uint8],
    is_last: bool,
    state: NDArray[np.int64],
    times: Times,
    channels: Channels,
    places: Places,
) -> tuple[int, int]:
    """How many bytes were taken, whole lines as long as there is room, and how many tags they have."""
    n, begin = 0, 0
    while begin < len(raw) and n + INPUTS <= len(times):
        high, low = np.int64(0), np.int64(0)
        digits, at = 0, begin
        is_event = True
        while at < len(raw) and raw[at] != 10:  # up to the line feed
            code = np.int64(raw[at])
            digit = np.int64(-1)
            if 48 <= code <= 57:
                digit = code - 48
            elif 97 <= code | 32 <= 102:
                digit = (code | 32) - 87
            if digit >= 0 and digits < 8:
                high = high << 4 | digit
            elif digit >= 0:
                low = (low << 4 | digit) & 0xFFFFFFFF
            elif code != 13:
                is_event = False
            digits += 1 if digit >= 0 else 0
            at += 1
        is_whole = at < len(raw) or is_last
        if not is_whole and at - begin <= LONGEST_LINE:
            break
        if digits == DIGITS and is_event:
            time = (high << 22 | low >> 10) * UNIT_PS
            _note_time(time, state)
            n = _put(low, time, begin, n, times, channels, places)
        elif at > begin:
            if state[_INVALID] == 0:
                state[_FIRST] = begin
            state[_INVALID] += 1
            state[_BEHIND] = at
        begin = min(at + 1, len(raw))
    return begin, n
