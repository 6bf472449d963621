"""What comes over the line of a TDC1: lines of text and, while it records, words of four bytes.

Protocol: sfifteen_tdc1.md, TDC1 transport. A word is little-endian: time in units of 2 ns in bits 31 to 5, a
dummy that only says how late it is in bit 4, the inputs that fired in bits 3 to 0. The 27 bits of time wrap
every 0.268 s, and whenever time runs backwards it has wrapped once: the TDC1 sends a dummy in time.

How a stream ends the notes do not say. OUR READING: words stop at `ABORT`, so that the answer to a question
sent behind it follows the last word; what is searched for is therefore a whole line that is known.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from timetags.block import Channels, Times

WORD_BYTES = 4
UNIT_PS = 2000
TIME_SHIFT, TIME_BITS = 5, 27
DUMMY = 0x10
INPUTS = (1, 2, 3, 4)
LONGEST_LINE = 4096


@dataclass(frozen=True)
class Line:
    """A line of text, without its end."""

    text: str


@dataclass(frozen=True)
class Words:
    """Whole words of a stream."""

    data: bytes


class Tdc1Decoder:
    """Cuts received bytes into lines, without empty ones, or into words while a stream is on."""

    def __init__(self) -> None:
        self._pending = b""
        self._streams = False
        self._begin: re.Pattern[bytes] | None = None
        self._end: re.Pattern[bytes] | None = None
        self._end_bytes = 0

    def begin_stream(self, line: str) -> None:
        """What comes behind this line, the answer to a question, are words."""
        self._begin = re.compile(rb"(?:^|[\r\n])" + re.escape(line.encode("latin-1")) + rb"\r\n")

    def end_stream(self, line: str) -> None:
        """The stream ends before this line."""
        text = line.encode("latin-1")
        self._end, self._end_bytes = re.compile(re.escape(text) + rb"[\r\n]"), len(text)

    def feed(self, data: bytes) -> Sequence[Line | Words]:
        self._pending += data
        if not self._streams:
            return self._lines() if self._begin is None else self._until_stream(self._begin)
        if self._end is not None and (match := self._end.search(self._pending)):
            words = self._words(match.start())
            self._pending = self._pending[match.start() % WORD_BYTES :]
            self._streams, self._end = False, None
            return [*words, *self._lines()]
        return self._words(len(self._pending) - (self._end_bytes if self._end is not None else 0))

    def reset(self) -> None:
        """Forget a line that has begun; of a stream nothing is forgotten."""
        if not self._streams:
            self._pending = b""

    def _until_stream(self, begin: re.Pattern[bytes]) -> list[Line | Words]:
        match = begin.search(self._pending)
        end = match.end() if match else self._pending.rfind(b"\n") + 1
        rest, self._pending = self._pending[end:], self._pending[:end]
        lines = self._lines()
        if match is None:
            self._pending = rest[-LONGEST_LINE:]
            return lines
        self._pending, self._streams, self._begin = b"", True, None
        return [*lines, *self.feed(rest)]

    def _words(self, end: int) -> list[Line | Words]:
        end = max(0, end) // WORD_BYTES * WORD_BYTES
        words, self._pending = self._pending[:end], self._pending[end:]
        return [Words(words)] if words else []

    def _lines(self) -> list[Line | Words]:
        *whole, rest = re.split(rb"[\r\n]+", self._pending)
        self._pending = rest[-LONGEST_LINE:]
        texts = [line.decode("latin-1").strip() for line in whole]
        return [Line(text) for text in texts if text]


class WordReader:
    """Reads the words of one stream, in any number of pieces, into tags of `inputs`. Time zero is the start
    of the recording, where the TDC1's count of time begins anew (M: S1 takes the time of the last event of a
    recording for how long it was)."""

    def __init__(self, inputs: Sequence[int]) -> None:
        self._inputs = inputs
        self._unit = 0
        self.reached_ps = 0
        """Behind the latest word; later ones are not before it, but perhaps in the same unit of time."""

    def read(self, data: bytes) -> tuple[Times, Channels]:
        """The tags of some words, in the order of time; of several inputs in one word, a tag each. ValueError
        when a word says of no input that it fired: then bytes have been lost, and nothing is right."""
        from timetags.merge import merge_channels

        words = np.frombuffer(data, "<u4")
        patterns = words & np.uint32(2 * DUMMY - 1)
        if not patterns.all():
            raise ValueError("a word of no input, so bytes have been lost on the way")
        units = (words >> np.uint32(TIME_SHIFT)).astype(np.int64)
        wraps = np.cumsum(np.diff(units, prepend=self._unit % (1 << TIME_BITS)) < 0)
        units += (wraps + (self._unit >> TIME_BITS)) << TIME_BITS
        if len(units):
            self._unit = int(units[-1])
            self.reached_ps = self._unit * UNIT_PS
        times = units * UNIT_PS
        fired = [(patterns & np.uint32(DUMMY | 1 << (n - 1))) == 1 << (n - 1) for n in self._inputs]
        return merge_channels([times[mask] for mask in fired], self._inputs)
