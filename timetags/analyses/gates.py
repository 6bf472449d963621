"""Gates: stretches of time, half-open, in which an analysis counts."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ALWAYS_PS = (-(2**61), 2**61)
"""The gate of an analysis without one: times that sums of two of which fit an int64."""


def gate_borders(gates_ps: Sequence[tuple[int, int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts and ends of gates (start, end), in order of time. ValueError if a gate ends before it starts,
    or two overlap."""
    gates = np.array(sorted(gates_ps), np.int64).reshape(-1, 2)
    borders = gates.ravel()
    if np.any(borders[1:] < borders[:-1]):
        raise ValueError("a gate ends before it starts, or overlaps another")
    return gates[:, 0], gates[:, 1]
