"""A simulated Thorlabs LCC25 liquid-crystal controller with one cell, behind a serial line.

`Controller` is the device: two voltages, modulation between them, presets. `NUMBERS` and `ACTIONS` are the
commands of thorlabs_lcc25.md of the protocol notes; "invented" marks what no source gives.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.polarization.liquid_crystal import Cell
from sim_instruments.ports import PlatesPort, Ports
from sim_instruments.wire.pty import SerialLine
from sim_instruments.wire.text_lines import TextLines

NOT_DEFINED, INVALID = "CMD_NOT_DEFINED", "CMD_ARG_INVALID"
PROMPT = "> "
AXIS_RAD = math.pi / 4
"""Of the cell's fast axis: as it is usually mounted, half way between H and V; the notes do not say."""
PRESETS = range(1, 5)
ALTERNATING, VOLTAGE_2 = 0, 2


@dataclass(frozen=True)
class Number:
    """A setting: its range, its factory value, and how it is shown. `step` is what it is rounded to."""

    low: float
    high: float
    factory: float
    step: float = 1.0

    def show(self, value: float) -> str:
        return f"{value:.1f}" if self.step < 1 else f"{value:.0f}"


VOLTS, FLAG = Number(0.0, 25.0, 0.0, 0.1), Number(0, 1, 0)
NUMBERS: Mapping[str, Number] = {
    "volt1": VOLTS,
    "volt2": VOLTS,
    "mode": Number(0, 2, 1),  # the factory value invented
    "freq": Number(5.0, 150.0, 60.0, 0.1),  # the factory value invented
    "enable": FLAG,
    "extern": FLAG,
    "remote": FLAG,
    "min": VOLTS,
    "max": Number(0.0, 25.0, 25.0, 0.1),
    "dwell": Number(1, 60000, 100),  # ms; range and factory value invented
    "increment": Number(0.1, 25.0, 0.1, 0.1),  # range invented
}


class Controller:
    """The LCC25 and its cell."""

    def __init__(self, port: PlatesPort, curve: Sequence[tuple[float, float]]) -> None:
        self.port = port
        self.cell = Cell(curve, AXIS_RAD)
        self.saved = {name: number.factory for name, number in NUMBERS.items()}
        self.presets = {number: dict(self.saved) for number in PRESETS}
        self.switch_on()

    def switch_on(self) -> None:
        """Settings as last saved, the output disabled."""
        self.values = self.saved | {"enable": 0.0}
        self.elapsed_s = 0.0
        self.testing_s: float | None = None
        self.drive()
        self.touch_light()

    def touch_light(self) -> None:
        self.port.plates = [self.cell.plate]

    @property
    def moving(self) -> bool:
        return self.cell.moving or self.testing_s is not None or self.modulating

    @property
    def modulating(self) -> bool:
        values = self.values
        return bool(values["enable"]) and values["mode"] == ALTERNATING and values["volt1"] != values["volt2"]

    def drive(self) -> None:
        """Put on the cell what the settings of this moment ask for. At the external input nothing is
        connected, which leaves voltage 1 (invented)."""
        values = self.values
        if not values["enable"]:
            self.cell.voltage_v = 0.0
        elif self.testing_s is not None:
            self.cell.voltage_v = min(values["min"] + self.dwells * values["increment"], values["max"])
        elif values["mode"] == VOLTAGE_2 or (self.modulating and self.half_periods % 2):
            self.cell.voltage_v = values["volt2"]
        else:
            self.cell.voltage_v = values["volt1"]

    @property
    def dwells(self) -> int:
        """That have ended since the test began."""
        return math.floor(1e3 * (self.testing_s or 0.0) / self.values["dwell"] + 1e-9)

    @property
    def half_periods(self) -> int:
        """That have begun since it was switched on."""
        return math.floor(2 * self.values["freq"] * self.elapsed_s + 1e-9)

    def advance(self, seconds: float) -> None:
        """From one change of the voltage to the next."""
        while seconds > 0.0:
            step = seconds
            if self.testing_s is not None:
                next_s = 1e-3 * self.values["dwell"] * (self.dwells + 1)
                step = min(step, max(next_s - self.testing_s, 1e-6))
            elif self.modulating:
                next_s = (self.half_periods + 1) / (2 * self.values["freq"])
                step = min(step, max(next_s - self.elapsed_s, 1e-6))
            self.drive()
            self.cell.advance(step)
            self.elapsed_s += step
            self.pass_test(step)
            seconds -= step
        self.drive()
        self.touch_light()

    def pass_test(self, seconds: float) -> None:
        """A sweep from `min` to `max` ends after its last step."""
        if self.testing_s is None:
            return
        self.testing_s += seconds
        values = self.values
        steps = math.ceil((values["max"] - values["min"]) / values["increment"]) + 1
        if self.dwells >= max(steps, 1):
            self.testing_s = None

    def set(self, name: str, text: str) -> str:
        number = NUMBERS[name]
        try:
            value = float(text)
        except ValueError:
            return INVALID
        if not number.low <= value <= number.high or (number.step == 1.0 and value != round(value)):
            return INVALID
        self.values[name] = round(round(value / number.step) * number.step, 1)
        self.drive()
        return ""

    def store(self, preset: int) -> None:
        self.presets[preset] = dict(self.values)

    def recall(self, preset: int) -> None:
        """All but the output, which stays as it is (invented)."""
        self.values = self.presets[preset] | {"enable": self.values["enable"]}
        self.drive()

    def test(self) -> None:
        self.testing_s = 0.0
        self.drive()

    def restore_factory(self) -> None:
        self.values = {name: number.factory for name, number in NUMBERS.items()}
        self.drive()

    def save(self) -> None:
        self.saved = dict(self.values)


ACTIONS: dict[str, Callable[..., None]] = {
    r"test": Controller.test,
    r"default": Controller.restore_factory,
    r"save": Controller.save,
    r"set=([1-4])": lambda c, preset: c.store(int(preset)),
    r"get=([1-4])": lambda c, preset: c.recall(int(preset)),
}


class SimThorlabsLcc25(SimInstrument):
    """An LCC25 serving on a pseudo-terminal. Saved settings and presets outlast a power-cycle."""

    model = "thorlabs_lcc25"

    def __init__(
        self, name: str, rng: np.random.Generator, port: PlatesPort, *, curve: Sequence[tuple[float, float]]
    ) -> None:
        super().__init__(name, rng)
        self.controller = Controller(port, curve)
        self._lines = TextLines()
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
        self.controller.advance(seconds)

    def power_cycle(self) -> None:
        self.controller.switch_on()
        self._lines = TextLines()
        self._line.hang_up()

    @property
    def moving(self) -> bool:
        return self.controller.moving

    def _received(self, data: bytes) -> None:
        """The command is repeated as it came; a reply follows only where there is one."""
        for raw in self._lines.feed(data):
            reply = self.answer(raw.decode(errors="replace").strip())
            self._line.send(raw + b"\r" + (f"{reply}\r" if reply else "").encode() + PROMPT.encode())

    def answer(self, command: str) -> str:
        if command.lower() == "*idn?":
            return "THORLABS LCC25 VERSION 1.00"
        if self.faults.take_own_error():
            return NOT_DEFINED
        if (match := re.fullmatch(r"(\w+)(?:\?|=(.*))", command, re.ASCII)) and match[1] in NUMBERS:
            name, text = match[1], match[2]
            if text is None:
                return NUMBERS[name].show(self.controller.values[name])
            return self.controller.set(name, text)
        for pattern, action in ACTIONS.items():
            if match := re.fullmatch(pattern, command, re.ASCII):
                action(self.controller, *match.groups())
                return ""
        return INVALID if re.match(r"(set|get)=", command) else NOT_DEFINED
