"""S-Fifteen single-photon detector, a cooled avalanche diode with its electronics, text over USB serial.

Written from the protocol notes (`sfifteen_spd.md`, grammar of `sfifteen_tdc1.md`), which know the module from
the maker's own client only. Commands are silent, also when they are not taken, so what was set is read back.
This driver leaves the discriminator, the constants of the temperature loop and the output delay as they are
saved in the module.
"""

import asyncio
import re
import time

from pydantic import Field, model_validator

from drivers.address import Address
from drivers.capabilities import ClickCounter, Control, DiodeBias, Identity, Limits, Settings
from drivers.errors import ConnectError, DeadlineError, ProtocolError, RefusedError
from drivers.gate import sets
from drivers.making_safe import insist
from drivers.transports.serial_text import SerialTextLine
from drivers.units import Kelvin, Volts

BAUD = 115200
"""Irrelevant on USB."""
IDENTITY = r".*SPD.*"
NUMBER = r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d{1,2})?"
COUNT = r"\d{1,12}"
FLAG = r"[01](?:\.0*)?"
CELSIUS_K = 273.15
TAKEN_V = 1.0
"""How near the high voltage read back must be to the one set; our choice. Whether `hvolt?` tells what was set
or what is measured, the notes do not say, so there is room for a measurement."""
RISE_S = 0.3
"""How long the high voltage may need until it reads as it was set: the maker's own client waits 0.1 s."""
POLL_S = 0.02
LONGEST_MS = 65535
"""Of the counting time; that of the TDC1, whose grammar this is."""
TAKEN_K = 0.01
SETTLED_K = 0.5
"""How near the temperature must come to its set-point; our choice."""


class SpdSettings(Settings):
    """How far the diode may be biased and cooled; the module cannot be asked."""

    max_bias_voltage: Volts = Field(gt=0)
    min_temperature: Kelvin = Field(default=233.15, gt=0)
    max_temperature: Kelvin = Field(default=303.15, gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> "SpdSettings":
        if self.min_temperature > self.max_temperature:
            raise ValueError("min_temperature is above max_temperature")
        return self


class SFifteenSpd(DiodeBias, ClickCounter):
    """Address `serial:/dev/PATH`. One channel, number 1. It counts when asked, for the time that is set in
    it."""

    model = "sfifteen_spd"
    manufacturer = "S-Fifteen Instruments"
    schemes = ("serial",)
    protocol = "sfifteen_spd.md, completeness 2 (client side only)"
    doubts = (
        "Whether hvolt? tells the voltage set or the one measured is not known; within 1 V it is taken.",
        "Whether it takes a new high voltage while it counts is not known: zero is sent at once, and read "
        "back when the count is over.",
        "How its identity and errors are worded beyond SPD is not known.",
    )
    settings_model = SpdSettings
    settings: SpdSettings
    channels = (1,)

    def __init__(self, name: str, address: Address, settings: SpdSettings, deadline: float = 2.0) -> None:
        super().__init__(name, address, settings, deadline)
        self._line = SerialTextLine(name, address, BAUD, deadline, ending="\r\n", probe=("*idn?", IDENTITY))

    async def open(self) -> None:
        """Open the line and see that a detector answers. Raises ConnectError."""
        await self._line.open()
        remedy = "Give the address of an S-Fifteen single-photon detector"
        try:
            who = (await self._line.query("*idn?", retry=True)).strip()
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
        return Identity(self.manufacturer, await self._ask("*idn?", IDENTITY), "", "")

    @property
    def bias_voltage_limits(self) -> Limits:
        return Limits(0.0, self.settings.max_bias_voltage, "V")

    async def set_bias_voltage(self, channel: int, voltage_v: float) -> None:
        self.check_channel(channel)
        self.check_limit("bias voltage", voltage_v, self.bias_voltage_limits)
        await self._set_high_voltage(voltage_v)

    async def bias_voltage(self, channel: int) -> float:
        self.check_channel(channel)
        return await self._number("hvolt?")

    async def count_rate(self, channel: int) -> float:
        """The count rate in 1/s over the module's counting time, which begins now."""
        self.check_channel(channel)
        period_ms = await self._number("time?")
        if not 0 < period_ms <= LONGEST_MS:
            await self.close()  # nobody knows what comes next on this line
            raise ProtocolError(self.name, str(self.address), f"time? was answered by {period_ms:g} ms")
        period_s = 1e-3 * period_ms
        return int(await self._ask("counts?", COUNT, patience=period_s)) / period_s

    @property
    def temperature_limits(self) -> Limits:
        """The allowed set-points of the diode's temperature in kelvin."""
        return Limits(self.settings.min_temperature, self.settings.max_temperature, "K")

    @sets("temperature_set_point")
    async def set_temperature(self, temperature_k: float) -> None:
        """Set the set-point of the diode's temperature in kelvin. Does not switch the cooling. Raises
        LimitError, RefusedError."""
        self.check_limit("temperature", temperature_k, self.temperature_limits)
        command = f"settemp {temperature_k - CELSIUS_K:.2f}"
        await self._line.write(command)
        taken_k = await self.temperature_set_point()
        if abs(taken_k - temperature_k) > TAKEN_K:
            raise RefusedError(self.name, str(self.address), f"{command} left it at {taken_k:g} K")

    async def temperature_set_point(self) -> float:
        """In kelvin, whether or not the cooling is on."""
        return await self._number("settemp?") + CELSIUS_K

    async def temperature(self) -> float:
        """Of the diode, measured, in kelvin."""
        return await self._number("temp?") + CELSIUS_K

    async def set_cooling(self, on: bool) -> None:
        """Switch the loop that holds the temperature. Off, it leaves the cooler as it is."""
        command = f"loop {int(on)}"
        await self._line.write(command)
        if await self.is_cooling() is not on:
            raise RefusedError(self.name, str(self.address), f"{command} did not switch it")

    async def is_cooling(self) -> bool:
        """Whether the loop holds the temperature, read from the module."""
        return (await self._ask("loop?", FLAG)).startswith("1")

    async def is_settled(self) -> bool:
        """Whether the diode is at its temperature; True while nothing holds it."""
        if not await self.is_cooling():
            return True
        return abs(await self.temperature() - await self.temperature_set_point()) <= SETTLED_K

    async def make_safe(self) -> None:
        """Set the high voltage to zero, also while it counts, and see that it is. The diode stays cold."""
        await insist(self, lambda: self._set_high_voltage(0.0), was_open=self._line.is_open)

    def controls(self) -> tuple[Control, ...]:
        return (
            *super().controls(),
            Control(
                "temperature_set_point", "K", self.temperature_set_point, self.set_temperature,
                self.temperature_limits,
            ),
            Control("temperature", "K", self.temperature),
            Control("cooling", "", self.is_cooling, self.set_cooling),
        )  # fmt: skip

    async def _set_high_voltage(self, voltage_v: float) -> None:
        command = f"hvolt {voltage_v:.2f}"
        await self._line.write(command, at_once=voltage_v == 0.0)  # zero does not wait for the end of a count
        taken = await self._number("hvolt?")
        end = time.monotonic() + RISE_S
        while abs(taken - voltage_v) > TAKEN_V:
            if time.monotonic() > end:
                raise RefusedError(
                    self.name, str(self.address), f"{command} left it at {taken:g} V",
                    "It may have cut off because the bias was too high for the diode's temperature"
                    if taken < voltage_v
                    else "Switch the module off",
                )  # fmt: skip
            await asyncio.sleep(POLL_S)
            taken = await self._number("hvolt?")

    async def _number(self, question: str) -> float:
        return float(await self._ask(question, NUMBER))

    async def _ask(self, question: str, form: str, *, patience: float = 0.0) -> str:
        """The first line of the answer's form. A line of another form may belong to a silent command that was
        not understood, so it is passed over, and the deadline ends the wait."""
        answer = await self._line.query(
            question,
            lambda line: re.fullmatch(form, line.strip(), re.ASCII) is not None,
            retry=True,
            patience=patience,
        )
        return answer.strip()
