"""A simulated Novoptel EPC1000: seven electro-optic wave plates that can be set or turn for ever.

`Crystal` is the device as its registers, `Dialect` one connection. Facts are from novoptel_epc.md of the
protocol notes and from the client that they quote (S1: the maker's LU1000.py, 2024, which drives the plates
of this family too); "invented" marks what no source gives.
"""

import math
from typing import Self
from zlib import crc32

import numpy as np

from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.ports import PlatesPort, Ports
from sim_instruments.wire.tcp import Line, TcpServer

PLATES = 7
IN_BEAM = (1, 2, 3, 0, 4, 5, 6)
"""Plate 0 is the half-wave plate and stands in the middle: QWP0 to QWP2, HWP, QWP3 to QWP5 (M: the maker's
page on scrambling, which also says that an electrical period is half a turn of a plate)."""
QUARTER, HALF = math.pi / 2, math.pi
FULL = 65536
"""Steps of a position in an electrical period, half a turn of the plate (L)."""
ALL_PLATES = 7
FORWARD, BACKWARD = 1, 3
SPEEDS, POSITIONS = 9, 40
FIRMWARE, SERIAL, MODULE, TEMPERATURE = 84, 91, 96, 181
MODULE_TYPE = "EPC1000-20M-C-FA-NN-D"  # its form after other types of the maker; invented
HALF_WAVE_SPEED, QUARTER_WAVE_SPEED = 10.0, 0.01
"""rad/s on the Poincare sphere in one count of the speed registers."""


class Crystal:
    """The plates and all registers, which are as after a power-cycle: plates at 0 and standing (invented)."""

    def __init__(self, name: str, port: PlatesPort) -> None:
        self.port = port
        text = MODULE_TYPE.ljust(32).encode()
        self.constant = {MODULE + i: int.from_bytes(text[2 * i : 2 * i + 2]) for i in range(16)}
        self.constant |= {FIRMWARE: 0x0109, SERIAL: crc32(name.encode()) % 10_000, TEMPERATURE: 16 * 40}
        self.switch_on()

    def switch_on(self) -> None:
        self.registers: dict[int, int] = {}
        self.positions = [0.0] * PLATES
        self.touch_light()

    def touch_light(self) -> None:
        self.port.plates = [
            (QUARTER if plate else HALF, math.pi * self.positions[plate] / FULL) for plate in IN_BEAM
        ]

    def read(self, register: int) -> int:
        """Unknown registers read 0 (L)."""
        if 0 <= register - POSITIONS < PLATES:
            return int(self.positions[register - POSITIONS]) % FULL
        return self.constant.get(register, self.registers.get(register, 0))

    def write(self, register: int, value: int) -> None:
        """Constants stay. Register 7 is for all plates: one state for all, as the notes' example has it; more
        than two bits are taken as the client S1 sends them, two for each plate, the first the highest."""
        if register in self.constant:
            return
        if 0 <= register - POSITIONS < PLATES:
            self.positions[register - POSITIONS] = float(value)
        elif register == ALL_PLATES:
            for plate in range(PLATES):
                shift = 2 * (PLATES - 1 - plate) if value > BACKWARD else 0
                self.registers[plate] = value >> shift & 3
        else:
            self.registers[register] = value
        self.touch_light()

    def turning(self, plate: int) -> int:
        """1 forward, -1 backward, 0 standing."""
        return {FORWARD: 1, BACKWARD: -1}.get(self.registers.get(plate, 0), 0)

    def steps_per_second(self, plate: int) -> float:
        """Light that a quarter-wave plate makes linear goes round the sphere once in an electrical period; a
        half-wave plate turns light twice as far.

        The notes call 9 + 2 n the high word of the speed; the client that they quote writes the low word
        there.
        """
        low = self.registers.get(SPEEDS + 2 * plate, 0)
        count = self.registers.get(SPEEDS + 2 * plate + 1, 0) << 16 | low
        if plate == 0:
            return FULL * HALF_WAVE_SPEED * count / (4 * math.pi)
        return FULL * QUARTER_WAVE_SPEED * count / (2 * math.pi)

    @property
    def moving(self) -> bool:
        return any(self.turning(plate) and self.steps_per_second(plate) for plate in range(PLATES))

    def advance(self, seconds: float) -> None:
        for plate in range(PLATES):
            turned = self.turning(plate) * self.steps_per_second(plate) * seconds
            self.positions[plate] = (self.positions[plate] + turned) % FULL
        self.touch_light()


class Dialect:
    """One connection: `R` and an address, or `W`, an address and a value; words are big-endian. Other bytes
    where a letter should be are passed over (invented)."""

    def __init__(self, line: Line, instrument: "SimNovoptelEpc1000") -> None:
        self.line, self.instrument = line, instrument
        self.pending = b""

    def received(self, data: bytes) -> None:
        self.pending += data
        while self.pending:
            letter = self.pending[:1]
            size = {b"R": 3, b"W": 5}.get(letter, 1)
            if len(self.pending) < size:
                return
            request, self.pending = self.pending[:size], self.pending[size:]
            if size > 1:
                self.execute(letter, *(int.from_bytes(request[i : i + 2]) for i in range(1, size, 2)))

    def execute(self, letter: bytes, register: int, value: int = 0) -> None:
        """The protocol has no error reply: what fails is as an unknown register, without effect and 0."""
        crystal = self.instrument.crystal
        fails = register != FIRMWARE and self.instrument.faults.take_own_error()
        if letter == b"R":
            self.line.send((0 if fails else crystal.read(register)).to_bytes(2))
        elif not fails:
            crystal.write(register, value)


class SimNovoptelEpc1000(SimInstrument):
    """An EPC1000 serving on a port of 127.0.0.1."""

    model = "novoptel_epc1000"

    def __init__(self, name: str, rng: np.random.Generator, port: PlatesPort) -> None:
        super().__init__(name, rng)
        self.crystal = Crystal(name, port)
        self.server = TcpServer(self.faults, lambda line: Dialect(line, self))

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        port = ports.plates[placed.name] = PlatesPort()
        return cls(placed.name, rng, port)

    async def start(self) -> str:
        """Returns `tcp://127.0.0.1:P`."""
        return f"tcp://127.0.0.1:{await self.server.start()}"

    async def stop(self) -> None:
        await self.server.stop()

    def advance(self, seconds: float) -> None:
        self.crystal.advance(seconds)

    async def flush(self) -> None:
        await self.server.flush()

    def power_cycle(self) -> None:
        self.crystal.switch_on()
        self.server.hang_up()

    @property
    def moving(self) -> bool:
        return self.crystal.moving
