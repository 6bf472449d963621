"""PicoQuant's libraries for their taggers (MHLib, HHLib), as they are called in C.

Each family has its own library with the same functions under another prefix. Sources: picoquant_tttr.md,
"DLL API"; for the order of arguments and the flags, PicoQuant's header and demos (`mhdefin.h` of version 3.1,
the Python demos) and QMI's list of the functions of both libraries. All calls return 0 or a negative number,
which is raised as HarpError with the library's own words.

The calls block, and a library is not made for several threads: see `drivers.transports.library`.
"""

import ctypes
import sys
from ctypes import byref, c_double, c_int, create_string_buffer
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEVICES = 8
"""So many may be plugged in."""
NOT_THERE = -1
T2_MODE = 2
LONGEST_MS = 360_000_000
"""Of a measurement: 100 hours."""
FIFO_FULL, REFERENCE_LOST, SYSTEM_ERROR, COUNTS_DROPPED = 0x02, 0x08, 0x10, 0x40
"""Of GetFlags. That counts were dropped only a MultiHarp tells."""
TEXT_BYTES = 256
"""More than any text of the libraries, whose buffers are 8 to 64 bytes."""
FALLING, RISING = 0, 1
ZERO_CROSSING_MV = 10
"""Of a HydraHarp's constant-fraction discriminator: PicoQuant's demos use 10, of 0 to 40 mV (L)."""


class HarpError(Exception):
    """A call that the library refused."""

    def __init__(self, function: str, code: int, text: str) -> None:
        super().__init__(f"{function}: error {code} ({text})")
        self.code = code


@dataclass(frozen=True)
class Family:
    """What the library of one family of taggers is called, and in what it differs."""

    name: str
    prefix: str
    linux: str
    windows: str
    record_type: int
    """TTResultFormat_TTTRRecType of its records in T2 mode."""
    most_records: int
    """That a call of ReadFiFo gives; the buffer must hold so many."""
    is_told_the_size: bool
    """Whether ReadFiFo wants to know the size of the buffer."""
    has_edges: bool
    """Whether its inputs trigger on an edge at a level; else it has constant-fraction discriminators, for
    negative pulses."""


class HarpLibrary:
    """The library of a family. Raises OSError when it is not installed."""

    def __init__(self, family: Family) -> None:
        self._family = family
        if sys.platform == "win32":
            self._library: Any = ctypes.WinDLL(family.windows)
        else:
            self._library = ctypes.CDLL(family.linux)
        self._records = np.empty(family.most_records, np.uint32)

    def find(self, serial_number: str) -> int:
        """Open the device of this serial number and return its index. Raises LookupError with the numbers of
        those that are there."""
        others: list[str] = []
        for index in range(DEVICES):
            serial = create_string_buffer(TEXT_BYTES)
            try:
                self._call("OpenDevice", index, serial)
            except HarpError as error:
                if error.code != NOT_THERE:
                    others.append(str(error))
                continue
            found = serial.value.decode(errors="replace").strip()
            if found.lstrip("0") == serial_number.lstrip("0"):
                return index
            others.append(found)
            self.close(index)
        raise LookupError(", ".join(others) or "none")

    def close(self, index: int) -> None:
        self._call("CloseDevice", index)

    def initialize(self, index: int, external_clock: bool) -> None:
        """Into T2 mode, with all settings as after start-up; `external_clock` is one of 10 MHz."""
        self._call("Initialize", index, T2_MODE, int(external_clock))

    def hardware_info(self, index: int) -> tuple[str, str, str]:
        """Model, part number and version."""
        texts = [create_string_buffer(TEXT_BYTES) for _ in range(3)]
        self._call("GetHardwareInfo", index, *texts)
        model, part, version = (text.value.decode(errors="replace").strip() for text in texts)
        return model, part, version

    def inputs(self, index: int) -> int:
        """How many it has, without the sync input."""
        return self._integer("GetNumOfInputChannels", index)

    def base_resolution_ps(self, index: int) -> float:
        """The unit of time in T2 mode."""
        resolution, steps = c_double(), c_int()
        self._call("GetBaseResolution", index, byref(resolution), byref(steps))
        return resolution.value

    def set_threshold(self, index: int, channel: int, threshold_mv: int) -> None:
        """`channel` is counted from 0."""
        if self._family.has_edges:
            edge = FALLING if threshold_mv < 0 else RISING
            self._call("SetInputEdgeTrg", index, channel, threshold_mv, edge)
        else:
            self._call("SetInputCFD", index, channel, -threshold_mv, ZERO_CROSSING_MV)

    def enable_input(self, index: int, channel: int, on: bool) -> None:
        self._call("SetInputChannelEnable", index, channel, int(on))

    def count_rate(self, index: int, channel: int) -> int:
        """Clicks per second, which the device counts anew every 0.1 s."""
        return self._integer("GetCountRate", index, channel)

    def start(self, index: int) -> None:
        """Record for as long as it can."""
        self._call("StartMeas", index, LONGEST_MS)

    def stop(self, index: int) -> None:
        self._call("StopMeas", index)

    def has_ended(self, index: int) -> bool:
        """Whether the measurement is over (CTCStatus)."""
        return self._integer("CTCStatus", index) != 0

    def flags(self, index: int) -> int:
        return self._integer("GetFlags", index)

    def read(self, index: int) -> NDArray[np.uint32]:
        """The records that have come, in an array that the next call writes over."""
        buffer = self._records.ctypes.data_as(ctypes.POINTER(ctypes.c_uint))
        size = (self._family.most_records,) if self._family.is_told_the_size else ()
        count = c_int()
        self._call("ReadFiFo", index, buffer, *size, byref(count))
        return self._records[: count.value]

    def _integer(self, function: str, *arguments: int) -> int:
        value = c_int()
        self._call(function, *arguments, byref(value))
        return value.value

    def _call(self, function: str, *arguments: Any) -> None:
        code = int(getattr(self._library, self._family.prefix + function)(*arguments))
        if code < 0:
            text = create_string_buffer(TEXT_BYTES)
            getattr(self._library, f"{self._family.prefix}GetErrorString")(text, code)
            raise HarpError(self._family.prefix + function, code, text.value.decode(errors="replace"))
