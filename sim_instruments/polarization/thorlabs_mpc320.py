"""Simulated Thorlabs MPC320: three motorised fibre paddles behind an APT serial line.

Source: thorlabs_mpc320.md. The paddles turn the light through `PaddlesPort` at every moment of a motion,
each on its own. Not modelled: the fault text 0080/0081, the firmware hanging when enable is toggled
quickly, and the limit bits (the notes do not show one at the end of the range).
"""

import math
from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np

from sim_instruments.instrument import Placed
from sim_instruments.polarization.apt import Frame, Status
from sim_instruments.polarization.apt_motors import AptMotors, Axis, Hardware, Message
from sim_instruments.polarization.motion import PS, Braking, Leg, Motor, Pause
from sim_instruments.ports import PlatesPort, Ports

CHANNELS = (1, 2, 4)
STEPS_MAX = 1370
PADDLES_RAD = (math.pi / 2, math.pi, math.pi / 2)
"""Retardances of the three paddles: wound as quarter, half and quarter wave plate. [assumed: the usual
winding] With all three at the same angle they add up to a full wave: no effect."""
STEPS_PER_DEGREE = STEPS_MAX / 170
"""0..1370 steps are 0..170 degrees (H)."""
FULL_SPEED = 400 * STEPS_PER_DEGREE
"""Steps/s at a velocity of 100 %."""
DEFAULTS = (50, 685, 50, 50, 50)
"""Velocity in %, home position and the three jog steps after power-up: those of the example of 0530;
that it shows the defaults is assumed, but for the home position."""
HOMING_SPEED = 200 * STEPS_PER_DEGREE
HOMING_PAUSE_PS = 600 * PS // 1000
"""Invented: homing seeks the lower end at half speed, pauses and goes to the home position, so that it
takes 1.0 to 1.9 s (the notes say 1-2 s)."""


class SimThorlabsMpc320(AptMotors):
    """Three paddles, at random angles after power-up, disabled and not homed.

    Assumed: the position counters start at 0 wherever the paddles stand, and count from there until
    homing has found the zero; the ends of the range are mechanical and hold before that too.
    """

    model: ClassVar[str] = "thorlabs_mpc320"
    hardware = Hardware("MPC320", type=44, firmware=(3, 0, 1), version=1, channels=3)
    always = Status.CONNECTED | Status.POWER_OK
    enabled_at_start = False
    serial_prefix = 38

    def __init__(
        self, name: str, rng: np.random.Generator, port: PlatesPort, *, serial_number: int | None = None
    ) -> None:
        starts = {channel: float(rng.integers(STEPS_MAX + 1)) for channel in CHANNELS}
        axes = {
            channel: Axis(Motor(at), origin=at, enabled=self.enabled_at_start)
            for channel, at in starts.items()
        }
        super().__init__(name, rng, axes, serial_number)
        self.port = port
        self.velocity, self.home_position, *self.jog_steps = DEFAULTS
        self.table |= {
            0x0210: Message("", self._set_enable, addressed=False),
            0x0530: Message("6H", self._set_parameters, addressed=False),
            0x0531: Message("", lambda *_: self._send(0x0532, self._parameters()), addressed=False),
        }
        self.turn_light()

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        port = ports.plates[placed.name] = PlatesPort()
        return cls(placed.name, rng, port)

    def power_cycle(self) -> None:
        self.velocity, self.home_position, *self.jog_steps = DEFAULTS
        super().power_cycle()

    def _set_enable(self, mask: int, state: int) -> None:
        """Param1 is a mask of the channels to be on, the others go off, with param2 = 1 (M). Assumed for
        param2 = 2: the channels of the mask go off."""
        for channel in CHANNELS:
            if state == 1:
                self.set_enabled(channel, bool(mask & channel))
            elif state == 2 and mask & channel:
                self.set_enabled(channel, False)

    def _set_parameters(self, _: int, velocity: int, home: int, *jog_steps: int) -> None:
        self.velocity = min(max(velocity, 10), 100)
        self.home_position = min(home, STEPS_MAX)
        self.jog_steps = [min(step, STEPS_MAX) for step in jog_steps]

    def _parameters(self) -> bytes:
        return self._pack("5H", 0, self.velocity, self.home_position, *self.jog_steps)

    def limits(self, axis: Axis) -> tuple[float, float]:  # noqa: ARG002
        return 0.0, float(STEPS_MAX)

    def leg(self, axis: Axis, target: float) -> Leg:
        return Leg(axis.motor.position, target, FULL_SPEED * self.velocity / 100)

    def jog(self, channel: int, sign: int) -> Leg:
        axis = self.axes[channel]
        step = self.jog_steps[CHANNELS.index(channel)]
        return self.leg(axis, self._clip(axis, round(axis.motor.position) + sign * step))

    def home(self, axis: Axis) -> tuple[Sequence[Leg | Pause], float]:
        legs: list[Leg | Pause] = [
            Leg(axis.motor.position, 0.0, HOMING_SPEED),
            Pause(0.0, HOMING_PAUSE_PS),
            Leg(0.0, float(self.home_position), HOMING_SPEED),
        ]
        return legs, 0.0

    def brake(self, axis: Axis) -> Sequence[Braking]:  # noqa: ARG002
        return ()  # no acceleration is known of the paddles: a profiled stop is an immediate one

    def completion(self, id_: int, channel: int) -> Frame:
        """Header only, also 0464 (M); for 0466 the notes say nothing about this model."""
        return Frame(id_, channel, 0)

    def update(self, channel: int) -> Frame:
        return Frame(0x0491, data=self.u_status(channel))

    def turn_light(self) -> None:
        self.port.plates = [
            (retardance, math.radians(axis.motor.position / STEPS_PER_DEGREE))
            for retardance, axis in zip(PADDLES_RAD, self.axes.values(), strict=True)
        ]
