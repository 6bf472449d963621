"""The drivers of MultiHarp and HydraHarp over a double of PicoQuant's C libraries.

The double is made of C functions (by ctypes), with the arguments of picoquant_tttr.md, "DLL API", of
PicoQuant's header `mhdefin.h` 3.1, and of QMI's list for HHLib; what is passed wrongly fails as in C. It is
no instrument: how a real one behaves, these tests do not show. Records are put together here from the layout
in the note: a special bit, 6 bits of channel, 25 of time.
"""

import asyncio
import ctypes
import threading
from collections.abc import AsyncIterator, Callable
from ctypes import CFUNCTYPE, POINTER, c_char, c_double, c_int, c_uint
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.address import Address
from drivers.errors import ConnectError, DeadlineError, LimitError, LineError, ProtocolError, RefusedError
from drivers.time_taggers import picoquant_harp
from drivers.time_taggers.picoquant_harp import HarpSettings, PicoQuantHarp
from drivers.time_taggers.picoquant_hydraharp import PicoQuantHydraHarp
from drivers.time_taggers.picoquant_multiharp import PicoQuantMultiHarp
from drivers.time_taggers.picoquant_recording import HarpRecording
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


Loader = Callable[[type[PicoQuantHarp]], tuple[PicoQuantHarp, Double]]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Loader:
    """A driver that is not open, and its library."""
    monkeypatch.setattr(picoquant_harp, "POLL_S", 1e-3)
    libraries: dict[str, Double] = {}
    load_any = ctypes.CDLL

    def cdll(name: str, *others: Any, **options: Any) -> Any:
        return libraries.get(name) or load_any(name, *others, **options)

    monkeypatch.setattr(ctypes, "CDLL", cdll)

    def load(driver: type[PicoQuantHarp]) -> tuple[PicoQuantHarp, Double]:
        double = libraries[driver.family.linux] = Double(driver.family.prefix)
        return new(driver), double

    return load


def new(driver: type[PicoQuantHarp], address: str = "usb:1012345", **settings: Any) -> PicoQuantHarp:
    return driver("harp", Address.parse(address), HarpSettings.model_validate({"inputs": 4} | settings), 1.0)


@pytest.fixture
async def open_harp(load: Loader) -> AsyncIterator[tuple[PicoQuantHarp, Double]]:
    harp, library = load(PicoQuantMultiHarp)
    await harp.open()
    yield harp, library
    await harp.close()
    assert library.made("CloseDevice")[-1] == ("CloseDevice", 1)


async def taken(harp: PicoQuantHarp) -> list[TagBlock]:
    return [block async for block in harp.blocks()]


def tags(*blocks: TagBlock) -> list[tuple[int, int]]:
    return [(int(t), int(c)) for block in blocks for t, c in zip(block.times, block.channels, strict=True)]


BOTH = pytest.mark.parametrize("driver", [PicoQuantMultiHarp, PicoQuantHydraHarp])


@BOTH
async def test_it_finds_its_device_and_says_who_it_is(load: Loader, driver: type[PicoQuantHarp]) -> None:
    harp, library = load(driver)
    await harp.open()
    await harp.open()
    identity = await harp.identity()
    assert (identity.model, identity.serial_number, identity.firmware) == ("Harp 4 930004", "1012345", "1.0")
    assert await harp.resolution_ps() == (5 if driver is PicoQuantMultiHarp else 1)
    assert library.made("OpenDevice", "CloseDevice", "Initialize") == [
        ("OpenDevice", 0), ("CloseDevice", 0), ("OpenDevice", 1), ("Initialize", 1, 2, 0),
    ]  # fmt: skip
    await harp.close()
    await harp.close()


async def test_an_external_clock_is_asked_for(load: Loader) -> None:
    _, library = load(PicoQuantMultiHarp)
    harp = new(PicoQuantMultiHarp, clock="external")
    await harp.open()
    await harp.close()
    assert library.made("Initialize") == [("Initialize", 1, 2, 1)]


async def test_what_cannot_be_reached_is_a_connect_error(load: Loader) -> None:
    with pytest.raises(
        ConnectError, match=r"libmh150\.so: cannot open.*Install the software of the MultiHarp"
    ):
        await new(PicoQuantMultiHarp).open()
    harp, library = load(PicoQuantMultiHarp)
    with pytest.raises(ConnectError, match="there are: 1000001, 01012345"):
        await new(PicoQuantMultiHarp, "usb:77").open()
    with pytest.raises(ConnectError, match="the device has 4 inputs"):
        await new(PicoQuantMultiHarp, inputs=8).open()
    library.refuse["Initialize"] = -36
    with pytest.raises(ConnectError, match=r"MH_Initialize: error -36 \(MESSAGE -36\)"):
        await harp.open()
    assert library.calls[-1] == ("CloseDevice", 1)
    with pytest.raises(LineError, match="not open"):
        await harp.identity()


async def test_thresholds_are_edges_of_a_multiharp(load: Loader) -> None:
    harp, library = load(PicoQuantMultiHarp)
    await harp.open()
    with pytest.raises(RefusedError, match="nobody knows the threshold of input 3"):
        await harp.threshold(3)
    await harp.set_threshold(3, 0.1)
    await harp.set_threshold(1, -0.0504)
    assert library.made("SetInputEdgeTrg") == [
        ("SetInputEdgeTrg", 1, 2, 100, 1), ("SetInputEdgeTrg", 1, 0, -50, 0),
    ]  # fmt: skip
    assert (await harp.threshold(3), await harp.threshold(1)) == pytest.approx((0.1, -0.05))
    for call in (harp.set_threshold(3, 1.3), harp.set_threshold(5, 0.1), harp.threshold(0)):
        with pytest.raises(LimitError, match="harp"):
            await call
    await harp.close()


async def test_thresholds_are_discriminators_of_a_hydraharp(load: Loader) -> None:
    harp, library = load(PicoQuantHydraHarp)
    await harp.open()
    await harp.set_threshold(2, -0.12)
    assert library.made("SetInputCFD") == [("SetInputCFD", 1, 1, 120, 10)]
    with pytest.raises(LimitError, match="-1 to 0 V"):
        await harp.set_threshold(2, 0.1)
    await harp.close()


@BOTH
async def test_a_recording_from_start_to_end(load: Loader, driver: type[PicoQuantHarp]) -> None:
    harp, library = load(driver)
    ps = 5 if driver is PicoQuantMultiHarp else 1
    await harp.open()
    assert await harp.count_rate(3) == 1002.0
    await harp.start((1, 3))
    with pytest.raises(RefusedError, match="recording already"):
        await harp.start((1,))
    assert library.made("SetInputChannelEnable", "StartMeas") == [
        *(("SetInputChannelEnable", 1, k, int(k in (0, 2))) for k in range(4)), ("StartMeas", 1, 360_000_000),
    ]  # fmt: skip
    wraps = 500_000_000_000 // (ps * WRAP) + 1
    library.fifo = [photon(1, 10), photon(2, 11), SYNC | 12, MARKER_1 | 13, photon(3, 14), overflows(wraps),
                    photon(3, 7)]  # fmt: skip
    blocks = harp.blocks()
    first = await anext(blocks)
    assert (first.start_ps, first.end_ps, tags(first)) == (0, 500_000_000_000, [(10 * ps, 1), (14 * ps, 3)])
    await harp.stop()
    library.fifo = [photon(1, 9)]
    late_ps = wraps * WRAP * ps
    rest = [block async for block in blocks]
    assert tags(*rest) == [(late_ps + 7 * ps, 3), (late_ps + 9 * ps, 1)]
    assert rest[-1].end_ps == late_ps + 9 * ps + 1
    with pytest.raises(RefusedError, match="nothing is being recorded"):
        await taken(harp)
    await harp.close()


async def test_a_full_buffer_ends_the_recording_behind_what_has_come(
    open_harp: tuple[PicoQuantHarp, Double],
) -> None:
    harp, library = open_harp
    await harp.start((1,))
    library.fifo, library.flags = [photon(1, 10)], FIFO_FULL
    blocks = harp.blocks()
    last = await anext(blocks)
    assert (tags(last), last.lost) == ([(50, 1)], 1)
    with pytest.raises(LineError, match="buffer was full"):
        await anext(blocks)
    await harp.stop()
    assert library.ended == 1


async def test_dropped_counts_and_a_lost_clock_are_told(open_harp: tuple[PicoQuantHarp, Double]) -> None:
    harp, library = open_harp
    await harp.start((1,))
    library.fifo, library.flags = [overflows(4000)], DROPPED
    blocks = harp.blocks()
    assert (await anext(blocks)).lost == 1
    library.flags = REF_LOST
    with pytest.raises(LineError, match="lost its reference clock"):
        await anext(blocks)


async def test_a_recording_that_ends_by_itself_is_an_error(open_harp: tuple[PicoQuantHarp, Double]) -> None:
    harp, library = open_harp
    await harp.start((1,))
    library.ended = 1
    with pytest.raises(LineError, match="ended by itself"):
        await taken(harp)


@pytest.mark.parametrize("records", [[1 << 31 | 40 << 25], [photon(1, 9), photon(1, 8)]])
async def test_records_that_cannot_be_are_an_error(
    open_harp: tuple[PicoQuantHarp, Double], records: list[int]
) -> None:
    harp, library = open_harp
    await harp.start((1,))
    library.fifo = records
    with pytest.raises(ProtocolError, match=r"harp .*tag stream"):
        await taken(harp)


async def test_what_the_library_refuses_has_its_own_words(open_harp: tuple[PicoQuantHarp, Double]) -> None:
    harp, library = open_harp
    library.refuse["StartMeas"] = SYNC_RATE_TOO_LOW
    with pytest.raises(LineError, match=r"MH_StartMeas: error -7 \(MESSAGE -7\)"):
        await harp.start((1,))
    with pytest.raises(RefusedError, match="nothing is being recorded"):
        await taken(harp)


async def test_more_records_than_one_call_gives(load: Loader) -> None:
    harp, library = load(PicoQuantHydraHarp)
    await harp.open()
    await harp.start((1,))
    library.fifo = [photon(1, k) for k in range(300_000)]
    await harp.stop()
    assert [t for t, _ in tags(*await taken(harp))] == list(range(300_000))
    await harp.close()


async def test_a_library_that_hangs_ends_at_the_deadline(load: Loader) -> None:
    _, library = load(PicoQuantMultiHarp)
    harp = PicoQuantMultiHarp("harp", Address.parse("usb:1012345"), HarpSettings(inputs=4), deadline=0.1)
    await harp.open()
    await harp.start((1,))
    library.stuck = threading.Event()
    with pytest.raises(DeadlineError, match="ReadFiFo: the maker's library did not return"):
        await taken(harp)
    library.stuck.set()
    await harp.close()
    assert library.calls[-1] == ("CloseDevice", 1)


async def test_it_is_made_safe_from_nothing_and_while_it_records(load: Loader) -> None:
    harp, library = load(PicoQuantMultiHarp)
    await harp.make_safe()
    assert library.made("StopMeas", "CloseDevice")[-1] == ("CloseDevice", 1)
    await harp.open()
    await harp.start((1,))
    await asyncio.gather(harp.make_safe(), harp.make_safe())
    assert library.ended == 1
    assert await taken(harp) == []
    await harp.close()


async def test_closing_ends_the_waiting_for_blocks(open_harp: tuple[PicoQuantHarp, Double]) -> None:
    harp, _ = open_harp
    await harp.start((1,))
    waiting = asyncio.create_task(taken(harp))
    await asyncio.sleep(0)
    await harp.close()
    with pytest.raises(LineError, match=r"closed during the recording|not open"):
        await waiting


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.integers(0, (1 << 32) - 1) | st.integers(0, 1000), max_size=20), max_size=5))
def test_no_records_crash_the_reading(calls: list[list[int]]) -> None:
    recording = HarpRecording((1, 2), 0x00010207, 5.0)
    for records in calls:
        try:
            recording.take(np.array(records, np.uint32))
        except ValueError:
            return
    while (block := recording.cutter.next_block()) is not None and block.start_ps < 10**14:
        assert set(block.channels.tolist()) <= {1, 2}
