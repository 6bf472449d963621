"""TunableLaser: a laser whose optical frequency can be set."""

from abc import abstractmethod

from pydantic import Field

from drivers.capabilities.instrument import Control, Limits, Settings
from drivers.capabilities.laser import Laser
from drivers.gate import sets
from drivers.units import Hertz, Metres, Watts

SPEED_OF_LIGHT = 299_792_458.0
"""In m/s, exact; a wavelength here is always one in vacuum."""


class TunableLaserSettings(Settings):
    """Where the bench wants the laser to stay, so that set-points can be checked without asking it."""

    wavelength: Metres = Field(gt=0)
    """In vacuum; the one that the light paths are laid out for."""
    tuning_range: Hertz = Field(gt=0)
    """How far from there it may be tuned, to either side."""
    min_power: Watts = Field(gt=0)
    max_power: Watts = Field(gt=0)

    @property
    def frequency_limits(self) -> Limits:
        """In hertz, around the frequency of `wavelength`."""
        middle = SPEED_OF_LIGHT / self.wavelength
        return Limits(middle - self.tuning_range, middle + self.tuning_range, "Hz")


class TunableLaser(Laser):
    """A laser of which the optical frequency can be set. Safe state: emission off."""

    @property
    @abstractmethod
    def frequency_limits(self) -> Limits:
        """The allowed set-points of optical frequency in hertz."""

    @abstractmethod
    @sets("frequency")
    async def set_frequency(self, frequency_hz: float) -> None:
        """Begin to tune to this optical frequency in hertz. Does not switch emission. Raises LimitError,
        and RefusedError when the laser cannot tune so far, or not while it emits."""

    @abstractmethod
    async def frequency(self) -> float:
        """The optical frequency in hertz to which it is tuned, whether or not it emits. Where the laser
        measures how far its tuning has come, this is the measured one."""

    def controls(self) -> tuple[Control, ...]:
        """The frequency comes first: some lasers tune far only while they are dark."""
        return (
            Control("frequency", "Hz", self.frequency, self.set_frequency, self.frequency_limits),
            *super().controls(),
        )
