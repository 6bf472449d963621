"""What every analysis counts, by brute force: from the definitions, over all combinations, without cuts.

Slow on purpose, in plain Python over lists of (time, channel). Nothing is shared with the analyses.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import combinations, product

from tests.timetags.analyses.streams import Tags

Delays = Mapping[int, int]
Gate = tuple[int, int] | None
# (channel, full width, centre, shift)
Windowed = tuple[int, int, int, int]


def within(gate: Gate, time) -> bool:
    return gate is None or gate[0] <= time < gate[1]


def clicks_about(tags: Tags, delays: Delays, instant, windowed: Windowed) -> list[int]:
    """The clicks of a channel in its window about an instant."""
    channel, width, centre, shift = windowed
    half = Fraction(width, 2)
    return [
        t for t, c in tags if c == channel and -half <= t + delays.get(c, 0) + shift - instant - centre < half
    ]


def combinations_about(tags: Tags, delays: Delays, instant, pattern: Sequence[Windowed]) -> int:
    """How many ways there are to choose one click of each channel."""
    return len(list(product(*(clicks_about(tags, delays, instant, windowed) for windowed in pattern))))


def references(tags: Tags, delays: Delays, channel: int, gate: Gate = None) -> list[int]:
    """The delayed times of a channel, within a gate."""
    times = [t + delays.get(channel, 0) for t, c in tags if c == channel]
    return [t for t in times if within(gate, t)]


def coincidences(
    tags: Tags, delays: Delays, pattern: Sequence[int], widths: Mapping[int, int], gate: Gate = None
) -> int:
    partners = [(channel, widths[channel], 0, 0) for channel in pattern[1:]]
    return sum(
        combinations_about(tags, delays, instant, partners)
        for instant in references(tags, delays, pattern[0], gate)
    )


def pairs(tags: Tags, delays: Delays, first: int, second: int) -> list[tuple[int, Fraction]]:
    """All pairs of clicks of two channels, as t1 - t2 and (t1 + t2)/2 of delayed times."""
    return [
        (t1 - t2, Fraction(t1 + t2, 2))
        for t1, t2 in product(references(tags, delays, first), references(tags, delays, second))
    ]


NAMES = ("cH", "cV", "dH", "dV")
# `physics.md` 5: "Psi- = cH&dV, cV&dH; Psi+ = cH&cV, dH&dV".
KEPT = {("cH", "dV"): "Psi-", ("cV", "dH"): "Psi-", ("cH", "cV"): "Psi+", ("dH", "dV"): "Psi+"}


def heralds(tags: Tags, delays: Delays, hub: Sequence[int], window: int) -> list[tuple[str, str, Fraction]]:
    """All heralds as (Bell state, pattern, time). t1 is the click of the detector named first."""
    half = Fraction(window, 2)
    return [
        (KEPT[one, other], f"{one}&{other}", middle)
        for one, other in combinations(NAMES, 2)
        if (one, other) in KEPT
        for difference, middle in pairs(tags, delays, hub[NAMES.index(one)], hub[NAMES.index(other)])
        if -half <= difference < half
    ]


Bins = tuple[int, int, int]
"""Width, start of the first, and number."""


def histograms(tags: Tags, delays: Delays, bins: Bins) -> dict[tuple[int, int], list[int]]:
    """Pairs of different tags by channel of the first and of the second, and by t_second - t_first."""
    width, start, number = bins
    counts: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0] * number)
    for (i, (t1, c1)), (j, (t2, c2)) in product(enumerate(tags), repeat=2):
        difference = t2 + delays.get(c2, 0) - t1 - delays.get(c1, 0)
        if i != j and start <= difference < start + width * number:
            counts[c1, c2][(difference - start) // width] += 1
    return counts


def histogram(
    tags: Tags, delays: Delays, first: Sequence[int], second: Sequence[int], bins: Bins
) -> list[int]:
    """The sum of the histograms of any first with any second channel."""
    found = histograms(tags, delays, bins)
    return [sum(found[pair][k] for pair in product(first, second)) for k in range(bins[2])]
