"""A simulated Thorlabs OSW22 (or OSW12) fibre switch, type E, on a serial line.

Commands from small_switches.md of the protocol notes; "invented" marks what no source gives. What it does not
understand it does not answer (invented). The few milliseconds of switching are passed over, and the few
seconds after it is plugged in, in which the real one answers nothing.
"""

import re
from typing import Self

import numpy as np

from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.ports import Ports, SwitchPort
from sim_instruments.wire.pty import SerialLine
from sim_instruments.wire.text_lines import TextLines

BAR, CROSS = 1, 2


class SimThorlabsOsw(SimInstrument):
    """A switch of two outputs and `inputs` (1 or 2) inputs that leads light through `port`."""

    model = "thorlabs_osw"

    def __init__(self, name: str, rng: np.random.Generator, port: SwitchPort, *, inputs: int = 2) -> None:
        super().__init__(name, rng)
        self.port, self.inputs = port, inputs
        self.line = SerialLine(self.faults, self.received)
        self.lines = TextLines()
        self.switch(BAR)

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        port = ports.switches[placed.name] = SwitchPort()
        return cls(placed.name, rng, port, inputs=placed.settings.get("inputs", 2))

    async def start(self) -> str:
        """Returns `serial:PATH`."""
        return f"serial:{self.line.open()}"

    async def stop(self) -> None:
        self.line.close()

    def advance(self, seconds: float) -> None:
        """Nothing in it takes time."""

    def power_cycle(self) -> None:
        """It comes back in the bar state (invented)."""
        self.lines = TextLines()
        self.switch(BAR)
        self.line.hang_up()

    def switch(self, state: int) -> None:
        self.state = state
        bar, cross = {1: 1, 2: 2}, {1: 2, 2: 1}
        paths = bar if state == BAR else cross
        self.port.connected = {i: o for i, o in paths.items() if i <= self.inputs}

    def received(self, data: bytes) -> None:
        for line in self.lines.feed(data):
            answer = self.answer(line.decode(errors="replace").strip())
            if answer:
                self.line.send(f"{answer}\r\n".encode())

    def answer(self, command: str) -> str:
        """The answer without its end, nothing where there is none."""
        kind = f"OSW{self.inputs}2-1310E"
        if command == "I?":
            return f"{kind} 1.02"  # "board name + firmware text"; invented
        if self.faults.take_own_error():
            return ""
        if command == "S?":
            return str(self.state)
        if command == "T?":
            return "0"  # "type code text"; as the stub of the notes' source answers
        if match := re.fullmatch(r"S ([12])", command, re.ASCII):
            self.switch(int(match[1]))
        return ""
