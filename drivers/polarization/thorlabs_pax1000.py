"""Thorlabs PAX1000 rotating-wave-plate polarimeter, SCPI over VISA.

Written from the protocol notes (`thorlabs_pax1000.md`). On a bench the address is a USB one,
`visa:USB0::0x1313::0x8031::M00512345::INSTR`; a socket resource takes the same text. What the flags of a
result mean is from TLPAX.h, the header of the maker's own library ("Scan Quality Flags").
"""

import math

from drivers.address import Address
from drivers.capabilities import Identity, Limits, Polarimeter, Settings, Stokes
from drivers.errors import RefusedError
from drivers.making_safe import insist
from drivers.scpi import Scpi, text_line

FULL_TURN_1024 = 5
"""The mode that is chosen when the meter is idle: one whole turn of the plate, 1024 points."""
FIELDS = 13
NUMBER = r"[+-]?\d+(\.\d*)?(E[+-]?\d+)?"
RESULT = rf"(?i){NUMBER}(,{NUMBER}){{{FIELDS - 1}}}"
MODE, FLAGS, AZIMUTH, ELLIPTICITY, DOP, POWER = 2, 3, 9, 10, 11, 12
"""Places in a result; angles in radians, power in watts."""
BAD = {
    0x0001: "the plate turns too slowly",
    0x0002: "the plate turns too fast",
    0x0004: "too little light for the gain",
    0x0008: "too much light for the gain",
    0x0100: "the gain is being switched",
    0x0800: "the plate is out of step",
    0x100000: "the motor is blocked",
}
"""Flags of a result that is not to be used."""
WAVELENGTH_TAKEN_M = 0.1e-9
"""How far the wavelength taken may be from the one sent; our choice."""
S3_PER_RIGHT = -1.0
"""S3 here of light that the maker calls right-handed. His manual (2019), 8.1.2: right-handed is a field that
turns clockwise for somebody who looks towards the source; the Jones vector (1, i)/sqrt 2 turns the other way
(with phases that grow along the beam, in which a slow axis is ahead). That positive ellipticity is
right-handed is inferred from common usage and not stated in what we have of the manual (L). To try it: light
at 45 deg through a quarter-wave plate with its slow axis horizontal is right-handed (8.1.2 again)."""


class ThorlabsPax1000(Polarimeter):
    """The wavelength limits are the instrument's, read on opening; before that they are unknown and open."""

    model = "thorlabs_pax1000"
    manufacturer = "Thorlabs"
    schemes = ("visa", "tcp")
    protocol = "thorlabs_pax1000.md, completeness 3; flags by TLPAX.h of the maker's library"
    doubts = (
        "That positive ellipticity is right-handed, which decides the sign of S3, is inferred from common "
        "usage.",
    )

    def __init__(self, name: str, address: Address, settings: Settings, deadline: float = 2.0) -> None:
        super().__init__(name, address, settings, deadline)
        self._line = text_line(name, address, deadline)
        self._scpi = Scpi(name, address, self._line)
        self._wavelength_limits = Limits(0.0, math.inf, "m")

    async def open(self) -> None:
        """Connect, see that a PAX1000 answers, and read its wavelengths. Raises ConnectError."""
        await self._scpi.open("THORLABS", "PAX1000", "Give the address of a PAX1000")
        low, high = [await self._scpi.number(f"SENS:CORR:WAV? {end}") for end in ("MIN", "MAX")]
        self._wavelength_limits = Limits(low, high, "m")

    async def close(self) -> None:
        await self._line.close()

    async def identity(self) -> Identity:
        return await self._scpi.identity()

    @property
    def wavelength_limits(self) -> Limits:
        return self._wavelength_limits

    async def set_wavelength(self, wavelength_m: float) -> None:
        if not self._line.is_open:
            await self.open()  # for the limits; the instrument may have been changed since the last time
        self.check_limit("wavelength", wavelength_m, self.wavelength_limits)
        command = f"SENS:CORR:WAV {wavelength_m:.10g}".upper()
        await self._scpi.tell(command)
        taken = await self.wavelength()
        if abs(taken - wavelength_m) > WAVELENGTH_TAKEN_M:
            raise RefusedError(self.name, str(self.address), f"{command} left it at {taken:g} m")

    async def wavelength(self) -> float:
        return await self._scpi.number("SENS:CORR:WAV?")

    async def set_measuring(self, on: bool) -> None:
        """Turn the plate and evaluate, in the mode that is set, or stop both. Raises RefusedError."""
        if on:
            if not await self._mode():
                await self._scpi.tell(f"SENS:CALC {FULL_TURN_1024}")
            await self._scpi.tell("INP:ROT:STAT 1")
        else:
            await self._scpi.tell("SENS:CALC 0")
            await self._scpi.tell("INP:ROT:STAT 0")
        turning, mode = await self._flag("INP:ROT:STAT?"), await self._mode()
        if turning is not on or bool(mode) is not on:
            raise RefusedError(
                self.name, str(self.address),
                f"after measuring was switched {'on' if on else 'off'} the motor is "
                f"{'on' if turning else 'off'} and the mode {mode}",
            )  # fmt: skip

    async def is_measuring(self) -> bool:
        return await self._flag("INP:ROT:STAT?") and await self._mode() != 0

    async def is_settled(self) -> bool:
        """Whether the plate turns at its speed and a result is there; True while it does not measure."""
        if not await self.is_measuring():
            return True
        return await self._flag("INP:ROT:SETT?") and (await self._result())[MODE] != 0

    async def stokes(self) -> Stokes:
        if not await self.is_measuring() or not await self._flag("INP:ROT:SETT?"):
            raise RefusedError(
                self.name, str(self.address), "there is no reading: the plate is not turning at its speed",
                "Begin to measure and wait until it has settled",
            )  # fmt: skip
        result = await self._result()
        if problem := _wrong_with(result):
            raise RefusedError(self.name, str(self.address), f"the reading is not good: {problem}")
        if not result[MODE]:
            raise RefusedError(self.name, str(self.address), "there is no reading yet")
        azimuth, ellipticity, dop = result[AZIMUTH], result[ELLIPTICITY], result[DOP]
        along = dop * math.cos(2 * ellipticity)
        return Stokes(
            power_w=result[POWER],
            s1=along * math.cos(2 * azimuth),
            s2=along * math.sin(2 * azimuth),
            s3=S3_PER_RIGHT * dop * math.sin(2 * ellipticity),
        )

    async def make_safe(self) -> None:
        """Idle, the motor off, both verified."""
        await insist(self, lambda: self.set_measuring(False), was_open=self._line.is_open)

    async def _result(self) -> list[float]:
        answer = await self._scpi.ask("SENS:DATA:LAT?", RESULT)
        values = [float(field) for field in answer.split(",")]
        if not all(map(math.isfinite, values)):
            raise await self._scpi.garbled("SENS:DATA:LAT?", answer)
        return values

    async def _mode(self) -> int:
        return int(await self._scpi.ask("SENS:CALC?", r"\d"))

    async def _flag(self, question: str) -> bool:
        return await self._scpi.ask(question, "[01]") == "1"


def _wrong_with(result: list[float]) -> str:
    """Why a result is not to be used; empty when it is good."""
    return ", ".join(what for flag, what in BAD.items() if int(result[FLAGS]) & flag)
