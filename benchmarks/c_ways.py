"""The same analyses in plain C, built with gcc -O3 for this machine when they are first asked for."""

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.work import (
    BIN_PS,
    BINS,
    BSM_WINDOW_PS,
    CHANNELS,
    DELAYS_PS,
    FIRST,
    HUB,
    RANGE_PS,
    SECOND,
    SPOKE_CENTRE_PS,
    SPOKE_WINDOW_PS,
    SPOKES,
    Array,
    Stream,
)

_SOURCE = Path(__file__).parent / "c/tags.c"
_DELAYS = np.array([DELAYS_PS[channel] for channel in range(CHANNELS)])


class PlainC:
    """The library, built into `folder`. FileNotFoundError if there is no gcc."""

    def __init__(self, folder: Path) -> None:
        gcc = shutil.which("gcc")
        if gcc is None:
            raise FileNotFoundError("gcc")
        library = folder / "tags.so"
        options = ["-O3", "-march=native", "-Wall", "-shared", "-fPIC"]
        subprocess.run([gcc, *options, "-o", library, _SOURCE], check=True)
        self._library = ctypes.CDLL(str(library))

    def correlation(self, stream: Stream) -> Array:
        """As `numpy_ways.correlation`."""
        counts = np.zeros(BINS, np.int64)
        self._library.correlate(
            *_arrays(stream.times, stream.channels), ctypes.c_int64(len(stream)),
            ctypes.c_uint8(FIRST), ctypes.c_uint8(SECOND),
            *_integers(DELAYS_PS[FIRST], DELAYS_PS[SECOND], RANGE_PS[0], BIN_PS, BINS),
            *_arrays(counts),
        )  # fmt: skip
        return counts

    def fourfolds(self, stream: Stream) -> tuple[Array, Array]:
        """As `numpy_ways.fourfolds`."""
        places = np.full(256, len(HUB), np.uint8)
        places[list(HUB)] = range(len(HUB))
        hub_delays = _DELAYS[list(HUB)]
        reach = BSM_WINDOW_PS // 2 + int(hub_delays.max() - hub_delays.min())
        spokes = np.array(SPOKES, np.uint8).ravel()
        heralds, counts = np.zeros(4, np.int64), np.zeros((4, 2, 2), np.int64)
        self._library.fourfolds(
            *_arrays(stream.times, stream.channels), ctypes.c_int64(len(stream)),
            *_arrays(places, _DELAYS), *_integers(BSM_WINDOW_PS, reach),
            *_arrays(spokes, _DELAYS[spokes] - SPOKE_CENTRE_PS), *_integers(SPOKE_WINDOW_PS),
            *_arrays(heralds, counts),
        )  # fmt: skip
        return heralds, counts

    def all_pairs(self, stream: Stream) -> Array:
        """As `numpy_ways.all_pairs`."""
        counts = np.zeros((CHANNELS, CHANNELS, BINS), np.uint32)
        reach = max(-RANGE_PS[0], RANGE_PS[1] - 1) + int(_DELAYS.max() - _DELAYS.min())
        self._library.all_pairs(
            *_arrays(stream.times, stream.channels), ctypes.c_int64(len(stream)), *_arrays(_DELAYS),
            *_integers(reach, RANGE_PS[0], BIN_PS, BINS), *_arrays(counts),
        )  # fmt: skip
        return counts[np.triu_indices(CHANNELS, 1)].astype(np.int64)


def _arrays(*arrays: Any) -> list[Any]:
    # The library is called before these are forgotten: a call keeps its arguments.
    return [np.ctypeslib.as_ctypes(array.ravel()) for array in arrays]


def _integers(*numbers: int) -> list[Any]:
    return [ctypes.c_int64(number) for number in numbers]
