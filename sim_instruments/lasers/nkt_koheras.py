"""A simulated NKT Koheras BASIK K1x2 fibre laser in an ADJUSTIK mainframe, on a serial line.

`Basik` is the laser: emission, power, a wavelength that follows its set-point by heating. `REGISTERS` are
its registers as nkt_koheras.md of the protocol notes lists them; "invented" marks what no source gives.
"""

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self
from zlib import crc32

import numpy as np

from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.lasers.koheras_interbus import BusReader, Message, Type
from sim_instruments.ports import LaserPort, Ports
from sim_instruments.wire.pty import SerialLine

SPEED_OF_LIGHT = 299_792_458.0
MODULE, MAINFRAME = 0x01, 0x80
K1X2, ADJUSTIK = 0x33, 0x34
EMISSION, INTERLOCK_OFF = 1 << 0, 1 << 1
RISE_S = 0.6  # time constant of the power; "rises in 1-3 s"
HEATING_PM_S = 8.0  # "some pm per second"
OFFSET_MAX = 4000  # 0.1 pm; "typical +-400 pm (invented limit)"
ROOM_C, C_PER_PM = 25.0, 0.08  # of the module, and how much tuning takes; invented
SUPPLY_MV = 12_000  # invented
USER_AREA = 240


class Refused(Exception):  # noqa: N818 - not an error but an answer, NACK
    """The module does not take this."""


class Basik:
    """The laser module. Power in watts, wavelengths in units of 0.1 pm."""

    def __init__(self, name: str, port: LaserPort, wavelength_m: float, max_power_w: float) -> None:
        self.port = port
        self.nominal_hz = SPEED_OF_LIGHT / wavelength_m
        self.centre = round(wavelength_m * 1e13)
        self.max_centi_mw = round(max_power_w * 1e5)
        self.serial = f"K17{crc32(name.encode()) % 100_000:05d}"
        self.firmware = 120  # invented
        self.interlock_open = False
        self.error_code = 0
        # What is kept over a power-cycle.
        self.centi_mw = min(1000, self.max_centi_mw)
        self.offset = 0
        self.delay_s = 0
        self.setup = self.modulation_setup = self.modulation_enabled = 0
        self.frequencies_hz = {0xB8: (1000.0, 1000.0), 0xBA: (1000.0, 1000.0)}  # invented
        self.level = self.level_offset = self.depth = 0
        self.user_area = bytes(USER_AREA)
        self.switch_on()

    def switch_on(self) -> None:
        """As after power has come."""
        self.emission = False
        self.waiting_s = 0.0
        self.power_w = 0.0
        self.offset_now = float(self.offset)
        self.touch_light()

    def advance(self, seconds: float) -> None:
        step = 10 * HEATING_PM_S * seconds
        self.offset_now += max(-step, min(step, self.offset - self.offset_now))
        if self.emission:
            waited, self.waiting_s = self.waiting_s, max(0.0, self.waiting_s - seconds)
            goal = 1e-5 * self.centi_mw
            self.power_w = goal + (self.power_w - goal) * math.exp(-max(0.0, seconds - waited) / RISE_S)
        self.touch_light()

    def touch_light(self) -> None:
        self.port.power_w = self.power_w
        self.port.detuning_hz = SPEED_OF_LIGHT / (1e-13 * (self.centre + self.offset_now)) - self.nominal_hz

    @property
    def moving(self) -> bool:
        rising = self.emission and abs(self.power_w - 1e-5 * self.centi_mw) > 1e-7
        return rising or abs(self.offset_now - self.offset) > 0.5

    @property
    def status(self) -> int:
        return EMISSION * self.emission | INTERLOCK_OFF * self.interlock_open

    def switch(self, on: int) -> None:
        if on > 1 or (on and self.interlock_open):
            raise Refused
        if on and not self.emission:
            self.waiting_s = float(self.delay_s)
        self.emission = bool(on)
        if not on:
            self.power_w = 0.0

    def set_power(self, centi_mw: int) -> None:
        if not 0 <= centi_mw <= self.max_centi_mw:
            raise Refused
        self.centi_mw = centi_mw

    def set_power_dbm(self, centi_dbm: int) -> None:
        self.set_power(round(100 * 10 ** (centi_dbm / 1000)))

    def set_offset(self, offset: int) -> None:
        if abs(offset) > OFFSET_MAX:
            raise Refused
        self.offset = offset

    def set_level(self, level: int) -> None:
        if level > 1000:
            raise Refused
        self.level = level


def centi_dbm(milliwatts: float) -> int:
    """In 0.01 dBm; the least that the register holds for no light at all."""
    return max(-32768, round(1000 * math.log10(milliwatts))) if milliwatts > 0 else -32768


@dataclass(frozen=True)
class Register:
    """One register: how its content is laid out (little endian), read and written."""

    layout: str
    read: Callable[[Basik], object]
    write: Callable[[Basik, int], object] | None = None


def kept(layout: str, attribute: str, most: int | None = None) -> Register:
    """A setting that is kept and does nothing else to the light."""

    def write(basik: Basik, value: int) -> None:
        if most is not None and abs(value) > most:
            raise Refused
        setattr(basik, attribute, value)

    return Register(layout, lambda basik: getattr(basik, attribute), write)


REGISTERS: Mapping[int, Register] = {
    0x61: Register("<B", lambda _: K1X2),
    0x64: Register("<H", lambda b: b.firmware),
    0x66: Register("<H", lambda b: b.status),
    0x67: Register("<B", lambda b: b.error_code),
    0x30: Register("<B", lambda b: int(b.emission), Basik.switch),
    0x31: kept("<H", "setup"),
    0x22: Register("<H", lambda b: b.centi_mw, Basik.set_power),
    0xA0: Register("<h", lambda b: centi_dbm(b.centi_mw / 100), Basik.set_power_dbm),
    0x17: Register("<H", lambda b: round(b.power_w * 1e5)),
    0x90: Register("<h", lambda b: centi_dbm(b.power_w * 1e3)),
    0x2A: Register("<h", lambda b: b.offset, Basik.set_offset),
    0x72: Register("<i", lambda b: round(b.offset_now)),
    0x32: Register("<I", lambda b: b.centre),
    0x1C: Register("<h", lambda b: round(10 * (ROOM_C + C_PER_PM * abs(b.offset_now) / 10))),
    0x1E: Register("<H", lambda _: SUPPLY_MV),
    0x3A: kept("<B", "delay_s"),  # taken as seconds; the notes give no unit
    0xB5: kept("<B", "modulation_enabled", 1),
    0xB7: kept("<H", "modulation_setup"),
    0x2B: Register("<H", lambda b: b.level, Basik.set_level),
    0x2F: kept("<h", "level_offset", 1000),
    0x2C: kept("<H", "depth", 1000),
}
"""Of the K1x2, those that hold one number. The others are dealt with in `Basik` and `answer`."""
SERIAL, USER, STATUS, ERROR_CODE, MODULE_TYPE, FIRMWARE = 0x65, 0x8D, 0x66, 0x67, 0x61, 0x64
IDENTITY = (MODULE_TYPE, FIRMWARE, SERIAL)


def content(basik: Basik, register: int) -> bytes:
    """What a register holds. Raises Refused for one that the module does not have."""
    if register == SERIAL:
        return basik.serial.encode()
    if register == USER:
        return basik.user_area
    if register in basik.frequencies_hz:
        return struct.pack("<2f", *basik.frequencies_hz[register])
    if register not in REGISTERS:
        raise Refused
    return struct.pack(REGISTERS[register].layout, REGISTERS[register].read(basik))


def store(basik: Basik, register: int, data: bytes) -> None:
    """Write a register. Raises Refused for a wrong length, a read-only register, or a value out of range."""
    if register == USER:
        if not 0 < len(data) <= USER_AREA:
            raise Refused
        basik.user_area = data.ljust(USER_AREA, b"\0")
    elif register in basik.frequencies_hz:
        first, second = struct.unpack("<2f", data) if len(data) == 8 else (math.nan, math.nan)
        if not (math.isfinite(first) and math.isfinite(second) and min(first, second) >= 0.0):
            raise Refused
        basik.frequencies_hz[register] = first, second
    else:
        entry = REGISTERS.get(register)
        if entry is None or entry.write is None or len(data) != struct.calcsize(entry.layout):
            raise Refused
        entry.write(basik, struct.unpack(entry.layout, data)[0])
        basik.touch_light()


def changed_bits(basik: Basik, request: Message) -> bytes:
    """A register's content with the bits of a mask set, cleared or toggled. Raises Refused."""
    old, mask = content(basik, request.register), request.data
    if len(old) != len(mask):
        raise Refused
    if request.type == Type.SET_BITS:
        return bytes(o | m for o, m in zip(old, mask, strict=True))
    if request.type == Type.CLEAR_BITS:
        return bytes(o & ~m for o, m in zip(old, mask, strict=True))
    return bytes(o ^ m for o, m in zip(old, mask, strict=True))


class SimNktKoheras(SimInstrument):
    """A BASIK at address 1 and its mainframe at 80h, serving on a pseudo-terminal.

    `unanswered` is the probability that a request gets no answer although it has its effect: about 1 in
    250 on the real bus.
    """

    model = "nkt_koheras"

    def __init__(
        self, name: str, rng: np.random.Generator, port: LaserPort, *, wavelength_m: float, max_power_w: float
    ) -> None:
        super().__init__(name, rng)
        self.basik = Basik(name, port, wavelength_m, max_power_w)
        self.unanswered = 0.0
        self._reader = BusReader()
        self._line = SerialLine(self.faults, self._received)

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        port = ports.lasers[placed.name] = LaserPort()
        return cls(
            placed.name,
            rng,
            port,
            wavelength_m=placed.settings["wavelength"],
            max_power_w=placed.settings["max_power"],
        )

    async def start(self) -> str:
        """Returns `serial:PATH`."""
        return f"serial:{self._line.open()}"

    async def stop(self) -> None:
        self._line.close()

    def advance(self, seconds: float) -> None:
        self.basik.advance(seconds)

    def power_cycle(self) -> None:
        """Emission off, set-points kept."""
        self.basik.switch_on()
        self._reader = BusReader()
        self._line.hang_up()

    @property
    def moving(self) -> bool:
        return self.basik.moving

    def open_interlock(self) -> None:
        """As if somebody opened the laboratory door: emission ends now."""
        self.basik.interlock_open = True
        self.basik.switch(0)
        self.basik.touch_light()

    def close_interlock(self) -> None:
        """Close the door again; emission stays off until it is switched on anew."""
        self.basik.interlock_open = False

    def _received(self, data: bytes) -> None:
        for request in self._reader.feed(data):
            answer = self.answer(request)
            if answer and not (self.unanswered and self.rng.random() < self.unanswered):
                self._line.send(answer)

    def answer(self, request: Message) -> bytes:
        """Nothing when nobody lives at the address."""
        if request.dest not in (MODULE, MAINFRAME):
            return b""
        if request.damaged:
            return request.answer(Type.CRC_ERROR)
        if request.register not in IDENTITY and self.faults.take_own_error():
            return request.answer(Type.NACK)
        try:
            if request.dest == MAINFRAME:
                return request.answer(Type.DATAGRAM, self.mainframe(request))
            if request.type == Type.READ:
                if request.data:
                    raise Refused
                return request.answer(Type.DATAGRAM, content(self.basik, request.register))
            if request.type == Type.WRITE:
                store(self.basik, request.register, request.data)
            elif request.type in (Type.SET_BITS, Type.CLEAR_BITS, Type.TOGGLE_BITS):
                store(self.basik, request.register, changed_bits(self.basik, request))
            else:
                raise Refused
        except Refused:
            return request.answer(Type.NACK)
        return request.answer(Type.ACK)

    def mainframe(self, request: Message) -> bytes:
        """What the ADJUSTIK answers to the few registers that it is read by. Raises Refused."""
        registers = {
            MODULE_TYPE: bytes([ADJUSTIK]),
            SERIAL: f"A{self.basik.serial[1:]}".encode(),
            STATUS: struct.pack("<H", INTERLOCK_OFF * self.basik.interlock_open),
            ERROR_CODE: b"\0",
        }
        if request.type != Type.READ or request.data or request.register not in registers:
            raise Refused
        return registers[request.register]
