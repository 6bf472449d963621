"""What the simulated APT motor controllers have in common: axes, the shared part of the message table,
status updates, and the passing of time.

A subclass says what its motors are (limits, speeds, homing) and where its messages differ. Messages that
are not in the table, have a body of the wrong length or name a channel that is not there are met with
silence, as on the real controllers (thorlabs_mpc320.md, Behaviour). Times are integer picoseconds inside,
so that `advance` in slices of any length gives the same motion.
"""

import struct
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sim_instruments.instrument import SimInstrument
from sim_instruments.polarization.apt import Frame, FrameReader, Status
from sim_instruments.polarization.motion import PS, Braking, Leg, Motor, Pause
from sim_instruments.wire.pty import SerialLine

UPDATE_PS = PS // 10
"""Automatic status updates come about 10 per second (thorlabs_mpc320.md, Frames, 0011)."""
UPDATES_UNACKNOWLEDGED = 50
"""Updates after which the device stops without a 0492 (M). Doubt: counted here once for all channels
together, and the next 0492 lets them go on; the notes say neither."""
I32_MIN, I32_MAX = -(2**31), 2**31 - 1

MOVED, HOMED, STOPPED = 0x0464, 0x0444, 0x0466


@dataclass(frozen=True)
class Hardware:
    """What a controller says about itself in 0006."""

    model: str
    type: int
    firmware: tuple[int, int, int]
    """Minor, interim, major."""
    version: int
    channels: int

    def body(self, serial_number: int) -> bytes:
        return struct.pack(
            "<I8sHBBBB48s12sHHH", serial_number, self.model.encode(), self.type, *self.firmware, 0,
            b"", b"", self.version, 0, self.channels,
        )  # fmt: skip


@dataclass
class Axis:
    """One motor with its counter. The motor's position is the true one, in steps from the true zero."""

    motor: Motor
    origin: float
    """True position at which the counter reads 0; unknown to the controller until homed."""
    enabled: bool
    homed: bool = False
    purpose: int = 0
    """The message that the end of the motion under way will send, or 0."""
    jogging: bool = False
    origin_after_homing: float = 0.0

    @property
    def counter(self) -> int:
        return min(max(round(self.motor.position - self.origin), I32_MIN), I32_MAX)


@dataclass(frozen=True)
class Message:
    """A row of the message table: `layout` is the struct format of the data, empty for a message that
    is a header only and whose handler takes the two parameters."""

    layout: str
    handler: Callable[..., Any]
    addressed: bool = True
    """Whether the first value is a channel number, which must then be one of ours."""


class AptMotors(SimInstrument):
    """A motor controller on a serial line of its own."""

    has_error_reply = False
    hardware: ClassVar[Hardware]
    always: ClassVar[Status]
    """Status bits that are set whatever happens."""
    enabled_at_start: ClassVar[bool]
    """Whether the motors hold after power-up."""
    serial_prefix: ClassVar[int]
    """First two of the eight digits of the USB serial number."""

    def __init__(
        self, name: str, rng: np.random.Generator, axes: dict[int, Axis], serial_number: int | None
    ) -> None:
        super().__init__(name, rng)
        self.serial_number = serial_number or self.serial_prefix * 1_000_000 + int(rng.integers(1_000_000))
        self.axes = axes
        self._line = SerialLine(self.faults, self._receive)
        self._frames = FrameReader()
        self._now_ps = 0
        self._next_update_ps: int | None = None
        self._unacknowledged = 0
        self.table: dict[int, Message] = {
            # Disconnect; that it ends the updates is invented.
            0x0002: Message("", lambda *_: self._updates(False), addressed=False),
            0x0005: Message("", lambda *_: self._send(0x0006, self._hardware_info()), addressed=False),
            0x0011: Message("", lambda *_: self._updates(True), addressed=False),
            0x0012: Message("", lambda *_: self._updates(False), addressed=False),
            0x0211: Message("", self._request_enable),
            0x0223: Message("", lambda *_: None, addressed=False),  # identify: blinks
            0x0410: Message("Hi", self._set_counter),
            0x0411: Message("", lambda ch, _: self._send(0x0412, self._pack("i", ch, self.axes[ch].counter))),
            0x0429: Message("", lambda ch, _: self._send(0x042A, self._pack("I", ch, self.bits(ch)))),
            0x0443: Message("", self._home),
            0x0448: Message("Hi", lambda ch, d: self._move(ch, self.axes[ch].counter + d)),
            0x0453: Message("Hi", lambda ch, position: self._move(ch, position)),
            0x0465: Message("", self._stop),
            0x046A: Message("", self._jog),
            0x0480: Message("", lambda ch, _: self._send(0x0481, self.status(ch))),
            0x0490: Message("", lambda ch, _: self._send(0x0491, self.u_status(ch))),
            0x0492: Message("", lambda *_: self._acknowledge(), addressed=False),
        }

    # What differs from model to model.

    @abstractmethod
    def limits(self, axis: Axis) -> tuple[float, float]:
        """The true positions between which a motion must end."""

    @abstractmethod
    def leg(self, axis: Axis, target: float) -> Leg:
        """The way of a move to a true position."""

    @abstractmethod
    def jog(self, channel: int, sign: int) -> Leg:
        """The way of a jog."""

    @abstractmethod
    def home(self, axis: Axis) -> tuple[Sequence[Leg | Pause], float]:
        """The way home, and the true position that the counter calls 0 from then on."""

    @abstractmethod
    def brake(self, axis: Axis) -> Sequence[Braking]:
        """The way to a profiled stop."""

    @abstractmethod
    def completion(self, id_: int, channel: int) -> Frame:
        """The message for the end of a motion."""

    @abstractmethod
    def update(self, channel: int) -> Frame:
        """One channel's automatic status update."""

    @abstractmethod
    def turn_light(self) -> None:
        """Write the true angles to the port."""

    # The instrument on the bench.

    async def start(self) -> str:
        return f"serial:{self._line.open()}"

    async def stop(self) -> None:
        self._line.close()

    def power_cycle(self) -> None:
        """The motors stand where they are; the counters begin at 0, homing and updates are lost."""
        for axis in self.axes.values():
            axis.motor = Motor(axis.motor.position)
            axis.origin = axis.motor.position
            axis.enabled, axis.homed, axis.purpose, axis.jogging = self.enabled_at_start, False, 0, False
        self._next_update_ps, self._unacknowledged = None, 0
        self._frames = FrameReader()
        self._line.hang_up()
        self.turn_light()

    @property
    def moving(self) -> bool:
        return any(axis.motor.moving for axis in self.axes.values())

    def advance(self, seconds: float) -> None:
        end_ps = self._now_ps + round(seconds * PS)
        while True:
            due = [axis.motor.remaining_ps for axis in self.axes.values() if axis.motor.moving]
            if self._next_update_ps is not None:
                due.append(self._next_update_ps - self._now_ps)
            if not due or min(due) > end_ps - self._now_ps:
                break
            self._pass(min(due))
            if self._now_ps == self._next_update_ps:
                self._next_update_ps += UPDATE_PS
                self._send_updates()
        self._pass(end_ps - self._now_ps)
        self.turn_light()

    def _pass(self, duration_ps: int) -> None:
        """Let a time pass in which nothing ends before its end."""
        self._now_ps += duration_ps
        for channel, axis in self.axes.items():
            if axis.motor.advance(duration_ps):
                if axis.purpose == HOMED:
                    axis.homed, axis.origin = True, axis.origin_after_homing
                self._line.send(self.completion(axis.purpose, channel).to_bytes())
                axis.purpose, axis.jogging = 0, False

    def _send_updates(self) -> None:
        if self._unacknowledged < UPDATES_UNACKNOWLEDGED:
            self._unacknowledged += 1
            for channel in self.axes:
                self._line.send(self.update(channel).to_bytes())

    # What comes over the wire.

    def _receive(self, data: bytes) -> None:
        for frame in self._frames.feed(data):
            message = self.table.get(frame.id)
            if message is None or struct.calcsize("<" + message.layout) != len(frame.data):
                continue
            if message.layout:
                values = struct.unpack("<" + message.layout, frame.data)
            else:
                values = (frame.param1, frame.param2)
            if not message.addressed or values[0] in self.axes:
                message.handler(*values)

    def _send(self, id_: int, data: bytes) -> None:
        self._line.send(Frame(id_, data=data).to_bytes())

    @staticmethod
    def _pack(layout: str, channel: int, *values: int) -> bytes:
        return struct.pack("<H" + layout, channel, *values)

    def bits(self, channel: int) -> Status:
        """The status bits. Doubt: clockwise is taken as the direction of rising positions, and a jog
        shows both its own bit and the moving bit."""
        axis, bits = self.axes[channel], self.always
        if axis.motor.direction:
            forward = axis.motor.direction > 0
            bits |= Status.MOVING_CW if forward else Status.MOVING_CCW
            if axis.jogging:
                bits |= Status.JOGGING_CW if forward else Status.JOGGING_CCW
        if axis.purpose == HOMED:
            bits |= Status.HOMING
        if axis.homed:
            bits |= Status.HOMED
        if axis.enabled:
            bits |= Status.ENABLED
        return bits

    def status(self, channel: int) -> bytes:
        """The body of 0481, and of completion messages with data. These motors have no encoder: 0."""
        return self._pack("iiI", channel, self.axes[channel].counter, 0, self.bits(channel))

    def u_status(self, channel: int) -> bytes:
        """The body of 0491. Velocity and motor current are always 0 here: the examples show them at rest
        only, and the unit of the velocity is not in the notes."""
        return self._pack("ihhI", channel, self.axes[channel].counter, 0, 0, self.bits(channel))

    def _hardware_info(self) -> bytes:
        return self.hardware.body(self.serial_number)

    def _updates(self, on: bool) -> None:
        self._next_update_ps = self._now_ps + UPDATE_PS if on else None
        self._unacknowledged = 0

    def _acknowledge(self) -> None:
        self._unacknowledged = 0

    def _request_enable(self, channel: int, _: int) -> None:
        state = 1 if self.axes[channel].enabled else 2
        self._line.send(Frame(0x0212, channel, state).to_bytes())

    def set_enabled(self, channel: int, on: bool) -> None:
        """Switch a motor's drive; without it the motor stays where it is (sends nothing)."""
        axis = self.axes[channel]
        axis.enabled = on
        if not on and axis.motor.moving:
            axis.motor.halt()
            axis.purpose, axis.jogging = 0, False

    def _set_counter(self, channel: int, value: int) -> None:
        axis = self.axes[channel]
        axis.origin = axis.motor.position - value

    def _travel(self, channel: int, legs: Sequence[Leg | Pause], purpose: int, jogging: bool = False) -> None:
        """Begin a motion. One that is under way is given up from where it is, without a completion
        message and without slowing down (invented: the notes do not say)."""
        axis = self.axes[channel]
        if axis.enabled:
            axis.motor.travel(legs)
            axis.purpose, axis.jogging = purpose, jogging

    def _clip(self, axis: Axis, target: float) -> float:
        low, high = self.limits(axis)
        return min(max(target, low), high)

    def _move(self, channel: int, counter: int) -> None:
        axis = self.axes[channel]
        self._travel(channel, [self.leg(axis, self._clip(axis, axis.origin + counter))], MOVED)

    def _jog(self, channel: int, direction: int) -> None:
        if direction in (1, 2):
            self._travel(channel, [self.jog(channel, 1 if direction == 1 else -1)], MOVED, jogging=True)

    def _home(self, channel: int, _: int) -> None:
        axis = self.axes[channel]
        if axis.enabled:
            axis.homed = False
            legs, axis.origin_after_homing = self.home(axis)
            self._travel(channel, legs, HOMED)

    def _stop(self, channel: int, mode: int) -> None:
        """Mode 1 stops at once, 2 along the profile; a motor at rest answers at once."""
        axis = self.axes[channel]
        braking = self.brake(axis) if mode == 2 and axis.motor.velocity else ()
        if braking:
            axis.motor.travel(braking)
            axis.purpose = STOPPED
        else:
            axis.motor.halt()
            axis.purpose, axis.jogging = 0, False
            self._line.send(self.completion(STOPPED, channel).to_bytes())
