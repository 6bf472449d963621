"""How kernels are compiled: once, cached on disk, without holding the interpreter lock.

The cache is in NUMBA_CACHE_DIR, if that is set, else beside the sources; in the user's cache folder, if these
are read-only; and if that is too, each start compiles anew. Whoever has to wait for compilation is told so,
once, by a warning in the log, which stands on stderr unless a program says otherwise.
"""

import logging
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba
import numpy as np
from numba.core import event

from timetags.block import Channels, TagBlock, Times

P = ParamSpec("P")
R = TypeVar("R")

KERNELS: list[Any] = []
"""All kernels of the modules that have been imported, as numba's dispatchers."""


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a hot loop over arrays. The result is cached and releases the interpreter lock."""
    try:
        compiled: Callable[P, R] = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no folder for the cache can be written
        compiled = numba.njit(nogil=True)(function)
    KERNELS.append(compiled)
    return compiled


def inline_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a small function that kernels call in their inner loops."""
    compiled: Callable[P, R] = numba.njit(inline="always")(function)
    return compiled


def arrays_for_kernels(block: TagBlock) -> tuple[Times, Channels]:
    """The times and channels of a block, copied only if they are not contiguous or not writable, as a mapped
    file is not: kernels would be compiled anew for such."""
    return np.require(block.times, np.int64, ["C", "W"]), np.require(block.channels, np.uint8, ["C", "W"])


class _Announcement(event.Listener):
    """Says that a kernel of ours is being compiled, the first time; numba calls it for every function."""

    told = False

    def on_start(self, event: Any) -> None:
        if not self.told and event.data["dispatcher"] in KERNELS:
            self.told = True
            logging.getLogger("timetags").warning("compiling kernels (some seconds, once) ...")

    def on_end(self, event: Any) -> None:
        """What is over needs no words."""


cast(Any, event).register("numba:compile", _Announcement())
