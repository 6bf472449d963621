"""SRS SIM928 isolated voltage sources in a SIM900 mainframe, as bias of superconducting nanowires.

Written from the protocol notes (`srs_sim900_sim928.md`, "SIM928"). A source sets a voltage; behind the series
resistor that the testbed file states it drives `I = V / R` through a wire without resistance. It measures
nothing, so it neither counts clicks nor sees a wire latch. Its two batteries change over by themselves; when
they need service it says so.
"""

from functools import partial

from pydantic import Field, model_validator

from drivers.capabilities import Control
from drivers.detectors.sim900_bias import Sim900Bias, Sim900BiasSettings
from drivers.errors import RefusedError
from drivers.units import Amperes, Ohms

MAX_V, MAX_A = 20.0, 10e-3
STEP_V = 1e-3
NUMBER = r"[+-]?\d+(\.\d*)?"
EXECUTION_ERRORS = {1: "illegal value", 2: "wrong token", 3: "invalid bit"}
COMMAND_ERRORS = {
    1: "illegal command", 2: "undefined command", 3: "illegal query", 4: "illegal set",
    5: "missing parameter", 6: "extra parameter", 7: "null parameter", 8: "buffer overflow",
    9: "bad float", 10: "bad integer", 11: "bad integer token", 12: "bad token value",
    13: "bad hex block", 14: "unknown token",
}  # fmt: skip


class Sim928Settings(Sim900BiasSettings):
    """The resistor makes the voltage a current."""

    max_bias: Amperes = Field(gt=0, le=MAX_A)
    series_resistance: Ohms = Field(gt=0)
    """Between each source and its wire, the same for all of them."""

    @model_validator(mode="after")
    def _within_the_source(self) -> "Sim928Settings":
        needed_v = self.max_bias * self.series_resistance
        if needed_v > MAX_V:
            raise ValueError(
                f"max_bias needs {needed_v:g} V through series_resistance, a SIM928 has {MAX_V:g} V"
            )
        return self


class SrsSim900(Sim900Bias):
    """The bias is rounded to what 1 mV drives through the series resistor."""

    model = "srs_sim900"
    manufacturer = "Stanford Research Systems"
    protocol = "srs_sim900_sim928.md, completeness 3"
    doubts = ("That EXON? reads what OPON and OPOF switch is inferred from where it stands in the notes.",)
    settings_model = Sim928Settings
    settings: Sim928Settings
    module = "SIM928"
    probe = ("*IDN?", r"[^,]+(,[^,]*){3}")
    is_module = r"[^,]+,\s*SIM928\s*,.*"

    async def bias(self, channel: int) -> float:
        self.check_channel(channel)
        return (
            await self._volts(channel) / self.settings.series_resistance if await self._on(channel) else 0.0
        )

    async def set_enabled(self, on: bool) -> None:
        """Switch the outputs of all sources on or off, and see that they are."""
        for slot in self.channels:
            await self._frame.tell(slot, "OPON" if on else "OPOF")
        for slot in self.channels:
            await self._check_output(slot, on)

    async def is_enabled(self) -> bool:
        return any([await self._on(slot) for slot in self.channels])

    async def needs_service(self, channel: int) -> bool:
        """Whether the batteries of a source are at the end of their life."""
        self.check_channel(channel)
        return (await self._frame.ask(channel, "BATS?", r"\d,\d,[01]")).endswith("1")

    def controls(self) -> tuple[Control, ...]:
        return (
            *super().controls(),
            *(
                Control(f"battery_service.{channel}", "", partial(self.needs_service, channel))
                for channel in self.channels
            ),
        )

    async def _feed(self, slot: int, current_a: float) -> None:
        volts = round(current_a * self.settings.series_resistance, 3)
        await self._set_volts(slot, volts)
        await self._check_volts(slot, volts)

    async def _all_to_zero(self) -> None:
        """At zero and off: a source that somebody switches on at its front then drives nothing."""
        for slot in self.channels:
            await self._set_volts(slot, 0.0)
            await self._frame.tell(slot, "OPOF")
        for slot in self.channels:
            await self._check_volts(slot, 0.0)
            await self._check_output(slot, False)

    async def _set_volts(self, slot: int, volts: float) -> None:
        await self._frame.tell(slot, f"VOLT {volts:g}")

    async def _check_volts(self, slot: int, volts: float) -> None:
        taken = await self._volts(slot)
        if abs(taken - volts) > STEP_V / 2:
            raise await self._refused(slot, f"VOLT {volts:g}", f"left it at {taken:g} V")

    async def _check_output(self, slot: int, on: bool) -> None:
        if await self._on(slot) is not on:
            raise await self._refused(slot, "OPON" if on else "OPOF", f"left it {'off' if on else 'on'}")

    async def _volts(self, slot: int) -> float:
        return float(await self._frame.ask(slot, "VOLT?", NUMBER))

    async def _on(self, slot: int) -> bool:
        """By `EXON?`, which stands beside `OPON` and `OPOF` in the notes; that it reads their switch is
        inferred from that (M)."""
        return await self._frame.ask(slot, "EXON?", "[01]") == "1"

    async def _refused(self, slot: int, command: str, outcome: str) -> RefusedError:
        """The error for a command that was not taken, with what the module says of it. Reading clears it."""
        execution = int(await self._frame.ask(slot, "LEXE?", r"\d{1,3}"))
        wording = int(await self._frame.ask(slot, "LCME?", r"\d{1,3}"))
        why = EXECUTION_ERRORS.get(execution) or COMMAND_ERRORS.get(wording) or "no reason given"
        return RefusedError(
            self.name, str(self.address),
            f"{command} {outcome} in slot {slot}: {why} (LEXE {execution}, LCME {wording})",
        )  # fmt: skip
