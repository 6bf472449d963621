"""Laser: emission on or off, optical output power."""

from abc import abstractmethod

from drivers.capabilities.instrument import Control, Instrument, Limits
from drivers.gate import sets


class Laser(Instrument):
    """A laser head with its controller. Safe state: emission off."""

    @property
    @abstractmethod
    def power_limits(self) -> Limits:
        """The allowed set-points of optical power in watts."""

    @abstractmethod
    @sets("power", energises=True)
    async def set_power(self, power_w: float) -> None:
        """Set the optical output power in watts. Does not switch emission. Raises LimitError."""

    @abstractmethod
    async def power(self) -> float:
        """The optical power in watts that the head emits now; 0.0 while emission is off."""

    @abstractmethod
    @sets("emission", energises=True)
    async def set_emission(self, on: bool) -> None:
        """Switch emission. Raises RefusedError when key, interlock or button forbids it."""

    @abstractmethod
    async def emission(self) -> bool:
        """Whether the laser emits now, read from the instrument."""

    def controls(self) -> tuple[Control, ...]:
        return (
            Control("power", "W", self.power, self.set_power, self.power_limits, energises=True),
            Control("emission", "", self.emission, self.set_emission, energises=True),
        )
