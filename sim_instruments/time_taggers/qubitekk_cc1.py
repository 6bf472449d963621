"""Simulated Qubitekk CC1 coincidence counter on a serial line.

Source: qubitekk_cc1.md. What it does with clicks is in `coincidence_logic`. Invented, since the notes are
silent: the state at power-up apart from the echo, the range of the dwell time, what the start-stop mode does
(one dwell time after each `CLEA`), and how accidentals are reckoned. Nothing is connected to its gate input:
a gated counter counts nothing.
"""

import re
from collections.abc import Callable
from typing import ClassVar, Self

import numpy as np

from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.ports import Ports, TaggerInput, TaggerPort, Tags
from sim_instruments.time_taggers.coincidence_logic import TICK_PS, CoincidenceLogic
from sim_instruments.wire.pty import SerialLine
from sim_instruments.wire.tcp import Lines

UNKNOWN = "Unknown Command"
UNABLE = "Unable to comply"
FIRMWARE = "Firmware v2.010"
SECOND_PS = 10**12
LONGEST_DWELL_S = 1000.0
LOOK_PS = 10 * SECOND_PS
"""How long the world goes on to compute clicks after somebody asked for a count: 10 s. A count that is asked
for after a quiet spell is 0 until its first whole dwell time has passed."""


class Counter:
    """The counter behind the commands: its settings, which act upon the logic."""

    def __init__(self) -> None:
        self.echo = True
        self.gate = self.subtract = False
        self.logic = CoincidenceLogic(window_ticks=2, delay_ticks=0, dwell_ps=SECOND_PS)

    def set_window(self, nanoseconds: int) -> str:
        if not 0 <= nanoseconds <= 7:
            return UNABLE
        self.logic.window_ticks = nanoseconds
        return ""

    def set_delay(self, nanoseconds: int) -> str:
        if nanoseconds not in range(0, 16, 2):
            return UNABLE
        self.logic.delay_ticks = nanoseconds
        return ""

    def set_dwell(self, text: str) -> str:
        seconds = float(text)
        if not 1e-3 <= seconds <= LONGEST_DWELL_S:
            return UNABLE
        self.logic.dwell_ps = round(seconds * 1e12)
        return ""

    def set_gate(self, word: str) -> str:
        self.gate = word == "ON"
        self.logic.enabled = not self.gate
        return ""

    def set_subtract(self, word: str) -> str:
        self.subtract = word == "ON"
        return ""

    def set_echo(self, word: str) -> str:
        self.echo = word == "ON"
        return ""

    def set_trigger(self, word: str) -> str:
        self.logic.repeats = word == "CONT"
        return ""

    @property
    def coincidences(self) -> int:
        """Less the accidentals, if it subtracts: both rates times the width of the window."""
        tally = self.logic.last
        if not self.subtract:
            return tally.coincidences
        width_ps = (2 * self.logic.window_ticks + 1) * TICK_PS
        accidentals = tally.first * tally.second * width_ps / self.logic.dwell_ps
        return max(0, tally.coincidences - round(accidentals))


COMMANDS: dict[str, Callable[..., str]] = {
    r"FIRM\?": lambda _: FIRMWARE,
    r":ACKN (ON|OF)": Counter.set_echo,
    r"COUN:C1\?": lambda counter: str(counter.logic.last.first),
    r"COUN:C2\?": lambda counter: str(counter.logic.last.second),
    r"COUN:CO\?": lambda counter: str(counter.coincidences),
    r":WIND (-?\d{1,6})": lambda counter, n: counter.set_window(int(n)),
    r"WIND\?": lambda counter: str(counter.logic.window_ticks),
    r":DELA (-?\d{1,6})": lambda counter, n: counter.set_delay(int(n)),
    r"DELA\?": lambda counter: str(counter.logic.delay_ticks),
    r":DWEL (-?\d{1,6}(?:\.\d{0,9})?)": Counter.set_dwell,
    r"DWEL\?": lambda counter: f"{counter.logic.dwell_ps / SECOND_PS:.9g}",
    r":GATE:(ON|OFF)": Counter.set_gate,
    r"GATE\?": lambda counter: "ON" if counter.gate else "OFF",
    r":SUBT:(ON|OFF)": Counter.set_subtract,
    r"SUBT\?": lambda counter: "ON" if counter.subtract else "OFF",
    r":TRIG:MODE (CONT|STOP)": Counter.set_trigger,
    r"TRIG\?": lambda counter: f"MODE {'CONT' if counter.logic.repeats else 'STOP'}",
}
IDENTITY = "FIRM?"


class SimQubitekkCc1(SimInstrument):
    """A CC1 with firmware 2.10, serving on a pseudo-terminal."""

    model: ClassVar[str] = "qubitekk_cc1"

    def __init__(self, name: str, rng: np.random.Generator, port: TaggerPort) -> None:
        super().__init__(name, rng)
        self.port = port
        self.counter = Counter()
        self._until_ps = self._look_until_ps = 0
        self._lines = Lines()
        self._line = SerialLine(self.faults, self._received)

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        port = ports.taggers[placed.name] = TaggerPort({n: TaggerInput() for n in (1, 2)})
        return cls(placed.name, rng, port)

    async def start(self) -> str:
        """Returns `serial:PATH`."""
        return f"serial:{self._line.open()}"

    async def stop(self) -> None:
        self._line.close()

    def advance(self, seconds: float) -> None:  # noqa: ARG002
        """The counter lives by its own clock, `port.clock_ps`; only the interest in its clicks may lapse."""
        self.port.recording = self._now_ps() < self._look_until_ps

    def power_cycle(self) -> None:
        """Everything as at power-up."""
        self.counter = Counter()
        self._look_until_ps = 0
        self.port.recording = False
        self._lines = Lines()
        self._line.hang_up()

    async def take(self, tags: Tags, until_ps: int) -> None:
        self._until_ps = until_ps
        self.counter.logic.take(tags, until_ps)

    def _now_ps(self) -> int:
        return max(self.port.clock_ps, self._until_ps)

    def _look(self) -> None:
        """Somebody wants to know a count: dwell times begin now, unless they run already."""
        if not self.port.recording and self.counter.logic.repeats:
            self.counter.logic.begin(self._now_ps())
        self._look_until_ps = self._now_ps() + LOOK_PS
        self.port.recording = True

    def _received(self, data: bytes) -> None:
        for command in self._lines.feed(data):
            for line in self.answer(command.decode(errors="replace")):
                self._line.send(f"{line}\n".encode())

    def answer(self, command: str) -> list[str]:
        """The lines that answer a command: its echo, if that is on, and what there is to say."""
        echo = [command] if self.counter.echo else []
        reply = UNKNOWN if command != IDENTITY and self.faults.take_own_error() else self._execute(command)
        return [*echo, reply] if reply else echo

    def _execute(self, command: str) -> str:
        if command == "CLEA":
            self.counter.logic.begin(self._now_ps())
            self._look()
            return ""
        if command.startswith("COUN:"):
            self._look()
        for pattern, handler in COMMANDS.items():
            if match := re.fullmatch(pattern, command, re.ASCII):
                return handler(self.counter, *match.groups())
        return UNKNOWN
