"""DelayLine: a variable optical delay."""

from abc import abstractmethod

from drivers.capabilities.instrument import Control, Instrument, Limits
from drivers.gate import sets


class DelayLine(Instrument):
    """A motorised optical delay line. Safe state: stopped where it is."""

    @property
    @abstractmethod
    def delay_limits(self) -> Limits:
        """The allowed delay in seconds of light, from 0 at its shortest."""

    @abstractmethod
    async def home(self) -> None:
        """Begin to look for the zero position; does nothing on a line that needs none."""

    @abstractmethod
    async def is_homed(self) -> bool:
        """Whether it knows its zero; one that needs no homing always does."""

    @abstractmethod
    @sets("delay")
    async def set_delay(self, delay_s: float) -> None:
        """Begin to go to this delay in seconds. Raises LimitError, and RefusedError before homing."""

    @abstractmethod
    async def delay(self) -> float:
        """The present delay in seconds, also while moving. Raises RefusedError before homing."""

    def controls(self) -> tuple[Control, ...]:
        return (
            Control("delay", "s", self.delay, self.set_delay, self.delay_limits),
            Control("homed", "", self.is_homed),
        )
