"""Attenuator: a variable optical attenuator, with or without a shutter of its own."""

from abc import abstractmethod

from drivers.capabilities.instrument import Control, Instrument, Limits
from drivers.gate import sets


class Attenuator(Instrument):
    """A variable attenuator in one beam. Safe state: as dark as it can make it, its shutter closed or,
    without one, at its greatest attenuation."""

    @property
    @abstractmethod
    def attenuation_limits(self) -> Limits:
        """The allowed attenuation in dB, insertion loss included."""

    @property
    @abstractmethod
    def has_shutter(self) -> bool:
        """Whether it can block the beam, beside attenuating it."""

    @abstractmethod
    async def home(self) -> None:
        """Begin to look for the zero position; does nothing on an attenuator that needs none."""

    @abstractmethod
    async def is_homed(self) -> bool:
        """Whether it knows its attenuation; one that needs no homing always does."""

    @abstractmethod
    @sets("attenuation")
    async def set_attenuation(self, attenuation_db: float) -> None:
        """Begin to go to this attenuation in dB, insertion loss included. Does not open the shutter.
        Raises LimitError, and RefusedError before homing."""

    @abstractmethod
    async def attenuation(self) -> float:
        """The attenuation in dB, insertion loss included, whether or not the shutter is open. Raises
        RefusedError before homing."""

    @abstractmethod
    @sets("open", energises=True)
    async def set_open(self, is_open: bool) -> None:
        """Open or close the shutter. Without one, closing raises RefusedError and opening does nothing."""

    @abstractmethod
    async def is_open(self) -> bool:
        """Whether light can pass, read from the instrument; always True without a shutter."""

    def controls(self) -> tuple[Control, ...]:
        return (
            Control("attenuation", "dB", self.attenuation, self.set_attenuation, self.attenuation_limits),
            Control("open", "", self.is_open, self.set_open if self.has_shutter else None, energises=True),
        )
