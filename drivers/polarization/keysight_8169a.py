"""HP / Agilent / Keysight 8169A polarization controller: a polarizer, a quarter-wave and a half-wave plate.

Written from the protocol notes (`keysight_8169a.md`, the command table). Angles go over the line in degrees
with two decimals. Old firmware is said to lock up under long back-to-back moves until it is power-cycled (L);
then every call ends at its deadline.
"""

import math
from collections.abc import Sequence

from drivers.address import Address
from drivers.capabilities import Control, Identity, Limits, PolarizationController, Settings
from drivers.errors import RefusedError
from drivers.gate import sets
from drivers.making_safe import insist
from drivers.scpi import Scpi, TextLine
from drivers.transports.tcp_text import TcpTextLine
from drivers.transports.visa import VisaLine

PROBE = ("*IDN?", r"[^,]*(,[^,]*){3}")
"""Through a gateway: no other answer has four fields."""
POLARIZER, QUARTER, HALF = ":POS:POL", ":POS:QUAR", ":POS:HALF"
TAKEN_DEG = 0.1
"""How far the angle taken may be from the one sent: half a step of the motors, which is "about 0.18 deg",
though angles are said to read back as set (M)."""


class Keysight8169a(PolarizationController):
    """Address `visa:RESOURCE` for GPIB, `tcp://HOST:PORT` for a gateway that passes text through.

    The actuators are the quarter-wave and then the half-wave plate; an angle is the one that the instrument
    shows. The polarizer before them decides how much light passes, and so is no actuator here but a setting
    of its own. One turn either way is allowed, so that a wrong unit does not wind the motors up.
    """

    model = "keysight_8169a"
    manufacturer = "Keysight"
    schemes = ("visa", "tcp")
    protocol = "keysight_8169a.md, completeness 2"
    doubts = (
        "Old firmware is said to lock up under long back-to-back moves until it is power-cycled.",
        "What a gateway does with an answer whose connection has ended is not in the notes: each connection "
        "over tcp begins with *IDN?, and what comes before its answer is dropped.",
        "That *OPC? answers 0 while the plates turn is taken from clients that poll it; were its 1 held back "
        "until they stand, as IEEE 488.2 has it, a turn longer than the deadline would end in an error.",
        "That an angle reads back as it was set, not as the motors' steps have it, is known from one public "
        "driver.",
    )

    def __init__(self, name: str, address: Address, settings: Settings, deadline: float = 2.0) -> None:
        super().__init__(name, address, settings, deadline)
        self._line: TextLine
        if address.scheme == "visa":
            self._line = VisaLine(name, address, deadline)
        else:
            self._line = TcpTextLine(name, address, deadline, ending="\n", probe=PROBE)
        self._scpi = Scpi(name, address, self._line)

    async def open(self) -> None:
        """Connect and see that an 8169A answers, whichever name its maker had. Raises ConnectError."""
        await self._scpi.open("", "HP8169A", "Give the address of an 8169A")

    async def close(self) -> None:
        await self._line.close()

    async def identity(self) -> Identity:
        return await self._scpi.identity()

    @property
    def actuators(self) -> int:
        return 2

    @property
    def angle_limits(self) -> Limits:
        return Limits(-math.tau, math.tau, "rad")

    async def home(self) -> None:
        """Both plates to 0."""
        await self.set_angles((0.0, 0.0))

    async def is_homed(self) -> bool:
        """Always: it finds its zeros when it is switched on."""
        return True

    async def is_settled(self) -> bool:
        """Whether polarizer and plates stand still."""
        return (await self._scpi.ask("*OPC?", r"\+?[01]")).endswith("1")

    async def set_angles(self, angles_rad: Sequence[float]) -> None:
        """Begin to turn both plates to these angles in radians, to 0.01 deg; a scan ends. Raises LimitError,
        RefusedError."""
        self.check_angles(angles_rad)
        await self._scpi.tell(":ABOR")
        await self._turn(dict(zip((QUARTER, HALF), angles_rad, strict=True)))

    async def angles(self) -> tuple[float, ...]:
        """The angles that are set; while the plates turn they are not there yet."""
        return await self._angle(QUARTER), await self._angle(HALF)

    @sets("polarizer")
    async def set_polarizer(self, angle_rad: float) -> None:
        """Begin to turn the polarizer to this angle in radians. Raises LimitError, RefusedError."""
        self.check_limit("polarizer angle", angle_rad, self.angle_limits)
        await self._turn({POLARIZER: angle_rad})

    async def polarizer(self) -> float:
        """The angle of the polarizer that is set, in radians."""
        return await self._angle(POLARIZER)

    async def make_safe(self) -> None:
        """End a scan of the Poincare sphere. A move to an angle ends by itself within a second or two."""
        await insist(self, lambda: self._scpi.tell(":ABOR"), was_open=self._line.is_open)

    def controls(self) -> tuple[Control, ...]:
        return (
            *super().controls(),
            Control("polarizer", "rad", self.polarizer, self.set_polarizer, self.angle_limits),
        )

    async def _turn(self, angles_rad: dict[str, float]) -> None:
        wanted = {header: math.degrees(angle) for header, angle in angles_rad.items()}
        command = ";".join(f"{header} {degrees:.2f}" for header, degrees in wanted.items())
        await self._scpi.tell(command)
        for header, degrees in wanted.items():
            taken = await self._scpi.number(f"{header}?")
            if abs(taken - degrees) > TAKEN_DEG:
                raise RefusedError(self.name, str(self.address), f"{command} left {header} at {taken:g} deg")

    async def _angle(self, header: str) -> float:
        return math.radians(await self._scpi.number(f"{header}?"))
