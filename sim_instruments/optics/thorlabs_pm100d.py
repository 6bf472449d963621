"""A simulated Thorlabs PM100D power meter with a germanium sensor, as SCPI over a TCP socket.

`PowerMeter` is the device: sensor, amplifier ranges, averaging, correction for wavelength. `COMMANDS` is
its SCPI tree. The real meter has USB only; a socket carries the same text. Protocol
facts are from thorlabs_pm100d.md of the protocol notes; "invented" marks what no source gives.
"""

import math
from datetime import timedelta
from typing import Self
from zlib import crc32

import numpy as np

from sim_instruments.epoch import EPOCH
from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.ports import MeterPort, Ports
from sim_instruments.wire.scpi import Command, ErrorQueue, Scpi, Tree
from sim_instruments.wire.tcp import TcpServer

# The sensor is modelled on the S132C, a germanium photodiode, because it covers both the pump at 780 nm
# and the light at 1324 nm; its range of wavelengths is remembered from the vendor's catalogue, not in the
# notes. The curve has germanium's shape (a rise with wavelength, a steep end) and invented values.
SENSOR = "S132C"
WAVELENGTHS_NM = (700.0, 1800.0)
CURVE_NM = (700.0, 1000.0, 1324.0, 1550.0, 1650.0, 1800.0)
CURVE_A_PER_W = (0.25, 0.50, 0.75, 0.90, 0.60, 0.10)
SUBTYPE, FLAGS = 2, 1 + 32  # the subtype invented; power, wavelength settable

RANGES_A = (50e-9, 500e-9, 5e-6, 50e-6, 500e-6, 5e-3)  # full scales of the amplifier; invented
OVER_RANGE = 9.9e37
NOISE_A = 0.2e-9  # one sample; invented, and the same in all ranges
DARK_A = 0.5e-9  # spread of what a sensor gives in the dark before it is zeroed; invented
SAMPLE_S = 3e-3
ZERO_S = 1.0  # how long zeroing takes; invented
ERRORS_KEPT = 30  # invented


def responsivity(wavelength_nm: float) -> float:
    """Photocurrent per power in A/W; outside the curve the value at its end."""
    return float(np.interp(wavelength_nm, CURVE_NM, CURVE_A_PER_W))


def real(value: float) -> str:
    """A number as the meter writes it."""
    return f"{value:.8E}"


class PowerMeter:
    """The meter and its sensor."""

    def __init__(self, name: str, rng: np.random.Generator, port: MeterPort) -> None:
        self.rng, self.port = rng, port
        self.serial = crc32(name.encode()) % 10_000_000
        self.dark_a = float(rng.normal(0.0, DARK_A))
        self.elapsed_s = 0.0
        self.brightness, self.line_hz = 1.0, 50
        self.wavelength_nm = 1550.0  # "last wavelength"
        self.zero_a = 0.0
        self.zeroing_s = 0.0
        self.measuring_s = 0.0
        self.reset()

    def reset(self) -> None:
        """To the settings of `*RST`; wavelength and zero stay (invented)."""
        self.quantity = "POW"
        self.averages = 1
        self.auto_range = True
        self.full_scale_a = RANGES_A[-1]
        self.unit = "W"
        self.loss_db = 0.0
        self.beam_mm = 9.5
        self.last: float | None = None

    def advance(self, seconds: float) -> None:
        self.elapsed_s += seconds
        self.measuring_s = max(0.0, self.measuring_s - seconds)
        if self.zeroing_s > 0.0:
            self.zeroing_s -= seconds
            if self.zeroing_s <= 0.0:
                # As on a real meter, light that falls on the sensor now is taken for dark.
                self.zero_a = self.photocurrent()

    def photocurrent(self) -> float:
        """One averaged measurement of the sensor's current, in amperes."""
        light_a = self.port.power_w * responsivity(1e9 * self.port.wavelength_m)
        return light_a + self.dark_a + float(self.rng.normal(0.0, NOISE_A / math.sqrt(self.averages)))

    def a_per_w(self) -> float:
        """Current per power before the attenuation that the user states, at the wavelength that is set."""
        return float(responsivity(self.wavelength_nm) * 10 ** (-self.loss_db / 10))

    def measure(self) -> float:
        """One reading of the configured quantity, in its unit, of the light that falls on the sensor now. It
        takes the time of the samples that have to be waited for; the newest is there already (invented)."""
        self.measuring_s += SAMPLE_S * (self.averages - 1)
        current_a = self.photocurrent()
        if self.auto_range:
            self.full_scale_a = next((r for r in RANGES_A if abs(current_a) <= r), RANGES_A[-1])
        current_a -= self.zero_a
        if abs(current_a) > self.full_scale_a:
            self.last = OVER_RANGE
        elif self.quantity == "CURR":
            self.last = current_a
        else:
            power_w = current_a / self.a_per_w()
            if self.unit == "DBM":  # the logarithm of what noise made negative is SCPI's minus infinity
                self.last = 10 * math.log10(1e3 * power_w) if power_w > 0 else -OVER_RANGE
            else:
                self.last = power_w
        return self.last

    def fetch(self) -> float:
        """The last reading, or a first one."""
        return self.measure() if self.last is None else self.last

    def start_zeroing(self) -> None:
        self.zeroing_s = ZERO_S

    def configure(self, quantity: str) -> None:
        self.quantity, self.last = quantity, None

    def power_range(self) -> tuple[float, float]:
        """Full scales in watts of the most and of the least sensitive range, rounded as they are shown, so
        that what was read can be written back."""
        return float(real(RANGES_A[0] / self.a_per_w())), float(real(RANGES_A[-1] / self.a_per_w()))

    def set_power_range(self, power_w: float) -> None:
        """Choose by hand the most sensitive range that holds this power."""
        self.auto_range = False
        needed_a = power_w * self.a_per_w() * (1 - 1e-8)
        self.full_scale_a = next(r for r in RANGES_A if needed_a <= r)


def number(
    attribute: str, low: float, high: float, kind: type[int] | type[float] = float
) -> Command[PowerMeter]:
    """A setting that is a number and nothing else."""

    def read(meter: PowerMeter) -> str:
        value = getattr(meter, attribute)
        return str(value) if kind is int else real(value)

    return Command(
        read=read,
        write=lambda meter, value: setattr(meter, attribute, kind(value)),
        bounds=lambda _: (low, high),
    )


def clock(form: str) -> Command[PowerMeter]:
    return Command(read=lambda m: (EPOCH + timedelta(seconds=m.elapsed_s)).strftime(form))


def choose_range_mode(meter: PowerMeter, choice: str) -> None:
    meter.auto_range = choice in ("1", "ON")


def choose_unit(meter: PowerMeter, choice: str) -> None:
    meter.unit, meter.last = choice, None


def measurement(quantity: str) -> Command[PowerMeter]:
    """`MEASure:X?`: configure, then read."""

    def read(meter: PowerMeter) -> str:
        meter.configure(quantity)
        return real(meter.measure())

    return Command(read=read)


COMMANDS: dict[str, Command[PowerMeter]] = {
    "*IDN": Command(read=lambda m: f"THORLABS,PM100D,P{m.serial:07d},2.4.0"),
    "*RST": Command(act=PowerMeter.reset),
    "*OPC": Command(read=lambda _: "1"),
    "SYSTem:SENSor:IDN": Command(
        read=lambda m: f"{SENSOR},{180_000_000 + m.serial},15-Jan-2018,1,{SUBTYPE},{FLAGS}"
    ),
    "SYSTem:LFRequency": Command(
        read=lambda m: str(m.line_hz),
        choose=lambda m, choice: setattr(m, "line_hz", int(choice)),
        choices=("50", "60"),
    ),
    "SYSTem:DATE": clock("%Y,%m,%d"),  # the notes give no form; this is SCPI's. Not settable here.
    "SYSTem:TIME": clock("%H,%M,%S"),
    "DISPlay:BRIGhtness": number("brightness", 0.0, 1.0),
    "[SENSe:]CORRection:WAVelength": number("wavelength_nm", *WAVELENGTHS_NM),
    # Positive: so much is lost before the sensor, and the reading makes up for it (the sign is inferred).
    "[SENSe:]CORRection:LOSS:INPut:MAGNitude": number("loss_db", -60.0, 60.0),
    "[SENSe:]CORRection:BEAMdiameter": number("beam_mm", 0.1, 100.0),
    "[SENSe:]CORRection:COLLect:ZERO:INITiate": Command(act=PowerMeter.start_zeroing),
    "[SENSe:]CORRection:COLLect:ZERO:STATe": Command(read=lambda m: str(int(m.zeroing_s > 0.0))),
    "[SENSe:]CORRection:COLLect:ZERO:MAGNitude": Command(read=lambda m: real(m.zero_a)),
    "[SENSe:]CORRection:POWer:PDIode:RESPonse": Command(read=lambda m: real(responsivity(m.wavelength_nm))),
    "[SENSe:]AVERage[:COUNt]": number("averages", 1, 3000, int),
    "[SENSe:]POWer[:DC]:RANGe:AUTO": Command(
        read=lambda m: str(int(m.auto_range)), choose=choose_range_mode, choices=("0", "1", "ON", "OFF")
    ),
    "[SENSe:]POWer[:DC]:RANGe[:UPPer]": Command(
        read=lambda m: real(m.full_scale_a / m.a_per_w()),
        write=PowerMeter.set_power_range,
        bounds=PowerMeter.power_range,
    ),
    "[SENSe:]POWer[:DC]:UNIT": Command(read=lambda m: m.unit, choose=choose_unit, choices=("W", "DBM")),
    "CONFigure": Command(read=lambda m: m.quantity),
    "CONFigure[:SCALar]:POWer": Command(act=lambda m: m.configure("POW")),
    "CONFigure[:SCALar]:CURRent": Command(act=lambda m: m.configure("CURR")),
    "INITiate[:IMMediate]": Command(act=PowerMeter.measure),
    "FETCh": Command(read=lambda m: real(m.fetch())),
    "READ": Command(read=lambda m: real(m.measure())),
    "MEASure[:SCALar]:POWer": measurement("POW"),
    "MEASure[:SCALar]:CURRent": measurement("CURR"),
    "ABORt": Command(act=lambda _: None),  # comes to its turn when the measurement is over
}
"""Capitals are the short form, brackets what may be left out."""
TREE = Tree(COMMANDS)


class SimThorlabsPm100d(SimInstrument):
    """A PM100D whose sensor sees `port`, serving on a port of 127.0.0.1."""

    model = "thorlabs_pm100d"

    def __init__(self, name: str, rng: np.random.Generator, port: MeterPort) -> None:
        super().__init__(name, rng)
        self.device = PowerMeter(name, rng, port)
        self.errors = ErrorQueue(ERRORS_KEPT)
        self.server = TcpServer(
            self.faults,
            lambda line: Scpi(
                line, TREE, self.device, self.errors, self.faults, busy=lambda meter: meter.measuring_s > 0.0
            ),
        )

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        port = ports.meters[placed.name] = MeterPort()
        return cls(placed.name, rng, port)

    async def start(self) -> str:
        """Returns `visa:TCPIP0::127.0.0.1::P::SOCKET`."""
        return f"visa:TCPIP0::127.0.0.1::{await self.server.start()}::SOCKET"

    async def stop(self) -> None:
        await self.server.stop()

    def advance(self, seconds: float) -> None:
        self.device.advance(seconds)
        for client in self.server.dialects:
            client.go_on()

    def power_cycle(self) -> None:
        """Power mode, auto range, last wavelength."""
        self.device.reset()
        self.device.zeroing_s = self.device.measuring_s = 0.0
        self.errors.clear()
        self.server.hang_up()

    async def flush(self) -> None:
        await self.server.flush()
