"""A simulated S-Fifteen single-photon detector: a cooled avalanche diode with its electronics, on a serial
line.

`Detector` is the module; `SETTINGS` and `COMMANDS` are what sfifteen_spd.md of the protocol notes lists. The
notes know it from the maker's own client only, so all numbers here are invented, and so are the texts: that
something not understood is answered by a line of text is the grammar of sfifteen_tdc1.md. While it counts it
hears nothing; what is sent meanwhile it obeys afterwards.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from sim_instruments.detectors.nanowire_sweeps import PeriodCounter
from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.ports import DiodePort, Ports
from sim_instruments.wire.pty import SerialLine
from sim_instruments.wire.text_lines import TextLines

IDENTITY = "SPD single-photon detector, simulated"
UNKNOWN = "unknown command"
HELP = "Commands: *idn? help save hvolt threshvolt constp consti loop pvolt temp? settemp time counts? delay"

BREAKDOWN_V, BREAKDOWN_V_PER_C = 136.0, 0.35  # at 0 C, and how it rises
CUT_OFF_V = 30.0  # of excess bias, at which the high voltage switches itself off
HIGHEST_V = 300.0
AMBIENT_C, COOLS_C_PER_V, MOST_PELTIER_V = 25.0, 15.0, 6.0
THERMAL_S = 4.0  # time constant of the diode's temperature
COLDEST_C, WARMEST_C = -50.0, 50.0  # that may be set
LONGEST_MS = 65535
CELSIUS_K = 273.15


class RefusedError(Exception):
    """A command that is answered by a line of text and has no effect."""


@dataclass(frozen=True)
class State:
    """What commands set and `save` keeps."""

    high_voltage_v: float = 0.0
    threshold_v: float = 0.1
    proportional: float = 1.0
    integral: float = 0.1
    loop: float = 1.0
    peltier_v: float = 3.0
    """While nothing holds the temperature."""
    set_c: float = -20.0
    time_ms: float = 100.0
    delay: float = 0.0


class Detector:
    """The module. It has been cold for long when the bench begins."""

    def __init__(self, port: DiodePort, rng: np.random.Generator) -> None:
        self.port, self.rng = port, rng
        self.saved = self.state = State()
        self.temperature_c = self.goal_c
        self.counter: PeriodCounter | None = None
        """While it counts."""
        self.counted_ns = 0
        self.touch_light()

    def switch_on(self) -> None:
        """With what was saved; the diode has kept its temperature."""
        self.state, self.counter = self.saved, None
        self.touch_light()

    def advance(self, seconds: float) -> int | None:
        """Let time pass; returns the counts that were asked for, when they are done."""
        goal_c = self.goal_c
        self.temperature_c = goal_c + (self.temperature_c - goal_c) * math.exp(-seconds / THERMAL_S)
        self.touch_light()
        if self.counter is None:
            return None
        self.counted_ns += round(1e9 * seconds)
        done = next(self.counter.advance(self.counted_ns), None)
        if done is None:
            return None
        self.counter = None
        _, [counts] = done
        return counts

    def touch_light(self) -> None:
        """Write the diode's bias and temperature, unless the bias is so high that it is cut off."""
        if self.excess_v > CUT_OFF_V:
            self.state = replace(self.state, high_voltage_v=0.0)
        self.port.enabled = self.state.high_voltage_v > 0.0
        self.port.excess_v = self.excess_v
        self.port.temperature_k = self.temperature_c + CELSIUS_K

    @property
    def excess_v(self) -> float:
        return self.state.high_voltage_v - BREAKDOWN_V - BREAKDOWN_V_PER_C * self.temperature_c

    @property
    def goal_c(self) -> float:
        return AMBIENT_C - COOLS_C_PER_V * self.peltier_v

    @property
    def peltier_v(self) -> float:
        """Volts on the cooler: what the loop needs in the end (how it gets there is passed over), or what was
        set."""
        needed_v = (AMBIENT_C - self.state.set_c) / COOLS_C_PER_V if self.state.loop else self.state.peltier_v
        return min(max(needed_v, -MOST_PELTIER_V), MOST_PELTIER_V)

    @property
    def moving(self) -> bool:
        return abs(self.temperature_c - self.goal_c) > 0.05

    # What commands do.

    def take(self, setting: "Setting", value: float) -> None:
        self.state = replace(self.state, **{setting.field: round(value, setting.digits)})
        self.touch_light()

    def tell(self, setting: "Setting") -> str:
        value = self.peltier_v if setting.field == "peltier_v" else getattr(self.state, setting.field)
        return f"{value:.{setting.digits}f}"

    def save(self) -> str:
        self.saved = self.state
        return "settings saved"

    def count(self) -> None:
        period_ns = round(1e6 * self.state.time_ms)
        self.counter, self.counted_ns = PeriodCounter([self.port], self.rng, period_ns), 0


@dataclass(frozen=True)
class Setting:
    """What `NAME x` sets and `NAME?` tells: a field of `State`, its bounds and its decimals."""

    field: str
    low: float
    high: float
    digits: int


SETTINGS = {
    "HVOLT": Setting("high_voltage_v", 0.0, HIGHEST_V, 2),
    "THRESHVOLT": Setting("threshold_v", -5.0, 5.0, 3),
    "CONSTP": Setting("proportional", 0.0, 1000.0, 3),
    "CONSTI": Setting("integral", 0.0, 1000.0, 3),
    "LOOP": Setting("loop", 0.0, 1.0, 0),
    "PVOLT": Setting("peltier_v", -MOST_PELTIER_V, MOST_PELTIER_V, 3),
    "SETTEMP": Setting("set_c", COLDEST_C, WARMEST_C, 2),
    "TIME": Setting("time_ms", 1.0, LONGEST_MS, 0),
    "DELAY": Setting("delay", 0.0, 65535.0, 0),
}
COMMANDS: dict[str, Callable[[Detector], str | None]] = {
    "*IDN?": lambda _: IDENTITY,
    "HELP": lambda _: HELP,
    "SAVE": Detector.save,
    "TEMP?": lambda d: f"{d.temperature_c:.2f}",
    "COUNTS?": Detector.count,
}
NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:E[+-]?\d{1,2})?"


class Requests(TextLines):
    """Cuts at `;` as well as at line ends."""

    _ENDS = re.compile(rb"[;\r\n]+")


class SimSFifteenSpd(SimInstrument):
    """A module whose diode is `port`, serving on a pseudo-terminal."""

    model = "sfifteen_spd"

    def __init__(self, name: str, rng: np.random.Generator, port: DiodePort) -> None:
        super().__init__(name, rng)
        self.detector = Detector(port, rng)
        self._requests = Requests()
        self._unheard: list[str] = []  # what was sent while it counts
        self._line = SerialLine(self.faults, self._received)

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        port = ports.diodes[placed.name, 1] = DiodePort()
        return cls(placed.name, rng, port)

    async def start(self) -> str:
        """Returns `serial:PATH`."""
        return f"serial:{self._line.open()}"

    async def stop(self) -> None:
        self._line.close()

    def advance(self, seconds: float) -> None:
        counts = self.detector.advance(seconds)
        if counts is not None:
            self._send(str(counts))
            self._obey()

    def power_cycle(self) -> None:
        """What was saved is set again, the high voltage too."""
        self.detector.switch_on()
        self._requests = Requests()
        self._unheard.clear()
        self._line.hang_up()

    @property
    def moving(self) -> bool:
        return self.detector.moving

    def _received(self, data: bytes) -> None:
        self._unheard += [line.decode("latin-1").strip() for line in self._requests.feed(data)]
        self._obey()

    def _obey(self) -> None:
        while self._unheard and self.detector.counter is None:
            try:
                answer = self.execute(self._unheard.pop(0))
            except RefusedError:
                answer = UNKNOWN
            if answer is not None:
                self._send(answer)

    def _send(self, text: str) -> None:
        self._line.send(f"{text}\r\n".encode())

    def execute(self, request: str) -> str | None:
        """The answer, where there is one now. Raises RefusedError."""
        request = request.upper()
        if not request:
            return None
        if request != "*IDN?" and self.faults.take_own_error():
            raise RefusedError
        if request in COMMANDS:
            return COMMANDS[request](self.detector)
        match = re.fullmatch(rf"([A-Z]+)(?:\?|\s+({NUMBER}))", request, re.ASCII)
        setting = SETTINGS.get(match[1]) if match else None
        if match is None or setting is None:
            raise RefusedError
        if match[2] is None:
            return self.detector.tell(setting)
        if not setting.low <= float(match[2]) <= setting.high:
            raise RefusedError
        self.detector.take(setting, float(match[2]))
        return None
