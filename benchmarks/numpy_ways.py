"""The same counts with numpy alone, as well as it can be done with sorted searches on whole arrays."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.work import (
    BIN_PS,
    BINS,
    BSM_WINDOW_PS,
    CHANNELS,
    DELAYS_PS,
    FIRST,
    HERALDS,
    HUB,
    RANGE_PS,
    SECOND,
    SPOKE_CENTRE_PS,
    SPOKE_WINDOW_PS,
    SPOKES,
    Array,
    Stream,
)


def correlation(stream: Stream) -> Array:
    """The histogram of one pair of channels."""
    return _histogram(_taken(stream, FIRST), _taken(stream, SECOND))


def all_pairs(stream: Stream) -> Array:
    """The histograms of all 28 pairs, each channel taken out once."""
    taken = [_taken(stream, channel) for channel in range(CHANNELS)]
    return np.stack(
        [_histogram(taken[a], taken[b]) for a in range(CHANNELS) for b in range(a + 1, CHANNELS)]
    )  # fmt: skip


def all_pairs_by_neighbours(stream: Stream) -> Array:
    """The same without searches: in the stream of delayed times, tags are compared with their next
    neighbours, those in reach with their second neighbours, and so on."""
    delays = np.array([DELAYS_PS[channel] for channel in range(CHANNELS)])
    times = stream.times + delays[stream.channels]
    order = np.argsort(times, kind="stable")
    times, channels = times[order], stream.channels[order].astype(np.intp)
    reach = max(-RANGE_PS[0], RANGE_PS[1] - 1)
    counts = np.zeros(CHANNELS * CHANNELS * BINS, np.int64)
    near, ahead = np.flatnonzero(np.diff(times) <= reach), 1
    while len(near):
        one, other = channels[near], channels[near + ahead]
        later = times[near + ahead] - times[near]
        place = np.where(one < other, later, -later) - RANGE_PS[0]
        row = np.where(one < other, CHANNELS * one + other, CHANNELS * other + one)
        kept = (one != other) & (place >= 0) & (place < BIN_PS * BINS)
        counts += np.bincount(row[kept] * BINS + place[kept] // BIN_PS, minlength=len(counts))
        ahead += 1
        near = near[: np.searchsorted(near, len(times) - ahead)]
        near = near[times[near + ahead] - times[near] <= reach]
    return counts.reshape(CHANNELS, CHANNELS, BINS)[np.triu_indices(CHANNELS, 1)]


def fourfolds(stream: Stream) -> tuple[Array, Array]:
    """Heralds by pattern, and four-folds by pattern and outcomes."""
    taken = [_taken(stream, channel) for channel in range(CHANNELS)]
    heralds, counts = np.zeros(4, np.int64), np.zeros((4, 2, 2), np.int64)
    for pattern, (one, other) in enumerate(HERALDS):
        first, second = taken[HUB[one]], taken[HUB[other]]
        # -w/2 <= first - second < w/2
        begin = np.searchsorted(second, first - (BSM_WINDOW_PS - 1) // 2)
        end = np.searchsorted(second, first + BSM_WINDOW_PS // 2, "right")
        which, partners = _expanded(begin, end)
        sums = first[which] + second[partners]
        heralds[pattern] = len(sums)
        clicks = [[_clicks(taken[channel], sums) for channel in spoke] for spoke in SPOKES]
        for a in range(2):
            for b in range(2):
                counts[pattern, a, b] = np.sum(clicks[0][a] * clicks[1][b])
    return heralds, counts


def _clicks(spoke: Array, sums: Array) -> NDArray[np.intp]:
    """How many clicks s of a spoke have -w/2 <= s - sum/2 - centre < w/2."""
    twice = sums + 2 * SPOKE_CENTRE_PS
    begin, end = -((SPOKE_WINDOW_PS - twice) // 2), -((-SPOKE_WINDOW_PS - twice) // 2)
    clicks: NDArray[np.intp] = np.searchsorted(spoke, end) - np.searchsorted(spoke, begin)
    return clicks


def _taken(stream: Stream, channel: int) -> Array:
    taken: Array = stream.times[stream.channels == channel] + DELAYS_PS[channel]
    return taken


def _histogram(first: Array, second: Array) -> Array:
    begin = np.searchsorted(second, first + RANGE_PS[0])
    end = np.searchsorted(second, first + RANGE_PS[1])
    which, partners = _expanded(begin, end)
    counts: Array = np.bincount((second[partners] - first[which] - RANGE_PS[0]) // BIN_PS, minlength=BINS)
    return counts


def _expanded(begin: NDArray[np.intp], end: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """All pairs of k and of a place in begin[k]..end[k]."""
    numbers = end - begin
    which = np.repeat(np.arange(len(numbers)), numbers)
    return which, np.arange(len(which)) + np.repeat(begin - np.cumsum(numbers) + numbers, numbers)
