"""Thorlabs PM100D power meter (and its relatives PM100USB, PM400), SCPI over VISA.

Written from the protocol notes (`thorlabs_pm100d.md`, the command table). On a bench the address is a
USB one, `visa:USB0::0x1313::0x8078::P0012345::INSTR`; a socket resource takes the same text lines.
"""

import math

from drivers.address import Address
from drivers.capabilities import Identity, Limits, PowerMeter, Settings
from drivers.errors import ConnectError, ProtocolError, RefusedError
from drivers.transports.visa import VisaLine

POWER_SENSOR = 1
"""Flag of a sensor that measures power, in the last field of `SYST:SENS:IDN?`."""
OVER_RANGE = 9e37
"""Readings from here on are no powers: over-range reads as 9.9E37 (confidence M)."""
SAMPLE_S = 3e-3
"""How long one of the samples takes over which the meter averages: "about"."""
LONGEST_S = 60.0
"""A reading that would take longer than this is not waited for; our choice."""
WAVELENGTH_STEP_M = 0.5e-9
"""How far the wavelength taken may be from the one asked; half a nanometre, our choice: the table
does not state the meter's rounding."""


class ThorlabsPm100d(PowerMeter):
    """The wavelength limits are the sensor's, read on opening; before that they are unknown and open."""

    model = "thorlabs_pm100d"
    manufacturer = "Thorlabs"
    schemes = ("visa",)
    protocol = "thorlabs_pm100d.md, completeness 3"
    doubts = (
        "That over-range reads as 9.9E37 is known from one public driver; some units may clip instead.",
        "How the meter rounds a wavelength is not stated: within 0.5 nm of the one sent it counts as taken.",
    )

    def __init__(self, name: str, address: Address, settings: Settings, deadline: float = 2.0) -> None:
        super().__init__(name, address, settings, deadline)
        self._line = VisaLine(name, address, deadline)
        self._wavelength_limits = Limits(0.0, math.inf, "m")

    async def open(self) -> None:
        """Connect, see that a meter with a power sensor answers, and read the sensor's wavelengths."""
        await self._line.open()
        identity = await self.identity()
        if "thorlabs" not in identity.manufacturer.casefold() or not identity.model.startswith("PM"):
            await self.close()
            raise ConnectError(
                self.name, str(self.address), f"a {identity.manufacturer} {identity.model} answers",
                "Give the address of a Thorlabs power meter",
            )  # fmt: skip
        sensor = await self._line.query("SYST:SENS:IDN?", retry=True)
        flags = sensor.rpartition(",")[2].strip()
        if not flags.isdigit() or not int(flags) & POWER_SENSOR:
            await self.close()
            raise ConnectError(
                self.name, str(self.address), f"there is no power sensor: SYST:SENS:IDN? gave {sensor!r}",
                "Plug in a power sensor",
            )  # fmt: skip
        low, high = [await self._number(f"SENS:CORR:WAV? {end}") for end in ("MIN", "MAX")]
        self._wavelength_limits = Limits(low * 1e-9, high * 1e-9, "m")

    async def close(self) -> None:
        await self._line.close()

    async def identity(self) -> Identity:
        answer = await self._line.query("*IDN?", retry=True)
        fields = [field.strip() for field in answer.split(",")]
        if len(fields) != 4:
            await self.close()  # after an answer that makes no sense nobody knows what comes next
            raise ProtocolError(self.name, str(self.address), f"*IDN? was answered by {answer!r}")
        return Identity(*fields)

    async def is_settled(self) -> bool:
        return True

    async def make_safe(self) -> None:
        """Does nothing: a power meter emits nothing and has no state that could harm."""

    @property
    def wavelength_limits(self) -> Limits:
        return self._wavelength_limits

    async def set_wavelength(self, wavelength_m: float) -> None:
        """Set the wavelength in metres and read it back; RefusedError when the meter did not take it."""
        if not self._line.is_open:
            await self.open()  # for the limits; the sensor may have been changed since the last time
        self.check_limit("wavelength", wavelength_m, self.wavelength_limits)
        command = f"SENS:CORR:WAV {wavelength_m * 1e9:.10g}"
        await self._line.write(command)
        taken = await self.wavelength()
        if abs(taken - wavelength_m) > WAVELENGTH_STEP_M:
            reason = await self._line.query("SYST:ERR?")
            raise RefusedError(
                self.name,
                str(self.address),
                f"{command} left it at {taken * 1e9:g} nm; SYST:ERR? gave {reason}",
            )

    async def wavelength(self) -> float:
        return 1e-9 * await self._number("SENS:CORR:WAV?")

    async def power(self) -> float:
        """A new reading of the power in watts, whichever unit the meter shows. It takes as long as the
        average over so many samples as the meter is set to.

        Raises RefusedError when the light is more than the meter's present range holds.
        """
        unit = (await self._line.query("SENS:POW:UNIT?", retry=True)).strip().upper()
        if unit not in ("W", "DBM"):
            await self.close()
            raise ProtocolError(self.name, str(self.address), f"SENS:POW:UNIT? was answered by {unit!r}")
        averages = await self._number("SENS:AVER?")
        reading = await self._number("MEAS:POW?", patience=min(max(averages, 1.0) * SAMPLE_S, LONGEST_S))
        if abs(reading) >= OVER_RANGE:
            raise RefusedError(
                self.name, str(self.address), f"MEAS:POW? gave {reading:g}: the light is over the range",
                "Switch on the meter's auto range, or take less light",
            )  # fmt: skip
        return reading if unit == "W" else 1e-3 * 10 ** (reading / 10)

    async def _number(self, question: str, *, patience: float = 0.0) -> float:
        answer = await self._line.query(question, retry=True, patience=patience)
        try:
            number = float(answer)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            await self.close()
            raise ProtocolError(self.name, str(self.address), f"{question} was answered by {answer!r}")
        return number
