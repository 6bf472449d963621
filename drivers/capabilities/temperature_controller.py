"""TemperatureController: holds something, such as an etalon, at a temperature."""

from abc import abstractmethod

from drivers.capabilities.instrument import Control, Instrument, Limits
from drivers.gate import sets


class TemperatureController(Instrument):
    """A controller with a sensor and a heater or cooler. Safe state: neither heating nor cooling."""

    @property
    @abstractmethod
    def temperature_limits(self) -> Limits:
        """The allowed set-points in kelvin."""

    @abstractmethod
    @sets("set_point")
    async def set_temperature(self, temperature_k: float) -> None:
        """Set the set-point in kelvin. Does not switch the control. Raises LimitError."""

    @abstractmethod
    async def set_point(self) -> float:
        """The set-point in kelvin, whether or not the control is on."""

    @abstractmethod
    async def temperature(self) -> float:
        """The temperature in kelvin that the sensor measures now."""

    @abstractmethod
    @sets("enabled", energises=True)
    async def set_enabled(self, on: bool) -> None:
        """Switch the control on or off. Raises RefusedError when a fault or interlock forbids it."""

    @abstractmethod
    async def is_enabled(self) -> bool:
        """Whether the temperature is controlled, read from the instrument."""

    def controls(self) -> tuple[Control, ...]:
        return (
            Control("set_point", "K", self.set_point, self.set_temperature, self.temperature_limits),
            Control("temperature", "K", self.temperature),
            Control("enabled", "", self.is_enabled, self.set_enabled, energises=True),
        )
