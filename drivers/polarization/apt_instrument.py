"""What the Thorlabs motor controllers that speak APT share: line, identity, motion, safe state.

APT acknowledges neither a move nor a stop. A command here returns when the instrument has taken it,
because it is followed by a question (hardware info) on the same line, which the instrument answers in
order: the answer says that everything before it has been read.

A set-point is remembered until it is reached, so that a status from before the motion began cannot pass
for arrival: a channel has settled when no bit of motion is set, and, where this driver began a motion,
when it stands at its target or has reported arrival since.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from drivers.address import Address
from drivers.capabilities import Identity, Instrument, Settings
from drivers.errors import ConnectError, DeadlineError, ProtocolError
from drivers.making_safe import insist
from drivers.polarization.apt import (
    HardwareInfo,
    Message,
    MoveAbsolute,
    MoveCompleted,
    MoveHome,
    MoveHomed,
    RequestHardwareInfo,
    RequestUStatus,
    SetChannelEnable,
    StatusBits,
    Stop,
    UStatus,
)
from drivers.polarization.apt_decoder import AptDecoder
from drivers.transports.serial import Probe, SerialLine
from drivers.transports.serial_frames import SerialFrameLine

MessageT = TypeVar("MessageT", bound=Message)
AptLine = SerialLine[Message]

BAUD = 115200
STOP_AT_ONCE = 1
"""Not along the ramp: a safe state must not depend on a ramp that takes its time. A stepper that is
stopped at full speed may lose steps, so home it afterwards when the angle matters."""
TOLERANCE_STEPS = 2
"""How near to its target a motor counts as arrived."""
POLL_S = 0.05
"""Pause between two looks at a channel that is to be enabled or to stand still."""


@dataclass
class Motion:
    """A motion that this driver began on one channel."""

    target: int | None
    """In steps; None for a search of home, which ends where the instrument says so."""
    has_arrived: bool = False
    """Whether the instrument has reported arrival since."""


class AptInstrument(Instrument):
    """One APT controller on one serial line; the classes of the models add units and limits."""

    manufacturer = "Thorlabs"
    schemes = ("serial",)
    model_text: ClassVar[str]
    """How the instrument's own model text begins."""
    channels: ClassVar[tuple[int, ...]]
    """The channels in beam order."""
    enable_message: ClassVar[SetChannelEnable]
    """Switches all channels on."""

    def __init__(self, name: str, address: Address, settings: Settings, deadline: float = 2.0) -> None:
        super().__init__(name, address, settings, deadline)
        self._line = SerialFrameLine[Message](
            name,
            address,
            BAUD,
            deadline,
            decoder=AptDecoder,
            probe=Probe(RequestHardwareInfo().to_bytes(), lambda message: isinstance(message, HardwareInfo)),
            on_frame=self._heard,
            begin=self._greet,
            flow_control=True,
        )
        self._motions: dict[int, Motion] = {}
        """What this driver has begun on the present line."""
        self._enable_sent = self._is_enabled = False

    async def open(self) -> None:
        """Open the line and ask who is there; nothing is enabled, homed or moved. A line that breaks later is
        opened anew when it is needed. Raises ConnectError, and ProtocolError when another model answers."""
        await self._line.open()

    async def _greet(self, line: AptLine) -> None:
        self._motions = {}
        self._enable_sent = self._is_enabled = False
        try:
            info = await self._hardware_info(line)
        except DeadlineError as error:
            raise ConnectError(self.name, str(self.address), error.problem, error.remedy) from error
        if not info.model.startswith(self.model_text):
            raise ProtocolError(
                self.name, str(self.address), f"a {info.model!r} answers instead of a {self.model_text}",
                "Check the address, or the model in the testbed file",
            )  # fmt: skip

    async def close(self) -> None:
        """Close the line; a motion goes on. Never raises."""
        await self._line.close()

    async def identity(self) -> Identity:
        """Ask for the hardware info."""
        info = await self._hardware_info(await self._line.opened())
        return Identity(
            self.manufacturer, info.model, str(info.serial_number), ".".join(str(n) for n in info.firmware)
        )

    async def is_settled(self) -> bool:
        """Whether every channel stands still, and stands where it was last sent."""
        return all(self._has_settled(status) for status in await self._statuses())

    async def is_homed(self) -> bool:
        """Whether every channel has been homed since it got power."""
        return all(status.bits & StatusBits.HOMED for status in await self._statuses())

    async def home(self) -> None:
        """Begin to move every channel home; enables the channels when needed."""
        await self._begin({MoveHome(channel): Motion(target=None) for channel in self.channels})

    async def make_safe(self) -> None:
        """Stop every channel at once and verify that all stand still within the deadline."""
        await insist(self, self._stop, was_open=self._line.is_open)

    async def _stop(self) -> None:
        line = await self._line.opened()
        for channel in self.channels:
            await self._send(line, Stop(channel, STOP_AT_ONCE))
        await self._taken(line)
        self._motions.clear()
        await self._until(
            line, lambda status: not status.bits & StatusBits.IN_MOTION, "still moves after a stop (0465)"
        )

    async def _move(self, targets: dict[int, int]) -> None:
        """Begin to move channels to targets in steps; enables the channels when needed."""
        await self._begin(
            {MoveAbsolute(channel, target): Motion(target) for channel, target in targets.items()}
        )

    async def _begin(self, motions: dict[MoveHome | MoveAbsolute, Motion]) -> None:
        """Begin motions by these commands. Nothing of it goes over a new line when the line breaks: with the
        line the instrument may have lost what it had been told."""
        line = await self._line.opened()
        await self._enable(line)
        for command, motion in motions.items():
            self._motions[command.channel] = motion
            await self._send(line, command)
        await self._taken(line)
        for motion in motions.values():
            # Arrivals up to here may be those of an earlier motion.
            motion.has_arrived = False

    async def _positions(self) -> list[int]:
        """The present positions in steps, in beam order."""
        return [status.position for status in await self._statuses()]

    async def _enable(self, line: AptLine) -> None:
        """Switch all channels on unless they are: at most once per opening, because switching twice within
        0.2 s can hang the firmware (M: thorlabs_mpc320.md, Behaviour). A disabled channel ignores moves,
        so the state is read back."""
        if self._is_enabled:
            return
        if not self._enable_sent:
            statuses = [await self._status(line, channel) for channel in self.channels]
            if not all(status.bits & StatusBits.ENABLED for status in statuses):
                self._enable_sent = True
                await self._send(line, self.enable_message)
        await self._until(
            line,
            lambda status: bool(status.bits & StatusBits.ENABLED),
            "stays disabled after it was enabled (0210)",
        )
        self._is_enabled = True

    def _has_settled(self, status: UStatus) -> bool:
        motion = self._motions.get(status.channel)
        if status.bits & StatusBits.IN_MOTION:
            return False
        if motion is None:
            return True
        if motion.target is None:
            return motion.has_arrived and bool(status.bits & StatusBits.HOMED)
        return motion.has_arrived or abs(status.position - motion.target) <= TOLERANCE_STEPS

    def _heard(self, message: Message) -> None:
        """Every message from the instrument, asked for or not: note the arrivals."""
        if not isinstance(message, MoveHomed | MoveCompleted):
            return
        motion = self._motions.get(message.channel)
        if motion is not None and isinstance(message, MoveHomed) == (motion.target is None):
            motion.has_arrived = True

    async def _until(self, line: AptLine, holds: Callable[[UStatus], bool], complaint: str) -> None:
        """Wait until the status of every channel satisfies `holds`, no longer than the deadline."""
        try:
            async with asyncio.timeout(self.deadline):
                for channel in self.channels:
                    while not holds(await self._status(line, channel)):  # noqa: ASYNC110 - there is no event
                        await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            raise DeadlineError(
                self.name, str(self.address), f"channel {channel} {complaint}",
                "Look at the instrument; switch it off and on if it does not obey",
            ) from error  # fmt: skip

    async def _taken(self, line: AptLine) -> None:
        """Return when the instrument has read everything sent so far."""
        await self._hardware_info(line)

    async def _hardware_info(self, line: AptLine) -> HardwareInfo:
        return await self._ask(line, RequestHardwareInfo(), HardwareInfo)

    async def _statuses(self) -> list[UStatus]:
        """Of every channel, in beam order. All are asked, also when the first decides already: the answer of
        one call then has the same age for each."""
        line = await self._line.opened()
        return [await self._status(line, channel) for channel in self.channels]

    async def _status(self, line: AptLine, channel: int) -> UStatus:
        return await self._ask(line, RequestUStatus(channel), UStatus, channel)

    async def _send(self, line: AptLine, message: Message) -> None:
        await line.send(message.to_bytes(), str(message))

    async def _ask(
        self, line: AptLine, request: Message, kind: type[MessageT], channel: int | None = None
    ) -> MessageT:
        def matches(message: Message) -> bool:
            return isinstance(message, kind) and (
                channel is None or getattr(message, "channel", None) == channel
            )

        answer = await line.ask(request.to_bytes(), matches, str(request))
        assert isinstance(answer, kind)
        return answer
