"""How kernels are compiled: once, cached on disk, without holding the interpreter lock."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba
import numpy as np

from timetags.block import Channels, TagBlock, Times

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a hot loop over arrays. The result is cached beside the source, or in
    NUMBA_CACHE_DIR where that folder is read-only, and releases the interpreter lock."""
    compiled: Callable[P, R] = numba.njit(cache=True, nogil=True)(function)
    return compiled


def inline_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a small function that kernels call in their inner loops."""
    compiled: Callable[P, R] = numba.njit(inline="always")(function)
    return compiled


def arrays_for_kernels(block: TagBlock) -> tuple[Times, Channels]:
    """The times and channels of a block, copied only if they are not contiguous or not writable, as a mapped
    file is not: kernels would be compiled anew for such."""
    return np.require(block.times, np.int64, ["C", "W"]), np.require(block.channels, np.uint8, ["C", "W"])
