"""OZ Optics DD-100-MC motorised attenuator, text over a serial line.

Written from the protocol notes (`ozoptics_dd100.md`). It has no shutter, and does not know its attenuation
until it has been homed. While it moves it answers nothing (see `oz_line`).
"""

import math
import re
from collections.abc import Sequence

from drivers.address import Address
from drivers.capabilities import Attenuator, Identity, Limits, Settings
from drivers.errors import ProtocolError, RefusedError
from drivers.making_safe import insist
from drivers.optics.oz_line import OzLine

CONFIGURATION, POSITION, HOME = "CD", "D", "H"
INSERTION_LOSS, GREATEST = "il", "max atten"
NUMBER = r"[+-]?\d+(\.\d*)?"
STEP_DB = 0.01
"""In which attenuation is set and shown."""


def fields(lines: Sequence[str]) -> dict[str, str]:
    """`Max Atten:60.00` as `max atten` and `60.00`, of every line that has a colon."""
    pairs = (line.partition(":") for line in lines)
    return {what.strip().casefold(): value.strip() for what, colon, value in pairs if colon}


def is_configuration(lines: Sequence[str]) -> bool:
    found = fields(lines)
    return all(re.match(NUMBER, found.get(what, ""), re.ASCII) for what in (INSERTION_LOSS, GREATEST))


def is_position(lines: Sequence[str]) -> bool:
    return {"dpos", "atten"} <= fields(lines).keys()


class OzOpticsDd100(Attenuator):
    """Address `serial:/dev/PATH`. The limits are in its configuration, read on opening; before that they are
    unknown and open."""

    model = "ozoptics_dd100"
    manufacturer = "OZ Optics"
    schemes = ("serial",)
    protocol = "ozoptics_dd100.md, completeness 2"
    doubts = (
        "That nothing else is answered while the motor moves is inferred from how long clients wait.",
        "How it says that it has not been homed (ATTEN:unknown) is inferred.",
        "That it can go to its greatest attenuation without homing is one laboratory's experience.",
    )

    def __init__(self, name: str, address: Address, settings: Settings, deadline: float = 2.0) -> None:
        super().__init__(name, address, settings, deadline)
        self._line = OzLine(name, address, deadline, ending="\r", probe=(CONFIGURATION, is_configuration))
        self._limits = Limits(0.0, math.inf, "dB")
        self._identity = Identity(self.manufacturer, "DD-100-MC", "", "")
        self._homing = HOME  # the command whose motion finds the zero position

    async def open(self) -> None:
        """Open the line and read the configuration."""
        await self._line.open()
        if not self._line.moving:
            await self._configure()

    async def close(self) -> None:
        await self._line.close()

    async def identity(self) -> Identity:
        """From its configuration, as far as that says; while it moves, as it said last."""
        if not self._line.moving:
            await self._configure()
        return self._identity

    @property
    def attenuation_limits(self) -> Limits:
        return self._limits

    @property
    def has_shutter(self) -> bool:
        return False

    async def home(self) -> None:
        """Begin to look for the zero position, for up to 40 s. Does nothing while it does so anyway."""
        if self._line.moving and self._line.moving == self._homing:
            return
        await self._shown()  # it is there, and nothing is late
        self._homing = HOME
        await self._line.begin(HOME, first_line=False)

    async def is_homed(self) -> bool:
        return self._line.moving != self._homing and await self._shown() is not None

    async def set_attenuation(self, attenuation_db: float) -> None:
        """Begin to go to this attenuation in dB, to 0.01 dB. Raises RefusedError before homing and while it
        moves."""
        if not self._line.is_open:
            await self.open()
        self.check_limit("attenuation", attenuation_db, self.attenuation_limits)
        if await self._shown() is None:
            raise self._not_homed()
        await self._line.begin(f"A{attenuation_db:.2f}", first_line=True)

    async def attenuation(self) -> float:
        """The attenuation in dB. Raises RefusedError before homing and while it moves."""
        if (shown := await self._shown()) is None:
            raise self._not_homed()
        return shown

    async def set_open(self, is_open: bool) -> None:
        if not is_open:
            raise RefusedError(
                self.name, str(self.address), "has no shutter to close",
                "Set the greatest attenuation, or put a shutter into the beam",
            )  # fmt: skip

    async def is_open(self) -> bool:
        """Always: there is no shutter. Asks nevertheless, so that who is not there is not open."""
        await self.identity()
        return True

    async def is_settled(self) -> bool:
        """Whether it stands still. Raises RefusedError when the last motion ended with an error."""
        if self._line.moving:
            return False
        self._line.take_refusal()
        return True

    async def make_safe(self) -> None:
        """Send it to its greatest attenuation. Returns when it is there, or has said that it goes there:
        until it has arrived it answers nothing more. An attenuator that has not been homed finds its zero
        on the way (seen by a laboratory that uses it; not in the notes)."""
        await insist(self, self._darken, was_open=self._line.is_open)

    async def _darken(self) -> None:
        if not self._line.is_open:
            await self._line.open()
        darkest = f"A{self._limits.high:.2f}"
        if self._line.moving == darkest:
            return
        await self._line.arrive()
        await self._configure()
        darkest = f"A{self._limits.high:.2f}"
        shown = await self._shown()
        if shown is None:
            self._homing = darkest
        if shown is None or shown < self._limits.high - STEP_DB:
            await self._line.begin(darkest, first_line=True)

    async def _configure(self) -> None:
        """Read the configuration: limits and, where it has lines for them, who it is."""
        lines = await self._line.ask(CONFIGURATION, is_configuration)
        found = fields(lines)
        low, high = [self._number(CONFIGURATION, found[what]) for what in (INSERTION_LOSS, GREATEST)]
        self._limits = Limits(low, high, "dB")
        title = next((line for line in lines if ":" not in line), "DD-100-MC")
        serial_number = next(
            (value for what, value in found.items() if what in ("s/n", "sn", "serial no")), ""
        )
        self._identity = Identity(self.manufacturer, title, serial_number, found.get("ver", ""))

    async def _shown(self) -> float | None:
        """The attenuation in dB, None before homing (`ATTEN:unknown`, L)."""
        text = fields(await self._line.ask(POSITION, is_position))["atten"]
        return None if text.casefold().startswith("unknown") else self._number(POSITION, text)

    def _number(self, question: str, text: str) -> float:
        match = re.match(NUMBER, text, re.ASCII)
        if match is None:
            raise ProtocolError(self.name, str(self.address), f"{question} was answered by {text!r}")
        return float(match[0])

    def _not_homed(self) -> RefusedError:
        return RefusedError(
            self.name, str(self.address), "does not know its attenuation before it has been homed",
            "Home it first; the light through it changes on the way",
        )  # fmt: skip
