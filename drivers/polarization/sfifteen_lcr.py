"""S-Fifteen Instruments' driver of four liquid-crystal retarders, text over USB serial.

Written from the protocol notes (`sfifteen_lcr.md`). Commands are silent, also when they are taken; what can
be asked for are the identity and the amplitudes. That the outputs are on cannot be read back.
"""

import re
from collections.abc import Sequence

from pydantic import Field

from drivers.address import Address
from drivers.capabilities import Identity, Limits, PolarizationController
from drivers.errors import ConnectError, DeadlineError, RefusedError
from drivers.polarization.liquid_crystal import LiquidCrystalSettings
from drivers.transports.serial_text import SerialTextLine
from drivers.units import Hertz

BAUD = 115200
"""Irrelevant on USB."""
CHANNELS = (1, 2, 3, 4)
IDENTITY = r"(?i).*LCD cell driver.*"
NUMBER = r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?"
BELOW_V = 10.0
"""An amplitude is less than this."""
DIGITS_V = 3
TAKEN_V = 5e-3
"""How far the amplitude taken may be from the one sent: 10 V in 2048 steps; our choice, as the notes do not
state the resolution."""


class LcrSettings(LiquidCrystalSettings):
    """One curve for all four cells."""

    drive_frequency: Hertz = Field(default=2e3, gt=0, le=1e5)
    """Of the alternating voltage on the cells; 2 kHz is what the maker's own program sets."""


class SFifteenLcr(PolarizationController):
    """Address `serial:/dev/PATH`.

    The angle is the retardance of a cell, by the curve in the settings. `set_angles` also switches the
    outputs on and the board's light off, as the maker's own program does. The board does not know when a
    cell, which takes 10 to 100 ms, has followed.
    """

    model = "sfifteen_lcr"
    manufacturer = "S-Fifteen Instruments"
    schemes = ("serial",)
    protocol = "sfifteen_lcr.md, completeness 2 (client side only)"
    doubts = (
        "The resolution of the amplitudes is not stated: within 5 mV of the one sent they count as taken.",
        "That the outputs are on cannot be read back.",
    )
    settings_model = LcrSettings
    settings: LcrSettings
    angle_is = "retardance"

    def __init__(self, name: str, address: Address, settings: LcrSettings, deadline: float = 2.0) -> None:
        super().__init__(name, address, settings, deadline)
        self._line = SerialTextLine(
            name, address, BAUD, deadline, ending="\r\n", probe=("*IDN?", IDENTITY), flow_control=False
        )

    async def open(self) -> None:
        """Open the line and see that a liquid-crystal driver answers. Raises ConnectError."""
        await self._line.open()
        remedy = "Give the address of an S-Fifteen liquid-crystal driver"
        try:
            who = (await self._line.query("*IDN?", retry=True)).strip()
        except DeadlineError as error:
            await self.close()
            raise ConnectError(self.name, str(self.address), error.problem, remedy) from error
        if not re.fullmatch(IDENTITY, who):
            await self.close()
            raise ConnectError(self.name, str(self.address), f"{who!r} answers", remedy)

    async def close(self) -> None:
        await self._line.close()

    async def identity(self) -> Identity:
        """What it calls itself; of what else that line consists, the notes do not say."""
        return Identity(self.manufacturer, await self._ask("*IDN?", IDENTITY), "", "")

    @property
    def actuators(self) -> int:
        return len(CHANNELS)

    @property
    def angle_limits(self) -> Limits:
        return self.settings.retardance_limits

    async def home(self) -> None:
        """Nothing to look for, and nowhere to go: a voltage has its zero."""

    async def is_homed(self) -> bool:
        return True

    async def is_settled(self) -> bool:
        """Always: whether the cells have followed, the board does not know."""
        return True

    async def set_angles(self, angles_rad: Sequence[float]) -> None:
        """Set the four retardances in radians. Raises LimitError, and RefusedError when an amplitude was not
        taken."""
        self.check_angles(angles_rad)
        wanted_v = [self.settings.voltage_for(angle) for angle in angles_rad]
        for voltage_v in wanted_v:
            self.check_limit("amplitude", voltage_v, Limits(0.0, BELOW_V - 10**-DIGITS_V, "V"))
        for command in ("ON", "DARK", f"FREQ {self.settings.drive_frequency:.0f}"):
            await self._line.write(command)
        for channel, voltage_v in zip(CHANNELS, wanted_v, strict=True):
            command = f"AMPLITUDE {channel} {voltage_v:.{DIGITS_V}f}"
            await self._line.write(command)
            taken_v = await self._amplitude(channel)
            if abs(taken_v - voltage_v) > TAKEN_V:
                raise RefusedError(self.name, str(self.address), f"{command} left it at {taken_v:g} V")

    async def angles(self) -> tuple[float, ...]:
        """By the amplitudes that are set, which are on the cells only while the outputs are on."""
        return tuple([self.settings.retardance_at(await self._amplitude(channel)) for channel in CHANNELS])

    async def make_safe(self) -> None:
        """Does nothing: it neither emits nor moves, and has no mode in which it modulates."""

    async def _amplitude(self, channel: int) -> float:
        """Volts on a cell."""
        return float(await self._ask(f"AMP? {channel}", NUMBER))

    async def _ask(self, question: str, form: str) -> str:
        """The first line of the answer's form. A line of another form may belong to a silent command that was
        not understood, so it is passed over, and the deadline ends the wait."""
        answer = await self._line.query(
            question, lambda line: re.fullmatch(form, line.strip(), re.ASCII) is not None, retry=True
        )
        return answer.strip()
