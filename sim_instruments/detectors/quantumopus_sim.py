"""Simulated Quantum Opus bias and amplifier modules in a SIM900 mainframe, a nanowire on each.

`Amplifier` is the module; commands are those of quantumopus_sim.md of the protocol notes, "invented" marks
what no source gives. Whether a wire is latched, and the voltage across it, the world decides; the module sees
them at the ends of the bench's slices of time, which are short while it ramps or resets. What a module does
not understand has no effect and no answer (invented).
"""

import re
from collections.abc import Callable
from typing import Self

import numpy as np

from sim_instruments.detectors.sim900_mainframe import Module, SimMainframe, wires
from sim_instruments.instrument import Placed
from sim_instruments.ports import NanowirePort, Ports
from sim_instruments.wire.faults import Faults
from sim_instruments.wire.tcp import LONGEST_REQUEST

IDENTITY = "Quantum Opus QO-AMP-SIM"  # "module identification text"; invented
FULL = 65535  # of DAC and ADC
FULL_SCALE_A = 25e-6
HIGH_GAIN_V, LOW_GAIN_V = 1.1, 5.0
TICK_S = 10e-3  # unit of the duration of a reset event
USUAL_TICKS = 5  # at power-up; invented, as are high gain and no automatic reset
RAMP_PER_S = FULL / 10.0  # of the automatic bias; invented
SETTLES_AT = 0.95  # of the current at which the wire latched


class Amplifier(Module):
    """The module and its wire."""

    def __init__(self, port: NanowirePort, faults: Faults) -> None:
        super().__init__()
        self.port, self.faults = port, faults
        self.stored = 0
        self.switch_on()

    def switch_on(self) -> None:
        self.bias = 0.0
        self.full_scale_v = HIGH_GAIN_V
        self.reset_ticks, self.automatic = USUAL_TICKS, False
        self.reset_left_s: float | None = None
        """What is left of a reset event; None: there is none."""
        self.ramping = False
        self.unseen = False
        """Whether a reset or a ramp was asked for in a slice for which the world may have looked before."""
        self.reset_interface()
        self.touch_wire()

    def reset_interface(self) -> None:
        self.pending = b""

    @property
    def output(self) -> int:
        """Of the DAC, now."""
        return round(self.bias) if self.reset_left_s is None else 0

    def touch_wire(self) -> None:
        self.port.bias_a = FULL_SCALE_A * self.output / FULL

    @property
    def moving(self) -> bool:
        return self.ramping or self.reset_left_s is not None

    def advance(self, seconds: float) -> None:
        if self.unseen:
            self.unseen = False  # what it began, it begins with the next slice
        elif self.reset_left_s is not None:
            self.reset_left_s -= seconds
            if self.reset_left_s <= 0.0:
                self.reset_left_s = None
        elif self.ramping:
            self.ramp(seconds)
        elif self.automatic and self.port.latched:
            self.reset()
        self.touch_wire()

    def ramp(self, seconds: float) -> None:
        """Up from zero until the wire latches; one that never does stays at full scale (invented)."""
        if self.port.latched:
            self.bias *= SETTLES_AT
            self.ramping = False
            self.reset()
        else:
            self.bias = min(self.bias + RAMP_PER_S * seconds, FULL)
            self.ramping = self.bias < FULL

    # What `COMMANDS` does.

    def set_bias(self, count: str) -> None:
        """Ends a ramp; in a reset event it is what comes back after it (invented)."""
        if int(count) <= FULL:
            self.bias, self.ramping = float(count), False

    def set_gain(self, low: str) -> None:
        self.full_scale_v = LOW_GAIN_V if low == "1" else HIGH_GAIN_V

    def voltage(self) -> str:
        return str(min(max(round(FULL * self.port.voltage_v / self.full_scale_v), 0), FULL))

    def set_duration(self, ticks: str) -> None:
        if int(ticks) <= 255:
            self.reset_ticks = int(ticks)

    def set_automatic(self, on: str) -> None:
        self.automatic = on == "1"

    def reset(self) -> None:
        self.reset_left_s = TICK_S * self.reset_ticks

    def reset_now(self) -> None:
        self.reset()
        self.unseen = True

    def find_bias(self) -> None:
        self.bias, self.ramping, self.unseen = 0.0, True, True

    def store(self, count: str) -> None:
        if int(count) <= FULL:
            self.stored = int(count)

    def use_stored(self) -> None:
        self.bias, self.ramping = float(self.stored), False

    # The dialect.

    def received(self, data: bytes) -> None:
        *commands, rest = re.split(rb"[;\r\n]", self.pending + data)
        self.pending = rest[:LONGEST_REQUEST]
        for command in commands:
            answer = self.execute(command.decode("latin-1").strip())
            self.touch_wire()
            if answer is not None:
                self.say(answer.encode() + b"\n")

    def execute(self, command: str) -> str | None:
        if command == "+A?":
            return IDENTITY
        if not command or self.faults.take_own_error():
            return None
        for pattern, handler in COMMANDS.items():
            if match := re.fullmatch(pattern, command, re.ASCII):
                return handler(self, *match.groups())
        return None


COMMANDS: dict[str, Callable[..., str | None]] = {
    r"\+B(\d{1,5})": Amplifier.set_bias,
    r"\+B\?": lambda a: str(a.output),
    r"\+C([01])": Amplifier.set_gain,
    r"\+C\?": Amplifier.voltage,
    r"\+D(\d{1,3})": Amplifier.set_duration,
    r"\+D\?": lambda a: str(a.reset_ticks),
    r"\+E([01])": Amplifier.set_automatic,
    r"\+E\?": lambda a: str(int(a.automatic)),
    r"\+F": Amplifier.reset_now,
    r"\+G": Amplifier.find_bias,
    r"\+H(\d{1,5})": Amplifier.store,
    r"\+H\?": lambda a: f"{a.stored}.0",
    r"\+H": Amplifier.use_stored,
}


class SimQuantumOpusSim(SimMainframe[Amplifier]):
    """A mainframe with modules in the given slots; `ports` has the wire of each."""

    model = "quantumopus_sim"

    def __init__(self, name: str, rng: np.random.Generator, ports: dict[int, NanowirePort]) -> None:
        super().__init__(name, rng)
        for slot, port in ports.items():
            self.insert(slot, Amplifier(port, self.faults))

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        return cls(placed.name, rng, wires(placed, ports))
