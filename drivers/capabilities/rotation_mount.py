"""RotationMount: turns a wave plate or polarizer about the beam."""

from abc import abstractmethod

from drivers.capabilities.instrument import Control, Instrument, Limits
from drivers.gate import sets


class RotationMount(Instrument):
    """A motorised rotation mount. Safe state: stopped where it is."""

    @property
    @abstractmethod
    def angle_limits(self) -> Limits:
        """The allowed angle in radians."""

    @abstractmethod
    async def home(self) -> None:
        """Begin to look for the zero position."""

    @abstractmethod
    async def is_homed(self) -> bool:
        """Whether the mount knows its zero."""

    @abstractmethod
    @sets("angle")
    async def set_angle(self, angle_rad: float) -> None:
        """Begin to turn to this angle in radians. Raises LimitError."""

    @abstractmethod
    async def angle(self) -> float:
        """The present angle in radians, also while moving."""

    def controls(self) -> tuple[Control, ...]:
        return (
            Control("angle", "rad", self.angle, self.set_angle, self.angle_limits),
            Control("homed", "", self.is_homed),
        )
