"""Scratch memory: buffers that a component fills anew in every slice of time.

Fresh arrays of megabytes cost more in page faults than the arithmetic on them.
"""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Scratch:
    """Growing buffers by name. A buffer is valid until the same name is asked for again."""

    def __init__(self) -> None:
        self._buffers: dict[str, NDArray[Any]] = {}

    def __call__(self, name: str, n: int, dtype: DTypeLike = np.float64) -> NDArray[Any]:
        """An array of `n` items with undefined content."""
        buffer = self._buffers.get(name)
        if buffer is None or len(buffer) < n:
            buffer = self._buffers[name] = np.empty(n + n // 4 + 64, dtype=dtype)
        return buffer[:n]
