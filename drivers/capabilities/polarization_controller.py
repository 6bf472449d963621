"""PolarizationController: a row of birefringent actuators that turn the polarization of light."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

from drivers.capabilities.instrument import Control, Instrument, Limits
from drivers.errors import LimitError


class PolarizationController(Instrument):
    """Actuators in beam order, each of them a linear retarder whose one free property is its *angle*.

    A linear retarder has a fast axis and a retardance. `angle_is` says which of the two the angle is, the
    same for all actuators of a model; the other is fixed, and nobody's to set here:

    * "orientation": where the fast axis stands, counted from the instrument's own zero (fibre paddles, wave
      plates). What it does to the light has the period pi.
    * "retardance": the phase of the slow axis behind the fast one (fibre squeezers, liquid crystals), as the
      settings of the testbed file give it from the voltage. What it does to the light has the period 2 pi.

    Safe state: stopped where they are; nothing scrambles, scans or modulates.
    """

    angle_is: ClassVar[Literal["orientation", "retardance"]] = "orientation"

    @property
    @abstractmethod
    def actuators(self) -> int:
        """How many actuators stand in the beam."""

    @property
    @abstractmethod
    def angle_limits(self) -> Limits:
        """The allowed angle in radians, the same for every actuator."""

    @abstractmethod
    async def home(self) -> None:
        """Begin to move every actuator to its home position, where those find their zero that can lose it."""

    @abstractmethod
    async def is_homed(self) -> bool:
        """Whether every actuator knows its zero."""

    @abstractmethod
    async def set_angles(self, angles_rad: Sequence[float]) -> None:
        """Begin to move all actuators to these angles in radians, in beam order; what scrambled or was
        switched off is then still and on. Raises LimitError, also for a wrong number of angles."""

    @abstractmethod
    async def angles(self) -> tuple[float, ...]:
        """The present angles in radians, in beam order, also while moving. Raises RefusedError when they have
        none because the instrument scrambles, scans or modulates."""

    def check_angles(self, angles_rad: Sequence[float]) -> None:
        """Raise LimitError unless there is one angle for every actuator, and each is inside the limits."""
        if len(angles_rad) != self.actuators:
            raise LimitError(
                self.name, str(self.address), f"{len(angles_rad)} angles for {self.actuators} actuators",
                "Give one angle for each, in beam order",
            )  # fmt: skip
        for angle in angles_rad:
            self.check_limit("angle", angle, self.angle_limits)

    def controls(self) -> tuple[Control, ...]:
        async def read(actuator: int) -> float:
            return (await self.angles())[actuator]

        async def write(actuator: int, angle_rad: float) -> None:
            self.check_limit("angle", angle_rad, self.angle_limits)
            angles = list(await self.angles())
            angles[actuator] = angle_rad
            await self.set_angles(angles)

        return (
            *(
                Control(f"angle.{n + 1}", "rad", partial(read, n), partial(write, n), self.angle_limits)
                for n in range(self.actuators)
            ),
            Control("homed", "", self.is_homed),
        )
