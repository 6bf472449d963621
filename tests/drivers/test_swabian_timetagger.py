"""The Time Tagger's driver over a double of Swabian's library.

The double has the documented functions that the driver uses (swabian_timetagger.md and the library's own
descriptions, version 2.22.6), with their arguments and types. It is no Time Tagger: how a real one behaves,
these tests do not show.
"""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from drivers.address import Address
from drivers.errors import ConnectError, DeadlineError, LimitError, LineError, ProtocolError, RefusedError
from drivers.time_taggers import swabian_timetagger
from drivers.time_taggers.swabian_timetagger import SwabianSettings, SwabianTimeTagger
from tests.drivers.hurry import PATIENT_S, in_a_hurry
from timetags.block import TagBlock

SERIAL = "2138000XIB"
S = 10**12
MISSED, CLOCK_ERROR = 4, 1
Event = tuple[int, int, int, int]
"""Time, channel, type, missed."""


@dataclass
class Buffer:
    """What `getData` returns."""

    events: list[Event]
    tStart: int  # noqa: N815 - Swabian's names
    tGetData: int  # noqa: N815

    @property
    def size(self) -> int:
        return len(self.events)

    def getTimestamps(self) -> Any:  # noqa: N802
        return np.array([event[0] for event in self.events], np.int64)

    def getChannels(self) -> Any:  # noqa: N802
        return np.array([event[1] for event in self.events], np.int32)

    def getEventTypes(self) -> Any:  # noqa: N802
        return np.array([event[2] for event in self.events], np.uint8)

    def getMissedEvents(self) -> Any:  # noqa: N802
        return np.array([event[3] for event in self.events], np.uint16)


@dataclass
class Library:
    """The double: its state, and what it was asked for."""

    clock_ps: int = 7 * S
    levels: dict[int, float] = field(default_factory=dict)
    channels: tuple[int, ...] = (*range(1, 9), *range(-8, 0))
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    waiting: list[Event] = field(default_factory=list)
    counted: int = 0
    open_taggers: int = 0
    streams: list["Stream"] = field(default_factory=list)
    stuck: threading.Event | None = None

    def createTimeTagger(self, serial: str = "") -> Any:  # noqa: N802
        return self._tagger("createTimeTagger", serial, serial in ("", SERIAL))

    def createTimeTaggerNetwork(self, address: str) -> Any:  # noqa: N802
        return self._tagger("createTimeTaggerNetwork", address, address == "10.0.0.7:41101")

    def _tagger(self, function: str, where: str, is_there: bool) -> Any:
        self.calls.append((function, where))
        if not is_there:
            raise RuntimeError(f"{where!r} is not a valid Time Tagger serial number")
        self.open_taggers += 1
        return SimpleNamespace(
            getModel=lambda: "Time Tagger Ultra",
            getSerial=lambda: SERIAL,
            getFirmwareVersion=lambda: "TT-Ultra, FW 3",
            getChannelList=lambda: list(self.channels),
            getTriggerLevelRange=lambda channel: [-2.5, 2.5],
            setTriggerLevel=lambda channel, volts: self.levels.update({channel: round(volts, 3)}),
            getTriggerLevel=lambda channel: self.levels.get(channel, 0.5),
            sync=lambda timeout=-1: self.calls.append(("sync",)) or True,
        )

    def freeTimeTagger(self, tagger: Any) -> None:  # noqa: N802
        self.open_taggers -= 1

    def TimeTagStream(self, tagger: Any, n_max_events: int, channels: list[int]) -> "Stream":  # noqa: N802
        self.streams.append(Stream(self, channels, self.clock_ps))
        return self.streams[-1]

    def Counter(self, tagger: Any, channels: list[int], binwidth: int, n_values: int) -> Any:  # noqa: N802
        self.calls.append(("Counter", channels, binwidth, n_values))
        return SimpleNamespace(getData=lambda: np.array([[self.counted]], np.int32))


@dataclass
class Stream:
    library: Library
    channels: list[int]
    started_ps: int
    running: bool = True

    def getData(self) -> Buffer:  # noqa: N802
        if self.library.stuck is not None:
            self.library.stuck.wait(5)
        events, self.library.waiting = self.library.waiting, []
        return Buffer(events, self.started_ps, self.library.clock_ps)

    def stop(self) -> None:
        self.running = False

    def isRunning(self) -> bool:  # noqa: N802
        return self.running


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    double, module = Library(), ModuleType("Swabian.TimeTagger")
    for name in ("createTimeTagger", "createTimeTaggerNetwork", "freeTimeTagger", "TimeTagStream", "Counter"):
        setattr(module, name, getattr(double, name))
    monkeypatch.setitem(sys.modules, "Swabian.TimeTagger", module)
    monkeypatch.setattr(swabian_timetagger, "POLL_S", 1e-3)
    return double


def new(address: str = f"usb:{SERIAL}", **settings: Any) -> SwabianTimeTagger:
    return SwabianTimeTagger(
        "tagger", Address.parse(address), SwabianSettings.model_validate(settings), deadline=1.0
    )


@pytest.fixture
async def tagger(library: Library) -> AsyncIterator[SwabianTimeTagger]:
    tagger = new()
    await tagger.open()
    yield tagger
    await tagger.close()
    assert library.open_taggers == 0


def tag(time: int, channel: int) -> Event:
    return time, channel, 0, 0


async def taken(tagger: SwabianTimeTagger) -> list[TagBlock]:
    return [block async for block in tagger.blocks()]


async def test_without_the_library_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in swabian_timetagger.MODULES:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConnectError, match=r"not installed.*pip install Swabian-TimeTagger"):
        await new().open()


async def test_it_opens_by_serial_number_or_over_the_network(library: Library) -> None:
    for address in (f"usb:{SERIAL}", "tcp://10.0.0.7:41101"):
        tagger = new(address)
        await tagger.open()
        await tagger.open()
        identity = await tagger.identity()
        assert (identity.model, identity.serial_number) == ("Time Tagger Ultra", SERIAL)
        await tagger.close()
        await tagger.close()
    assert library.calls == [("createTimeTagger", SERIAL), ("createTimeTaggerNetwork", "10.0.0.7:41101")]
    assert library.open_taggers == 0


async def test_what_cannot_be_reached_is_a_connect_error(library: Library) -> None:
    with pytest.raises(ConnectError, match=r"tagger .*'17' is not a valid"):
        await new("usb:17").open()
    with pytest.raises(ConnectError, match="the tagger has no input 9"):
        await new(inputs=18).open()
    assert library.open_taggers == 0
    with pytest.raises(LineError, match="not open"):
        await new().identity()


async def test_thresholds(tagger: SwabianTimeTagger, library: Library) -> None:
    assert tagger.inputs == tuple(range(1, 9))
    assert str(tagger.threshold_limits) == "-2.5 to 2.5 V"
    await tagger.set_threshold(3, 0.12345)
    assert library.levels == {3: 0.123}
    assert await tagger.threshold(3) == 0.123
    assert await tagger.resolution_ps() == 1
    for call in (tagger.set_threshold(3, 2.6), tagger.set_threshold(9, 0.1), tagger.threshold(0)):
        with pytest.raises(LimitError, match="tagger"):
            await call


async def test_the_rate_is_that_of_the_librarys_counter(tagger: SwabianTimeTagger, library: Library) -> None:
    library.counted = 4321
    assert [await tagger.count_rate(2), await tagger.count_rate(2)] == [4321.0, 4321.0]
    assert [call for call in library.calls if call[0] == "Counter"] == [("Counter", [2], S, 1)]


async def test_a_recording_from_start_to_end(tagger: SwabianTimeTagger, library: Library) -> None:
    await tagger.start((1, 2))
    assert library.calls[-1] == ("sync",)
    assert library.streams[0].channels == [1, 2]
    with pytest.raises(RefusedError, match="recording already"):
        await tagger.start((1,))
    library.waiting = [tag(7 * S + 5, 1), tag(7 * S + 700, 2)]
    library.clock_ps = 7 * S + 600_000_000_000
    blocks = tagger.blocks()
    first = await anext(blocks)
    assert (first.start_ps, first.end_ps, first.lost) == (0, S // 2, 0)
    assert (first.times.tolist(), first.channels.tolist()) == ([5, 700], [1, 2])
    assert first.channels.dtype == np.uint8
    library.waiting = [tag(7 * S + 650_000_000_000, 2)]
    library.clock_ps = 20 * S
    await tagger.stop()
    await tagger.stop()
    last = await anext(blocks)
    # It ends with its last tag: the tagger's clock goes on, but nobody records.
    assert (last.start_ps, last.end_ps) == (S // 2, 650_000_000_001)
    assert last.times.tolist() == [650_000_000_000]
    with pytest.raises(StopAsyncIteration):
        await anext(blocks)
    with pytest.raises(RefusedError, match="nothing is being recorded"):
        await taken(tagger)


async def test_missed_tags_are_counted_and_a_full_buffer_is_told(
    tagger: SwabianTimeTagger, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tagger.start((1,))
    library.waiting = [tag(7 * S + 1, 1), (7 * S + 2, 1, MISSED, 40), (7 * S + 3, 0, 3, 0), tag(7 * S + 4, 1)]
    library.clock_ps = 7 * S + S // 2
    blocks = tagger.blocks()
    block = await anext(blocks)
    assert (block.times.tolist(), block.lost) == ([1, 4], 40)
    monkeypatch.setattr(swabian_timetagger, "MAX_EVENTS", 2)
    library.waiting = [tag(8 * S + 1, 1), tag(8 * S + 2, 1)]
    library.clock_ps = 9 * S
    assert (await anext(blocks)).lost == 1


async def test_an_error_of_the_clock_ends_the_blocks(tagger: SwabianTimeTagger, library: Library) -> None:
    await tagger.start((1,))
    library.waiting = [(7 * S + 1, 1, CLOCK_ERROR, 0)]
    with pytest.raises(LineError, match="error of its clock"):
        await taken(tagger)


async def test_disorder_is_an_error(tagger: SwabianTimeTagger, library: Library) -> None:
    await tagger.start((1,))
    library.waiting = [tag(7 * S + 9, 1), tag(7 * S + 8, 1)]
    with pytest.raises(ProtocolError, match=r"tagger .*order of time"):
        await taken(tagger)


async def test_what_the_library_raises_is_a_line_error(tagger: SwabianTimeTagger, library: Library) -> None:
    def unplugged() -> Buffer:
        raise RuntimeError("USB device lost")

    await tagger.start((1,))
    library.streams[0].getData = unplugged  # type: ignore[method-assign]
    with pytest.raises(LineError, match=r"getData: RuntimeError\('USB device lost'\)"):
        await taken(tagger)


async def test_a_library_that_hangs_ends_at_the_deadline(library: Library) -> None:
    tagger = SwabianTimeTagger("tagger", Address.parse(f"usb:{SERIAL}"), SwabianSettings(), PATIENT_S)
    await tagger.open()
    await tagger.start((1,))
    library.stuck = threading.Event()
    with (
        in_a_hurry(tagger),
        pytest.raises(DeadlineError, match="getData: the maker's library did not return"),
    ):
        await taken(tagger)
    library.stuck.set()
    await tagger.close()
    assert library.open_taggers == 0


async def test_it_is_made_safe_at_any_moment(tagger: SwabianTimeTagger, library: Library) -> None:
    await new().make_safe()
    await tagger.make_safe()
    await tagger.start((1,))
    await asyncio.gather(tagger.make_safe(), tagger.make_safe())
    assert not library.streams[0].running
    assert await taken(tagger) == []


async def test_closing_ends_the_waiting_for_blocks(tagger: SwabianTimeTagger, library: Library) -> None:
    await tagger.start((1,))
    waiting = asyncio.create_task(taken(tagger))
    await asyncio.sleep(0)
    await tagger.close()
    with pytest.raises(LineError, match=r"closed during the recording|not open"):
        await waiting
