"""ClockMonitor: whether a node's clock follows its reference, and how well."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from drivers.capabilities.instrument import Control, Instrument


@dataclass(frozen=True)
class ClockStatus:
    """What a clock says of itself."""

    locked: bool
    """Whether it follows its reference."""
    offset_s: float | None
    """By how many seconds it is ahead of its reference, by its own measure; None where it does not say."""
    details: Mapping[str, str]
    """What else it says, by the instrument's own names, for people: states of ports, warnings."""


class ClockMonitor(Instrument):
    """Read-only view of a clock. Safe state: it has no unsafe one."""

    @abstractmethod
    async def status(self) -> ClockStatus:
        """The present status, read from the instrument."""

    def controls(self) -> tuple[Control, ...]:
        async def locked() -> bool:
            return (await self.status()).locked

        return (Control("locked", "", locked),)
