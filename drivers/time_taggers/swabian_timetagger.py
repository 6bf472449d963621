"""Swabian Instruments Time Tagger (20, Ultra, X), over its maker's library, imported when it is opened.

Addresses: `usb:SERIAL_NUMBER` for one that is plugged in here, `tcp://HOST:41101` for one that another
computer serves (`startServer` in Swabian's library). The library: `pip install Swabian-TimeTagger`.

Written from the notes (`swabian_timetagger.md`) and the library's own descriptions of its functions (version
2.22.6). The protocol under it is closed, and the library simulates nothing without a licence, so that no
simulator of ours stands behind this driver: its tests use a double of the library. What a Time Tagger records
exists in the program alone that opened it; when that ends, nothing records.
"""

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import numpy as np
from pydantic import Field

from drivers.address import Address
from drivers.capabilities import Identity, Limits, Settings, TimeTagger
from drivers.errors import ConnectError, DeadlineError, LimitError, LineError, ProtocolError, RefusedError
from drivers.time_taggers.block_cutter import BlockCutter
from drivers.transports.library import LibraryThread
from timetags.block import Channels, TagBlock, Times

T = TypeVar("T")

MODULES = ("Swabian.TimeTagger", "TimeTagger")
"""Where the library is: as PyPI has it, and as installers of earlier versions put it (M)."""
OPENING_S = 30.0
"""Allowed for connecting, in which the library loads the tagger's logic (invented)."""
THRESHOLD = Limits(-2.5, 2.5, "V")
"""Of an input as long as the tagger has not been asked, from memory of the data sheet (L)."""
MAX_EVENTS = 1 << 23
"""Events that the library keeps for us at most: what is held back when the consumer is slow."""
POLL_S = 0.1
"""Pause between two looks at what has come."""
SECOND_PS = 10**12
TAG, ERROR, _, _, MISSED = range(5)
"""Types of events. Beginning and end of an overflow are told too; what was missed in it counts."""


class SwabianSettings(Settings):
    """How many inputs the tagger has: 8 a Time Tagger 20, up to 18 an Ultra (M)."""

    inputs: int = Field(default=8, ge=1, le=127)


class SwabianTimeTagger(TimeTagger):
    """Rising edges of inputs 1 to `inputs`."""

    model = "swabian_timetagger"
    manufacturer = "Swabian Instruments"
    schemes = ("usb", "tcp")
    protocol = "swabian_timetagger.md, completeness 1; the library's own descriptions, version 2.22.6"
    doubts = (
        "Whether every tag before the time of a call of getData() is in what that call returns is not said.",
        "When the library's buffer was full, tags have been lost that nobody counts: they count as one.",
    )
    settings_model = SwabianSettings
    settings: SwabianSettings

    def __init__(self, name: str, address: Address, settings: SwabianSettings, deadline: float = 2.0) -> None:
        super().__init__(name, address, settings, deadline)
        self._thread = LibraryThread(name, str(address), deadline)
        self._library: Any = None
        self._tagger: Any = None
        self._counters: dict[int, Any] = {}
        self._limits = THRESHOLD
        self._recording: _Recording | None = None

    async def open(self) -> None:
        """Connect, and see that it has the inputs. A tagger that is plugged in here then has the settings of
        its start-up: nobody else can have been using it. Raises ConnectError."""
        if self._tagger is not None:
            return
        try:
            await self._thread.call("opening", self._connect, OPENING_S)
            known = await self._do("getChannelList", lambda tagger: set(tagger.getChannelList()))
            if missing := sorted(set(self.inputs) - known):
                raise ConnectError(
                    self.name, str(self.address), f"the tagger has no input {missing[0]}",
                    "Say in the testbed file how many inputs it has",
                )  # fmt: skip
            low, high = await self._do("getTriggerLevelRange", lambda tagger: tagger.getTriggerLevelRange(1))
            self._limits = Limits(float(low), float(high), "V")
        except (DeadlineError, LineError) as error:
            await self.close()
            raise ConnectError(self.name, str(self.address), error.problem, error.remedy) from error
        except BaseException:
            await self.close()
            raise

    def _connect(self) -> None:
        """In the library's thread. What comes of it after the deadline is closed behind it."""
        self._library = _import_library(self.name, str(self.address))
        try:
            if self.address.scheme == "tcp":
                self._tagger = self._library.createTimeTaggerNetwork(
                    f"{self.address.host}:{self.address.port}"
                )
            else:
                self._tagger = self._library.createTimeTagger(self.address.path)
        except Exception as error:
            raise ConnectError(
                self.name, str(self.address), f"the library cannot connect: {error}",
                "Check the address, that the tagger is plugged in, and that no other program uses it",
            ) from error  # fmt: skip

    async def close(self) -> None:
        """Disconnect, which ends a recording. Never raises."""
        recording, self._recording = self._recording, None
        if recording is not None:
            recording.fail(LineError(self.name, str(self.address), "it was closed during the recording"))
        self._counters.clear()
        await self._thread.close(self._free)

    def _free(self) -> None:
        tagger, self._tagger = self._tagger, None
        if tagger is not None:
            self._library.freeTimeTagger(tagger)

    async def identity(self) -> Identity:
        def ask(tagger: Any) -> Identity:
            words = (tagger.getModel(), tagger.getSerial(), tagger.getFirmwareVersion())
            return Identity(self.manufacturer, *map(str, words))

        return await self._do("getModel", ask)

    async def is_settled(self) -> bool:
        """A tagger has no inertia."""
        return True

    async def make_safe(self) -> None:
        """Stop the recording and see that it has stopped; one that is not open does not record. The tags
        until now still come through `blocks()`."""
        await self.stop()

    @property
    def inputs(self) -> tuple[int, ...]:
        return tuple(range(1, self.settings.inputs + 1))

    @property
    def threshold_limits(self) -> Limits:
        return self._limits

    async def resolution_ps(self) -> int:
        """Tags count picoseconds; how sharp they are is another matter."""
        return 1

    async def set_threshold(self, input_: int, threshold_v: float) -> None:
        self._check_input(input_)
        self.check_limit("threshold", threshold_v, self.threshold_limits)
        await self._do("setTriggerLevel", lambda tagger: tagger.setTriggerLevel(input_, threshold_v))

    async def threshold(self, input_: int) -> float:
        """As applied, which differs a little from what was set."""
        self._check_input(input_)
        return float(await self._do("getTriggerLevel", lambda tagger: tagger.getTriggerLevel(input_)))

    async def count_rate(self, input_: int) -> float:
        """Clicks per second over the last whole second, by a counter in the library that begins with the
        first call for this input; until its first second is over this is 0."""
        self._check_input(input_)

        def count(tagger: Any) -> float:
            if input_ not in self._counters:
                self._counters[input_] = self._library.Counter(tagger, [input_], SECOND_PS, 1)
            return float(np.asarray(self._counters[input_].getData()).reshape(-1)[-1])

        return await self._do("Counter", count)

    async def start(self, inputs: tuple[int, ...]) -> None:
        """Begin to record. What is left of an earlier recording is dropped. Raises RefusedError when it
        records already."""
        if not inputs:
            raise LimitError(self.name, str(self.address), "no inputs to record", "Name at least one")
        for input_ in inputs:
            self._check_input(input_)
        if self._recording is not None and not self._recording.has_stopped:
            raise RefusedError(
                self.name, str(self.address), "it is recording already", "Stop that recording first"
            )
        # Settings that were made before shall hold for the first tag.
        await self._do("sync", lambda tagger: tagger.sync())
        stream = await self._do(
            "TimeTagStream", lambda tagger: self._library.TimeTagStream(tagger, MAX_EVENTS, list(inputs))
        )
        self._recording = _Recording(stream)

    async def blocks(self) -> AsyncIterator[TagBlock]:
        """One block for each half second, for one consumer. `lost` counts the events that the tagger missed.
        The library drops what is beyond `MAX_EVENTS` when the consumer is slow, without telling how many:
        then `lost` is one more than is known. Raises RefusedError when nothing is being recorded, LineError
        when the tagger reports an error of its clock, ProtocolError for tags out of order."""
        recording = self._recording
        if recording is None:
            raise RefusedError(
                self.name, str(self.address), "nothing is being recorded", "Call start() first"
            )
        while True:
            has_stopped = recording.has_stopped
            if recording.failure is not None:
                raise recording.failure
            buffer = await self._do("getData", lambda _: recording.stream.getData())
            try:
                await asyncio.to_thread(recording.take, buffer)
            except ValueError as error:
                raise ProtocolError(self.name, str(self.address), f"tag stream: {error}") from error
            while (block := recording.cutter.next_block()) is not None:
                yield block
            if recording.clock_error:
                raise LineError(
                    self.name, str(self.address), "the tagger reports an error of its clock or its inputs",
                    "Check the external reference clock; the times of the tags are not to be trusted",
                )  # fmt: skip
            if has_stopped:
                break
            await recording.pause()
        if (last := recording.cutter.last_block()) is not None:
            yield last
        if self._recording is recording:
            self._recording = None

    async def stop(self) -> None:
        """End the recording and see that it has ended; without one, nothing happens."""
        recording = self._recording
        if recording is None or recording.has_stopped:
            return

        def stop(_: Any) -> bool:
            recording.stream.stop()
            return bool(recording.stream.isRunning())

        if await self._do("stop", stop):
            raise RefusedError(self.name, str(self.address), "it is still recording after stop()")
        recording.end()

    async def _do(self, command: str, work: Callable[[Any], T]) -> T:
        """Let the tagger do something in the library's thread. What the library raises is LineError."""
        if self._tagger is None:
            raise LineError(self.name, str(self.address), "the instrument is not open", "Open it first")
        try:
            return await self._thread.call(command, partial(work, self._tagger))
        except DeadlineError:
            raise
        except Exception as error:  # whatever a library raises that is not ours
            raise LineError(
                self.name, str(self.address), f"{command}: {error!r}",
                "Check that the tagger is plugged in, then open it again",
            ) from error  # fmt: skip

    def _check_input(self, input_: int) -> None:
        if input_ not in self.inputs:
            raise LimitError(
                self.name, str(self.address), f"there is no input {input_}",
                f"The inputs are 1 to {self.settings.inputs}",
            )  # fmt: skip


class _Recording:
    """A stream of the library, and what has come of it."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.cutter = BlockCutter()
        self.has_stopped = self.clock_error = False
        self.failure: LineError | None = None
        self._zero_ps: int | None = None
        self._ended = asyncio.Event()

    def end(self) -> None:
        self.has_stopped = True
        self._ended.set()

    def fail(self, failure: LineError) -> None:
        self.failure = failure
        self.end()

    async def pause(self) -> None:
        """Let events gather, or the recording end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_S):
                await self._ended.wait()

    def take(self, buffer: Any) -> None:
        """Take what has come since the last time. ValueError when it is not in order."""
        if self._zero_ps is None:
            self._zero_ps = int(buffer.tStart)
        kinds = np.asarray(buffer.getEventTypes())
        is_tag = kinds == TAG
        times: Times = np.asarray(buffer.getTimestamps(), np.int64)[is_tag] - self._zero_ps
        channels: Channels = np.asarray(buffer.getChannels())[is_tag].astype(np.uint8)
        lost = int(np.asarray(buffer.getMissedEvents(), np.int64)[kinds == MISSED].sum())
        lost += int(buffer.size) >= MAX_EVENTS
        # After the end nobody records, though the library's clock goes on.
        reached_ps = 0 if self.has_stopped else int(buffer.tGetData) - self._zero_ps
        self.cutter.put(times, channels, reached_ps, lost)
        self.clock_error |= bool((kinds == ERROR).any())


def _import_library(name: str, address: str) -> Any:
    for module in MODULES:
        with suppress(ImportError):
            return importlib.import_module(module)
    raise ConnectError(
        name, address, "Swabian's library is not installed",
        "Install it into this environment: pip install Swabian-TimeTagger",
    )  # fmt: skip
