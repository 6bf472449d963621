"""Merge sorted tags into one stream, in time order.

A tree of pairwise merges, each run from both ends at once and without a branch that depends on the
data (`timetags.md`, "Which algorithms": a heap is three times slower). Tags of equal time keep the order
of the arguments, and within one argument their own order, so the result is unique. Nothing is
checked per tag: an unsorted input gives an unsorted output.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from timetags.block import Channels, Times
from timetags.jit import inline_kernel, kernel


def merge_channels(arrays: Sequence[NDArray[np.int64]], channels: Sequence[int]) -> tuple[Times, Channels]:
    """Merge sorted arrays of times (int64 ps), one per channel, into one stream.

    `channels[k]` (0 to 255) is the channel number of all tags in `arrays[k]`; a number may occur twice.
    Tags of equal time come out in the order of the arguments. ValueError if the numbers of arrays and
    channels differ or a channel does not fit a uint8.
    """
    if len(arrays) != len(channels):
        raise ValueError(f"{len(arrays)} arrays of times but {len(channels)} channel numbers")
    streams = [
        (times, np.full(len(times), _checked(channel), np.uint8))
        for times, channel in zip(arrays, channels, strict=True)
    ]
    return merge_streams(streams, [0] * len(streams))


def merge_streams(
    streams: Sequence[tuple[Times, Channels]], shifts_ps: Sequence[int]
) -> tuple[Times, Channels]:
    """Merge sorted streams into one, `shifts_ps[k]` added to every time of stream k.

    Channel numbers pass unchanged: streams of several taggers must be numbered apart before. Tags of
    equal (shifted) time come out in the order of the arguments. The result never shares memory with
    an argument. ValueError if lengths differ.
    """
    if len(streams) != len(shifts_ps):
        raise ValueError(f"{len(streams)} streams but {len(shifts_ps)} shifts")
    for times, channels in streams:
        if len(times) != len(channels):
            raise ValueError(f"a stream of {len(times)} times has {len(channels)} channels")
    inputs = [
        (np.ascontiguousarray(times, np.int64), np.ascontiguousarray(channels, np.uint8), int(shift))
        for (times, channels), shift in zip(streams, shifts_ps, strict=True)
    ]
    if not inputs:
        return np.empty(0, np.int64), np.empty(0, np.uint8)
    cuts = _cuts(inputs)
    # Row k of `sizes` is the segment k; its tags come from all inputs between two rows of `cuts`.
    sizes = np.diff(cuts, axis=0).sum(axis=1)
    ends = np.cumsum(sizes)
    merged = _allocate(int(ends[-1]))
    scratch = _allocate(int(sizes.max())), _allocate(int(sizes.max()))
    for row, (size, end) in enumerate(zip(sizes.tolist(), ends.tolist(), strict=True)):
        begins, stops = cuts[row].tolist(), cuts[row + 1].tolist()
        pieces = [
            (times[begin:stop], channels[begin:stop], shift)
            for (times, channels, shift), begin, stop in zip(inputs, begins, stops, strict=True)
        ]
        _merge_tree(pieces, scratch, (merged[0][end - size : end], merged[1][end - size : end]))
    return merged


_Stream = tuple[Times, Channels]
_Shifted = tuple[Times, Channels, int]

# Tags merged at a time: two scratch streams of this many tags (9 bytes each) stay in a core's cache.
# Merging whole arrays level by level would take half as long again, in memory traffic and page faults.
_SEGMENT = 32_768


def _allocate(size: int) -> _Stream:
    return np.empty(size, np.int64), np.empty(size, np.uint8)


def _cuts(inputs: Sequence[_Shifted]) -> NDArray[np.int64]:
    """Where to cut the inputs (columns) into segments (between rows) of about `_SEGMENT` tags: always
    all of them at one instant, so that equal times stay in one segment."""
    lengths = [len(times) for times, _, _ in inputs]
    longest, _, longest_shift = inputs[int(np.argmax(lengths))]
    segments = max(1, -(-sum(lengths) // _SEGMENT))
    at = np.arange(1, segments, dtype=np.int64) * len(longest) // segments
    instants = longest[at] + longest_shift
    cuts = np.empty((segments + 1, len(inputs)), np.int64)
    cuts[0] = 0
    cuts[-1] = lengths
    for column, (times, _, shift) in enumerate(inputs):
        cuts[1:-1, column] = np.searchsorted(times, instants - shift)
    return cuts


def _merge_tree(pieces: list[_Shifted], scratch: tuple[_Stream, _Stream], result: _Stream) -> None:
    """Merge neighbours until one stream is left; the levels go to the scratch streams in turn."""
    if len(pieces) == 1:
        times, channels, shift = pieces[0]
        np.add(times, shift, out=result[0])
        result[1][:] = channels
        return
    while len(pieces) > 1:
        target = result if len(pieces) == 2 else scratch[0]
        scratch = scratch[1], scratch[0]
        level, end = [], 0
        for first, second in zip(pieces[0::2], pieces[1::2], strict=False):
            begin, end = end, end + len(first[0]) + len(second[0])
            times, channels = target[0][begin:end], target[1][begin:end]
            _merge_pair(*first, *second, times, channels)
            level.append((times, channels, 0))
        if len(pieces) % 2:
            # It may lie in the stream that the next level but one writes, but then behind all it writes.
            level.append(pieces[-1])
        pieces = level


def _checked(channel: int) -> int:
    if not 0 <= channel <= 255:
        raise ValueError(f"channel {channel} is outside 0..255")
    return channel


@inline_kernel
def _select(first: np.uint8, second: np.uint8, take_second: np.uint64) -> np.uint8:
    # A mask instead of a conditional, which the compiler would turn into a branch.
    return first ^ ((first ^ second) & np.uint8(-np.int64(take_second)))


@kernel
def _merge_pair(
    a_times: Times,
    a_channels: Channels,
    a_shift: int,
    b_times: Times,
    b_channels: Channels,
    b_shift: int,
    times: Times,
    channels: Channels,
) -> None:
    # Indices are unsigned because numba otherwise tests each for being negative, which halves the speed.
    one = np.uint64(1)
    i, j, out = np.uint64(0), np.uint64(0), np.uint64(0)
    i_end, j_end, out_end = np.uint64(len(a_times)), np.uint64(len(b_times)), np.uint64(len(times))
    # Each turn of the inner loop takes one tag from the front and one from the back. As long as both
    # inputs hold two tags per turn, no end can be reached, so no bound needs a test.
    while True:
        turns = min(i_end - i, j_end - j) >> one
        if turns == 0:
            break
        for _ in range(turns):
            a, b = a_times[i] + a_shift, b_times[j] + b_shift
            from_b = np.uint64(b < a)
            times[out] = min(a, b)
            channels[out] = _select(a_channels[i], b_channels[j], from_b)
            i += one - from_b
            j += from_b
            out += one
            i_last, j_last = i_end - one, j_end - one
            a, b = a_times[i_last] + a_shift, b_times[j_last] + b_shift
            from_a = np.uint64(b < a)
            out_end -= one
            times[out_end] = max(a, b)
            channels[out_end] = _select(b_channels[j_last], a_channels[i_last], from_a)
            i_end -= from_a
            j_end -= one - from_a
    while i < i_end and j < j_end:
        a, b = a_times[i] + a_shift, b_times[j] + b_shift
        if b < a:
            times[out], channels[out] = b, b_channels[j]
            j += one
        else:
            times[out], channels[out] = a, a_channels[i]
            i += one
        out += one
    while i < i_end:
        times[out], channels[out] = a_times[i] + a_shift, a_channels[i]
        i += one
        out += one
    while j < j_end:
        times[out], channels[out] = b_times[j] + b_shift, b_channels[j]
        j += one
        out += one
