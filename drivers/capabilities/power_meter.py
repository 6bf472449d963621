"""PowerMeter: optical power at one wavelength."""

from abc import abstractmethod

from drivers.capabilities.instrument import Control, Instrument, Limits
from drivers.gate import sets


class PowerMeter(Instrument):
    """An optical power meter. Safe state: it has no unsafe one."""

    @property
    @abstractmethod
    def wavelength_limits(self) -> Limits:
        """The allowed calibration wavelength in metres."""

    @abstractmethod
    @sets("wavelength")
    async def set_wavelength(self, wavelength_m: float) -> None:
        """Set the wavelength for which the reading is corrected, in metres. Raises LimitError."""

    @abstractmethod
    async def wavelength(self) -> float:
        """The calibration wavelength in metres."""

    @abstractmethod
    async def power(self) -> float:
        """The optical power on the sensor in watts."""

    def controls(self) -> tuple[Control, ...]:
        return (
            Control("wavelength", "m", self.wavelength, self.set_wavelength, self.wavelength_limits),
            Control("power", "W", self.power),
        )
