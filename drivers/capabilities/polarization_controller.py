"""PolarizationController: a row of actuators that turn the polarization in a fibre."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial

from drivers.capabilities.instrument import Control, Instrument, Limits


class PolarizationController(Instrument):
    """Paddles in beam order. Safe state: stopped where they are."""

    @property
    @abstractmethod
    def actuators(self) -> int:
        """How many actuators stand in the beam."""

    @property
    @abstractmethod
    def angle_limits(self) -> Limits:
        """The allowed angle of each actuator in radians."""

    @abstractmethod
    async def home(self) -> None:
        """Begin to move every actuator to its home position, which also gives it its zero."""

    @abstractmethod
    async def is_homed(self) -> bool:
        """Whether every actuator knows its zero."""

    @abstractmethod
    async def set_angles(self, angles_rad: Sequence[float]) -> None:
        """Begin to move all actuators to these angles in radians, in beam order. Raises LimitError."""

    @abstractmethod
    async def angles(self) -> tuple[float, ...]:
        """The present angles in radians, in beam order, also while moving."""

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
