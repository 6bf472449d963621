"""OpticalSwitch: connects fibres at its inputs with fibres at its outputs."""

from abc import abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import ClassVar

from drivers.capabilities.instrument import Control, Instrument, Limits
from drivers.gate import sets


class OpticalSwitch(Instrument):
    """A switch or switch matrix. Inputs and outputs are numbered from 1 each, whatever numbers the
    instrument has for them. Safe state: its connections as they are; it emits nothing, and others' light
    may pass it."""

    can_disconnect: ClassVar[bool] = True
    """False for a switch whose inputs always lead to an output."""

    @property
    @abstractmethod
    def inputs(self) -> tuple[int, ...]:
        """The input numbers, from the settings (and checked against the instrument on open)."""

    @property
    @abstractmethod
    def outputs(self) -> tuple[int, ...]:
        """The output numbers, from the settings (and checked against the instrument on open)."""

    @abstractmethod
    @sets("output.{}")
    async def connect(self, input_: int, output: int) -> None:
        """Begin to lead an input to an output. What either was connected to before is connected to it no
        more. Raises LimitError for a number that does not exist, RefusedError for a port out of service."""

    @abstractmethod
    async def disconnect(self, input_: int) -> None:
        """Begin to lead an input nowhere. Raises LimitError for a number that does not exist, and
        RefusedError on a switch whose input always leads somewhere."""

    @abstractmethod
    async def connections(self) -> Mapping[int, int]:
        """Input -> output as the instrument says; inputs that lead nowhere are missing."""

    def controls(self) -> tuple[Control, ...]:
        """The output of each input, 0 where it leads nowhere (and can)."""

        outputs = Limits(0 if self.can_disconnect else 1, max(self.outputs), "1")

        async def read(input_: int) -> float:
            return (await self.connections()).get(input_, 0)

        async def write(input_: int, output: float) -> None:
            self.check_limit("output", output, outputs)
            await (self.connect(input_, int(output)) if output else self.disconnect(input_))

        return tuple(
            Control(f"output.{n}", "1", partial(read, n), partial(write, n), outputs) for n in self.inputs
        )
