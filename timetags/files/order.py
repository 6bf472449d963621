"""Put the tags of a file in time order, whatever the file holds, and say which ones could not be.

A tag that stands behind a later one by no more than a format's tolerance is put in its place. One that
stands further behind breaks the order: either it or the tags before it are damaged. The largest number of
tags that are in order is kept (a longest non-decreasing subsequence), so that one wrong time far in the
future costs one tag, not all that follow.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timetags.block import Channels, Times
from timetags.jit import kernel

Numbers = NDArray[np.int32]

MOVES_PER_TAG = 8
"""Disorder that costs more moves than this on average is sorted by numpy."""


@dataclass(frozen=True, eq=False)
class Ordered:
    """Tags in time order, with the numbers that they had before, and the numbers of what was left out."""

    times: Times
    channels: Channels
    numbers: Numbers
    dropped: Numbers
    reordered: int
    """How many stood behind a later one within the tolerance."""


@kernel
def is_sorted(times: Times) -> bool:
    """Whether times never go backwards."""
    breaks = False
    for k in range(1, len(times)):
        breaks |= times[k] < times[k - 1]
    return not breaks


def put_in_order(times: Times, channels: Channels, tolerance_ps: int, floor_ps: int | None) -> Ordered:
    """Sort what is within `tolerance_ps`, and leave out what breaks the order or is before `floor_ps`.

    Tags of equal time keep their order. Next to a break, a tag that was within the tolerance may be left out
    too. The arrays that are given may be used up.
    """
    runs = np.empty(len(times), np.int32)
    last_run, reordered = _find_runs(times, tolerance_ps, runs)
    numbers = np.arange(len(times), dtype=np.int32)
    if reordered and (last_run or not _insert(times, channels, numbers, MOVES_PER_TAG * len(times))):
        order = np.lexsort((times, runs)) if last_run else np.argsort(times, kind="stable")
        times, channels, numbers = times[order], channels[order], numbers[order]
    if not last_run and (floor_ps is None or len(times) == 0 or times[0] >= floor_ps):
        return Ordered(times, channels, numbers, np.empty(0, np.int32), reordered)
    is_kept = np.ones(len(times), np.bool_) if floor_ps is None else times >= floor_ps
    if last_run:
        is_kept[is_kept] = _longest_ordered(times[is_kept])
    return Ordered(times[is_kept], channels[is_kept], numbers[is_kept], numbers[~is_kept], reordered)


@kernel
def _find_runs(times: Times, tolerance: int, runs: NDArray[np.int32]) -> tuple[int, int]:
    """Number the runs within which no time is more than `tolerance` behind the latest; the number of the
    last run, and how many times are behind the latest of their run."""
    run, behind = 0, 0
    latest = times[0] if len(times) else 0
    for k in range(len(times)):
        if times[k] < latest - tolerance:
            run += 1
            latest = times[k]
        elif times[k] < latest:
            behind += 1
        else:
            latest = times[k]
        runs[k] = run
    return run, behind


@kernel
def _insert(times: Times, channels: Channels, numbers: Numbers, most_moves: int) -> bool:
    """Sort in place by moving each tag that is early to where it belongs; False if it would take more moves,
    with some tags sorted. Either way tags of equal time keep their order."""
    moves = 0
    for k in range(1, len(times)):
        if times[k] < times[k - 1]:
            time, channel, number = times[k], channels[k], numbers[k]
            j = k
            while j > 0 and times[j - 1] > time:
                times[j], channels[j], numbers[j] = times[j - 1], channels[j - 1], numbers[j - 1]
                j -= 1
            times[j], channels[j], numbers[j] = time, channel, number
            moves += k - j
            if moves > most_moves:
                return False
    return True


@kernel
def _longest_ordered(times: Times) -> NDArray[np.bool_]:
    """Mark the tags of a longest non-decreasing subsequence, among several one that ends earliest."""
    size = len(times)
    # ends[m]: the index of the smallest time that ends an ordered subsequence of m + 1 tags.
    ends = np.empty(size, np.int32)
    before = np.empty(size, np.int32)
    length = 0
    for k in range(size):
        if length == 0 or times[k] >= times[ends[length - 1]]:
            place = length
            length += 1
        else:
            place, above = 0, length
            while place < above:
                middle = (place + above) // 2
                if times[ends[middle]] <= times[k]:
                    place = middle + 1
                else:
                    above = middle
        before[k] = ends[place - 1] if place else -1
        ends[place] = k
    is_kept = np.zeros(size, np.bool_)
    k = ends[length - 1] if length else -1
    while k >= 0:
        is_kept[k] = True
        k = before[k]
    return is_kept
