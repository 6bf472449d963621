"""Driver of the Thorlabs K10CR1 motorised rotation mount.

Protocol: thorlabs_k10cr1.md. `home()` and `set_angle()` begin a motion and return when the instrument
has taken it (see `drivers.polarization.apt_instrument`). The mount turns with the trapezoidal velocity
profile that is set in it. Angles count from the home position; before homing, from where the mount stood
when it got power.
"""

import math
from typing import ClassVar

from drivers.capabilities import Limits, RotationMount
from drivers.polarization.apt import SetChannelEnable
from drivers.polarization.apt_instrument import AptInstrument

STEPS_PER_RADIAN = 49_152_000 / math.tau
"""thorlabs_k10cr1.md, Scales: 49152000 steps per turn, 136533.33 per degree (H)."""


class ThorlabsK10cr1(AptInstrument, RotationMount):
    """One rotation stage; angles in radians, one step is 0.13 microradian.

    The mount itself turns without end. This driver allows one turn either way from zero, enough for every
    setting of a wave plate, so that a wrong unit in a set-point does not wind the mount up.
    """

    model = "thorlabs_k10cr1"
    model_text = "K10CR1"
    protocol = "thorlabs_k10cr1.md, completeness 3 (frames: thorlabs_mpc320.md)"
    doubts = ("That angles count from the power-up position before homing is known from one public driver.",)
    channels = (1,)
    enable_message: ClassVar[SetChannelEnable] = SetChannelEnable(1, 1)

    @property
    def angle_limits(self) -> Limits:
        return Limits(-math.tau, math.tau, "rad")

    async def set_angle(self, angle_rad: float) -> None:
        """Begin to turn to this angle in radians, -2 pi to 2 pi. Raises LimitError."""
        self.check_limit("angle", angle_rad, self.angle_limits)
        await self._move({1: round(angle_rad * STEPS_PER_RADIAN)})

    async def angle(self) -> float:
        [position] = await self._positions()
        return position / STEPS_PER_RADIAN
