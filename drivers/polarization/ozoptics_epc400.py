"""OZ Optics EPC-400: four fibre squeezers, text over a serial line.

Written from the protocol notes (`ozoptics_epc400.md`). Every command is answered by a line and `Done`, or by
`Error!` alone. The instrument has no identity query; that its answers have this form, with four channels, is
all there is to know it by.
"""

import math
import re
from collections.abc import Sequence

from pydantic import Field

from drivers.address import Address
from drivers.capabilities import Identity, Limits, PolarizationController, Settings
from drivers.errors import ConnectError, DeadlineError, RefusedError
from drivers.making_safe import insist
from drivers.transports.serial import Probe
from drivers.transports.serial_frames import SerialFrameLine
from drivers.transports.text_answers import Answer, TextAnswers
from drivers.units import Volts

BAUD = 9600
CHANNELS = (1, 2, 3, 4)
MOST_MV = 5000
DONE_OR_ERROR = rb"(?:Done|Error!)\s"
REFUSAL = "Error!"
NUMBER = r"\s*([+-]\d{4})"
VOLTAGES = r"Voltage\(mV\):\s*" + r"\s*".join(f"CH{channel}{NUMBER}" for channel in CHANNELS)
FREQUENCIES = r"Frequency\(Hz\):.*"
MODE = r"Work Mode:\s*(DC|AC.*)"


class EpcSettings(Settings):
    """What the voltage does to the light, which depends on its wavelength: the notes have "about 2 pi over a
    few volts" (M)."""

    half_wave_voltage: Volts = Field(gt=0)
    """So many volts more retard by pi more."""


class OzOpticsEpc400(PolarizationController):
    """Address `serial:/dev/PATH`.

    An angle is a retardance, counted from that of the squeezer at 0 V, so it may be negative. The squeezers
    follow within 30 us (M). In AC mode the controller scrambles; `set_angles` ends that.
    """

    model = "ozoptics_epc400"
    manufacturer = "OZ Optics"
    schemes = ("serial",)
    protocol = "ozoptics_epc400.md, completeness 3"
    doubts = (
        "It has no identity query: whoever answers four voltages is taken for one.",
        "What a volt does to the light is known roughly; the settings state it.",
    )
    settings_model = EpcSettings
    settings: EpcSettings
    angle_is = "retardance"

    def __init__(self, name: str, address: Address, settings: EpcSettings, deadline: float = 2.0) -> None:
        super().__init__(name, address, settings, deadline)
        # The frequencies, which this driver asks for nothing else, bring the line back in step.
        probe = Probe[Answer](b"F?\r\n", lambda answer: _line_of(answer, FREQUENCIES) is not None)
        self._line = SerialFrameLine(
            name, address, BAUD, deadline, decoder=lambda: TextAnswers(DONE_OR_ERROR), probe=probe
        )

    async def open(self) -> None:
        """Open the line and see that something with four channels answers. Raises ConnectError."""
        await self._line.open()
        try:
            await self._millivolts()
        except (DeadlineError, RefusedError) as error:
            await self.close()
            raise ConnectError(
                self.name, str(self.address), error.problem, "Give the address of an EPC-400"
            ) from error

    async def close(self) -> None:
        await self._line.close()

    async def identity(self) -> Identity:
        """As far as it can be known; serial number and firmware cannot."""
        return Identity(self.manufacturer, f"EPC-{len(await self._millivolts())}00", "", "")

    @property
    def actuators(self) -> int:
        return len(CHANNELS)

    @property
    def angle_limits(self) -> Limits:
        most = self._retardance(MOST_MV)
        return Limits(-most, most, "rad")

    async def home(self) -> None:
        """All squeezers to 0 V."""
        await self.set_angles([0.0] * self.actuators)

    async def is_homed(self) -> bool:
        """Always: a voltage has its zero."""
        return True

    async def is_settled(self) -> bool:
        """Always: the squeezers are faster than the line."""
        return True

    async def set_angles(self, angles_rad: Sequence[float]) -> None:
        """Set the retardances in radians, to 1 mV; DC mode is chosen when they are set. Raises LimitError,
        RefusedError."""
        self.check_angles(angles_rad)
        wanted = tuple(round(1e3 * self.settings.half_wave_voltage * angle / math.pi) for angle in angles_rad)
        for channel, millivolts in zip(CHANNELS, wanted, strict=True):
            await self._ask(f"V{channel},{millivolts}", rf"Set CH{channel} DC Voltage at:\s*[+-]?\d+mV")
        await self._stop_scrambling()
        if (taken := await self._millivolts()) != wanted:
            raise RefusedError(self.name, str(self.address), f"voltages in mV: {wanted} set, {taken} taken")

    async def angles(self) -> tuple[float, ...]:
        if await self._mode() != "DC":
            raise RefusedError(
                self.name, str(self.address), f"it scrambles in mode {await self._mode()}",
                "Set angles, or make it safe, to end that",
            )  # fmt: skip
        return tuple(self._retardance(millivolts) for millivolts in await self._millivolts())

    async def make_safe(self) -> None:
        """DC mode, verified; the voltages stay."""
        await insist(self, self._stop_scrambling, was_open=self._line.is_open)

    def _retardance(self, millivolts: int) -> float:
        return math.pi * 1e-3 * millivolts / self.settings.half_wave_voltage

    async def _stop_scrambling(self) -> None:
        if await self._mode() == "DC":
            return
        await self._ask("MDC", r"Set To DC Mode")
        if (mode := await self._mode()) != "DC":
            raise RefusedError(self.name, str(self.address), f"MDC left it in mode {mode}")

    async def _mode(self) -> str:
        return (await self._ask("M?", MODE, retry=True))[1]

    async def _millivolts(self) -> tuple[int, ...]:
        return tuple(int(number) for number in (await self._ask("V?", VOLTAGES, retry=True)).groups())

    async def _ask(self, command: str, form: str, *, retry: bool = False) -> re.Match[str]:
        """The line of the answer that has the form; answers without it are not to this command, and the
        deadline ends the wait for one. Raises RefusedError, DeadlineError."""

        def matches(answer: Answer) -> bool:
            return answer[-1].endswith(REFUSAL) or _line_of(answer, form) is not None

        answer = await self._line.ask(f"{command}\r\n".encode(), matches, command, retry=retry)
        if (line := _line_of(answer, form)) is None:
            raise RefusedError(self.name, str(self.address), f"{command} was refused: {answer[-1]}")
        return line


def _line_of(answer: Answer, form: str) -> re.Match[str] | None:
    """The first line of an answer that the regular expression matches as a whole."""
    matches = (re.fullmatch(form, line, re.ASCII | re.IGNORECASE) for line in answer)
    return next((match for match in matches if match), None)
