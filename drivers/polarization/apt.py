"""The messages of Thorlabs' APT protocol, each a frozen dataclass.

A frame is a header of six bytes, little endian: message id u16, then either two one-byte parameters or,
when bit 80h of the destination is set, the length u16 of the data that follow; then destination and
source. There is no checksum and no mark for the start of a frame. Source: thorlabs_mpc320.md, Frames,
and thorlabs_k10cr1.md, Extra messages.

Every message knows its bytes both ways: `message.to_bytes()` and `Message.from_bytes(frame)`. How frames
are found in what a line delivers is in `drivers.polarization.apt_decoder`.
"""

from dataclasses import astuple, dataclass, fields
from enum import IntFlag
from struct import Struct
from typing import Any, ClassVar, Self

HOST, DEVICE = 0x01, 0x50
HAS_DATA = 0x80
HEADER = Struct("<HBBBB")
LONG_HEADER = Struct("<HHBB")


class StatusBits(IntFlag):
    """State of one channel; thorlabs_mpc320.md, Frames. Other bits may be set beside these."""

    MOVING_FORWARD = 0x10
    MOVING_REVERSE = 0x20
    JOGGING_FORWARD = 0x40
    JOGGING_REVERSE = 0x80
    CONNECTED = 0x100
    HOMING = 0x200
    HOMED = 0x400
    POWER_OK = 0x1000_0000
    ERROR = 0x4000_0000
    ENABLED = 0x8000_0000

    IN_MOTION = MOVING_FORWARD | MOVING_REVERSE | JOGGING_FORWARD | JOGGING_REVERSE | HOMING


@dataclass(frozen=True)
class Message:
    """One message. A subclass states its id, who sends it, and the layout of its data; without a layout
    it is a bare header, whose parameters are the subclass's fields (none, one or two)."""

    message_id: ClassVar[int]
    layout: ClassVar[Struct | None] = None
    from_device: ClassVar[bool] = False
    bare_allowed: ClassVar[bool] = False
    """Whether some models send the message as a bare header although others add data."""

    def __init_subclass__(
        cls, *, message_id: int, layout: str | None = None, from_device: bool = False
    ) -> None:
        cls.message_id, cls.from_device = message_id, from_device
        cls.layout = None if layout is None else Struct(layout)

    def values(self) -> tuple[Any, ...]:
        """The fields as the layout packs them."""
        return astuple(self)

    @classmethod
    def of_values(cls, values: tuple[Any, ...]) -> Self:
        """The message from what the layout, or the header, unpacks to."""
        return cls(*values)

    def to_bytes(self) -> bytes:
        """The frame, addressed from its sender to its receiver."""
        to, source = (HOST, DEVICE) if self.from_device else (DEVICE, HOST)
        if self.layout is None or None in self.values():
            first, second = (*(value or 0 for value in self.values()), 0, 0)[:2]
            return HEADER.pack(self.message_id, first, second, to, source)
        data = self.layout.pack(*self.values())
        return LONG_HEADER.pack(self.message_id, len(data), to | HAS_DATA, source) + data

    @classmethod
    def from_bytes(cls, frame: bytes) -> Self:
        """Read one whole frame. Raises ValueError when it is not this message."""
        message_id, first, second, to, _ = HEADER.unpack_from(frame)
        if message_id != cls.message_id:
            raise ValueError(f"{frame.hex(' ')} is not message {cls.message_id:04x}")
        data = frame[HEADER.size :]
        if not to & HAS_DATA and not data and (cls.layout is None or cls.bare_allowed):
            return cls.of_values((first, second)[: len(fields(cls))])
        if cls.layout is None or not to & HAS_DATA or len(data) != cls.layout.size:
            raise ValueError(f"{frame.hex(' ')} has the wrong length for message {cls.message_id:04x}")
        return cls.of_values(cls.layout.unpack(data))


# ---- who is there


@dataclass(frozen=True)
class Disconnect(Message, message_id=0x0002):
    """The host goes away."""


@dataclass(frozen=True)
class RequestHardwareInfo(Message, message_id=0x0005):
    """Who are you?"""


@dataclass(frozen=True)
class HardwareInfo(Message, message_id=0x0006, layout="<I8sHBBBB48s12sHHH", from_device=True):
    """Who answers; it is the same at all times."""

    serial_number: int
    model: str
    type: int
    firmware: tuple[int, int, int]
    """Major, interim, minor; the frame has them the other way round."""
    hardware_version: int
    modification: int
    channels: int

    def values(self) -> tuple[Any, ...]:
        minor_first = self.firmware[::-1]
        return (
            self.serial_number, self.model.encode("ascii"), self.type, *minor_first, 0, b"", b"",
            self.hardware_version, self.modification, self.channels,
        )  # fmt: skip

    @classmethod
    def of_values(cls, values: tuple[Any, ...]) -> Self:
        serial_number, model, type_, minor, interim, major, _, _, _, hardware, modification, channels = values
        text = model.split(b"\0")[0].decode("ascii", "replace").strip()
        return cls(serial_number, text, type_, (major, interim, minor), hardware, modification, channels)


@dataclass(frozen=True)
class Identify(Message, message_id=0x0223):
    """Blink."""

    channel: int


# ---- automatic status updates


@dataclass(frozen=True)
class StartUpdates(Message, message_id=0x0011):
    """Send status about ten times a second (0491 by the MPC320, 0481 by the K10CR1)."""


@dataclass(frozen=True)
class StopUpdates(Message, message_id=0x0012):
    """Send no more status unasked."""


@dataclass(frozen=True)
class AcknowledgeAlive(Message, message_id=0x0492):
    """The host still listens; about once a second while updates run, or the device stops them (M)."""


# ---- enabling


@dataclass(frozen=True)
class SetChannelEnable(Message, message_id=0x0210):
    """Switch channels. On the MPC320 `channel` is a bit mask of the channels to be on, all others go off,
    and `state` stays 1 (M); elsewhere it is one channel and `state` is 1 on or 2 off."""

    channel: int
    state: int


@dataclass(frozen=True)
class RequestChannelEnable(Message, message_id=0x0211):
    channel: int


@dataclass(frozen=True)
class ChannelEnable(Message, message_id=0x0212, from_device=True):
    channel: int
    state: int


# ---- position and motion; positions and distances in steps of the model


@dataclass(frozen=True)
class SetPositionCounter(Message, message_id=0x0410, layout="<Hi"):
    channel: int
    position: int


@dataclass(frozen=True)
class RequestPositionCounter(Message, message_id=0x0411):
    channel: int


@dataclass(frozen=True)
class PositionCounter(Message, message_id=0x0412, layout="<Hi", from_device=True):
    channel: int
    position: int


@dataclass(frozen=True)
class MoveHome(Message, message_id=0x0443):
    channel: int


@dataclass(frozen=True)
class MoveHomed(Message, message_id=0x0444, from_device=True):
    """The channel has come home; unasked."""

    channel: int


@dataclass(frozen=True)
class MoveAbsolute(Message, message_id=0x0453, layout="<Hi"):
    channel: int
    position: int


@dataclass(frozen=True)
class MoveRelative(Message, message_id=0x0448, layout="<Hi"):
    channel: int
    distance: int


@dataclass(frozen=True)
class Jog(Message, message_id=0x046A):
    """Direction 1 forward, 2 backward."""

    channel: int
    direction: int


@dataclass(frozen=True)
class Stop(Message, message_id=0x0465):
    """Mode 1 at once, 2 along the ramp."""

    channel: int
    mode: int


@dataclass(frozen=True)
class MoveCompleted(Message, message_id=0x0464, layout="<HiiI", from_device=True):
    """The channel has arrived; unasked. The MPC320 sends a bare header (M), the K10CR1 adds data."""

    bare_allowed: ClassVar[bool] = True
    channel: int
    position: int | None = None
    encoder: int | None = None
    bits: int | None = None

    @classmethod
    def of_values(cls, values: tuple[Any, ...]) -> Self:
        return cls(*values) if len(values) == 4 else cls(values[0])


@dataclass(frozen=True)
class MoveStopped(Message, message_id=0x0466, layout="<HiiI", from_device=True):
    """The channel has stopped before it arrived; unasked. The notes state the data for the K10CR1 only;
    we assume a bare header from the MPC320, as for 0464."""

    bare_allowed: ClassVar[bool] = True
    channel: int
    position: int | None = None
    encoder: int | None = None
    bits: int | None = None

    @classmethod
    def of_values(cls, values: tuple[Any, ...]) -> Self:
        return cls(*values) if len(values) == 4 else cls(values[0])


# ---- status


@dataclass(frozen=True)
class RequestUStatus(Message, message_id=0x0490):
    channel: int


@dataclass(frozen=True)
class UStatus(Message, message_id=0x0491, layout="<HihhI", from_device=True):
    """Position in steps, velocity, motor current in mA, `StatusBits`."""

    channel: int
    position: int
    velocity: int
    current_ma: int
    bits: int


@dataclass(frozen=True)
class RequestStatus(Message, message_id=0x0480):
    channel: int


@dataclass(frozen=True)
class Status(Message, message_id=0x0481, layout="<HiiI", from_device=True):
    channel: int
    position: int
    encoder: int
    bits: int


@dataclass(frozen=True)
class RequestStatusBits(Message, message_id=0x0429):
    channel: int


@dataclass(frozen=True)
class ChannelStatusBits(Message, message_id=0x042A, layout="<HI", from_device=True):
    channel: int
    bits: int


# ---- parameters; a "Set" message has the data of the answer to its request


@dataclass(frozen=True)
class RequestPolarizationParameters(Message, message_id=0x0531):
    """MPC320 only."""


@dataclass(frozen=True)
class PolarizationParameters(Message, message_id=0x0532, layout="<6H", from_device=True):
    """Velocity in percent of 400 deg/s (10 to 100), home position and jog steps in steps."""

    unused: int
    velocity: int
    home_position: int
    jog_step_1: int
    jog_step_2: int
    jog_step_3: int


@dataclass(frozen=True)
class SetPolarizationParameters(PolarizationParameters, message_id=0x0530, layout="<6H"):
    pass


@dataclass(frozen=True)
class RequestVelocityParameters(Message, message_id=0x0414):
    channel: int


@dataclass(frozen=True)
class VelocityParameters(Message, message_id=0x0415, layout="<Hiii", from_device=True):
    """K10CR1: velocities in 1/7329109 deg/s, acceleration in 1/1502 deg/s^2."""

    channel: int
    min_velocity: int
    acceleration: int
    max_velocity: int


@dataclass(frozen=True)
class SetVelocityParameters(VelocityParameters, message_id=0x0413, layout="<Hiii"):
    pass


@dataclass(frozen=True)
class RequestJogParameters(Message, message_id=0x0417):
    channel: int


@dataclass(frozen=True)
class JogParameters(Message, message_id=0x0418, layout="<HHiiiiH", from_device=True):
    """Mode 1 continuous, 2 single; stop mode 1 at once, 2 along the ramp."""

    channel: int
    mode: int
    step: int
    min_velocity: int
    acceleration: int
    max_velocity: int
    stop_mode: int


@dataclass(frozen=True)
class SetJogParameters(JogParameters, message_id=0x0416, layout="<HHiiiiH"):
    pass


@dataclass(frozen=True)
class RequestGeneralMoveParameters(Message, message_id=0x043B):
    channel: int


@dataclass(frozen=True)
class GeneralMoveParameters(Message, message_id=0x043C, layout="<Hi", from_device=True):
    channel: int
    backlash: int


@dataclass(frozen=True)
class SetGeneralMoveParameters(GeneralMoveParameters, message_id=0x043A, layout="<Hi"):
    pass


@dataclass(frozen=True)
class RequestHomeParameters(Message, message_id=0x0441):
    channel: int


@dataclass(frozen=True)
class HomeParameters(Message, message_id=0x0442, layout="<HHHii", from_device=True):
    """Direction 1 forward, 2 reverse; offset of zero from the switch in steps."""

    channel: int
    direction: int
    limit_switch: int
    velocity: int
    offset: int


@dataclass(frozen=True)
class SetHomeParameters(HomeParameters, message_id=0x0440, layout="<HHHii"):
    pass
