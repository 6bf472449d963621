"""Qubitekk CC1 coincidence counter, text over a serial line.

Written from the protocol notes (`qubitekk_cc1.md`). The counter may echo every command, as it does from
power-up on until somebody sends `:ACKN OF`. An echo has never the form of an answer, so it is passed over,
and the setting is left as it is. Firmware before 2.2 writes flags and the dwell time in another way.
"""

import asyncio
import re
from collections.abc import Callable

from drivers.address import Address
from drivers.capabilities import CoincidenceCounter, Control, Counts, Identity, Limits, Settings
from drivers.errors import ConnectError, DeadlineError, ProtocolError, RefusedError
from drivers.gate import sets
from drivers.transports.serial_text import SerialTextLine

BAUD = 19200
NANOSECOND = 1e-9
INPUTS = (1, 2)
WINDOW = Limits(0.0, 7 * NANOSECOND, "s", NANOSECOND)
DELAY = Limits(0.0, 14 * NANOSECOND, "s", 2 * NANOSECOND)
DWELL = Limits(0.1, 100.0, "s")
"""The notes give no range: INVENTED. Beyond it the counter may take more or less, and is read back."""
NEW_FIRMWARE = (2, 2)
"""From this on flags are words and the dwell time is answered in seconds. `v2.010` counts as 2.10, which is
newer, and `v2.001` as 2.1, as S1 of the notes reads them."""

FIRMWARE = r"Firmware v(\d+(?:\.\d+){0,2})"
COUNT = r"\d{1,12}"
NUMBER = r"(\d{1,12}(?:\.\d{1,9})?)\s*(?:m?s|ns)?"
"""Whether a unit follows the notes do not say; S1 allows for one."""
FLAG = r"ON|OFF|0|1"
TRIGGER = r"MODE (?:CONT|STOP)|0|1"
ERROR = r"(?i)unknown command.*|unable to comply.*"
TAKEN = 1e-4
"""By how much of itself a dwell time may be read back differently, since the counter may round it."""


class QubitekkCc1(CoincidenceCounter):
    """Address `serial:/dev/PATH`."""

    model = "qubitekk_cc1"
    manufacturer = "Qubitekk"
    schemes = ("serial",)
    protocol = "qubitekk_cc1.md, completeness 2"
    doubts = (
        "That counts are those of the last dwell time that has ended, not of the running one, is our "
        "reading.",
        "The range of the dwell time, 0.1 to 100 s, is invented.",
    )

    def __init__(self, name: str, address: Address, settings: Settings, deadline: float = 2.0) -> None:
        super().__init__(name, address, settings, deadline)
        self._line = SerialTextLine(name, address, BAUD, deadline, ending="\n", probe=("FIRM?", FIRMWARE))
        self._is_new: bool | None = None
        # A setting and its reading back are two requests, with nothing between them.
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """Open the line and see that a CC1 answers. Raises ConnectError."""
        await self._line.open()
        try:
            await self._firmware()
        except (DeadlineError, ProtocolError, RefusedError) as error:
            await self.close()
            raise ConnectError(
                self.name, str(self.address), f"no CC1 answers: {error.problem}",
                "Check that the counter is on and that the address is its own (an MC1 is another instrument)",
            ) from error  # fmt: skip

    async def close(self) -> None:
        self._is_new = None
        await self._line.close()

    async def identity(self) -> Identity:
        """It has neither model nor serial number to tell, only its firmware, in a way of its own."""
        return Identity(self.manufacturer, "CC1", "", await self._firmware())

    async def is_settled(self) -> bool:
        """A counter has no inertia."""
        return True

    async def make_safe(self) -> None:
        """Does nothing: a counter emits nothing and has no state that could harm."""

    @property
    def inputs(self) -> tuple[int, ...]:
        return INPUTS

    @property
    def window_limits(self) -> Limits:
        return WINDOW

    @property
    def dwell_limits(self) -> Limits:
        return DWELL

    @property
    def delay_limits(self) -> Limits:
        """The allowed delay of input 1 in seconds."""
        return DELAY

    async def set_window(self, window_s: float) -> None:
        """Set the coincidence window in seconds, whole nanoseconds. Raises LimitError, RefusedError."""
        self.check_limit("window", window_s, WINDOW)
        await self._set_nanoseconds("WIND", round(window_s / NANOSECOND))

    async def window(self) -> float:
        return await self._number("WIND?") * NANOSECOND

    @sets("delay")
    async def set_delay(self, delay_s: float) -> None:
        """Set the delay of input 1 in seconds, an even number of nanoseconds. Raises LimitError,
        RefusedError."""
        self.check_limit("delay", delay_s, DELAY)
        await self._set_nanoseconds("DELA", round(delay_s / NANOSECOND))

    async def delay(self) -> float:
        """The delay of input 1 in seconds."""
        return await self._number("DELA?") * NANOSECOND

    async def set_dwell(self, dwell_s: float) -> None:
        """Set the dwell time in seconds, to a millisecond. Raises LimitError, RefusedError."""
        self.check_limit("dwell time", dwell_s, DWELL)
        seconds = round(dwell_s, 3)
        unit = await self._dwell_unit()
        await self._set(
            f":DWEL {seconds:g}", "DWEL?", NUMBER,
            lambda taken: abs(float(taken) * unit - seconds) <= TAKEN * seconds,
        )  # fmt: skip

    async def dwell(self) -> float:
        return await self._number("DWEL?") * await self._dwell_unit()

    async def set_gate(self, on: bool) -> None:
        """Count only while the gate input is high, or always. Raises RefusedError."""
        await self._set_flag("GATE", on)

    async def is_gated(self) -> bool:
        """Whether the gate input is heeded."""
        return await self._flag("GATE")

    async def set_subtraction(self, on: bool) -> None:
        """Let the counter subtract the accidentals that it expects from the coincidences, or not. Raises
        RefusedError."""
        await self._set_flag("SUBT", on)

    async def subtraction(self) -> bool:
        """Whether the counter subtracts accidentals."""
        return await self._flag("SUBT")

    async def set_continuous(self, on: bool) -> None:
        """Count one dwell time after the other, or in start-stop mode. Raises RefusedError."""
        if await self._is_new_firmware():
            command = f":TRIG:MODE {'CONT' if on else 'STOP'}"
        else:
            command = f":TRIG {0 if on else 1}"
        await self._set(command, "TRIG?", TRIGGER, lambda taken: _is_continuous(taken) is on)

    async def continuous(self) -> bool:
        """Whether it counts one dwell time after the other."""
        return _is_continuous(await self._ask("TRIG?", TRIGGER))

    async def counts(self) -> Counts:
        """The three counts, asked one after the other; each is of a whole dwell time. That the counter tells
        of the last one that has ended, and not of the one that runs, is our reading (M)."""
        singles = {n: int(await self._ask(f"COUN:C{n}?", COUNT)) for n in INPUTS}
        return Counts(singles, int(await self._ask("COUN:CO?", COUNT)))

    async def clear(self) -> None:
        """Set all counts to zero. The counter says nothing to that."""
        async with self._turn:
            await self._line.write("CLEA")

    def controls(self) -> tuple[Control, ...]:
        return (
            *super().controls(),
            Control("delay", "s", self.delay, self.set_delay, DELAY),
            Control("gate", "", self.is_gated, self.set_gate),
            Control("subtraction", "", self.subtraction, self.set_subtraction),
            Control("continuous", "", self.continuous, self.set_continuous),
        )

    async def _firmware(self) -> str:
        version = await self._ask("FIRM?", FIRMWARE)
        major, minor, *_ = [*map(int, version.split(".")), 0]
        self._is_new = (major, minor) >= NEW_FIRMWARE
        return version

    async def _is_new_firmware(self) -> bool:
        if self._is_new is None:
            await self._firmware()
        return self._is_new is True

    async def _dwell_unit(self) -> float:
        """Seconds or, before firmware 2.2, milliseconds; it is set in seconds by all."""
        return 1.0 if await self._is_new_firmware() else 1e-3

    async def _number(self, question: str) -> float:
        return float(await self._ask(question, NUMBER))

    async def _flag(self, name: str) -> bool:
        return _is_on(await self._ask(f"{name}?", FLAG))

    async def _set_flag(self, name: str, on: bool) -> None:
        if await self._is_new_firmware():
            command = f":{name}:{'ON' if on else 'OFF'}"
        else:
            command = f":{name} {int(on)}"
        await self._set(command, f"{name}?", FLAG, lambda taken: _is_on(taken) is on)

    async def _set_nanoseconds(self, name: str, nanoseconds: int) -> None:
        await self._set(
            f":{name} {nanoseconds}", f"{name}?", NUMBER, lambda taken: float(taken) == nanoseconds
        )

    async def _ask(self, question: str, form: str) -> str:
        """The first line of this form, or its group if the form has one. Raises RefusedError."""

        def is_answer(line: str) -> bool:
            return bool(_match(form, line) or re.fullmatch(ERROR, line.strip()))

        async with self._turn:
            line = await self._line.query(question, is_answer, retry=True)
        answer = _match(form, line)
        if answer is None:
            raise RefusedError(self.name, str(self.address), f"{question} was refused: {line.strip()}")
        return answer[answer.re.groups]

    async def _set(self, command: str, question: str, form: str, is_taken: Callable[[str], bool]) -> None:
        """Send a command and see by a question that it was taken: setting is silent, but for an error or an
        echo, which stand before the answer to the question. Raises RefusedError."""
        async with self._turn:
            # In one go: an error that comes before anybody waits for an answer would be dropped.
            lines = await self._line.query_lines(
                f"{command}\n{question}", lambda line: _match(form, line) is not None
            )
        answer = _match(form, lines[-1])
        assert answer is not None
        if not is_taken(answer[answer.re.groups]):
            errors = [line.strip() for line in lines if re.fullmatch(ERROR, line.strip())]
            why = errors[0] if errors else f"{question} is answered by {lines[-1].strip()}"
            raise RefusedError(self.name, str(self.address), f"{command} was refused: {why}")


def _match(form: str, line: str) -> re.Match[str] | None:
    return re.fullmatch(form, line.strip(), re.ASCII)


def _is_on(flag: str) -> bool:
    return flag in ("ON", "1")


def _is_continuous(mode: str) -> bool:
    return mode in ("MODE CONT", "0")
