"""A simulated OIF ITLA (Pure Photonics PPCL550) on a serial line.

`Registers` is its dialect: four-byte packets and the registers of oif_itla.md of the protocol notes. The
laser itself is in `itla_module`. "Invented" marks what no source gives.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.lasers.itla_module import (
    DIODE_MA,
    FINE_RANGE_MHZ,
    STEPS_PER_THZ,
    TEC_MA,
    TEMPERATURE_CENTI_C,
    Code,
    Module,
    Refused,
)
from sim_instruments.ports import LaserPort, Ports
from sim_instruments.wire.faults import Faults
from sim_instruments.wire.pty import SerialLine

OK, EXECUTION_ERROR, EXTENDED, PENDING = 0, 1, 2, 3
MODULE_BIT, LAST_RESPONSE, COMMUNICATION_ERROR = 0x04, 0x08, 0x08
NOP, TEXT, FATAL, WARNING, CURRENTS, TEMPERATURES = 0x00, 0x0B, 0x20, 0x21, 0x57, 0x58
READY, ONE_PENDING = 0x0010, 0x0100
TUNING = (0x30, 0x34, 0x35, 0x36)


def bip4(first: int, *rest: int) -> int:
    """The checksum nibble of a packet, whatever stands in its place."""
    parity = first & 0x0F
    for byte in rest:
        parity ^= byte
    return parity >> 4 ^ parity & 0x0F


def packet(first: int, register: int, data: int) -> bytes:
    """A packet from the module."""
    high, low = data >> 8 & 0xFF, data & 0xFF
    return bytes([bip4(first, register, high, low) << 4 | first, register, high, low])


@dataclass(frozen=True)
class Register:
    """One register of 16 bits; `signed` says how a written value is taken."""

    read: Callable[[Module], int]
    write: Callable[[Module, int], object] | None = None
    signed: bool = False


def thz(steps: int) -> int:
    return steps // STEPS_PER_THZ


def rest(steps: int) -> int:
    return steps % STEPS_PER_THZ


def write_rest(module: Module, steps: int) -> None:
    if steps >= STEPS_PER_THZ:
        raise Refused(Code.RVE)
    module.tune(first=thz(module.first) * STEPS_PER_THZ + steps)


REGISTERS: Mapping[int, Register] = {
    0x30: Register(lambda m: m.channel, lambda m, v: m.tune(channel=v)),
    0x31: Register(lambda m: m.power, Module.set_power, signed=True),
    0x32: Register(lambda m: 8 * m.output, Module.enable),
    0x34: Register(lambda m: m.grid, lambda m, v: m.tune(grid=v)),
    0x35: Register(
        lambda m: thz(m.first), lambda m, v: m.tune(first=v * STEPS_PER_THZ + rest(m.first))
    ),
    0x36: Register(lambda m: rest(m.first), write_rest),
    0x40: Register(lambda m: thz(m.steps)),
    0x41: Register(lambda m: rest(m.steps)),
    0x42: Register(lambda m: m.measured_power),
    0x43: Register(lambda _: TEMPERATURE_CENTI_C),
    0x4F: Register(lambda _: FINE_RANGE_MHZ),
    0x50: Register(lambda m: m.least),
    0x51: Register(lambda m: m.most),
    0x52: Register(lambda m: thz(m.lowest)),
    0x53: Register(lambda m: rest(m.lowest)),
    0x54: Register(lambda m: thz(m.highest)),
    0x55: Register(lambda m: rest(m.highest)),
    0x56: Register(lambda _: 1),
    0x62: Register(lambda m: m.fine_mhz, Module.fine_tune, signed=True),
    0x90: Register(lambda m: m.mode, Module.set_mode),
}  # fmt: skip
KEPT = {0x08: 0, 0x0D: 0x0044, 0x22: 0, 0x23: 0, 0x24: 0, 0x25: 0, 0x28: 0, 0x29: 0, 0x33: 0}
"""Registers that are kept and do nothing here, with their values at start (invented)."""


@dataclass
class Registers:
    """The module's end of the line: takes packets, gives answers."""

    module: Module
    faults: Faults
    error: Code = Code.OK
    text: bytes = b""
    """What register 0Bh has still to give."""
    last: bytes = b""
    kept: dict[int, int] = field(default_factory=lambda: dict(KEPT))
    latched: dict[int, int] = field(default_factory=lambda: {FATAL: 0, WARNING: 0})
    _pending: bytes = b""
    _stale: bytes = b""

    def received(self, data: bytes) -> bytes:
        """The answers to what arrives. A damaged packet is complained of, and what came with it dropped,
        so that the next one begins where it should (invented, as is `pause`)."""
        self._pending += data
        answers = b""
        while len(self._pending) >= 4:
            first, register, high, low = self._pending[:4]
            if first >> 4 != bip4(first, register, high, low) or first & 0x06:
                self._pending = b""
                self.last = packet(
                    EXECUTION_ERROR | MODULE_BIT | COMMUNICATION_ERROR, register, high << 8 | low
                )
            else:
                self._pending = self._pending[4:]
                if not (first & LAST_RESPONSE and self.last):
                    self.last = self.answer(register, high << 8 | low, bool(first & 1))
            answers += self.last
        return answers

    def pause(self) -> None:
        """Time passes: a packet that has begun and not gone on since the last time is given up."""
        if self._pending == self._stale:
            self._pending = b""
        self._stale = self._pending

    def answer(self, register: int, data: int, write: bool) -> bytes:
        if register == NOP:
            return packet(MODULE_BIT | OK, NOP, self.status)
        try:
            if register not in self.module.strings and register != TEXT and self.faults.take_own_error():
                raise Refused(Code.CIP)
            status, data = self.write(register, data) if write else self.read(register)
        except Refused as refusal:
            self.error = refusal.code
            status = EXECUTION_ERROR
        else:
            self.error = Code.OK
        return packet(MODULE_BIT | status, register, data)

    @property
    def status(self) -> int:
        return READY * self.module.ready | ONE_PENDING * (self.module.pending_s > 0) | self.error

    def read(self, register: int) -> tuple[int, int]:
        """Status and data. Raises Refused."""
        if register == TEXT:
            two, self.text = self.text[:2], self.text[2:]
            return OK, int.from_bytes(two.ljust(2, b"\0"), "big")
        text = self.long(register)
        if text is not None:
            self.text = text
            return EXTENDED, len(text)
        if register in self.latched:
            return OK, self.latched[register]
        if register in self.kept:
            return OK, self.kept[register]
        if register not in REGISTERS:
            raise Refused(Code.RNI)
        return OK, REGISTERS[register].read(self.module) & 0xFFFF

    def long(self, register: int) -> bytes | None:
        """What is too long for one packet."""
        if register in self.module.strings:
            return self.module.strings[register].encode()
        if register == CURRENTS:
            return struct.pack(">2h", 10 * TEC_MA, 10 * DIODE_MA * self.module.output)
        if register == TEMPERATURES:
            return struct.pack(">2h", TEMPERATURE_CENTI_C, TEMPERATURE_CENTI_C - 200)
        return None

    def write(self, register: int, data: int) -> tuple[int, int]:
        """Status and data. Raises Refused."""
        module = self.module
        if module.starting_s:
            raise Refused(Code.CII)
        if register in self.latched:
            if data != 0xFFFF:
                raise Refused(Code.RVE)
            self.latched[register] = 0
        elif register in self.kept:
            self.kept[register] = data
        elif register in REGISTERS:
            entry = REGISTERS[register]
            if entry.write is None:
                raise Refused(Code.RNW)
            if module.pending_s and register in TUNING:
                raise Refused(Code.CIP)
            entry.write(module, data - 0x10000 if entry.signed and data & 0x8000 else data)
            module.touch_light()
        else:
            raise Refused(Code.RNI if self.long(register) is None and register != TEXT else Code.RNW)
        return (PENDING if module.pending_s else OK), data


class SimOifItla(SimInstrument):
    """One module, serving on a pseudo-terminal."""

    model = "oif_itla"

    def __init__(self, name: str, rng: np.random.Generator, module: Module) -> None:
        super().__init__(name, rng)
        self.module = module
        self.registers = Registers(module, self.faults)
        self._line = SerialLine(self.faults, self._received)

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        port = ports.lasers[placed.name] = LaserPort()
        module = Module(
            placed.name,
            port,
            wavelength_m=placed.settings["wavelength"],
            tuning_range_hz=placed.settings["tuning_range"],
            min_power_w=placed.settings["min_power"],
            max_power_w=placed.settings["max_power"],
        )
        return cls(placed.name, rng, module)

    async def start(self) -> str:
        """Returns `serial:PATH`."""
        return f"serial:{self._line.open()}"

    async def stop(self) -> None:
        self._line.close()

    def advance(self, seconds: float) -> None:
        self.module.advance(seconds)
        self.registers.pause()

    def power_cycle(self) -> None:
        """Output off, set-points at their defaults."""
        self.module.switch_on()
        self.registers = Registers(self.module, self.faults)
        self._line.hang_up()

    @property
    def moving(self) -> bool:
        return self.module.pending_s > 0

    def _received(self, data: bytes) -> None:
        if answers := self.registers.received(data):
            self._line.send(answers)
