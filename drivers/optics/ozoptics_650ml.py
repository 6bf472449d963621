"""OZ Optics 650ML (ODL-650-MC) motorised delay line, text over a serial line.

Written from the protocol notes (`ozoptics_dd100.md`). It counts steps of path, and does not know where it is
until it has been homed. While it moves it answers nothing (see `oz_line`) but to the command that stops it.
"""

import re
from collections.abc import Sequence

from drivers.address import Address
from drivers.capabilities import DelayLine, Identity, Limits, Settings
from drivers.errors import RefusedError
from drivers.making_safe import insist
from drivers.optics.oz_line import OzLine

SPEED_OF_LIGHT = 299_792_458.0
STEPS_PER_M = 32768 / 5.08e-3
"""Of optical path, there and back already counted: a turn of the motor, 32768 steps, is 5.08 mm of it."""
LONGEST_M = 0.2
POSITION, HOME, STOP, VERSION, SERIAL_NUMBER = "S?", "FH", "G0", "V1", "V2"
IS_VERSION = re.compile(r"(?P<name>.+)V(?P<version>[^V_]+)_.*", re.ASCII)
UNKNOWN = "UNKNOWN"


def is_version(lines: Sequence[str]) -> bool:
    return len(lines) == 1 and IS_VERSION.fullmatch(lines[0]) is not None


def is_position(lines: Sequence[str]) -> bool:
    return len(lines) == 1 and (UNKNOWN in lines[0] or re.fullmatch(r".*:\s*-?\d+", lines[0]) is not None)


class OzOptics650ml(DelayLine):
    """Address `serial:/dev/PATH`."""

    model = "ozoptics_650ml"
    manufacturer = "OZ Optics"
    schemes = ("serial",)
    protocol = "ozoptics_dd100.md, completeness 2"
    doubts = ("That nothing else is answered while the motor moves is inferred from how long clients wait.",)

    def __init__(self, name: str, address: Address, settings: Settings, deadline: float = 2.0) -> None:
        super().__init__(name, address, settings, deadline)
        self._line = OzLine(name, address, deadline, ending="\r\n", probe=(VERSION, is_version))
        self._identity = Identity(self.manufacturer, "ODL-650-MC", "", "")

    async def open(self) -> None:
        """Open the line and see that a delay line answers."""
        await self._line.open()
        await self.identity()

    async def close(self) -> None:
        await self._line.close()

    async def identity(self) -> Identity:
        """Who it says it is; while it moves, as it said last."""
        if not self._line.moving:
            match = IS_VERSION.fullmatch((await self._line.ask(VERSION, is_version))[0])
            assert match is not None
            serial_number = (await self._line.ask(SERIAL_NUMBER, lambda lines: len(lines) == 1))[0]
            self._identity = Identity(self.manufacturer, match["name"], serial_number, match["version"])
        return self._identity

    @property
    def delay_limits(self) -> Limits:
        return Limits(0.0, LONGEST_M / SPEED_OF_LIGHT, "s")

    async def home(self) -> None:
        """Begin to look for the zero position, which takes some tens of seconds."""
        await self._steps()  # it is there, and nothing is late
        await self._line.begin(HOME, first_line=False)

    async def is_homed(self) -> bool:
        return self._line.moving != HOME and await self._steps() is not None

    async def set_delay(self, delay_s: float) -> None:
        """Begin to go to this delay in seconds, to 0.5 fs. Raises LimitError, and RefusedError before homing
        and while it moves."""
        self.check_limit("delay", delay_s, self.delay_limits)
        if await self._steps() is None:
            raise self._not_homed()
        most = int(LONGEST_M * STEPS_PER_M)
        steps = min(most, round(delay_s * SPEED_OF_LIGHT * STEPS_PER_M))
        await self._line.begin(f"S{steps}", first_line=True)

    async def delay(self) -> float:
        """The delay in seconds. Raises RefusedError before homing, and while it moves, when it answers
        nothing."""
        if (steps := await self._steps()) is None:
            raise self._not_homed()
        return steps / STEPS_PER_M / SPEED_OF_LIGHT

    async def is_settled(self) -> bool:
        """Whether it stands still. Raises RefusedError when the last motion ended with an error."""
        if self._line.moving:
            return False
        self._line.take_refusal()
        return True

    async def make_safe(self) -> None:
        """Stop it where it is, and see that it answers as it does only at rest."""
        await insist(self, self._stop, was_open=self._line.is_open)

    async def _stop(self) -> None:
        await self._line.interrupt(STOP)
        await self._steps()

    async def _steps(self) -> int | None:
        """Where it is, None before homing."""
        [line] = await self._line.ask(POSITION, is_position)
        return None if UNKNOWN in line else int(line.rpartition(":")[2])

    def _not_homed(self) -> RefusedError:
        return RefusedError(
            self.name,
            str(self.address),
            "does not know its position before it has been homed",
            "Home it first",
        )
