"""Agiltron CL/LB series 1xN fibre switch, four-byte frames over a serial line.

Written from the protocol notes (`small_switches.md`). The switch cannot say what it is, and answers nothing
to what it does not take. Its frames have neither a number nor a checksum; that all of them begin with 01 is
known of those that are sent and of the answer to setting, and assumed of the answer to reading (M).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field

from drivers.address import Address
from drivers.capabilities import Identity, Limits, OpticalSwitch, Settings
from drivers.errors import ProtocolError, RefusedError
from drivers.transports.serial import Probe
from drivers.transports.serial_frames import SerialFrameLine

BAUD = 9600
START, READ, SET = 0x01, 0x11, 0x12
FRAME_BYTES = 4


@dataclass(frozen=True)
class Frame:
    """A request or an answer: what about, and for which channel."""

    command: int
    channel: int

    def to_bytes(self) -> bytes:
        return bytes((START, self.command, 0x00, self.channel))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Frame":
        """Raises ValueError for what is no frame; the third byte of an answer is not looked at."""
        if len(data) != FRAME_BYTES or data[0] != START:
            raise ValueError(f"{data.hex(' ')} is not four bytes that begin with 01")
        return cls(data[1], data[3])


class FrameDecoder:
    """Cuts received bytes into frames, beginning at a 01."""

    def __init__(self) -> None:
        self._pending = b""

    def reset(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> list[Frame]:
        self._pending += data
        frames = []
        while (start := self._pending.find(START)) >= 0 and len(self._pending) - start >= FRAME_BYTES:
            frames.append(Frame.from_bytes(self._pending[start : start + FRAME_BYTES]))
            self._pending = self._pending[start + FRAME_BYTES :]
        self._pending = self._pending[max(start, 0) :] if start >= 0 else b""
        return frames


def answers_reading(frame: Frame) -> bool:
    """Any but the answer to setting: of the answer to reading the notes know the last byte alone."""
    return frame.command != SET


class AgiltronSettings(Settings):
    """How many channels the switch has: the N of 1xN."""

    channels: int = Field(ge=2, le=255)


class AgiltronCl(OpticalSwitch):
    """Address `serial:/dev/PATH`. Its one input leads to one of the channels at all times."""

    model = "agiltron_cl"
    manufacturer = "Agiltron"
    schemes = ("serial",)
    protocol = "small_switches.md, completeness 2"
    doubts = (
        "That the answer to reading begins with 01, as all other frames do, is assumed.",
        "The switch cannot say what it is; whoever answers such frames is taken for one.",
    )
    can_disconnect = False
    settings_model = AgiltronSettings
    settings: AgiltronSettings

    def __init__(
        self, name: str, address: Address, settings: AgiltronSettings, deadline: float = 2.0
    ) -> None:
        super().__init__(name, address, settings, deadline)
        self._line = SerialFrameLine(
            name, address, BAUD, deadline,
            decoder=FrameDecoder, probe=Probe(Frame(READ, 0).to_bytes(), answers_reading),
        )  # fmt: skip

    async def open(self) -> None:
        """Open the line and see that a switch with no more channels than stated answers."""
        await self._line.open()
        await self.connections()

    async def close(self) -> None:
        await self._line.close()

    async def identity(self) -> Identity:
        """What the testbed file says: the switch can only show that it is there."""
        await self.connections()
        return Identity(self.manufacturer, f"1x{self.settings.channels} switch", "", "")

    @property
    def inputs(self) -> tuple[int, ...]:
        return (1,)

    @property
    def outputs(self) -> tuple[int, ...]:
        return tuple(range(1, self.settings.channels + 1))

    async def connect(self, input_: int, output: int) -> None:
        """Lead the input to a channel. The switch answers when it has switched, within 5 ms, and answers
        nothing to what it refuses, which then ends in DeadlineError."""
        self.check_limit("input", input_, Limits(1, 1, "1"))
        self.check_limit("output", output, Limits(1, self.settings.channels, "1"))
        frame = Frame(SET, output)
        await self._line.ask(frame.to_bytes(), lambda answer: answer == frame, frame.to_bytes().hex(" "))

    async def disconnect(self, input_: int) -> None:
        self.check_limit("input", input_, Limits(1, 1, "1"))
        raise RefusedError(
            self.name, str(self.address), "the input of this switch always leads to a channel",
            "Lead it to a channel where nothing is",
        )  # fmt: skip

    async def connections(self) -> Mapping[int, int]:
        request = Frame(READ, 0).to_bytes()
        answer = await self._line.ask(request, answers_reading, request.hex(" "), retry=True)
        if answer.channel > self.settings.channels:
            await self.close()
            raise ProtocolError(
                self.name, str(self.address),
                f"{request.hex(' ')} was answered by channel {answer.channel} of {self.settings.channels}",
                "See that the testbed file states as many channels as the switch has",
            )  # fmt: skip
        return {1: answer.channel} if answer.channel else {}

    async def is_settled(self) -> bool:
        """Always: setting is answered when it is done."""
        return True

    async def make_safe(self) -> None:
        """Does nothing: the switch emits nothing, and others' light may pass it."""
