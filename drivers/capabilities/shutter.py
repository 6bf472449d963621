"""Shutter: lets a beam pass or blocks it."""

from abc import abstractmethod

from drivers.capabilities.instrument import Control, Instrument
from drivers.gate import sets


class Shutter(Instrument):
    """A shutter in one beam. Safe state: closed."""

    @abstractmethod
    @sets("open", energises=True)
    async def set_open(self, is_open: bool) -> None:
        """Begin to open or close it. Raises RefusedError when an interlock forbids to open."""

    @abstractmethod
    async def is_open(self) -> bool:
        """Whether it stands open now, read from the instrument."""

    def controls(self) -> tuple[Control, ...]:
        return (Control("open", "", self.is_open, self.set_open, energises=True),)
