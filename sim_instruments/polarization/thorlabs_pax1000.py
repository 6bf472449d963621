"""A simulated Thorlabs PAX1000 rotating-wave-plate polarimeter, as SCPI over a TCP socket.

`Polarimeter` is the device: a plate that a motor turns, and a result for every so many turns. `COMMANDS` is
its SCPI tree. The real one has USB only; a socket carries the same text. Facts are from thorlabs_pax1000.md
of the protocol notes, those on flags and binary results from TLPAX.h and the maker's own example; "invented"
marks what no source gives.
"""

import math
import struct
from dataclasses import dataclass, replace
from typing import Self
from zlib import crc32

import numpy as np

from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.ports import PolarimeterPort, Ports
from sim_instruments.wire.scpi import EXECUTION, Command, ErrorQueue, Scpi, Tree, header
from sim_instruments.wire.tcp import TcpServer

WAVELENGTHS_M = (900e-9, 1700e-9)
"""Of the IR2; remembered from the maker's catalogue, not in the notes."""
VELOCITY_LIMITS = (200.0, 100.0)
"""Turns per second with and without an external power supply; the second invented."""
VELOCITY = 30.0  # as in the notes' example of a rate; else invented
SPIN_UP_S = 2.0
"""Until the speed has settled; "<= 8 s"."""
TURNS = {1: 0.5, 2: 0.5, 3: 0.5, 4: 1.0, 5: 1.0, 6: 1.0, 7: 2.0, 8: 2.0, 9: 2.0}
"""Turns of the plate in a result, by measurement mode."""
LOW_SPEED, AUTO_RANGE = 0x1, 0x200
MOTOR = 0x8010000
"""What the notes' sample has besides: trimmed, and one more bit of the motor's."""
FULL_SCALE_W = tuple(20e-3 / 4.0**n for n in range(16))
"""Of the gain indices from 1; their number and steps invented."""
ADC_MAX = 32000
ERRORS_KEPT = 30  # invented
KEPT = 2
"""Results that wait to be fetched in binary: it sends 0, 1 or 2."""
RIGHT_HANDED = -1.0
"""S3 of the light field for what the maker calls right-handed. The field's (1, i)/sqrt 2, whose phases grow
along the beam, turns counterclockwise for somebody who looks towards the source; his manual, 8.1.2, calls
clockwise right-handed. That positive ellipticity is right-handed: L."""


@dataclass(frozen=True)
class Result:
    """One measurement, in the order of its fields."""

    revolutions: int = 0
    timestamp_ms: int = 0
    mode: int = 0
    flags: int = LOW_SPEED | MOTOR
    gain: int = 1
    adc_min: int = 0
    adc_max: int = 0
    turn_s: float = 0.0
    misadjustment: float = 0.0
    azimuth_rad: float = 0.0
    ellipticity_rad: float = 0.0
    dop: float = 0.0
    power_w: float = 0.0

    @property
    def fields(self) -> tuple[float, ...]:
        return (
            self.revolutions, self.timestamp_ms, self.mode, self.flags, self.gain, self.adc_min, self.adc_max,
            self.turn_s, self.misadjustment, self.azimuth_rad, self.ellipticity_rad, self.dop, self.power_w,
        )  # fmt: skip

    def text(self) -> str:
        return ",".join(f"{value:d}" if isinstance(value, int) else real(value) for value in self.fields)

    def binary(self) -> bytes:
        """Seven whole and six real numbers of 32 bits, little-endian."""
        return struct.pack("<7I6f", *self.fields)


def real(value: float) -> str:
    """As in the notes' sample: seven digits, an exponent without padding and only where there is one."""
    mantissa, exponent = f"{value:.6e}".split("e")
    return mantissa if int(exponent) == 0 else f"{mantissa}e{int(exponent)}"


class Polarimeter:
    """The PAX1000IR2, its head in the light that `port` has."""

    def __init__(self, name: str, port: PolarimeterPort) -> None:
        self.port = port
        self.serial = f"M{crc32(name.encode()) % 100_000_000:08d}"
        self.wavelength_m = 1550e-9  # invented
        self.elapsed_s = 0.0
        self.reset()

    def reset(self) -> None:
        """As after power has come: the motor off, idle. The wavelength is kept (invented)."""
        self.mode, self.motor_on, self.velocity_hz = 0, False, VELOCITY
        self.gain, self.auto_gain = 1, True
        self.spinning_up_s = self.turned = 0.0
        self.half_turns = 0
        self.latest = Result()
        self.waiting: list[Result] = []

    @property
    def settled(self) -> bool:
        return self.motor_on and self.spinning_up_s <= 0.0

    def set_mode(self, mode: float) -> None:
        self.mode, self.turned = int(mode), 0.0
        if not self.mode:
            self.latest = replace(self.latest, mode=0)

    def switch_motor(self, on: bool) -> None:
        if on and not self.motor_on:
            self.spinning_up_s = SPIN_UP_S
        self.motor_on = on
        self.turned = 0.0

    def set_velocity(self, velocity_hz: float) -> None:
        self.velocity_hz = velocity_hz
        if self.motor_on:
            self.spinning_up_s = SPIN_UP_S

    def advance(self, seconds: float) -> None:
        """Of the results that become ready in this time, all alike, the last two are made."""
        self.elapsed_s += seconds
        if not self.motor_on:
            return
        measuring_s = max(0.0, seconds - self.spinning_up_s)
        self.spinning_up_s = max(0.0, self.spinning_up_s - seconds)
        self.turned += measuring_s * self.velocity_hz
        self.half_turns += round(2 * seconds * self.velocity_hz)
        if self.mode:
            results, self.turned = divmod(self.turned, TURNS[self.mode])
            for _ in range(min(int(results), KEPT)):
                self.measure()

    def measure(self) -> None:
        """A result of the light as it is now; the plate's own noise is in the port."""
        port = self.port
        if self.auto_gain:
            self.gain = next((n for n in range(16, 0, -1) if port.power_w <= 0.9 * FULL_SCALE_W[n - 1]), 1)
        filled = min(1.0, max(0.0, port.power_w) / FULL_SCALE_W[self.gain - 1])
        flags = MOTOR | (AUTO_RANGE if self.auto_gain else 0)
        if filled >= 1.0:
            flags |= 0x8
        elif filled < 0.01:
            flags |= 0x4
        s1, s2, s3 = port.stokes
        dop = math.hypot(s1, s2, s3)
        self.latest = Result(
            revolutions=self.half_turns % 2**32,
            timestamp_ms=round(1e3 * self.elapsed_s) % 2**32,
            mode=self.mode,
            flags=flags,
            gain=self.gain,
            adc_min=round(0.1 * ADC_MAX * filled),
            adc_max=round(ADC_MAX * filled),
            turn_s=1 / self.velocity_hz,
            misadjustment=1.0,
            azimuth_rad=math.atan2(s2, s1) / 2,
            ellipticity_rad=math.asin(max(-1.0, min(1.0, RIGHT_HANDED * s3 / dop))) / 2 if dop else 0.0,
            dop=dop,
            power_w=port.power_w,
        )
        self.waiting = [*self.waiting, self.latest][-KEPT:]

    def fetch_binary(self) -> bytes:
        """How many bytes follow, and the results that nobody has fetched yet, the oldest first."""
        results, self.waiting = self.waiting, []
        data = b"".join(result.binary() for result in results)
        return struct.pack("<H", len(data)) + data

    def set_gain(self, gain: float) -> None:
        self.gain, self.auto_gain = int(gain), False


def switch_auto_gain(p: Polarimeter, choice: str) -> None:
    """2 ranges once (TLPAX.h), which is at once here."""
    p.auto_gain = choice in ("1", "ON")
    if choice == "2":
        p.auto_gain = True
        p.measure()
        p.auto_gain = False


SWITCH = ("0", "1", "ON", "OFF")
MODE = Command[Polarimeter](
    read=lambda p: str(p.mode),
    write=Polarimeter.set_mode,
    bounds=lambda _: (0, 9),
    show=lambda _, v: f"{v:g}",
)
COMMANDS: dict[str, Command[Polarimeter]] = {
    "*IDN": Command(read=lambda p: f"THORLABS,PAX1000IR2,{p.serial},1.1.0"),
    "*RST": Command(act=Polarimeter.reset),
    "*OPC": Command(read=lambda _: "1", act=lambda _: None),
    "*TST": Command(read=lambda _: "0"),
    "SENSe:CALCulate[:MODe]": MODE,
    "INPut:ROTation:STATe": Command(
        read=lambda p: str(int(p.motor_on)),
        choose=lambda p, choice: p.switch_motor(choice in ("1", "ON")),
        choices=SWITCH,
    ),
    "INPut:ROTation:VELocity": Command(
        read=lambda p: real(p.velocity_hz),
        write=Polarimeter.set_velocity,
        bounds=lambda _: (1.0, VELOCITY_LIMITS[0]),  # the lower end invented
        show=lambda _, value: real(value),
    ),
    "INPut:ROTation:VELocity:LIMits": Command(read=lambda _: ",".join(map(real, VELOCITY_LIMITS))),
    "INPut:ROTation:SETTled": Command(read=lambda p: str(int(p.settled))),
    "SENSe:CORRection:WAVelength": Command(
        read=lambda p: real(p.wavelength_m),
        write=lambda p, value: setattr(p, "wavelength_m", value),
        bounds=lambda _: WAVELENGTHS_M,
        show=lambda _, value: real(value),
    ),
    "SENSe:POWer:RANGe:AUTO": Command(
        read=lambda p: str(int(p.auto_gain)), choose=switch_auto_gain, choices=(*SWITCH, "2")
    ),
    "SENSe:POWer:RANGe:INDex": Command(
        read=lambda p: str(p.gain),
        write=Polarimeter.set_gain,
        bounds=lambda _: (1, 16),
        show=lambda _, v: f"{v:g}",
    ),
    "SENSe:DATA:LATest": Command(read=lambda p: p.latest.text()),
    "CALibration:STRing": Command(read=lambda _: '"15-Jan-2018"'),  # the form invented
}
"""Capitals are the short form, brackets what may be left out; where the notes have the short form alone, the
long one is the obvious word."""
TREE = Tree(COMMANDS)
OLDEST = header("SENSe:DATA:OLDest:BINary")


class Dialect(Scpi[Polarimeter]):
    """One connection. Binary results are sent as they are: the maker's example reads the bytes that the count
    announces and no line end behind them."""

    def execute(self, unit: str) -> str | None:
        words = unit.removesuffix("?")
        if words == unit or not OLDEST.fullmatch(words.removeprefix(":")):
            return super().execute(unit)
        if self.faults.take_own_error():
            self.errors.add(EXECUTION)
        else:
            self.line.send(self.device.fetch_binary())
        return None


class SimThorlabsPax1000(SimInstrument):
    """A PAX1000IR2 serving on a port of 127.0.0.1."""

    model = "thorlabs_pax1000"

    def __init__(self, name: str, rng: np.random.Generator, port: PolarimeterPort) -> None:
        super().__init__(name, rng)
        self.polarimeter = Polarimeter(name, port)
        self.errors = ErrorQueue(ERRORS_KEPT)
        self.server = TcpServer(
            self.faults, lambda line: Dialect(line, TREE, self.polarimeter, self.errors, self.faults)
        )

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        port = ports.polarimeters[placed.name] = PolarimeterPort()
        return cls(placed.name, rng, port)

    async def start(self) -> str:
        """Returns `visa:TCPIP0::127.0.0.1::P::SOCKET`."""
        return f"visa:TCPIP0::127.0.0.1::{await self.server.start()}::SOCKET"

    async def stop(self) -> None:
        await self.server.stop()

    def advance(self, seconds: float) -> None:
        self.polarimeter.advance(seconds)

    async def flush(self) -> None:
        await self.server.flush()

    def power_cycle(self) -> None:
        self.polarimeter.reset()
        self.errors.clear()
        self.server.hang_up()
