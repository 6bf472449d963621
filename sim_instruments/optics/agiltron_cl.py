"""A simulated Agiltron CL/LB 1xN switch on a serial line.

Frames of four bytes, from small_switches.md of the protocol notes; "invented" marks what no source gives.
What it does not take it does not answer. The 1 to 5 ms of switching are passed over, since it answers when
they are over.
"""

from typing import Self

import numpy as np

from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.ports import Ports, SwitchPort
from sim_instruments.wire.pty import SerialLine

HEAD = b"\x01"
READ, SET = 0x11, 0x12
SIZE = 4
AT_POWER_UP = 1  # the channel after power has come; invented


class SimAgiltronCl(SimInstrument):
    """A switch with one input and `channels` outputs that leads light through `port`."""

    model = "agiltron_cl"

    def __init__(self, name: str, rng: np.random.Generator, port: SwitchPort, *, channels: int) -> None:
        super().__init__(name, rng)
        self.port, self.channels = port, channels
        self.line = SerialLine(self.faults, self.received)
        self.pending = b""
        self.switch(AT_POWER_UP)

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        port = ports.switches[placed.name] = SwitchPort()
        return cls(placed.name, rng, port, channels=placed.settings["channels"])

    async def start(self) -> str:
        """Returns `serial:PATH`."""
        return f"serial:{self.line.open()}"

    async def stop(self) -> None:
        self.line.close()

    def advance(self, seconds: float) -> None:
        """Nothing in it takes time."""

    def power_cycle(self) -> None:
        self.pending = b""
        self.switch(AT_POWER_UP)
        self.line.hang_up()

    def switch(self, channel: int) -> None:
        self.channel = channel
        self.port.connected = {1: channel}

    def received(self, data: bytes) -> None:
        self.pending += data
        while (start := self.pending.find(HEAD)) >= 0 and len(self.pending) >= start + SIZE:
            frame, self.pending = self.pending[start : start + SIZE], self.pending[start + SIZE :]
            self.execute(frame)
        self.pending = self.pending[start:] if start >= 0 else b""

    def execute(self, frame: bytes) -> None:
        _, command, _, channel = frame
        if self.faults.take_own_error():
            return
        if command == READ and channel == 0:
            # Only the last byte of the answer is known; that the others are as sent is assumed.
            self.line.send(bytes((frame[0], READ, 0, self.channel)))
        elif command == SET and 1 <= channel <= self.channels:
            self.switch(channel)
            self.line.send(frame)
