"""Simulated SRS SIM928 isolated voltage sources in a SIM900 mainframe, each with a resistor and a nanowire.

`Source` is the module, `COMMANDS` its commands from srs_sim900_sim928.md of the protocol notes; "invented"
marks what no source gives.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np

from sim_instruments.detectors.sim900_mainframe import TERMINATORS, Module, SimMainframe, wires
from sim_instruments.instrument import Placed
from sim_instruments.ports import NanowirePort, Ports
from sim_instruments.wire.faults import Faults
from sim_instruments.wire.text_lines import TextLines

T = TypeVar("T")

MAX_V, MAX_A = 20.0, 10e-3
OPC, EXE, CME, PON = 1 << 0, 1 << 4, 1 << 5, 1 << 7  # *ESR?
OVERLOAD, BATTERY_SWITCH = 1 << 0, 1 << 2  # OVSR?
ILLEGAL_VALUE = 1  # LEXE?
# LCME?
ILLEGAL_COMMAND, UNDEFINED, ILLEGAL_QUERY, ILLEGAL_SET, MISSING, EXTRA = 1, 2, 3, 4, 5, 6
BAD_FLOAT, UNKNOWN_TOKEN = 9, 14
IN_USE, CHARGING, READY = 1, 2, 3  # BATS?; the third is invented
BATTERY_S, CHARGE_S = 10 * 3600.0, 4 * 3600.0  # on one battery, and to charge the other; invented


class RefusedError(Exception):
    """A command that sets a bit of `*ESR?` and a code of `LEXE?` or `LCME?`."""

    def __init__(self, bit: int, code: int) -> None:
        self.bit, self.code = bit, code


class Source(Module):
    """A SIM928 in slot `slot`, which feeds the wire of `port` through `series_ohm`."""

    def __init__(self, slot: int, port: NanowirePort, series_ohm: float, faults: Faults) -> None:
        super().__init__()
        self.port, self.series_ohm, self.faults = port, series_ohm, faults
        self.identity = f"Stanford_Research_Systems,SIM928,s/n{3375 + slot:06d},ver2.2"  # as in slot 2
        self.worn = False
        """Whether the batteries need service."""
        self.batteries = [IN_USE, CHARGING]
        self.since_switch_s = 0.0
        self.switch_on()

    def switch_on(self) -> None:
        self.events, self.overloads = PON, 0
        self.execution_error = self.command_error = 0
        self.reset_interface()
        self.reset()

    def reset_interface(self) -> None:
        self.lines, self.terminator = TextLines(), TERMINATORS["D"]

    def reset(self) -> None:
        self.volts, self.on = 0.0, False
        self.touch_wire()

    def touch_wire(self) -> None:
        current_a = self.volts / self.series_ohm if self.on else 0.0
        if abs(current_a) > MAX_A:
            self.overloads |= OVERLOAD
        self.port.bias_a = min(max(current_a, -MAX_A), MAX_A)

    def advance(self, seconds: float) -> None:
        self.since_switch_s += seconds
        if CHARGING in self.batteries and self.since_switch_s >= CHARGE_S:
            self.batteries[self.batteries.index(CHARGING)] = READY
        if self.since_switch_s >= BATTERY_S:
            self.switch_battery()

    def switch_battery(self) -> None:
        self.batteries = [CHARGING, IN_USE] if self.batteries[0] == IN_USE else [IN_USE, CHARGING]
        self.since_switch_s = 0.0
        self.overloads |= BATTERY_SWITCH

    # What `COMMANDS` does.

    def set_volts(self, text: str) -> None:
        volts = real(text)
        if not -MAX_V <= volts <= MAX_V:
            raise RefusedError(EXE, ILLEGAL_VALUE)
        self.volts = round(volts, 3) + 0.0  # no minus before zero

    def switch(self, on: str) -> None:
        self.on = token(on, {"0": False, "OFF": False, "1": True, "ON": True})

    def set_terminator(self, text: str) -> None:
        self.terminator = token(text, TERMINATORS)

    def clear(self) -> None:
        self.events = self.overloads = self.execution_error = self.command_error = 0

    def complete(self) -> None:
        self.events |= OPC

    def take(self, register: str) -> str:
        """Reading clears."""
        value = int(getattr(self, register))
        setattr(self, register, 0)
        return str(value)

    def battery_states(self) -> str:
        return f"{self.batteries[0]},{self.batteries[1]},{int(self.worn)}"

    # The dialect.

    def received(self, data: bytes) -> None:
        for line in self.lines.feed(data):
            answers = [self.execute(part.strip()) for part in line.decode("latin-1").split(";")]
            self.touch_wire()
            given = [answer for answer in answers if answer is not None]
            if given:  # joined by `;`, as the SIM manuals have it
                self.say(";".join(given).encode() + self.terminator)

    def execute(self, command: str) -> str | None:
        """What is wrong sets the status and has no answer."""
        try:
            return self.obey(command)
        except RefusedError as refused:
            self.events |= refused.bit
            if refused.bit == EXE:
                self.execution_error = refused.code
            else:
                self.command_error = refused.code
        return None

    def obey(self, command: str) -> str | None:
        if not command:
            return None
        match = re.fullmatch(r"(\*?[A-Z]+)(\?)?(?:\s+(.*))?", command.upper(), re.ASCII)
        if match is None:
            raise RefusedError(CME, ILLEGAL_COMMAND)
        word, query, argument = match.groups()
        known = COMMANDS.get(word)
        if (known is None or not known.silent_on_error) and self.faults.take_own_error():
            raise RefusedError(CME, UNDEFINED)
        if known is None:
            raise RefusedError(CME, UNDEFINED)
        if query:
            if known.read is None:
                raise RefusedError(CME, ILLEGAL_QUERY)
            if argument:
                raise RefusedError(CME, EXTRA)
            return known.read(self)
        if known.write is not None:
            if not argument:
                raise RefusedError(CME, MISSING)
            known.write(self, argument.strip())
        elif known.act is not None:
            if argument:
                raise RefusedError(CME, EXTRA)
            known.act(self)
        else:
            raise RefusedError(CME, ILLEGAL_SET)
        return None


def real(text: str) -> float:
    """Raises RefusedError."""
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(E[+-]?\d{1,3})?", text, re.ASCII):
        raise RefusedError(CME, BAD_FLOAT)
    return float(text)


def token(text: str, values: Mapping[str, T]) -> T:
    """Raises RefusedError."""
    if text not in values:
        raise RefusedError(CME, UNKNOWN_TOKEN)
    return values[text]


@dataclass(frozen=True)
class Command:
    read: Callable[[Source], str] | None = None
    write: Callable[[Source, str], None] | None = None
    act: Callable[[Source], None] | None = None
    silent_on_error: bool = False
    """Identity and status: `Faults.own_errors` does not count these."""


COMMANDS = {
    "*IDN": Command(read=lambda s: s.identity, silent_on_error=True),
    "VOLT": Command(read=lambda s: f"{s.volts:+07.3f}", write=Source.set_volts),
    "OPON": Command(act=lambda s: s.switch("ON")),
    "OPOF": Command(act=lambda s: s.switch("OFF")),
    "EXON": Command(read=lambda s: str(int(s.on)), write=Source.switch),
    "BATS": Command(read=Source.battery_states),
    "BCOR": Command(act=Source.switch_battery),
    "TERM": Command(write=Source.set_terminator),
    "*CLS": Command(act=Source.clear),
    "*RST": Command(act=Source.reset),
    "*OPC": Command(read=lambda _: "1", act=Source.complete),
    "*ESR": Command(read=lambda s: s.take("events"), silent_on_error=True),
    "CESR": Command(read=lambda _: "0", silent_on_error=True),  # nothing disturbs this line
    "OVSR": Command(read=lambda s: s.take("overloads"), silent_on_error=True),
    "LEXE": Command(read=lambda s: s.take("execution_error"), silent_on_error=True),
    "LCME": Command(read=lambda s: s.take("command_error"), silent_on_error=True),
    "LDDE": Command(read=lambda _: "0", silent_on_error=True),  # the notes give no device errors
}


class SimSrsSim900(SimMainframe[Source]):
    """A mainframe with sources in the given slots; `ports` has the wire of each."""

    model = "srs_sim900"

    def __init__(
        self, name: str, rng: np.random.Generator, ports: dict[int, NanowirePort], *, series_ohm: float
    ) -> None:
        super().__init__(name, rng)
        for slot, port in ports.items():
            self.insert(slot, Source(slot, port, series_ohm, self.faults))

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        series_ohm = float(placed.settings["series_resistance"])
        return cls(placed.name, rng, wires(placed, ports), series_ohm=series_ohm)
