"""Polarimeter: power and state of polarization of a beam."""

from abc import abstractmethod
from dataclasses import dataclass
from math import hypot

from drivers.capabilities.instrument import Control, Instrument, Limits
from drivers.gate import sets


@dataclass(frozen=True)
class Stokes:
    """One reading: the power, and the Stokes vector over it.

    `s1` is +1 for horizontal light, `s2` for light at 45 degrees from horizontal towards vertical, `s3`
    for the Jones vector (H, V) = (1, i)/sqrt 2; a driver converts its maker's signs.
    """

    power_w: float
    s1: float
    s2: float
    s3: float

    @property
    def dop(self) -> float:
        """Degree of polarization, 0 to 1 but for the noise of the reading."""
        return hypot(self.s1, self.s2, self.s3)


class Polarimeter(Instrument):
    """A polarimeter. Safe state: not measuring."""

    @property
    @abstractmethod
    def wavelength_limits(self) -> Limits:
        """The allowed calibration wavelength in metres."""

    @abstractmethod
    @sets("wavelength")
    async def set_wavelength(self, wavelength_m: float) -> None:
        """Set the wavelength for which readings are corrected, in metres. Raises LimitError."""

    @abstractmethod
    async def wavelength(self) -> float:
        """The calibration wavelength in metres."""

    @abstractmethod
    async def set_measuring(self, on: bool) -> None:
        """Begin to measure, or stop. It has settled when readings are good: a rotating plate at speed."""

    @abstractmethod
    async def is_measuring(self) -> bool:
        """Whether it measures, read from the instrument."""

    @abstractmethod
    async def stokes(self) -> Stokes:
        """The latest reading. Raises RefusedError while it does not measure or before the first reading."""

    def controls(self) -> tuple[Control, ...]:
        return (
            Control("wavelength", "m", self.wavelength, self.set_wavelength, self.wavelength_limits),
            Control("measuring", "", self.is_measuring, self.set_measuring),
        )
