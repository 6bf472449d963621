"""What the tag benchmarks work on and what they count: a stream of eight channels, and three tasks on it.

Singles of 1 Mcps on each channel; among them, pairs between the first four channels (the hub: cH, cV, dH,
dV) and the last four (the spokes: A H, A V, B H, B V), and four-folds of a herald at the hub with both
spokes. Each channel comes with a delay of its own, which the analyses take out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timetags.block import Channels, TagBlock, Times

Array = NDArray[np.int64]

CHANNELS = 8
RATE_HZ = 1e6
SPREAD_PS = 200
HUB, SPOKES = (0, 1, 2, 3), ((4, 5), (6, 7))
DELAYS_PS = {0: 100, 1: 200, 2: -300, 3: 50, 4: -20_000, 5: -20_100, 6: -19_000, 7: -20_300}
PAIRED = 0.05
FOURFOLD = 0.005
HERALDS = ((0, 3), (1, 2), (0, 1), (2, 3))

FIRST, SECOND = 0, 4
BIN_PS, RANGE_PS = 100, (-100_000, 100_000)
BINS = (RANGE_PS[1] - RANGE_PS[0]) // BIN_PS
BSM_WINDOW_PS, SPOKE_WINDOW_PS, SPOKE_CENTRE_PS = 1_000, 2_000, 0


@dataclass(frozen=True)
class Stream:
    """All tags of a measurement, in memory."""

    times: Times
    channels: Channels

    def __len__(self) -> int:
        return len(self.times)

    @property
    def mtags(self) -> float:
        return len(self) * 1e-6

    @property
    def block(self) -> TagBlock:
        return TagBlock(self.times, self.channels, 0, int(self.times[-1]) + 1)


def draw(tags: int, seed: int = 1) -> Stream:
    """A stream of this many tags, made a second or less at a time."""
    random = np.random.default_rng(seed)
    piece = 8_000_000
    sizes = [piece] * (tags // piece) + [tags % piece] * (tags % piece > 0)
    times, channels, begin = [], [], 1_000_000
    for size in sizes:
        duration = round(size / (CHANNELS * RATE_HZ) * 1e12)
        piece_times, piece_channels = _draw_piece(random, size, duration)
        times.append(piece_times + begin)
        channels.append(piece_channels)
        begin += duration
    return Stream(np.concatenate(times), np.concatenate(channels))


def _draw_piece(random: np.random.Generator, tags: int, duration: int) -> tuple[Times, Channels]:
    # Events stay off the end of the piece by more than their tags can be moved, so pieces follow in order.
    margin = min(100_000, duration // 2)
    events: list[tuple[int, Array]] = []

    def clicks(channel: int, instants: Array) -> None:
        spread = np.rint(random.normal(0, SPREAD_PS, len(instants))).astype(np.int64)
        events.append((channel, instants + spread.clip(-margin // 4, margin // 4) - DELAYS_PS[channel]))

    def instants(number: float) -> Array:
        return random.integers(margin // 2, max(duration - margin // 2, margin // 2 + 1), int(number))

    for hub, spoke in zip(HUB, (4, 5, 6, 7), strict=True):
        pairs = instants(PAIRED * tags / CHANNELS)
        clicks(hub, pairs)
        clicks(spoke, pairs)
    for herald in HERALDS:
        for outcome in ((4, 6), (4, 7), (5, 6), (5, 7)):
            fourfolds = instants(FOURFOLD * tags / 64)
            for channel in (*herald, *outcome):
                clicks(channel, fourfolds)
    alone = tags - sum(len(times) for _, times in events)
    times = np.concatenate([times for _, times in events] + [random.integers(0, duration, alone)])
    channels = np.concatenate(
        [np.full(len(times), channel, np.uint8) for channel, times in events]
        + [random.integers(0, CHANNELS, alone, np.uint8)]
    )
    times = times.clip(0, duration - 1)
    order = np.argsort(times, kind="stable")
    return times[order], channels[order]
