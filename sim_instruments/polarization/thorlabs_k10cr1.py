"""Simulated Thorlabs K10CR1: a motorised rotation mount behind an APT serial line.

Source: thorlabs_k10cr1.md. The mount turns the light through `RotationPort` at every moment of a motion.
Not modelled: backlash and minimum velocity (registers without effect), limit-switch parameters
0423-0425 and the EEPROM 04B9 (no answer, as to any unknown message).
"""

import math
from dataclasses import astuple, dataclass
from typing import ClassVar, Self

import numpy as np

from sim_instruments.instrument import Placed
from sim_instruments.polarization.apt import Frame, Status
from sim_instruments.polarization.apt_motors import (
    HOMED,
    I32_MAX,
    I32_MIN,
    AptMotors,
    Axis,
    Hardware,
    Message,
)
from sim_instruments.polarization.motion import Braking, Leg, Motor
from sim_instruments.ports import Ports, RotationPort

STEPS_PER_TURN = 49_152_000
STEPS_PER_DEGREE = 409_600 / 3
VELOCITY_UNIT = 7_329_109 / STEPS_PER_DEGREE
"""Register of a velocity per step/s (7329109 per deg/s)."""
ACCELERATION_UNIT = 1502 / STEPS_PER_DEGREE
"""Register of an acceleration per step/s^2 (1502 per deg/s^2)."""
VELOCITY_MAX = 73_300_775
"""The limit of 10 deg/s, as the default velocity that is seen; 10 x 7329109 would be 0.01 % less."""
ACCELERATION_MAX = 20 * 1502
SWITCH_STEPS = -546_133
"""Where the home switch is, from the true zero: the default home offset (4 deg) leads from it to zero."""


@dataclass
class Velocity:
    """0413-0415. The example's values; minimum without effect."""

    minimum: int = 0
    acceleration: int = 15_020
    maximum: int = VELOCITY_MAX

    def leg(self, start: float, end: float) -> Leg:
        """The way between two true positions within the mount's limits (clipped, not refused: assumed)."""
        speed = min(max(self.maximum, 1), VELOCITY_MAX) / VELOCITY_UNIT
        return Leg(start, end, speed, min(max(self.acceleration, 1), ACCELERATION_MAX) / ACCELERATION_UNIT)


@dataclass
class Jog:
    """0416-0418. Mode 1 continuous, 2 single; stop mode 1 immediate, 2 profiled (stop mode without
    effect: it belongs to the buttons). Step and acceleration as seen (M), the rest assumed."""

    mode: int = 2
    step: int = 682_667
    minimum: int = 0
    acceleration: int = 15_020
    maximum: int = VELOCITY_MAX
    stop_mode: int = 2


@dataclass
class Home:
    """0440-0442, with the defaults seen (M). Direction 1 forward, 2 reverse."""

    direction: int = 2
    limit_switch: int = 1
    velocity: int = VELOCITY_MAX
    offset: int = -SWITCH_STEPS


@dataclass
class General:
    """043A-043C. Without effect; 0 after power-up is assumed."""

    backlash: int = 0


class SimThorlabsK10cr1(AptMotors):
    """One mount, at a random true angle after power-up, enabled and not homed, its counter at 0.

    `port.angle_rad` is the true mechanical angle from the zero that homing with the default offset finds.
    """

    model: ClassVar[str] = "thorlabs_k10cr1"
    # Type, firmware and version are invented; the model's name and the one channel are not.
    hardware = Hardware("K10CR1", type=44, firmware=(3, 0, 1), version=1, channels=1)
    always = Status.CONNECTED
    enabled_at_start = True
    serial_prefix = 55

    def __init__(
        self, name: str, rng: np.random.Generator, port: RotationPort, *, serial_number: int | None = None
    ) -> None:
        at = float(rng.integers(STEPS_PER_TURN))
        super().__init__(
            name, rng, {1: Axis(Motor(at), origin=at, enabled=self.enabled_at_start)}, serial_number
        )
        self.port = port
        self.velocity_parameters = Velocity()
        self.jog_parameters = Jog()
        self.home_parameters = Home()
        self.general_parameters = General()
        self.table |= {
            0x0210: Message("", lambda ch, state: self.set_enabled(ch, state == 1)),
            0x0413: Message("H3i", lambda _, *values: self._set("velocity_parameters", Velocity(*values))),
            0x0414: Message("", lambda ch, _: self._send(0x0415, self._get("3i", ch, "velocity_parameters"))),
            0x0416: Message("HH4iH", lambda _, *values: self._set("jog_parameters", Jog(*values))),
            0x0417: Message("", lambda ch, _: self._send(0x0418, self._get("H4iH", ch, "jog_parameters"))),
            0x043A: Message("Hi", lambda _, value: self._set("general_parameters", General(value))),
            0x043B: Message("", lambda ch, _: self._send(0x043C, self._get("i", ch, "general_parameters"))),
            0x0440: Message("HHHii", lambda _, *values: self._set("home_parameters", Home(*values))),
            0x0441: Message("", lambda ch, _: self._send(0x0442, self._get("HHii", ch, "home_parameters"))),
        }
        self.turn_light()

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        port = ports.rotations[placed.name] = RotationPort()
        return cls(placed.name, rng, port)

    def power_cycle(self) -> None:
        self.velocity_parameters, self.jog_parameters = Velocity(), Jog()
        self.home_parameters, self.general_parameters = Home(), General()
        super().power_cycle()

    def _set(self, name: str, value: Velocity | Jog | Home | General) -> None:
        setattr(self, name, value)

    def _get(self, layout: str, channel: int, name: str) -> bytes:
        return self._pack(layout, channel, *astuple(getattr(self, name)))

    def limits(self, axis: Axis) -> tuple[float, float]:
        """Endless turning, as far as the counter reaches."""
        return axis.origin + I32_MIN, axis.origin + I32_MAX

    def leg(self, axis: Axis, target: float) -> Leg:
        return self.velocity_parameters.leg(axis.motor.position, target)

    def jog(self, channel: int, sign: int) -> Leg:
        axis, jog = self.axes[channel], self.jog_parameters
        step = jog.step if jog.mode == 2 else I32_MAX
        target = self._clip(axis, axis.origin + axis.counter + sign * step)
        return Velocity(0, jog.acceleration, jog.maximum).leg(axis.motor.position, target)

    def home(self, axis: Axis) -> tuple[list[Leg], float]:
        """To the switch in the home direction, and by the offset beyond it (forward), which is then 0."""
        home, at = self.home_parameters, axis.motor.position
        forward = home.direction == 1
        way = (SWITCH_STEPS - at) % STEPS_PER_TURN if forward else -((at - SWITCH_STEPS) % STEPS_PER_TURN)
        # Whole turns are taken off, so that the zero that will be found is the true one.
        axis.origin += SWITCH_STEPS - way - at
        axis.motor.position = SWITCH_STEPS - way
        speed = Velocity(0, self.velocity_parameters.acceleration, home.velocity)
        zero = float(SWITCH_STEPS + home.offset)
        return [speed.leg(axis.motor.position, SWITCH_STEPS), speed.leg(SWITCH_STEPS, zero)], zero

    def brake(self, axis: Axis) -> list[Braking]:
        acceleration = min(max(self.velocity_parameters.acceleration, 1), ACCELERATION_MAX)
        return [Braking(axis.motor.position, axis.motor.velocity, acceleration / ACCELERATION_UNIT)]

    def completion(self, id_: int, channel: int) -> Frame:
        """0464 and 0466 with position and status, 0444 the header only."""
        if id_ == HOMED:
            return Frame(id_, channel, 0)
        return Frame(id_, data=self.status(channel))

    def update(self, channel: int) -> Frame:
        return Frame(0x0481, data=self.status(channel))

    def turn_light(self) -> None:
        self.port.angle_rad = math.radians(self.axes[1].motor.position / STEPS_PER_DEGREE)
