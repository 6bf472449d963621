"""Driver of the Thorlabs MPC320 motorised paddle controller: three fibre paddles from 0 to 170 degrees.

Protocol: thorlabs_mpc320.md. `home()` and `set_angles()` begin a motion and return when the instrument
has taken it (see `drivers.polarization.apt_instrument`); the paddles then move at the velocity that is
set in the instrument. The channels are enabled at the first motion after `open()`, not by `open()`.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

from drivers.capabilities import Limits, PolarizationController
from drivers.polarization.apt import SetChannelEnable
from drivers.polarization.apt_instrument import AptInstrument

STEPS_PER_RADIAN = 1370 / math.radians(170.0)
"""thorlabs_mpc320.md, Frames: positions 0 to 1370 are 0 to 170 degrees (H)."""


class ThorlabsMpc320(AptInstrument, PolarizationController):
    """Three paddles; angles in radians, resolution 0.12 degrees."""

    model = "thorlabs_mpc320"
    model_text = "MPC320"
    protocol = "thorlabs_mpc320.md, completeness 3"
    doubts = (
        "That enabling takes a mask of all channels is one public driver's observation, not the "
        "specification's.",
        "Enabling in quick succession is said to hang the firmware; this driver enables once after opening.",
    )
    channels = (1, 2, 4)
    enable_message: ClassVar[SetChannelEnable] = SetChannelEnable(1 + 2 + 4, 1)

    @property
    def actuators(self) -> int:
        return len(self.channels)

    @property
    def angle_limits(self) -> Limits:
        return Limits(0.0, math.radians(170.0), "rad")

    async def set_angles(self, angles_rad: Sequence[float]) -> None:
        """Begin to move the three paddles to these angles in radians; each moves on its own. Raises
        LimitError when one is out of range, or their number wrong, before anything is sent."""
        self.check_angles(angles_rad)
        await self._move(
            {
                channel: round(angle * STEPS_PER_RADIAN)
                for channel, angle in zip(self.channels, angles_rad, strict=True)
            }
        )

    async def angles(self) -> tuple[float, ...]:
        return tuple(position / STEPS_PER_RADIAN for position in await self._positions())
