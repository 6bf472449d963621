"""Read a file of records as blocks of tags: big reads, a decoder for the format, and the order of time.

The decoder turns bytes into tags in the order of the file; here they become sorted blocks, and what is wrong
becomes `damage`. A block is given out only up to a time before which nothing can come any more: the format's
tolerance behind the latest tag, and some tags more, so that a wrong time at a block's end can still be told
from the right ones that follow.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from timetags.block import Channels, TagBlock, Times
from timetags.files.decoder import Decoded, Decoder
from timetags.files.order import Numbers, is_sorted, put_in_order
from timetags.files.places import Places, begin_places, notes_in_bytes, offsets_of
from timetags.files.tag_file import Damage, TagFile, TagFileInfo

Offsets = NDArray[np.int64]

BLOCK_TAGS = 1 << 20
READ_BYTES = 1 << 20
"""Read at a time: stays in a core's cache until it is decoded."""
DECODE_TAGS = READ_BYTES // 4
"""Decoded at a time, at most."""
READS = 64
"""Read at most so often for a block: in a file of hardly anything but overflows, blocks must still end."""
_ROUND = BLOCK_TAGS // 16

LOOKAHEAD = 1024
"""Tags held back at a block's end. Chance makes an ordered row of some 45 among the 512 records of a disk
sector full of garbage, so that a longer row comes from something else."""
MOST_HELD = 1 << 22
"""So many tags are held back at most; then the earliest of them are given out, whatever the tolerance."""


class RecordFile(TagFile):
    """A file whose records a decoder reads, from byte `begin` to before byte `end`.

    `start_ps` is where time begins, or None if it begins with the first tag. Times may be behind a later one
    by `tolerance_ps`. `known` is damage that was noticed on opening.
    """

    def __init__(
        self,
        info: TagFileInfo,
        new_decoder: Callable[[], Decoder],
        *,
        begin: int = 0,
        end: int | None = None,
        start_ps: int | None = None,
        tolerance_ps: int = 0,
        known: Sequence[Damage] = (),
    ) -> None:
        super().__init__(info)
        self._new_decoder = new_decoder
        self._begin, self._end = begin, info.size_bytes if end is None else end
        self._start, self._tolerance = start_ps, tolerance_ps
        self._known = tuple(known)
        self.damage = list(known)

    def __iter__(self) -> Iterator[TagBlock]:
        self.position, self.damage, self.reordered = self._begin, list(self._known), 0
        floor = self._start
        held = _Tags(np.empty(0, np.int64), np.empty(0, np.uint8), np.empty(0, np.int64))
        with self.info.path.open("rb", buffering=0) as file:
            reading = _Reading(file.fileno(), self._new_decoder(), self._begin, self._end, self.damage)
            while not reading.is_done:
                tags = self._in_order(reading.next_tags(held), floor, reading.record_bytes)
                self.position = reading.at
                until = self._until(tags.times, reading)
                cut = 0
                if until is not None:
                    if floor is None:
                        floor = int(tags.times[0]) if len(tags.times) else until
                    if until > floor:
                        cut = int(np.searchsorted(tags.times, until))
                        times, channels = tags.times[:cut], tags.channels[:cut]
                        yield TagBlock(times, channels, floor, until, reading.take_lost())
                        floor = until
                held = tags.rest(cut)
        if lost := reading.take_lost():
            yield TagBlock(held.times, held.channels, floor or 0, floor or 0, lost)
        self.position = self.info.size_bytes

    def _in_order(self, tags: "_Tags", floor: int | None, record_bytes: int) -> "_Tags":
        if tags.is_sorted and (floor is None or len(tags.times) == 0 or tags.times[0] >= floor):
            return tags
        ordered = put_in_order(tags.times, tags.channels, self._tolerance, floor)
        self.reordered += ordered.reordered
        if len(ordered.dropped):
            places = np.unique(tags.offsets(ordered.dropped))
            first, last = int(places[0]), int(places[-1])
            reason = "the order of time is broken"
            self.damage.append(Damage(first, last - first + record_bytes, len(places), reason))
        return replace(
            tags, times=ordered.times, channels=ordered.channels, numbers=ordered.numbers, is_sorted=True
        )

    def _until(self, times: Times, reading: "_Reading") -> int | None:
        """The time up to which `times` can be given out; None if none can."""
        if reading.is_done:
            ends = [int(times[-1]) + 1] if len(times) else []
            ends += [] if reading.reached_ps is None else [reading.reached_ps]
            return max(ends, default=None)
        if len(times) <= LOOKAHEAD:
            return None
        behind = int(times[-1 - LOOKAHEAD])
        if len(times) > MOST_HELD:
            return max(behind, int(times[0]) + 1)
        return min(behind, max(int(times[-1]), reading.reached_ps or 0) - self._tolerance)


@dataclass(eq=False)
class _Tags:
    """Tags on their way, and where their records stand: `known` byte offsets of the first ones, `notes` of
    the others, which are turned into offsets if needed."""

    times: Times
    channels: Channels
    known: Offsets
    notes: Sequence[Places] = ()
    record_bytes: int = 1
    is_sorted: bool = True
    numbers: Numbers | None = None
    """The numbers of the tags in the order of the file, which `known` and `notes` go by, if it is another."""

    def offsets(self, numbers: NDArray[np.integer]) -> Offsets:
        """The byte offsets of the records of the tags with these numbers."""
        offsets = np.empty(len(numbers), np.int64)
        is_known = numbers < len(self.known)
        offsets[is_known] = self.known[numbers[is_known]]
        offsets[~is_known] = offsets_of(numbers[~is_known], self.notes, self.record_bytes)
        return offsets

    def rest(self, cut: int) -> "_Tags":
        """A copy of the tags from place `cut` on."""
        numbers = np.arange(cut, len(self.times)) if self.numbers is None else self.numbers[cut:]
        return _Tags(self.times[cut:].copy(), self.channels[cut:].copy(), self.offsets(numbers))


class _Reading:
    """One pass over the records: what comes next, and what has been noticed."""

    def __init__(self, file: int, decoder: Decoder, begin: int, end: int, damage: list[Damage]) -> None:
        self._file, self._decoder, self._damage = file, decoder, damage
        self.at, self._end = begin, end
        self.record_bytes = decoder.record_bytes
        self.reached_ps: int | None = None
        self._lost = 0
        self._raw = bytearray(READ_BYTES)
        self._places = np.empty((DECODE_TAGS + 4, 2), np.int64)

    @property
    def is_done(self) -> bool:
        return self.at >= self._end

    def take_lost(self) -> int:
        """How many tags the instrument dropped since this was last asked."""
        lost, self._lost = self._lost, 0
        return lost

    def next_tags(self, held: _Tags) -> _Tags:
        """At most BLOCK_TAGS new tags behind the held ones, in the order of the file."""
        n = len(held.times)
        most = ((self._end - self.at) // self.record_bytes + 1) * self._decoder.tags_per_record
        end = n + min(BLOCK_TAGS, most)
        times, channels = _allocate(end)
        times[:n], channels[:n] = held.times, held.channels
        notes, in_order = [], True
        for _ in range(READS):
            if self.is_done:
                break
            raw = self._read()
            is_last = self.at + len(raw) >= self._end
            until = min(end, n + DECODE_TAGS)
            begin_places(self._places)
            decoded = self._decoder.decode(raw, is_last, times[n:until], channels[n:until], self._places)
            in_order = in_order and is_sorted(times[max(n - 1, 0) : n + decoded.tags])
            notes.append(notes_in_bytes(self._places, n, self.at, self.record_bytes))
            n += decoded.tags
            self._note(decoded, is_last)
            if decoded.consumed == 0:
                break
        return _Tags(times[:n], channels[:n], held.known, notes, self.record_bytes, in_order)

    def _read(self) -> NDArray[np.uint8]:
        want, got = min(READ_BYTES, self._end - self.at), 0
        while got < want:
            count = os.preadv(self._file, [memoryview(self._raw)[got:want]], self.at + got)
            if count == 0:
                self._add(Damage(self.at + got, self._end - self.at - got, 0, "the file became shorter"))
                self._end = self.at + got
                break
            got += count
        return np.frombuffer(self._raw, np.uint8, got)

    def _note(self, decoded: Decoded, is_last: bool) -> None:
        """Go on behind what was decoded, and take note of what the decoder noticed."""
        self._lost += decoded.lost
        if decoded.reached_ps is not None:
            self.reached_ps = max(self.reached_ps or decoded.reached_ps, decoded.reached_ps)
        for fault in decoded.faults:
            self._add(Damage(self.at + fault.first, fault.size, fault.records, fault.reason))
        self.at += decoded.consumed
        left = self._end - self.at
        if decoded.stop is not None:
            self._add(Damage(self.at, left, 0, decoded.stop))
            self.at = self._end
        elif is_last and 0 < left < self.record_bytes:
            self._add(Damage(self.at, left, 0, "the file ends within a record"))
            self.at = self._end

    def _add(self, damage: Damage) -> None:
        """Add to the list, or to the last entry if that is close by and of the same reason."""
        last = self._damage[-1] if self._damage else None
        if last and last.reason == damage.reason and damage.offset - last.offset - last.size < READ_BYTES:
            size = damage.offset + damage.size - last.offset
            self._damage[-1] = Damage(last.offset, size, last.records + damage.records, last.reason)
        else:
            self._damage.append(damage)


def _allocate(size: int) -> tuple[Times, Channels]:
    # The allocator hands out arrays of one and the same length again, which spares clearing new pages for
    # each block: a third of the time that reading takes.
    if size >= BLOCK_TAGS:
        size = -(-size // _ROUND) * _ROUND
    return np.empty(size, np.int64), np.empty(size, np.uint8)
