"""Thorlabs LCC25 liquid-crystal controller, text over a serial line, with one cell on its output.

Written from the protocol notes (`thorlabs_lcc25.md`). The controller repeats every command, then answers,
then shows its prompt; an answer is taken only behind its own command.
"""

import re
from collections.abc import Sequence

from drivers.address import Address
from drivers.capabilities import Identity, Limits, PolarizationController
from drivers.errors import ConnectError, DeadlineError, ProtocolError, RefusedError
from drivers.making_safe import insist
from drivers.polarization.liquid_crystal import LiquidCrystalSettings
from drivers.transports.serial import Probe
from drivers.transports.serial_frames import SerialFrameLine
from drivers.transports.text_answers import Answer, TextAnswers

BAUD = 115200
PROMPT = b">"
"""A blank follows, but perhaps not in all firmwares; it is stripped from what comes next."""
MOST_V = 25.0
STEP_V = 0.1
"""As the notes have it; it may be no more than the format that a client uses (M)."""
VOLTAGE_1 = "1"
"""Of the modes, the one that puts voltage 1 on the cell; 0 alternates between both, 2 is voltage 2."""
NUMBER = r"[+-]?\d+(?:\.\d*)?"
FLAG = r"[01]"
IDENTITY = r"(?i)(THORLABS)\s+(\S+)(?:\s+VERSION)?\s*(.*)"


class ThorlabsLcc25(PolarizationController):
    """Address `serial:/dev/PATH`.

    The angle is the retardance of the cell, by the curve in the settings, reached in steps of 0.1 V. While
    the output is disabled there is no voltage on the cell; `set_angles` enables it. The controller does not
    know when the cell, which takes tens of milliseconds, has followed.
    """

    model = "thorlabs_lcc25"
    manufacturer = "Thorlabs"
    schemes = ("serial",)
    protocol = "thorlabs_lcc25.md, completeness 3"
    doubts = (
        "Steps of 0.1 V may be no more than the format that one client uses.",
        "Whether a blank follows the prompt differs between firmwares or clients; both are taken.",
    )
    settings_model = LiquidCrystalSettings
    settings: LiquidCrystalSettings
    angle_is = "retardance"

    def __init__(
        self, name: str, address: Address, settings: LiquidCrystalSettings, deadline: float = 2.0
    ) -> None:
        super().__init__(name, address, settings, deadline)
        probe = Probe[Answer](b"*idn?\r", lambda answer: "*idn?" in answer)
        self._line = SerialFrameLine(
            name, address, BAUD, deadline, decoder=lambda: TextAnswers(PROMPT), probe=probe
        )

    async def open(self) -> None:
        """Open the line and see that an LCC25 answers. Raises ConnectError."""
        await self._line.open()
        remedy = "Give the address of an LCC25"
        try:
            identity = await self.identity()
        except (DeadlineError, ProtocolError, RefusedError) as error:
            await self.close()
            raise ConnectError(self.name, str(self.address), error.problem, remedy) from error
        if identity.model.upper() != "LCC25":
            await self.close()
            raise ConnectError(self.name, str(self.address), f"a {identity.model} answers", remedy)

    async def close(self) -> None:
        await self._line.close()

    async def identity(self) -> Identity:
        """Without a serial number, which it does not tell."""
        maker, model, firmware = (await self._ask("*idn?", IDENTITY)).groups()
        return Identity(maker, model, "", firmware)

    @property
    def actuators(self) -> int:
        return 1

    @property
    def angle_limits(self) -> Limits:
        return self.settings.retardance_limits

    async def home(self) -> None:
        """Nothing to look for, and nowhere to go: a voltage has its zero."""

    async def is_homed(self) -> bool:
        return True

    async def is_settled(self) -> bool:
        """Always: whether the cell has followed, the controller does not know."""
        return True

    async def set_angles(self, angles_rad: Sequence[float]) -> None:
        """Set the retardance in radians, to 0.1 V, and enable the output. Raises LimitError, RefusedError."""
        self.check_angles(angles_rad)
        voltage_v = self.settings.voltage_for(angles_rad[0])
        self.check_limit("voltage", voltage_v, Limits(0.0, MOST_V, "V"))
        command = f"volt1={voltage_v:.1f}"
        await self._tell(command)
        taken_v = await self._number("volt1?")
        if abs(taken_v - voltage_v) > 0.51 * STEP_V:
            raise RefusedError(self.name, str(self.address), f"{command} left it at {taken_v:g} V")
        await self._hold_voltage_1()
        await self._switch("enable", on=True)

    async def angles(self) -> tuple[float, ...]:
        if not await self._flag("enable"):
            return (self.settings.retardance_at(0.0),)
        mode = await self._mode()
        if mode == "0" or await self._flag("extern"):
            raise RefusedError(
                self.name, str(self.address), "it modulates the cell",
                "Set an angle, or make it safe, to end that",
            )  # fmt: skip
        return (self.settings.retardance_at(await self._number(f"volt{mode}?")),)

    async def make_safe(self) -> None:
        """No modulation: a controller that modulates goes to its voltage 1. Output and voltages stay."""

        async def still() -> None:
            if await self._mode() == "0" or await self._flag("extern"):
                await self._hold_voltage_1()

        await insist(self, still, was_open=self._line.is_open)

    async def _hold_voltage_1(self) -> None:
        """Neither the internal nor the external modulation, verified."""
        await self._switch("extern", on=False)
        await self._tell(f"mode={VOLTAGE_1}")
        if (mode := await self._mode()) != VOLTAGE_1:
            raise RefusedError(self.name, str(self.address), f"mode={VOLTAGE_1} left it in mode {mode}")

    async def _switch(self, what: str, *, on: bool) -> None:
        await self._tell(f"{what}={int(on)}")
        if await self._flag(what) is not on:
            raise RefusedError(self.name, str(self.address), f"{what}={int(on)} had no effect")

    async def _flag(self, what: str) -> bool:
        return (await self._ask(f"{what}?", FLAG))[0] == "1"

    async def _mode(self) -> str:
        return (await self._ask("mode?", "[012]"))[0]

    async def _number(self, question: str) -> float:
        return float((await self._ask(question, NUMBER))[0])

    async def _ask(self, question: str, form: str) -> re.Match[str]:
        """The answer to a question, if the regular expression matches it as a whole."""
        lines = await self._exchange(question, retry=True)
        match = re.fullmatch(form, lines[0], re.ASCII) if lines else None
        if match is None:
            raise await self._garbled(question, lines)
        return match

    async def _tell(self, command: str) -> None:
        """Carry out a command, which has no answer when it is taken."""
        if lines := await self._exchange(command, retry=False):
            raise await self._garbled(command, lines)

    async def _exchange(self, command: str, *, retry: bool) -> Answer:
        """What comes between the echo of a command and the prompt. Raises RefusedError."""
        answer = await self._line.ask(
            f"{command}\r".encode(), lambda answer: command in answer, command, retry=retry
        )
        lines = answer[answer.index(command) + 1 : -1]
        if lines and lines[0].startswith("CMD_"):
            raise RefusedError(self.name, str(self.address), f"{command} was refused: {lines[0]}")
        return lines

    async def _garbled(self, command: str, lines: Answer) -> ProtocolError:
        await self.close()  # nobody knows what comes next on this line
        return ProtocolError(self.name, str(self.address), f"{command} was answered by {lines!r}")
