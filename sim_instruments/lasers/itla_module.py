"""The laser module behind a simulated ITLA: channel, fine tuning, power, and what switching on takes.

Source: oif_itla.md of the protocol notes, Registers and Behaviour; "invented" marks what no source gives.
"""

import enum
import math
from zlib import crc32

from sim_instruments.ports import LaserPort

SPEED_OF_LIGHT = 299_792_458.0
STEP_HZ, MHZ = 1e8, 1e6
STEPS_PER_THZ = 10_000
LOWEST, HIGHEST = 1_909_500, 1_978_900  # 0.1 GHz; "PPCL550: about 1515..1570 nm"
MARGIN = 100  # 0.1 GHz beyond what the bench wants, for a laser of another band; invented
FINE_RANGE_MHZ = 6000  # invented
READY_S = 1.5  # "MRDY after about 1 s to several seconds"
TUNING_S = 4.0  # "5-30 s on real parts (shorten in simulation but keep pending visible)"
LEVELLING_S = 0.3  # for a change of power while it emits; invented
DARK_CENTI_DBM = -6000  # what the power reads without light; invented
TEMPERATURE_CENTI_C = 3512  # of the laser; invented
TEC_MA, DIODE_MA = 350, 180  # invented


class Code(enum.IntEnum):
    """Why a packet was not executed."""

    OK = 0
    RNI = 1
    RNW = 2
    RVE = 3
    CIP = 4
    CII = 5
    CIE = 9


class Refused(Exception):  # noqa: N818 - not an error but an answer, XE
    """The module does not execute this."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.name)
        self.code = code


class Module:
    """The laser. Frequencies in steps of 0.1 GHz, powers in 0.01 dBm, as the registers count."""

    def __init__(
        self,
        name: str,
        port: LaserPort,
        *,
        wavelength_m: float,
        tuning_range_hz: float,
        min_power_w: float,
        max_power_w: float,
    ) -> None:
        self.port = port
        self.nominal_hz = SPEED_OF_LIGHT / wavelength_m
        lowest = math.floor((self.nominal_hz - tuning_range_hz) / STEP_HZ) - MARGIN
        highest = math.ceil((self.nominal_hz + tuning_range_hz) / STEP_HZ) + MARGIN
        self.lowest, self.highest = min(lowest, LOWEST), max(highest, HIGHEST)
        self.least = round(1000 * math.log10(1e3 * min_power_w))
        self.most = round(1000 * math.log10(1e3 * max_power_w))
        self.strings = {
            0x01: "CW ITLA",
            0x02: "Pure Photonics",
            0x03: "PPCL550",
            0x04: f"CRTNA{crc32(name.encode()) % 100_000:05d}",
            0x05: "2024-05-17",
            0x06: "HW 1.0.0:FW 8.0.9",
            0x07: "HW 1.0.0:FW 1.0.0",
        }  # texts but the manufacturer's are invented
        self.switch_on()

    def switch_on(self) -> None:
        """As after power has come, or a reset: dark, and the set-points at their defaults (invented: the
        middle of the bench's wishes)."""
        self.starting_s = READY_S
        self.first = round(self.nominal_hz / STEP_HZ)
        self.channel, self.grid, self.fine_mhz = 1, 500, 0
        self.power = max(self.least, min(self.most, 1000))
        self.output, self.pending_s, self.shines = False, 0.0, False
        self.mode = 0
        self.touch_light()

    def advance(self, seconds: float) -> None:
        self.starting_s = max(0.0, self.starting_s - seconds)
        self.pending_s = max(0.0, self.pending_s - seconds)
        self.touch_light()

    def touch_light(self) -> None:
        """Light comes, and changes its power, when the pending operation ends."""
        if not self.output:
            self.port.power_w = 0.0
        elif not self.pending_s:
            self.port.power_w = 1e-3 * 10 ** (self.power / 1000)
        self.port.detuning_hz = self.frequency_hz - self.nominal_hz

    @property
    def ready(self) -> bool:
        return not self.starting_s and not self.pending_s

    @property
    def steps(self) -> int:
        """The frequency without fine tuning."""
        return self.first + (self.channel - 1) * self.grid

    @property
    def frequency_hz(self) -> float:
        return self.steps * STEP_HZ + self.fine_mhz * MHZ

    @property
    def measured_power(self) -> int:
        milliwatts = 1e3 * self.port.power_w
        return round(1000 * math.log10(milliwatts)) if milliwatts else DARK_CENTI_DBM

    def tune(self, *, first: int | None = None, channel: int | None = None, grid: int | None = None) -> None:
        """Change what the frequency is made of; only while the output is off, and inside the range."""
        if self.output:
            raise Refused(Code.CIE)
        first = self.first if first is None else first
        channel = self.channel if channel is None else channel
        grid = self.grid if grid is None else grid
        if channel < 1 or grid < 1 or not self.lowest <= first + (channel - 1) * grid <= self.highest:
            raise Refused(Code.RVE)
        self.first, self.channel, self.grid = first, channel, grid

    def fine_tune(self, mhz: int) -> None:
        if abs(mhz) > FINE_RANGE_MHZ:
            raise Refused(Code.RVE)
        self.fine_mhz = mhz

    def set_power(self, centi_dbm: int) -> None:
        if not self.least <= centi_dbm <= self.most:
            raise Refused(Code.RVE)
        if self.output and centi_dbm != self.power:
            self.pending_s = max(self.pending_s, LEVELLING_S)
        self.power = centi_dbm

    def enable(self, bits: int) -> None:
        """Register 32h: bit 0 resets the module, bit 1 softly (the output goes off), bit 3 is the output."""
        if bits & ~0b1011:
            raise Refused(Code.RVE)
        if bits & 1:
            self.switch_on()
            return
        on = bool(bits & 8) and not bits & 2
        if on and not self.output:
            self.pending_s = TUNING_S
        elif not on:
            self.pending_s = 0.0
        self.output = on

    def set_mode(self, mode: int) -> None:
        """Pure Photonics: 0 with dither, 1 without, 2 whisper."""
        if mode > 2:
            raise Refused(Code.RVE)
        self.mode = mode
