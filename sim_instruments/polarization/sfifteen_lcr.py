"""A simulated S-Fifteen driver of four liquid-crystal retarders, behind a serial line.

`Board` is the device, `COMMANDS` what sfifteen_lcr.md of the protocol notes lists; "invented" marks what
no source gives.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np

from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.polarization.liquid_crystal import Cell
from sim_instruments.ports import PlatesPort, Ports
from sim_instruments.wire.pty import SerialLine
from sim_instruments.wire.tcp import LONGEST_REQUEST

CHANNELS = 4
BELOW_V = 10.0
AXES_RAD = (0.0, math.pi / 4, 0.0, math.pi / 4)
"""Of the cells in beam order; invented, after the squeezers of others."""
IDENTITY = "LCD cell driver, 4 channels, rev 1"  # the words behind the first three invented
UNKNOWN = "Unknown command"  # wording L
MOST_HZ = 100e3  # invented
HELP = "*IDN?; *RST; HELP; ON; OFF; DARK; FREQ <Hz>; AMPLITUDE <ch> <V>; AMP? <ch>"  # invented form, one line


class Board:
    """The board and its cells. After power has come the outputs are off and the amplitudes 0 (invented)."""

    def __init__(self, port: PlatesPort, curve: Sequence[tuple[float, float]]) -> None:
        self.port = port
        self.cells = [Cell(curve, axis) for axis in AXES_RAD]
        self.reset()
        self.touch_light()

    def reset(self) -> None:
        self.on, self.lit, self.hertz = False, True, 2000.0
        self.amplitudes_v = [0.0] * CHANNELS
        self.drive()

    def drive(self) -> None:
        for cell, amplitude_v in zip(self.cells, self.amplitudes_v, strict=True):
            cell.voltage_v = amplitude_v if self.on else 0.0

    def touch_light(self) -> None:
        self.port.plates = [cell.plate for cell in self.cells]

    def advance(self, seconds: float) -> None:
        for cell in self.cells:
            cell.advance(seconds)
        self.touch_light()

    def switch(self, on: bool) -> str:
        self.on = on
        self.drive()
        return ""

    def darken(self) -> str:
        self.lit = False
        return ""

    def set_frequency(self, text: str) -> str:
        if not 0.0 < number(text) <= MOST_HZ:
            return UNKNOWN
        self.hertz = number(text)
        return ""

    def set_amplitude(self, channel: str, text: str) -> str:
        if not 0.0 <= number(text) < BELOW_V:
            return UNKNOWN
        self.amplitudes_v[int(channel) - 1] = round(number(text), 3)  # in steps of 1 mV; invented
        self.drive()
        return ""

    def restart(self) -> str:
        self.reset()
        return ""


def number(text: str) -> float:
    """Not a number counts as out of range."""
    try:
        return float(text)
    except ValueError:
        return math.nan


COMMANDS: dict[str, Callable[..., str]] = {
    r"\*IDN\?": lambda _: IDENTITY,
    r"\*RST": Board.restart,
    r"HELP": lambda _: HELP,
    r"ON": lambda b: b.switch(True),
    r"OFF": lambda b: b.switch(False),
    r"DARK": Board.darken,
    r"FREQ (\S+)": Board.set_frequency,
    r"AMP(?:LITUDE)? ([1-4]) (\S+)": Board.set_amplitude,
    r"AMP(?:LITUDE)?\? ([1-4])": lambda b, channel: f"{b.amplitudes_v[int(channel) - 1]:.3f}",
}


class SimSFifteenLcr(SimInstrument):
    """A board with four cells of one curve, serving on a pseudo-terminal."""

    model = "sfifteen_lcr"

    def __init__(
        self, name: str, rng: np.random.Generator, port: PlatesPort, *, curve: Sequence[tuple[float, float]]
    ) -> None:
        super().__init__(name, rng)
        self.board = Board(port, curve)
        self._pending = b""
        self._line = SerialLine(self.faults, self._received)

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        port = ports.plates[placed.name] = PlatesPort()
        return cls(placed.name, rng, port, curve=placed.settings["retardance"])

    async def start(self) -> str:
        """Returns `serial:PATH`."""
        return f"serial:{self._line.open()}"

    async def stop(self) -> None:
        self._line.close()

    def advance(self, seconds: float) -> None:
        self.board.advance(seconds)

    def power_cycle(self) -> None:
        self.board.reset()
        self._pending = b""
        self._line.hang_up()

    @property
    def moving(self) -> bool:
        return any(cell.moving for cell in self.board.cells)

    def _received(self, data: bytes) -> None:
        """Commands end with `;`, CR or LF; empty ones are nothing."""
        *commands, rest = re.split(rb"[;\r\n]", self._pending + data)
        self._pending = rest[:LONGEST_REQUEST]
        for command in commands:
            words = " ".join(command.decode(errors="replace").split())
            if words and (answer := self.answer(words)):
                self._line.send(f"{answer}\r\n".encode())

    def answer(self, command: str) -> str:
        """Empty for a command that is taken."""
        if command.upper() != "*IDN?" and self.faults.take_own_error():
            return UNKNOWN
        for pattern, handler in COMMANDS.items():
            if match := re.fullmatch(pattern, command.upper(), re.ASCII):
                return handler(self.board, *match.groups())
        return UNKNOWN
