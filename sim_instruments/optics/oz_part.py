"""What OZ Optics' motorised parts have in common as simulated: a motor, and a line that waits for it.

`OzPart` cuts what arrives into commands, carries them out one after the other by the table of its model, and
ends every answer with `Done`. A command that moves the motor is ended when the motor has arrived; commands
that come meanwhile wait (both inferred from the 20 to 40 s that clients allow, ozoptics_dd100.md).
"""

import re
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sim_instruments.instrument import SimInstrument
from sim_instruments.polarization.motion import PS, Leg, Motor
from sim_instruments.wire.pty import SerialLine
from sim_instruments.wire.text_lines import TextLines

COMMANDS_KEPT = 64  # that wait for a motion to end; invented
UNKNOWN_COMMAND, OUT_OF_RANGE, NOT_HOMED = 1, 2, 3  # numbers of `Error-n`; invented


class OzError(Exception):
    """What a command is refused with."""

    def __init__(self, number: int) -> None:
        super().__init__(f"Error-{number}")


@dataclass(frozen=True)
class Journey:
    """A motion that a command has begun: `then` happens, and gives the last lines, when it has ended."""

    legs: Sequence[Leg]
    first: Sequence[str] = ()
    then: Callable[[], Sequence[str]] = lambda: ()


Handler = Callable[..., Sequence[str] | Journey]


class OzPart(SimInstrument):
    """`table` has a handler for each pattern of a command, with the pattern's groups as arguments; handlers
    return the lines of the answer or a Journey, and may raise OzError."""

    table: ClassVar[Mapping[str, Handler]]
    end: ClassVar[str]
    """What follows the last line of an answer."""
    identities: ClassVar[frozenset[str]]
    """Commands that ask who it is, which it always answers."""
    interrupts: ClassVar[frozenset[str]] = frozenset()
    """Commands that are carried out while the motor moves, and end the motion."""

    def __init__(self, name: str, rng: np.random.Generator, steps: float) -> None:
        super().__init__(name, rng)
        self.motor = Motor(steps)
        self.homed = False
        self.echo = False
        self.line = SerialLine(self.faults, self.received)
        self.lines = TextLines()
        self.waiting: deque[str] = deque(maxlen=COMMANDS_KEPT)
        self.journey: Journey | None = None

    @abstractmethod
    def touch_light(self) -> None:
        """Write what the motor's position does to the light into the port."""

    async def start(self) -> str:
        """Returns `serial:PATH`."""
        return f"serial:{self.line.open()}"

    async def stop(self) -> None:
        self.line.close()

    @property
    def moving(self) -> bool:
        return self.motor.moving

    def advance(self, seconds: float) -> None:
        left = round(seconds * PS)
        while self.motor.moving and left > 0:
            part = min(left, self.motor.remaining_ps)
            left -= part
            if self.motor.advance(part):
                self.arrived()
        self.touch_light()

    def power_cycle(self) -> None:
        """The motor stays where it is and does not know where that is."""
        self.restart()
        self.waiting.clear()
        self.journey = None
        self.lines = TextLines()
        self.line.hang_up()

    def restart(self) -> None:
        self.motor.halt()
        self.homed = False
        self.touch_light()

    def received(self, data: bytes) -> None:
        for line in self.lines.feed(data):
            command = line.decode(errors="replace").strip()
            if self.journey is not None and command.upper() in self.interrupts:
                self.waiting.clear()
                self.motor.halt()
                self.arrived(interrupted=True)
            self.waiting.append(command)
            self.work()

    def work(self) -> None:
        while self.waiting and self.journey is None:
            self.execute(self.waiting.popleft())

    def execute(self, command: str) -> None:
        if self.echo:
            self.send(command)
        try:
            outcome = self.outcome(command)
        except OzError as error:
            self.send(str(error), self.end)
            return
        if isinstance(outcome, Journey):
            self.journey = outcome
            if outcome.first:
                self.send(*outcome.first)
            self.motor.travel([leg for leg in outcome.legs if leg.duration_ps > 0])
            if not self.motor.moving:
                self.arrived()
        else:
            self.send(*outcome, self.end)

    def outcome(self, command: str) -> Sequence[str] | Journey:
        """Raises OzError."""
        if command.upper() not in self.identities and self.faults.take_own_error():
            raise OzError(UNKNOWN_COMMAND)
        for pattern, handler in self.table.items():
            if match := re.fullmatch(pattern, command, re.ASCII | re.IGNORECASE):
                return handler(self, *match.groups())
        raise OzError(UNKNOWN_COMMAND)

    def arrived(self, *, interrupted: bool = False) -> None:
        """The motion has ended; so does the answer to its command, and the next command is carried out."""
        journey, self.journey = self.journey, None
        self.touch_light()
        if journey is not None:
            self.send(*(() if interrupted else journey.then()), self.end)
            self.work()

    def send(self, *lines: str) -> None:
        self.line.send("".join(f"{line}\r\n" for line in lines).encode())
