"""A double of PicoQuant's libraries, for the tests of the drivers over them.

It is made of C functions (by ctypes), with the arguments of picoquant_tttr.md, "DLL API", of PicoQuant's
header `mhdefin.h` 3.1, and of QMI's list for HHLib; what is passed wrongly fails as in C. How a
real instrument behaves, tests with it do not show. Records are put together here from the layout in the note:
a special bit, 6 bits of channel, 25 of time.
"""

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, c_char, c_double, c_int, c_uint
from typing import Any
from unittest import mock

from drivers.address import Address
from drivers.time_taggers import picoquant_harp
from drivers.time_taggers.picoquant_harp import HarpSettings, PicoQuantHarp
from tests.drivers.hurry import PATIENT_S
from timetags.block import TagBlock

TEXT, INT, DOUBLE = POINTER(c_char), POINTER(c_int), POINTER(c_double)
WRAP = 33_554_432
SYNC_RATE_TOO_LOW = -7
FIFO_FULL, REF_LOST, DROPPED = 0x02, 0x08, 0x40


def photon(channel: int, time: int) -> int:
    """On input `channel`, from 1."""
    return (channel - 1) << 25 | time


def overflows(number: int) -> int:
    return 1 << 31 | 63 << 25 | number


SYNC, MARKER_1 = 1 << 31, 1 << 31 | 1 << 25


class Double:
    """A library with two devices; the one at index 1 is ours."""

    def __init__(self, prefix: str) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.fifo: list[int] = []
        self.flags = 0
        self.ended = 1
        self.base_resolution = 5.0 if prefix == "MH_" else 1.0
        self.refuse: dict[str, int] = {}
        self.stuck: threading.Event | None = None
        self._define(prefix)

    def _define(self, prefix: str) -> None:
        functions: dict[str, tuple[tuple[Any, ...], Callable[..., Any]]] = {
            "GetErrorString": ((TEXT, c_int), lambda text, code: put(text, f"MESSAGE {code}")),
            "OpenDevice": ((c_int, TEXT), self.open),
            "CloseDevice": ((c_int,), lambda device: None),
            "Initialize": ((c_int, c_int, c_int), lambda device, mode, source: None),
            "GetHardwareInfo": ((c_int, TEXT, TEXT, TEXT), self.info),
            "GetNumOfInputChannels": ((c_int, INT), lambda device, n: assign(n, 4)),
            "GetBaseResolution": ((c_int, DOUBLE, INT), self.resolution),
            "SetInputChannelEnable": ((c_int, c_int, c_int), lambda device, channel, on: None),
            "GetCountRate": ((c_int, c_int, INT), lambda device, channel, n: assign(n, 1000 + channel)),
            "StartMeas": ((c_int, c_int), lambda device, ms: setattr(self, "ended", 0)),
            "StopMeas": ((c_int,), lambda device: setattr(self, "ended", 1)),
            "CTCStatus": ((c_int, INT), lambda device, n: assign(n, self.ended)),
            "GetFlags": ((c_int, INT), lambda device, n: assign(n, self.flags)),
        }
        if prefix == "MH_":
            functions["SetInputEdgeTrg"] = ((c_int, c_int, c_int, c_int), lambda *_: None)
            functions["ReadFiFo"] = (
                (c_int, POINTER(c_uint), INT),
                lambda d, to, n: self.read(to, 1_048_576, n),
            )
        else:
            functions["SetInputCFD"] = ((c_int, c_int, c_int, c_int), lambda *_: None)
            functions["ReadFiFo"] = ((c_int, POINTER(c_uint), c_int, INT), lambda d, *to: self.read(*to))
        for name, (arguments, work) in functions.items():
            setattr(self, prefix + name, CFUNCTYPE(c_int, *arguments)(self._logged(name, work)))

    def _logged(self, name: str, work: Callable[..., Any]) -> Callable[..., int]:
        def call(*arguments: Any) -> int:
            self.calls.append((name, *(a for a in arguments if isinstance(a, int))))
            return self.refuse.get(name, 0) or work(*arguments) or 0

        return call

    def open(self, device: int, serial: Any) -> int:
        if device > 1:
            return -1
        put(serial, ("1000001", "01012345")[device])
        return 0

    def info(self, device: int, model: Any, part: Any, version: Any) -> None:
        put(model, "Harp 4")
        put(part, "930004")
        put(version, "1.0")

    def resolution(self, device: int, resolution: Any, steps: Any) -> None:
        assign(resolution, self.base_resolution)
        assign(steps, 24)

    def read(self, records: Any, most: int, count: Any) -> None:
        if self.stuck is not None:
            self.stuck.wait(5)
        now, self.fifo = self.fifo[:most], self.fifo[most:]
        records[: len(now)]
        for k, record in enumerate(now):
            records[k] = record
        assign(count, len(now))

    def made(self, *names: str) -> list[tuple[Any, ...]]:
        return [call for call in self.calls if call[0] in names]


def put(text: Any, value: str) -> None:
    for k, byte in enumerate(value.encode() + b"\0"):
        text[k] = byte


def assign(number: Any, value: float) -> None:
    number[0] = value


@contextmanager
def installed(driver: type[PicoQuantHarp]) -> Iterator[Double]:
    """The double stands where the library of a driver's family is looked for."""
    double, load_any = Double(driver.family.prefix), ctypes.CDLL

    def load(name: str, *others: Any, **options: Any) -> Any:
        return double if name == driver.family.linux else load_any(name, *others, **options)

    with mock.patch.object(ctypes, "CDLL", load), mock.patch.object(picoquant_harp, "POLL_S", 1e-3):
        yield double


def new(driver: type[PicoQuantHarp], address: str = "usb:1012345", **settings: Any) -> PicoQuantHarp:
    return driver(
        "harp", Address.parse(address), HarpSettings.model_validate({"inputs": 4} | settings), PATIENT_S
    )


async def taken(harp: PicoQuantHarp) -> list[TagBlock]:
    return [block async for block in harp.blocks()]


def tags(*blocks: TagBlock) -> list[tuple[int, int]]:
    return [(int(t), int(c)) for block in blocks for t, c in zip(block.times, block.channels, strict=True)]
