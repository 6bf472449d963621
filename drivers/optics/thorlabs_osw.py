"""Thorlabs OSW12 and OSW22 fibre switches (type E), text over a USB serial line.

Written from the protocol notes (`small_switches.md`). Setting has no answer; whether the switch obeyed,
reading says. For a few seconds after it is plugged in it answers nothing.
"""

import asyncio
import re
import time
from collections.abc import Mapping
from typing import Literal

from drivers.address import Address
from drivers.capabilities import Identity, Limits, OpticalSwitch, Settings
from drivers.errors import RefusedError
from drivers.transports.serial_text import SerialTextLine

BAUD = 115200
BAR, CROSS = 1, 2
STATE = r"[12]"
BOARD = r"(?![12]\s*$).*\S.*"
"""Any text but a state; what a board's text looks like, no source shows."""
POLL_S = 0.02
"""Rest between two looks at whether the switch has obeyed; it takes less than 10 ms."""


class OswSettings(Settings):
    """How many inputs are in use: 1 for an OSW12, 2 for an OSW22."""

    inputs: Literal[1, 2] = 2


class ThorlabsOsw(OpticalSwitch):
    """Address `serial:/dev/PATH`. Bar leads 1 to 1 (and 2 to 2), cross 1 to 2 (and 2 to 1): one input cannot
    be led elsewhere without the other."""

    model = "thorlabs_osw"
    manufacturer = "Thorlabs"
    schemes = ("serial",)
    protocol = "small_switches.md, completeness 2"
    doubts = ("What the text of its board looks like, no source shows; any but a state is taken.",)
    can_disconnect = False
    settings_model = OswSettings
    settings: OswSettings

    def __init__(self, name: str, address: Address, settings: OswSettings, deadline: float = 2.0) -> None:
        super().__init__(name, address, settings, deadline)
        self._line = SerialTextLine(
            name, address, BAUD, deadline, ending="\n", probe=("I?", BOARD), flow_control=True
        )

    async def open(self) -> None:
        """Open the line and see that something answers as a switch does."""
        await self._line.open()
        await self.identity()
        await self._state()

    async def close(self) -> None:
        await self._line.close()

    async def identity(self) -> Identity:
        """The board's text, name and firmware in one, stands as the model: its form is not known."""
        board = await self._ask("I?", BOARD)
        return Identity(self.manufacturer, board, "", "")

    @property
    def inputs(self) -> tuple[int, ...]:
        return tuple(range(1, self.settings.inputs + 1))

    @property
    def outputs(self) -> tuple[int, ...]:
        return (1, 2)

    async def connect(self, input_: int, output: int) -> None:
        """Lead an input to an output, and with it the other input to the other output; returns when the
        switch says so. Raises LimitError, and RefusedError when it does not within the deadline."""
        self.check_limit("input", input_, Limits(1, self.settings.inputs, "1"))
        self.check_limit("output", output, Limits(1, 2, "1"))
        state = BAR if input_ == output else CROSS
        await self._line.write(f"S {state}")
        end = time.monotonic() + self.deadline
        while (shown := await self._state()) != state:
            if time.monotonic() > end:
                raise RefusedError(
                    self.name, str(self.address), f"S? still gives {shown} after S {state}",
                    "Plug the switch out and in, and wait a few seconds",
                )  # fmt: skip
            await asyncio.sleep(POLL_S)

    async def disconnect(self, input_: int) -> None:
        self.check_limit("input", input_, Limits(1, self.settings.inputs, "1"))
        raise RefusedError(self.name, str(self.address), "the inputs of this switch always lead to an output")

    async def connections(self) -> Mapping[int, int]:
        crossed = await self._state() == CROSS
        return {input_: 3 - input_ if crossed else input_ for input_ in self.inputs}

    async def is_settled(self) -> bool:
        """Always: connecting returns when it is done."""
        return True

    async def make_safe(self) -> None:
        """Does nothing: the switch emits nothing, and others' light may pass it."""

    async def _state(self) -> int:
        return int(await self._ask("S?", STATE))

    async def _ask(self, question: str, form: str) -> str:
        """The first line of the form; others are none of its answers."""
        pattern = re.compile(form, re.ASCII)
        answer = await self._line.query(
            question, lambda line: bool(pattern.fullmatch(line.strip())), retry=True
        )
        return answer.strip()
