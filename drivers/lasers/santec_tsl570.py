"""Santec TSL-570 tunable laser (and the TSL-550), SCPI over TCP or VISA.

Written from the protocol notes (`santec_tsl570.md`); section names below are theirs. The laser speaks one of
two dialects, in nm or in m, and counts power in dBm or mW, as somebody has set it; this driver asks which
before it says or reads a number and leaves it as it is.
"""

import asyncio
import math

from drivers.address import Address
from drivers.capabilities import Identity, Limits, TunableLaser, TunableLaserSettings
from drivers.capabilities.tunable_laser import SPEED_OF_LIGHT
from drivers.errors import RefusedError
from drivers.making_safe import insist
from drivers.scpi import Scpi, text_line

ENDING = "\r"
"""As delivered, both ways ("Transport")."""

METRES = {False: 1e-9, True: 1.0}
"""The unit of wavelength by the answer to `:SYST:COMM:COD?`: legacy, SCPI."""
WAVELENGTH_DIGITS_M = 13
"""Wavelengths are sent to 0.1 pm; the legacy examples show four digits of a nanometre."""
WAVELENGTH_TAKEN_M = 0.15e-12
"""How far the wavelength taken may be from the one sent; our choice."""
POWER_TAKEN_DB = 0.02
"""How far the power taken may be from the one sent, which has steps of 0.01 dB; our choice."""
NO_SUCH_POWER = 1e3
"""In mW as in dBm, beyond any reading of a laser that gives 20 mW."""
SHORTEST_M, LONGEST_M = 1e-7, 1e-4
"""Between them lies every wavelength of light; a reading outside is none."""
NO_ALERTS = "No alerts"
MOST_ALERTS = 32
"""Alerts that are read in a row; our choice, there are about a dozen."""
WARMING_UP = "No23"
"""How the alert begins that goes on while the diode warms up (M)."""


class SantecTsl570(TunableLaser):
    """Address `tcp://HOST:5000`, or `visa:RESOURCE` for GPIB.

    Emission is the diode switched on and the internal shutter open. Switching emission off closes the
    shutter and lets the diode stay warm, so that the light is back at once; `make_safe` switches the diode
    off as well.
    """

    model = "santec_tsl570"
    manufacturer = "Santec"
    schemes = ("tcp", "visa")
    protocol = "santec_tsl570.md, completeness 3"
    doubts = (
        "That alert No23 goes on while the diode warms up is known from one public driver.",
        "How many digits an answer has differs between sources; any number is taken.",
    )
    settings_model = TunableLaserSettings
    settings: TunableLaserSettings

    def __init__(
        self, name: str, address: Address, settings: TunableLaserSettings, deadline: float = 2.0
    ) -> None:
        super().__init__(name, address, settings, deadline)
        self._line = text_line(name, address, deadline, ending=ENDING)
        self._scpi = Scpi(name, address, self._line, error_query=":SYST:ERR?")
        self._setting = asyncio.Lock()
        """Held from asking for a unit to reading back what was set in it."""

    async def open(self) -> None:
        """Connect and see that a TSL answers. Raises ConnectError."""
        await self._scpi.open("santec", "TSL-5", "Give the address of a Santec TSL-570 or TSL-550")

    async def close(self) -> None:
        await self._line.close()

    async def identity(self) -> Identity:
        return await self._scpi.identity()

    @property
    def power_limits(self) -> Limits:
        return Limits(self.settings.min_power, self.settings.max_power, "W")

    @property
    def frequency_limits(self) -> Limits:
        return self.settings.frequency_limits

    async def set_power(self, power_w: float) -> None:
        """Set the optical power in watts, to 0.01 dB or 1 uW. Raises LimitError, RefusedError."""
        self.check_limit("power", power_w, self.power_limits)
        async with self._setting:
            in_mw = await self._flag(":POW:UNIT?")
            sent = round(1e3 * power_w, 3) if in_mw else round(10 * math.log10(1e3 * power_w), 2)
            command = f":POW {sent:.10g}"
            await self._line.write(command)
            taken = await self._scpi.number(":POW?")
            off_db = 10 * math.log10(max(taken, 1e-9) / max(sent, 1e-9)) if in_mw else taken - sent
            if abs(off_db) > POWER_TAKEN_DB:
                raise await self._refused(command, f"left it at {taken:g} {'mW' if in_mw else 'dBm'}")

    async def power(self) -> float:
        """The power at the monitor in watts; 0.0 while the diode is off or the shutter closed."""
        if not await self.emission():
            return 0.0
        in_mw = await self._flag(":POW:UNIT?")
        reading = await self._scpi.number(":POW:ACT?")
        if reading > NO_SUCH_POWER:
            raise await self._scpi.garbled(":POW:ACT?", f"{reading:g}")
        return 1e-3 * reading if in_mw else 1e-3 * 10 ** (reading / 10)

    async def set_frequency(self, frequency_hz: float) -> None:
        """Begin to tune, to 0.1 pm of wavelength. Raises LimitError, and RefusedError outside the range of
        the model."""
        self.check_limit("frequency", frequency_hz, self.frequency_limits)
        wavelength = round(SPEED_OF_LIGHT / frequency_hz, WAVELENGTH_DIGITS_M)
        async with self._setting:
            unit = METRES[await self._flag(":SYST:COMM:COD?")]
            command = f":WAV {wavelength / unit:.10g}".upper()
            await self._line.write(command)
            taken = unit * await self._scpi.number(":WAV?")
            if abs(taken - wavelength) > WAVELENGTH_TAKEN_M:
                raise await self._refused(command, f"left it at {1e9 * taken:.4f} nm")

    async def frequency(self) -> float:
        async with self._setting:
            unit = METRES[await self._flag(":SYST:COMM:COD?")]
            wavelength = unit * await self._scpi.number(":WAV?")
        if not SHORTEST_M < wavelength < LONGEST_M:
            raise await self._scpi.garbled(":WAV?", f"{wavelength:g} m")
        return SPEED_OF_LIGHT / wavelength

    async def set_emission(self, on: bool) -> None:
        """Open the shutter of a diode that is on, switching it on first, or close it.

        Raises RefusedError with the laser's own errors and alerts. A cold diode takes tens of seconds to
        warm up (`is_settled`).
        """
        if on:
            await self._switch(":POW:STAT", True)
        await self._switch(":POW:SHUT", not on)

    async def emission(self) -> bool:
        return await self._flag(":POW:STAT?") and not await self._flag(":POW:SHUT?")

    async def is_settled(self) -> bool:
        """Whether it has finished tuning and, when emission is on, warming up."""
        if not await self._flag("*OPC?"):
            return False
        if not await self.emission():
            return True
        return not any(alert.startswith(WARMING_UP) for alert in await self._alerts())

    async def make_safe(self) -> None:
        """Shutter closed and diode off, both verified. The laser is told both before it is asked about one: a
        shutter that sticks (alert 25) must not keep the diode on."""
        switches = {":POW:SHUT": True, ":POW:STAT": False}

        async def darken() -> None:
            for header, on in switches.items():
                await self._line.write(f"{header} {on:d}")
            refused = [
                f"{header} {on:d}"
                for header, on in switches.items()
                if await self._flag(f"{header}?") is not on
            ]
            if refused:
                raise await self._refused(" and ".join(refused), "had no effect")

        await insist(self, darken, was_open=self._line.is_open)

    async def _switch(self, header: str, on: bool) -> None:
        command = f"{header} {int(on)}"
        await self._line.write(command)
        if await self._flag(f"{header}?") is not on:
            raise await self._refused(command, "had no effect")

    async def _refused(self, command: str, outcome: str) -> RefusedError:
        """With all that the laser has to say; reading empties its queues."""
        reasons = [*await self._scpi.errors(), *await self._alerts()]
        return RefusedError(
            self.name, str(self.address), f"{command} {outcome}; it says {', '.join(reasons) or 'nothing'}"
        )

    async def _alerts(self) -> list[str]:
        """The alerts in force; they come one by one, and then `No alerts.`."""
        alerts: list[str] = []
        while len(alerts) < MOST_ALERTS:
            alert = (await self._line.query(":SYST:ALER?")).strip()
            if alert.startswith(NO_ALERTS):
                break
            alerts.append(alert)
        return alerts

    async def _flag(self, question: str) -> bool:
        return (await self._scpi.ask(question, r"\+?[01]")).endswith("1")
