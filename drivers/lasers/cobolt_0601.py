"""Cobolt (Hübner) 06-01 diode laser, text over a serial line.

Written from the protocol notes (`cobolt_0601.md`, the command table). Model and firmware are asked by `glm?`
and `gfv?`, which the notes do not list: they are what the vendor's own package sends (github
cobolt-lasers/pycobolt; M). A laser with autostart enabled (`@cobas 1`) may emit by itself after a
power-cycle; this driver does not touch that setting.
"""

import math
import re

from pydantic import Field

from drivers.address import Address
from drivers.capabilities import Identity, Laser, Limits, Settings
from drivers.errors import ConnectError, DeadlineError, ProtocolError, RefusedError
from drivers.making_safe import insist
from drivers.transports.serial_text import SerialTextLine
from drivers.units import Watts

BAUD = 115200
FAMILY = "-06-"
"""In the model number of every 06-01 (`0780-06-01-0060-100`; M, by pycobolt)."""

FLAG = r"[01]"
DIGIT = r"\d"
NUMBER = r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?"
WORD = r"\S+"
MODEL_NUMBER = r"\d{3,4}-\d\d-\S+"
ERROR = r"(?i).*(error|illegal|fault).*"
"""How refusals read: "anything else is an error text", of which one is known (M)."""

FAULTS = {0: "no fault", 1: "temperature", 3: "interlock", 4: "constant-power timeout"}
MODES = {
    0: "off", 1: "waiting for the key", 2: "continuous", 3: "on/off modulation", 4: "modulation",
    5: "fault", 6: "aborted",
}  # fmt: skip
POWER_TAKEN_W = 1e-6
"""Set-points are sent to a microwatt."""
SETTLED = 0.02
"""Of the set power, how near the measured one must come; our choice."""


class CoboltSettings(Settings):
    """The laser head; it cannot be asked for its nominal power."""

    max_power: Watts = Field(gt=0)


class Cobolt0601(Laser):
    """Address `serial:/dev/PATH`."""

    model = "cobolt_0601"
    manufacturer = "Cobolt"
    schemes = ("serial",)
    protocol = "cobolt_0601.md, completeness 2; glm? and gfv? by the vendor's package pycobolt"
    doubts = (
        "One refusal is known by its words; every answer with error, illegal or fault in it counts as one.",
        "A laser with autostart enabled may emit by itself after a power-cycle; this driver leaves that "
        "setting.",
    )
    settings_model = CoboltSettings
    settings: CoboltSettings

    def __init__(self, name: str, address: Address, settings: CoboltSettings, deadline: float = 2.0) -> None:
        super().__init__(name, address, settings, deadline)
        # No other answer looks like a model number.
        self._line = SerialTextLine(
            name, address, BAUD, deadline, ending="\r", probe=("glm?", MODEL_NUMBER), flow_control=False
        )

    async def open(self) -> None:
        """Open the line and see that an 06-01 answers. Raises ConnectError."""
        await self._line.open()
        try:
            model_number = await self._ask("glm?", WORD)
        except (DeadlineError, RefusedError) as error:
            await self.close()
            raise ConnectError(self.name, str(self.address), error.problem, error.remedy) from error
        if FAMILY not in model_number:
            await self.close()
            raise ConnectError(
                self.name, str(self.address), f"a {model_number!r} answers",
                "Give the address of a Cobolt 06-01",
            )  # fmt: skip

    async def close(self) -> None:
        await self._line.close()

    async def identity(self) -> Identity:
        return Identity(
            self.manufacturer,
            await self._ask("glm?", MODEL_NUMBER),
            await self._ask("gsn?", WORD),
            await self._ask("gfv?", WORD),
        )

    @property
    def power_limits(self) -> Limits:
        return Limits(0.0, self.settings.max_power, "W")

    async def set_power(self, power_w: float) -> None:
        """Set the power in watts, to 1 uW, and let the laser hold it (constant power). Raises LimitError,
        RefusedError."""
        self.check_limit("power", power_w, self.power_limits)
        command = f"p {power_w:.6f}"
        await self._tell(command)
        taken = await self._number("p?")
        if abs(taken - power_w) > POWER_TAKEN_W:
            raise RefusedError(self.name, str(self.address), f"{command} left it at {taken:g} W")
        await self._tell("cp")

    async def power(self) -> float:
        return await self._number("pa?") if await self.emission() else 0.0

    async def set_emission(self, on: bool) -> None:
        """Switch the laser and see that it is switched. Raises RefusedError with the reasons; the laser is
        then switched off, so that it does not come on by itself when somebody turns the key."""
        await self._tell("l1" if on else "l0")
        if await self.emission() is on:
            return
        interlock, fault, mode = await self._digit("ilk?"), await self._digit("f?"), await self._digit("gom?")
        if on:
            await self._tell("l0")
        raise RefusedError(
            self.name, str(self.address),
            f"the laser did not go {'on' if on else 'off'}: "
            f"the interlock is {'open' if interlock else 'closed'}, "
            f"fault {fault} ({FAULTS.get(fault, 'unknown')}), mode {mode} ({MODES.get(mode, 'unknown')})",
            "See to interlock and key, then clear the fault" if on else "Turn the key",
        )  # fmt: skip

    async def emission(self) -> bool:
        """Whether the laser is switched on; while it warms up, or waits for the key, it does not shine yet
        (`is_settled`)."""
        return await self._ask("l?", FLAG) == "1"

    async def clear_fault(self) -> None:
        """Clear a fault whose cause is gone, so that the laser can be switched on again."""
        await self._tell("cf")

    async def is_settled(self) -> bool:
        """Whether the measured power is the set one; True while the laser is off."""
        if not await self.emission():
            return True
        power_set = await self._number("p?")
        return abs(await self._number("pa?") - power_set) <= SETTLED * power_set + POWER_TAKEN_W

    async def make_safe(self) -> None:
        await insist(self, lambda: self.set_emission(False), was_open=self._line.is_open)

    async def _number(self, question: str) -> float:
        number = float(await self._ask(question, NUMBER))
        if not math.isfinite(number):
            await self.close()  # nobody knows what comes next on this line
            raise ProtocolError(self.name, str(self.address), f"{question} was answered by {number}")
        return number

    async def _digit(self, question: str) -> int:
        return int(await self._ask(question, DIGIT))

    async def _ask(self, question: str, form: str) -> str:
        return await self._exchange(question, form, retry=True)

    async def _tell(self, command: str) -> None:
        await self._exchange(command, "OK", retry=False)

    async def _exchange(self, command: str, form: str, *, retry: bool) -> str:
        """The first line that has the form of the answer or of a refusal; what else comes is no answer to
        this command, and the deadline ends the wait for one. Raises RefusedError, DeadlineError."""

        def is_answer(line: str) -> bool:
            return bool(re.fullmatch(form, line.strip(), re.ASCII) or re.fullmatch(ERROR, line))

        answer = (await self._line.query(command, is_answer, retry=retry)).strip()
        if not re.fullmatch(form, answer, re.ASCII):
            raise RefusedError(self.name, str(self.address), f"{command} was refused: {answer}")
        return answer
