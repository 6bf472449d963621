"""What bias modules for nanowires in a SIM900 mainframe have in common, whoever made them.

The modules that bias the wires of one cryostat are one instrument; a channel's number is its module's slot.
Several such instruments may be in one mainframe only where it takes several connections (TCP, behind a
terminal server that lets more than one in), since a serial line has one owner.
"""

import re
from abc import abstractmethod
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from drivers.address import Address
from drivers.capabilities import Identity, Limits, NanowireBias, Settings
from drivers.detectors.sim900 import SLOTS, Sim900
from drivers.errors import ConnectError, DeadlineError, ProtocolError
from drivers.making_safe import insist
from drivers.units import Amperes


class Sim900BiasSettings(Settings):
    """Where the modules are, and how far the wires behind them may be biased."""

    slots: tuple[Annotated[int, Field(ge=SLOTS[0], le=SLOTS[-1])], ...] = Field(min_length=1)
    max_bias: Amperes = Field(gt=0)

    @field_validator("slots")
    @classmethod
    def _each_once(cls, slots: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(slots)) < len(slots):
            raise ValueError("a slot is named twice")
        return slots


class Sim900Bias(NanowireBias):
    """Bias modules of one kind. Address `tcp://HOST:5025`, or `serial:/dev/PATH` (9600 baud)."""

    schemes = ("tcp", "serial")
    settings: Sim900BiasSettings
    module: ClassVar[str]
    """What the modules are called."""
    probe: ClassVar[tuple[str, str]]
    """The question who a module is, and a regular expression that the answer matches and no other does."""
    is_module: ClassVar[str]
    """A regular expression that the answer of the right module matches."""

    def __init__(
        self, name: str, address: Address, settings: Sim900BiasSettings, deadline: float = 2.0
    ) -> None:
        super().__init__(name, address, settings, deadline)
        self._frame = Sim900(name, address, deadline, probe=self.probe)

    async def open(self) -> None:
        """Connect, and see that a SIM900 answers and has such a module in every slot of the settings."""
        await self._frame.open()
        try:
            await self._look_who_is_there()
        except (DeadlineError, ProtocolError) as error:
            await self.close()
            raise ConnectError(self.name, str(self.address), error.problem, error.remedy) from error

    async def _look_who_is_there(self) -> None:
        who = await self._frame.identity()
        if "SIM900" not in who.model:
            raise await self._stranger(f"a {who.manufacturer} {who.model} answers")
        missing = sorted(set(self.channels) - set(await self._frame.occupied()))
        if missing:
            raise await self._stranger(f"no module is in slot {', '.join(map(str, missing))}")
        for slot in self.channels:
            answer = await self._frame.ask(slot, self.probe[0], ".*")
            if not re.fullmatch(self.is_module, answer):
                raise await self._stranger(f"{answer!r} is in slot {slot}")

    async def _stranger(self, what: str) -> ConnectError:
        await self.close()
        remedy = f"Give the address of a SIM900, and the slots of its {self.module} modules"
        return ConnectError(self.name, str(self.address), what, remedy)

    async def close(self) -> None:
        await self._frame.close()

    async def identity(self) -> Identity:
        """Serial number and firmware are the mainframe's."""
        frame = await self._frame.identity()
        slots = ", ".join(map(str, self.channels))
        return Identity(
            self.manufacturer,
            f"{self.module} in slot {slots} of a {frame.model}",
            frame.serial_number,
            frame.firmware,
        )

    @property
    def channels(self) -> tuple[int, ...]:
        return self.settings.slots

    @property
    def bias_limits(self) -> Limits:
        return Limits(0.0, self.settings.max_bias, "A")

    async def set_bias(self, channel: int, current_a: float) -> None:
        """Set the bias current of one channel in amperes, and see that it was taken. Raises LimitError,
        RefusedError."""
        self.check_channel(channel)
        self.check_limit(f"bias of channel {channel}", current_a, self.bias_limits)
        await self._feed(channel, current_a)

    async def is_settled(self) -> bool:
        """Always: the set-point is read back after every change, and there in no time."""
        return True

    async def make_safe(self) -> None:
        await insist(self, self._all_to_zero, was_open=self._frame.is_open)

    @abstractmethod
    async def _feed(self, slot: int, current_a: float) -> None:
        """Set a current inside the limits, and see that it was taken. Raises RefusedError."""

    @abstractmethod
    async def _all_to_zero(self) -> None:
        """Tell all modules before one is asked, then see that they have done it. Raises RefusedError."""
