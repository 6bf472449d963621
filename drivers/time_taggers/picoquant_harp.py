"""What the drivers of PicoQuant's taggers have in common: a device in T2 mode over its maker's library, which
is loaded when the device is opened.

Address: `usb:SERIAL_NUMBER`. Written from the notes (`picoquant_tttr.md`, "DLL API"). There is no protocol
under the library that could be spoken, so that no simulator stands behind these drivers: their tests use a
double of the library's C functions.

The sync input is not used: in T2 mode it is an input like the others, but has no number from 1 on.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import ClassVar, Literal, TypeVar

from pydantic import Field

from drivers.address import Address
from drivers.capabilities import Identity, Settings, TimeTagger
from drivers.errors import (
    ConnectError,
    DeadlineError,
    InstrumentError,
    LimitError,
    LineError,
    ProtocolError,
    RefusedError,
)
from drivers.making_safe import insist
from drivers.time_taggers.picoquant_library import (
    FIFO_FULL,
    REFERENCE_LOST,
    SYSTEM_ERROR,
    Family,
    HarpError,
    HarpLibrary,
)
from drivers.time_taggers.picoquant_recording import HarpRecording
from drivers.transports.library import LibraryThread
from timetags.block import TagBlock

T = TypeVar("T")

OPENING_S = 30.0
"""Allowed for opening and initialising (invented)."""
POLL_S = 0.02
"""Pause after a look at the device's buffer that found it empty."""
BROKEN = {
    SYSTEM_ERROR: "the device reports a system error",
    REFERENCE_LOST: "the device has lost its reference clock, so that its times are wrong",
}


class HarpSettings(Settings):
    """How many inputs the device has, without sync, and whose clock it follows."""

    inputs: int = Field(ge=1, le=64)
    clock: Literal["internal", "external"] = "internal"
    """External: 10 MHz at its reference input."""


class PicoQuantHarp(TimeTagger):
    """A device of one `family`. It keeps no settings: they are as after start-up when it is opened, which
    also ends whatever it did. Nobody else can have been using it, since one program has it to itself."""

    family: ClassVar[Family]
    manufacturer = "PicoQuant"
    schemes = ("usb",)
    protocol = "picoquant_tttr.md (DLL API), completeness 3; the maker's header and demos"
    doubts: ClassVar[tuple[str, ...]] = (
        "The library cannot be asked for a threshold; what is told is what was set.",
        "When the device's buffer was full, or its inputs were too fast, the library tells that tags were "
        "lost, but not how many: it counts as one.",
    )
    settings_model = HarpSettings
    settings: HarpSettings

    def __init__(self, name: str, address: Address, settings: HarpSettings, deadline: float = 2.0) -> None:
        super().__init__(name, address, settings, deadline)
        self._thread = LibraryThread(name, str(address), deadline)
        self._library: HarpLibrary | None = None
        self._index: int | None = None
        self._resolution_ps = 0.0
        self._thresholds_v: dict[int, float] = {}
        self._recording: HarpRecording | None = None

    async def open(self) -> None:
        """Load the library, find the device, and initialise it, without which it can be asked nothing.
        Raises ConnectError."""
        if self._index is not None:
            return
        try:
            await self._thread.call("opening", self._connect, OPENING_S)
            there = await self._do("GetNumOfInputChannels", lambda library, index: library.inputs(index))
            if there < self.settings.inputs:
                raise ConnectError(
                    self.name, str(self.address), f"the device has {there} inputs",
                    "Say in the testbed file how many it has",
                )  # fmt: skip
            self._resolution_ps = await self._do(
                "GetBaseResolution", lambda library, index: library.base_resolution_ps(index)
            )
        except (DeadlineError, LineError) as error:
            await self.close()
            raise ConnectError(self.name, str(self.address), error.problem, error.remedy) from error
        except BaseException:
            await self.close()
            raise

    def _connect(self) -> None:
        """In the library's thread. What comes of it after the deadline is closed behind it."""
        who = self.name, str(self.address)
        try:
            self._library = HarpLibrary(self.family)
            self._index = self._library.find(self.address.path)
            self._library.initialize(self._index, self.settings.clock == "external")
        except OSError as error:
            raise ConnectError(
                *who, f"PicoQuant's library cannot be loaded: {error}",
                f"Install the software of the {self.family.name} from picoquant.com",
            ) from error  # fmt: skip
        except LookupError as error:
            raise ConnectError(
                *who, f"no {self.family.name} of this serial number; there are: {error}",
                "Check that it is plugged in and switched on, and that no other program uses it",
            ) from error  # fmt: skip
        except HarpError as error:
            raise ConnectError(
                *who, str(error), "Check its reference clock, or switch it off and on"
            ) from error

    async def close(self) -> None:
        """Disconnect, which ends a recording. Never raises."""
        recording, self._recording = self._recording, None
        if recording is not None:
            recording.fail(LineError(self.name, str(self.address), "it was closed during the recording"))
        self._thresholds_v.clear()
        await self._thread.close(self._disconnect)

    def _disconnect(self) -> None:
        index, self._index = self._index, None
        if self._library is not None and index is not None:
            with suppress(HarpError):
                self._library.stop(index)
            self._library.close(index)

    async def identity(self) -> Identity:
        model, part, version = await self._do(
            "GetHardwareInfo", lambda library, index: library.hardware_info(index)
        )
        return Identity(self.manufacturer, f"{model} {part}".strip(), self.address.path, version)

    async def is_settled(self) -> bool:
        """A tagger has no inertia."""
        return True

    async def make_safe(self) -> None:
        """Stop the recording and see that it has stopped; opening a device stops it too. The tags until now
        still come through `blocks()`."""
        was_open = self._index is not None
        await insist(self, self._open_and_stop, was_open=was_open)

    @property
    def inputs(self) -> tuple[int, ...]:
        return tuple(range(1, self.settings.inputs + 1))

    async def resolution_ps(self) -> int:
        """The device's base resolution, to whole picoseconds."""
        self._opened()
        return round(self._resolution_ps)

    async def set_threshold(self, input_: int, threshold_v: float) -> None:
        """Set the trigger threshold of one input in volts, to a millivolt. A negative one makes the falling
        edge count, any other the rising edge. Raises LimitError."""
        self._check_input(input_)
        self.check_limit("threshold", threshold_v, self.threshold_limits)
        millivolts = round(1e3 * threshold_v)
        await self._do(
            "setting the threshold",
            lambda library, index: library.set_threshold(index, input_ - 1, millivolts),
        )
        self._thresholds_v[input_] = millivolts * 1e-3

    async def threshold(self, input_: int) -> float:
        """The threshold that was set; the library cannot be asked for it. Raises RefusedError before it has
        been set since the device was opened."""
        self._check_input(input_)
        self._opened()
        if input_ not in self._thresholds_v:
            raise RefusedError(
                self.name, str(self.address), f"nobody knows the threshold of input {input_}",
                "Set it: the library cannot be asked for it",
            )  # fmt: skip
        return self._thresholds_v[input_]

    async def count_rate(self, input_: int) -> float:
        """Clicks per second on one input. The device counts for 0.1 s, not for a second."""
        self._check_input(input_)
        return float(
            await self._do("GetCountRate", lambda library, index: library.count_rate(index, input_ - 1))
        )

    async def start(self, inputs: tuple[int, ...]) -> None:
        """Begin to record, for 100 hours at most. What is left of an earlier recording is dropped. Raises
        RefusedError when it records already."""
        if not inputs:
            raise LimitError(self.name, str(self.address), "no inputs to record", "Name at least one")
        for input_ in inputs:
            self._check_input(input_)
        if self._recording is not None and not self._recording.has_stopped:
            raise RefusedError(
                self.name, str(self.address), "it is recording already", "Stop that recording first"
            )

        def start(library: HarpLibrary, index: int) -> None:
            for input_ in self.inputs:
                library.enable_input(index, input_ - 1, input_ in inputs)
            library.start(index)

        await self._do("StartMeas", start)
        self._recording = HarpRecording(inputs, self.family.record_type, self._resolution_ps)

    async def blocks(self) -> AsyncIterator[TagBlock]:
        """One block for each half second, for one consumer. The device cannot be held back: when its buffer
        is full it ends the recording, and what has come until then is followed by LineError. The library
        tells that tags were lost, but not how many: `lost` is then one more. Raises RefusedError when nothing
        is being recorded, ProtocolError for records that cannot be."""
        recording = self._recording
        if recording is None:
            raise RefusedError(
                self.name, str(self.address), "nothing is being recorded", "Call start() first"
            )
        ending: InstrumentError | None = None
        while True:
            if recording.failure is not None:
                raise recording.failure
            records = await self._do("ReadFiFo", recording.fetch)
            try:
                await asyncio.to_thread(recording.take, records)
            except ValueError as error:
                raise ProtocolError(self.name, str(self.address), f"tag stream: {error}") from error
            while (block := recording.cutter.next_block()) is not None:
                yield block
            if recording.flags & (SYSTEM_ERROR | REFERENCE_LOST):
                raise self._broken(recording.flags)
            if not len(records) and (recording.flags & FIFO_FULL or recording.has_ended):
                ending = None if recording.is_told_to_stop else self._broken(recording.flags)
                break
            if not len(records):
                await recording.pause(POLL_S)
        if (last := recording.cutter.last_block()) is not None:
            yield last
        if ending is not None:
            raise ending
        if self._recording is recording:
            self._recording = None

    async def stop(self) -> None:
        """End the recording and see that it has ended; without one, nothing happens."""
        if self._recording is not None and not self._recording.has_stopped:
            await self._stop()

    async def _open_and_stop(self) -> None:
        await self.open()
        await self._stop()

    async def _stop(self) -> None:
        def stop(library: HarpLibrary, index: int) -> bool:
            library.stop(index)
            return library.has_ended(index)

        if self._recording is not None:
            self._recording.is_told_to_stop = True
        if not await self._do("StopMeas", stop):
            raise RefusedError(self.name, str(self.address), "it is still recording after StopMeas")
        if self._recording is not None:
            self._recording.end()

    def _broken(self, flags: int) -> LineError:
        problem = next((text for flag, text in BROKEN.items() if flags & flag), None)
        if problem is None and flags & FIFO_FULL:
            problem = "the device's buffer was full, and it has ended the recording"
        return LineError(
            self.name, str(self.address), problem or "the recording has ended by itself",
            "Lower the count rates, or record with fewer analyses" if flags & FIFO_FULL else "Start it again",
        )  # fmt: skip

    async def _do(self, command: str, work: Callable[[HarpLibrary, int], T]) -> T:
        """Let the device do something in the library's thread. What the library refuses is LineError."""
        library, index = self._opened()
        try:
            return await self._thread.call(command, lambda: work(library, index))
        except HarpError as error:
            raise LineError(
                self.name,
                str(self.address),
                str(error),
                "Check that the device is plugged in, then open it again",
            ) from error

    def _opened(self) -> tuple[HarpLibrary, int]:
        if self._library is None or self._index is None:
            raise LineError(self.name, str(self.address), "the instrument is not open", "Open it first")
        return self._library, self._index

    def _check_input(self, input_: int) -> None:
        if input_ not in self.inputs:
            raise LimitError(
                self.name, str(self.address), f"there is no input {input_}",
                f"The inputs are 1 to {self.settings.inputs}",
            )  # fmt: skip
