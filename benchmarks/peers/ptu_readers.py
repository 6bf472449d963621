"""Reading of a T2 PTU file by other programs. Runs in their environment.

A reader reads, which is timed, and can then tell what it has read as arrays of times and channels, which is
not.
"""

from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Tags = tuple[NDArray[np.int64], NDArray[Any]]


class Reader(Protocol):
    """How a program reads."""

    def read(self, path: Path) -> None: ...
    def tags(self) -> Tags: ...


class Ptufile:
    """ptufile's decoded records, among which overflows have negative channels."""

    def read(self, path: Path) -> None:
        ptufile = import_module("ptufile")

        with ptufile.PtuFile(path) as file:
            self.records = file.decode_records()

    def tags(self) -> Tags:
        photons = self.records[self.records["channel"] >= 0]
        return np.array(photons["time"], np.int64), np.array(photons["channel"])


class Tttrlib:
    """tttrlib's macro times and routing channels."""

    def read(self, path: Path) -> None:
        tttrlib = import_module("tttrlib")

        self.file = tttrlib.TTTR(str(path), "PTU")
        self.arrays = self.file.macro_times, self.file.routing_channels

    def tags(self) -> Tags:
        times, channels = self.arrays
        return np.array(times).astype(np.int64), np.array(channels)


READERS: dict[str, type[Reader]] = {"ptufile": Ptufile, "tttrlib": Tttrlib}
