"""Thorlabs CLD1010/CLD1015 and ITC4000 laser diode controllers, SCPI over VISA.

Written from the protocol notes (`thorlabs_cld1015.md`); section names below are theirs. The controller
knows currents, not powers. Power follows from the diode's L-I line, which the testbed file states:
`P = slope_efficiency * (I - threshold_current)`, nothing below the threshold.
"""

from typing import ClassVar

from pydantic import Field

from drivers.address import Address
from drivers.capabilities import Control, Identity, Laser, Limits, Settings
from drivers.errors import LimitError, RefusedError
from drivers.gate import sets
from drivers.lasers.following import held_up
from drivers.making_safe import insist
from drivers.scpi import Scpi
from drivers.transports.visa import VisaLine
from drivers.units import Amperes, Kelvin, Watts, WattsPerAmpere

ZERO_C = 273.15
CURRENT_TAKEN_A = 0.2e-3
"""How far the current taken may be from the one sent; our choice, the notes say only that it is rounded."""
CURRENT_SETTLED_A = 1e-3
TEMPERATURE_TAKEN_K = 0.02
TEMPERATURE_SETTLED_K = 0.1
"""How near the measured values must come to the set ones; our choice."""
CONDITIONS = {
    0: "the key lock", 1: "the compliance voltage", 2: "the interlock", 3: "the current limit",
    4: "output inhibited", 5: "the power limit", 8: "temperature protection", 9: "the temperature window",
    10: "a failed sensor", 11: "the TEC's compliance", 12: "an open TEC", 14: "over-temperature",
}  # fmt: skip
"""Bits of `STAT:MEAS:COND?` ("Commands"; S1 p. 70)."""


class CldSettings(Settings):
    """The diode behind the controller: its L-I line, and how far it may be driven."""

    threshold_current: Amperes = Field(ge=0)
    slope_efficiency: WattsPerAmpere = Field(gt=0)
    max_power: Watts = Field(gt=0)
    min_temperature: Kelvin = Field(default=288.15, gt=200)
    max_temperature: Kelvin = Field(default=308.15, lt=400)


class ThorlabsCld1015(Laser):
    """Address `visa:USB0::0x1313::0x804F::M00123456::INSTR`; a socket resource takes the same text.

    Beside the laser it holds the diode's temperature. Switching emission on switches the temperature
    control on first, without which the controller refuses; switching it off leaves it on.
    """

    model = "thorlabs_cld1015"
    manufacturer = "Thorlabs"
    schemes = ("visa",)
    protocol = "thorlabs_cld1015.md, completeness 2"
    doubts = (
        "How the controller rounds a current is not stated: within 0.2 mA of the one sent it counts as "
        "taken.",
        "Whether OUTP? waits for the switch-on delay (OUTP:DEL) is not known: a controller that does not say "
        "1 within the deadline is switched off again and counts as refusing.",
        "That switching on against the interlock is refused with error -221 is known from public drivers "
        "alone.",
    )
    settings_model = CldSettings
    settings: CldSettings
    answers_as: ClassVar[tuple[str, ...]] = ("CLD101", "ITC4")
    """How the models begin that have both a laser and a temperature controller with these commands."""

    def __init__(self, name: str, address: Address, settings: CldSettings, deadline: float = 2.0) -> None:
        super().__init__(name, address, settings, deadline)
        self._line = VisaLine(name, address, deadline)
        self._scpi = Scpi(name, address, self._line)

    async def open(self) -> None:
        """Connect and see that such a controller answers. Raises ConnectError."""
        remedy = "Give the address of a Thorlabs CLD1010, CLD1015 or ITC4000"
        identity = await self._scpi.open("thorlabs", "", remedy)
        if not identity.model.startswith(self.answers_as):
            raise await self._scpi.stranger(f"a {identity.manufacturer} {identity.model} answers", remedy)

    async def close(self) -> None:
        await self._line.close()

    async def identity(self) -> Identity:
        return await self._scpi.identity()

    @property
    def power_limits(self) -> Limits:
        return Limits(0.0, self.settings.max_power, "W")

    @property
    def temperature_limits(self) -> Limits:
        """The allowed set-points of the diode's temperature in kelvin."""
        return Limits(self.settings.min_temperature, self.settings.max_temperature, "K")

    async def set_power(self, power_w: float) -> None:
        """Set the diode current that gives this power in watts; 0.0 sets the threshold current.

        Raises LimitError, also when the current would exceed the controller's own limit, and RefusedError
        when the controller is set to constant power, where its current set-point means nothing.
        """
        self.check_limit("power", power_w, self.power_limits)
        if (mode := (await self._line.query("SOUR:FUNC:MODE?", retry=True)).strip().upper()) != "CURR":
            raise RefusedError(
                self.name, str(self.address), f"SOUR:FUNC:MODE? gave {mode}, not CURR",
                "Set the controller to constant current",
            )  # fmt: skip
        current = round(self._current(power_w), 6)
        most = await self._scpi.number("SOUR:CURR:LIM?")
        if current > most:
            raise LimitError(
                self.name, str(self.address),
                f"power {power_w:g} W needs {current:g} A, above the controller's limit of {most:g} A",
                "Raise the limit at the controller, if the diode allows it, or choose a lower power",
            )  # fmt: skip
        await self._set("SOUR:CURR", current, CURRENT_TAKEN_A)

    async def power(self) -> float:
        if not await self.emission():
            return 0.0
        current = await self._scpi.number("SENS3:CURR:DATA?")
        return max(0.0, self.settings.slope_efficiency * (current - self.settings.threshold_current))

    async def set_emission(self, on: bool) -> None:
        """Switch the diode's current and see that it follows within the deadline.

        Raises RefusedError with the controller's own reasons; the current is then switched off, so that it
        does not come on by itself.
        """
        if on and not await self.temperature_control():
            await self.set_temperature_control(True)
        command = f"OUTP {on:d}"
        await self._line.write(command)
        reasons = await held_up(self.emission, on, self.deadline, self._reasons)
        if reasons is None:
            return
        if on:
            await self._line.write("OUTP 0")
        raise self._refused(command, "had no effect", reasons or await self._reasons())

    async def emission(self) -> bool:
        return await self._flag("OUTP?")

    @sets("temperature")
    async def set_temperature(self, temperature_k: float) -> None:
        """Set the diode's temperature in kelvin. Does not switch the control. Raises LimitError."""
        self.check_limit("temperature", temperature_k, self.temperature_limits)
        await self._set("SOUR2:TEMP", round(temperature_k - ZERO_C, 4), TEMPERATURE_TAKEN_K)

    async def temperature(self) -> float:
        """The diode's temperature in kelvin as it is measured now."""
        return ZERO_C + await self._scpi.number("SENS2:TEMP:DATA?")

    async def set_temperature_control(self, on: bool) -> None:
        """Switch the temperature control. Raises RefusedError, as for switching off under a diode that
        emits."""
        command = f"OUTP2 {on:d}"
        await self._line.write(command)
        if await self.temperature_control() is not on:
            raise self._refused(command, "had no effect", await self._reasons())

    async def temperature_control(self) -> bool:
        """Whether the temperature is controlled."""
        return await self._flag("OUTP2?")

    async def is_settled(self) -> bool:
        """Whether current and temperature, where they are switched on, have arrived."""
        if await self.temperature_control():
            goal = await self._scpi.number("SOUR2:TEMP?")
            if abs(await self._scpi.number("SENS2:TEMP:DATA?") - goal) > TEMPERATURE_SETTLED_K:
                return False
        if not await self.emission():
            return True
        goal = await self._scpi.number("SOUR:CURR?")
        return abs(await self._scpi.number("SENS3:CURR:DATA?") - goal) <= CURRENT_SETTLED_A

    async def make_safe(self) -> None:
        """Emission off; the temperature control is left as it is, it does no harm."""
        await insist(self, lambda: self.set_emission(False), was_open=self._line.is_open)

    def controls(self) -> tuple[Control, ...]:
        return (
            *super().controls(),
            Control("temperature", "K", self.temperature, self.set_temperature, self.temperature_limits),
            Control("temperature_control", "", self.temperature_control, self.set_temperature_control),
        )

    def _current(self, power_w: float) -> float:
        """The diode current in amperes for an optical power in watts, by the L-I line."""
        return self.settings.threshold_current + power_w / self.settings.slope_efficiency

    async def _set(self, header: str, value: float, tolerance: float) -> None:
        """Set a number and see that it was taken, but for rounding. Raises RefusedError."""
        command = f"{header} {value:.10g}"
        await self._line.write(command)
        taken = await self._scpi.number(f"{header}?")
        if abs(taken - value) > tolerance:
            raise self._refused(command, f"left it at {taken:g}", await self._reasons())

    async def _reasons(self) -> list[str]:
        """The error queue, which reading empties, and the conditions that hold."""
        reasons = await self._scpi.errors()
        conditions = round(await self._scpi.number("STAT:MEAS:COND?"))
        return reasons + [words for bit, words in CONDITIONS.items() if conditions >> bit & 1]

    def _refused(self, command: str, outcome: str, reasons: list[str]) -> RefusedError:
        return RefusedError(
            self.name, str(self.address), f"{command} {outcome}; it says {', '.join(reasons) or 'nothing'}"
        )

    async def _flag(self, question: str) -> bool:
        return await self._scpi.ask(question, "[01]") == "1"
