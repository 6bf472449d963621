"""Counting of coincidences in plain numpy, and benches watched for a while."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tests.sim_instruments.light_bench import LightBench, Tags, Times

Floats = NDArray[np.float64]
BATCH_S = 0.5
"""Tags of so much light are held at a time."""


def watched(bench: LightBench, seconds: float, seed: int, batch_s: float = BATCH_S) -> Iterator[Tags]:
    """So much light in batches, each of a light field of its own; tags of one do not reach into the next."""
    batches = max(1, round(seconds / batch_s))
    for k in range(batches):
        yield bench.watch(seconds / batches, seed=1000 * seed + k)


def differences(a: Times, b: Times, low: float, high: float) -> Times:
    """All b[j] - a[i] with low <= b[j] - a[i] < high; both sorted."""
    first, last = np.searchsorted(b, a + round(low)), np.searchsorted(b, a + round(high))
    n = last - first
    left = np.repeat(np.arange(len(a)), n)
    right = np.arange(len(left)) - np.repeat(np.cumsum(n) - n - first, n)
    return b[right] - a[left]


def bins(low: float, high: float, width: float) -> Floats:
    """Edges of bins for `histogram`. Tags are times rounded down, so a difference of n picoseconds stands, on
    average, for n - 1/2 to n + 1/2: edges lie between whole picoseconds."""
    return np.arange(low, high + width / 2, width) - 0.5


def histogram(a: Times, b: Times, edges: Floats) -> NDArray[np.int64]:
    """How many b[j] - a[i] fall into each of the `bins`."""
    found: NDArray[np.int64] = np.histogram(differences(a, b, edges[0] + 0.5, edges[-1] + 0.5), edges)[0]
    return found


def centres(edges: Floats) -> Floats:
    return (edges[1:] + edges[:-1]) / 2


def inside(times: Times, at: NDArray[np.int64] | Floats, low: float, high: float) -> NDArray[np.int64]:
    """For each `at`, how many times lie from `low` to `high` after it."""
    return np.searchsorted(times, at + high) - np.searchsorted(times, at + low)
