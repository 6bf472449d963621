"""CoincidenceCounter: counts clicks and coincidences by itself, and gives numbers instead of time tags."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from drivers.capabilities.instrument import Control, Instrument, Limits
from drivers.gate import sets


@dataclass(frozen=True)
class Counts:
    """What was counted in one dwell time."""

    singles: Mapping[int, int]
    """Clicks of each input, by its number."""
    coincidences: int
    """Clicks of all inputs together within the coincidence window."""


class CoincidenceCounter(Instrument):
    """A counter with inputs numbered from 1, which counts for a dwell time, again and again. Safe state: it
    has no unsafe one."""

    @property
    @abstractmethod
    def inputs(self) -> tuple[int, ...]:
        """The input numbers."""

    @property
    @abstractmethod
    def window_limits(self) -> Limits:
        """The allowed coincidence window in seconds."""

    @property
    @abstractmethod
    def dwell_limits(self) -> Limits:
        """The allowed dwell time in seconds."""

    @abstractmethod
    @sets("window")
    async def set_window(self, window_s: float) -> None:
        """Set the coincidence window in seconds: how far apart two clicks may be. Raises LimitError."""

    @abstractmethod
    async def window(self) -> float:
        """The coincidence window in seconds."""

    @abstractmethod
    @sets("dwell")
    async def set_dwell(self, dwell_s: float) -> None:
        """Set the dwell time in seconds. Raises LimitError."""

    @abstractmethod
    async def dwell(self) -> float:
        """The dwell time in seconds."""

    @abstractmethod
    async def counts(self) -> Counts:
        """What was counted in the last whole dwell time. Of an instrument that gives one number at a time,
        another dwell time may have ended between two of them."""

    def controls(self) -> tuple[Control, ...]:
        async def singles(input_: int) -> float:
            return float((await self.counts()).singles[input_])

        async def coincidences() -> float:
            return float((await self.counts()).coincidences)

        return (
            Control("window", "s", self.window, self.set_window, self.window_limits),
            Control("dwell", "s", self.dwell, self.set_dwell, self.dwell_limits),
            *(Control(f"singles.{n}", "1", partial(singles, n)) for n in self.inputs),
            Control("coincidences", "1", coincidences),
        )
