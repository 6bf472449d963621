"""A simulated Santec TSL-570 tunable laser, as SCPI over a TCP socket.

`COMMANDS` is its tree as santec_tsl570.md of the protocol notes lists it, in both dialects: legacy (nm, THz)
and SCPI (m, Hz). Long forms that the notes do not give are our guesses. The laser itself is in `tsl_device`.
A socket resource of VISA reaches the same port.
"""

import math
import struct
from collections.abc import Callable
from typing import Self

import numpy as np

from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.lasers.tsl_device import SPEED_OF_LIGHT_NM_THZ, Tsl
from sim_instruments.ports import LaserPort, Ports
from sim_instruments.wire.scpi import EXECUTION, OUT_OF_RANGE, Command, ErrorQueue, Scpi, ScpiError, Tree
from sim_instruments.wire.tcp import TcpServer
from sim_instruments.wire.text_lines import TextLines

FIRMWARE = "0026.0026.0011"
ERRORS_KEPT = 20  # invented
SPEEDS_NM_S = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)

T = Command[Tsl]


def show_wavelength(tsl: Tsl, nm: float) -> str:
    """`+1550.0000`, or `+1.5500000000E-006` with an exponent of three digits."""
    if not tsl.si_units:
        return f"{nm:+.4f}"
    mantissa, exponent = f"{1e-9 * nm:+.10E}".split("E")
    return f"{mantissa}E{int(exponent):+04d}"


def show_frequency(tsl: Tsl, thz: float) -> str:
    if not tsl.si_units:
        return f"{thz:+.5f}"
    mantissa, exponent = f"{1e12 * thz:+.10E}".split("E")
    return f"{mantissa}E{int(exponent):+04d}"


def show_power(tsl: Tsl, dbm: float) -> str:
    """`-03.50` in dBm; the digits of mW are invented."""
    return f"{10 ** (dbm / 10):+.5f}" if tsl.power_in_mw else f"{dbm:+06.2f}"


def wavelength(
    read: Callable[[Tsl], float],
    write: Callable[[Tsl, float], object],
    bounds: Callable[[Tsl], tuple[float, float]],
) -> T:
    """A wavelength in nm, spoken in the unit of the dialect."""

    def unit(tsl: Tsl) -> float:
        return 1e-9 if tsl.si_units else 1.0

    return Command(
        read=lambda tsl: show_wavelength(tsl, read(tsl)),
        # To 0.1 pm, which is also where binary fractions of a metre end.
        write=lambda tsl, value: write(tsl, round(value / unit(tsl), 4)),
        bounds=lambda tsl: (
            bounds(tsl)[0] * unit(tsl) * (1 - 1e-12),
            bounds(tsl)[1] * unit(tsl) * (1 + 1e-12),
        ),
        show=lambda tsl, value: show_wavelength(tsl, value / unit(tsl)),
    )


def edge(attribute: str) -> T:
    """A wavelength inside the range that is kept."""
    return wavelength(
        lambda tsl: float(getattr(tsl, attribute)),
        lambda tsl, nm: setattr(tsl, attribute, nm),
        lambda tsl: tsl.range_nm,
    )


def step(attribute: str) -> T:
    """A difference of wavelengths that is kept."""
    return wavelength(
        lambda tsl: float(getattr(tsl, attribute)),
        lambda tsl, nm: setattr(tsl, attribute, nm),
        lambda tsl: (1e-4, tsl.range_nm[1] - tsl.range_nm[0]),
    )


def frequency() -> T:
    def unit(tsl: Tsl) -> float:
        return 1e12 if tsl.si_units else 1.0

    def bounds(tsl: Tsl) -> tuple[float, float]:
        short, long = tsl.range_nm
        return SPEED_OF_LIGHT_NM_THZ / long * unit(tsl), SPEED_OF_LIGHT_NM_THZ / short * unit(tsl)

    return Command(
        read=lambda tsl: show_frequency(tsl, SPEED_OF_LIGHT_NM_THZ / tsl.wavelength_nm),
        write=lambda tsl, value: tsl.tune(SPEED_OF_LIGHT_NM_THZ / (value / unit(tsl))),
        bounds=bounds,
        show=lambda tsl, value: show_frequency(tsl, value / unit(tsl)),
    )


def power() -> T:
    def spoken(tsl: Tsl, dbm: float) -> float:
        return float(10 ** (dbm / 10)) if tsl.power_in_mw else dbm

    def dbm(tsl: Tsl, value: float) -> float:
        return 10 * math.log10(value) if tsl.power_in_mw else value

    return Command(
        read=lambda tsl: show_power(tsl, tsl.power_dbm),
        write=lambda tsl, value: setattr(tsl, "power_dbm", dbm(tsl, value)),
        bounds=lambda tsl: (
            spoken(tsl, tsl.power_range_dbm[0]) - 1e-9,
            spoken(tsl, tsl.power_range_dbm[1]) + 1e-9,
        ),
        show=lambda tsl, value: show_power(tsl, dbm(tsl, value)),
    )


def number(attribute: str, low: float, high: float, form: str = "{:+.4f}") -> T:
    """A setting that is kept as it is."""
    return Command(
        read=lambda tsl: form.format(getattr(tsl, attribute)),
        write=lambda tsl, value: setattr(tsl, attribute, value),
        bounds=lambda _: (low, high),
        show=lambda _, value: form.format(value),
    )


def whole(attribute: str, low: int, high: int) -> T:
    """A whole number."""
    return Command(
        read=lambda tsl: str(getattr(tsl, attribute)),
        write=lambda tsl, value: setattr(tsl, attribute, round(value)),
        bounds=lambda _: (low, high),
        show=lambda _, value: str(round(value)),
    )


def flag(attribute: str) -> T:
    """0 or 1."""
    return Command(
        read=lambda tsl: str(int(getattr(tsl, attribute))),
        choose=lambda tsl, choice: setattr(tsl, attribute, choice == "1"),
        choices=("0", "1"),
    )


def done(accepted: bool) -> None:
    """Raises ScpiError where the laser did not accept."""
    if not accepted:
        raise ScpiError(EXECUTION)


def set_speed(tsl: Tsl, nm_s: float) -> None:
    if nm_s not in SPEEDS_NM_S:
        raise ScpiError(OUT_OF_RANGE)
    tsl.speed_nm_s = nm_s


def switch_sweep(tsl: Tsl, choice: str) -> None:
    done(tsl.start_sweep() if choice == "1" else tsl.stop_sweep())


def repeat_sweep(tsl: Tsl) -> None:
    tsl.repeats = True
    done(tsl.start_sweep())


def fine_tune(tsl: Tsl, value: float) -> None:
    tsl.fine = value


def logged(tsl: Tsl) -> str:
    """An IEEE block: `#`, how many digits the length has, the length, 32-bit numbers (low byte first is
    invented)."""
    block = struct.pack(f"<{len(tsl.logged)}i", *tsl.logged)
    length = str(len(block))
    return f"#{len(length)}{length}{block.decode('latin-1')}"


def end(which: int, show: Callable[[Tsl, float], str], low_high: Callable[[Tsl], tuple[float, float]]) -> T:
    """One end of a range, to be read."""
    return Command(read=lambda tsl: show(tsl, low_high(tsl)[which]))


def range_thz(tsl: Tsl) -> tuple[float, float]:
    return SPEED_OF_LIGHT_NM_THZ / tsl.range_nm[1], SPEED_OF_LIGHT_NM_THZ / tsl.range_nm[0]


SWEEP = Command[Tsl](read=lambda tsl: str(tsl.sweep), choose=switch_sweep, choices=("0", "1"))
COMMANDS: dict[str, T] = {
    "*IDN": Command(read=lambda tsl: f"SANTEC,TSL-570,{tsl.serial},{FIRMWARE}"),
    "*RST": Command(act=Tsl.reset),
    "*OPC": Command(read=lambda tsl: str(int(tsl.tuned)), act=lambda _: None),
    "WAVelength": wavelength(lambda tsl: tsl.wavelength_nm, Tsl.tune, lambda tsl: tsl.range_nm),
    "WAVelength:MINimum": end(0, show_wavelength, lambda tsl: tsl.range_nm),
    "WAVelength:MAXimum": end(1, show_wavelength, lambda tsl: tsl.range_nm),
    "WAVelength:UNIT": flag("show_thz"),
    "WAVelength:FREQuency": frequency(),
    "FREQuency": frequency(),
    "WAVelength:FREQuency:MINimum": end(0, show_frequency, range_thz),
    "WAVelength:FREQuency:MAXimum": end(1, show_frequency, range_thz),
    "WAVelength:FINe": Command(
        read=lambda tsl: f"{tsl.fine:+.2f}", write=fine_tune, bounds=lambda _: (-100.0, 100.0)
    ),
    "WAVelength:FINe:DISable": Command(act=lambda tsl: fine_tune(tsl, 0.0)),
    "COHCtrl": flag("coherence"),
    "POWer": power(),
    "POWer:ACTual": Command(read=lambda tsl: show_power(tsl, tsl.monitor_dbm)),
    "POWer:UNIT": flag("power_in_mw"),
    "POWer:STATe": Command(
        read=lambda tsl: str(int(tsl.diode_on)),
        choose=lambda tsl, choice: done(tsl.switch_diode(choice == "1")),
        choices=("0", "1"),
    ),
    "POWer:SHUTter": flag("shut"),
    "POWer:ATTenuation": number("attenuation_db", 0.0, 30.0, "{:.2f}"),
    "POWer:ATTenuation:AUTo": flag("automatic"),
    "WAVelength:SWEep:STARt": edge("start_nm"),
    "WAVelength:SWEep:STOP": edge("stop_nm"),
    "WAVelength:SWEep:RANGe:MINimum": end(0, show_wavelength, lambda tsl: tsl.range_nm),
    "WAVelength:SWEep:RANGe:MAXimum": end(1, show_wavelength, lambda tsl: tsl.range_nm),
    "WAVelength:SWEep:MODe": whole("sweep_mode", 0, 3),
    "WAVelength:SWEep:SPEed": Command(
        read=lambda tsl: f"{tsl.speed_nm_s:.1f}", write=set_speed, bounds=lambda _: (1.0, 200.0),
        show=lambda _, value: f"{value:.1f}",
    ),
    "WAVelength:SWEep:STEP": step("step_nm"),
    "WAVelength:SWEep:DWELl": number("dwell_s", 0.0, 999.9, "{:.1f}"),
    "WAVelength:SWEep:DELay": number("delay_s", 0.0, 999.9, "{:.1f}"),
    "WAVelength:SWEep:CYCLes": whole("cycles", 0, 999),
    "WAVelength:SWEep": SWEEP,
    "WAVelength:SWEep:STATe": SWEEP,
    "WAVelength:SWEep:COUNt": Command(read=lambda tsl: str(tsl.cycles_done)),
    "WAVelength:SWEep:REPeat": Command(act=repeat_sweep),
    "TRIGger:INPut:SOFTtrigger": Command(act=lambda tsl: done(tsl.trigger())),
    "TRIGger:INPut:EXTernal": flag("external_trigger"),
    "TRIGger:INPut:STANdby": flag("standby"),
    "TRIGger:OUTPut": whole("trigger_output", 0, 3),
    "TRIGger:OUTPut:STEP": step("trigger_step_nm"),
    "READout:POINts": Command(read=lambda tsl: str(len(tsl.logged))),
    "READout:DATa": Command(read=logged),
    "SYSTem:COMMunicate:CODe": flag("si_units"),
    "SYSTem:ALERt": Command(read=Tsl.next_alert),
}  # fmt: skip
TREE = Tree(COMMANDS)


class SimSantecTsl570(SimInstrument):
    """A TSL-570 with its interlock closed, serving on a port of 127.0.0.1."""

    model = "santec_tsl570"

    def __init__(self, name: str, rng: np.random.Generator, tsl: Tsl) -> None:
        super().__init__(name, rng)
        self.tsl = tsl
        self.errors = ErrorQueue(ERRORS_KEPT, empty='0,"No error"')
        self.server = TcpServer(
            self.faults,
            lambda line: Scpi(
                line, TREE, tsl, self.errors, self.faults,
                lines=TextLines(), ending=b"\r", after=Tsl.touch_light,
            ),
        )  # fmt: skip

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        port = ports.lasers[placed.name] = LaserPort()
        tsl = Tsl(
            placed.name,
            port,
            wavelength_m=placed.settings["wavelength"],
            tuning_range_hz=placed.settings["tuning_range"],
            max_power_w=placed.settings["max_power"],
        )
        return cls(placed.name, rng, tsl)

    async def start(self) -> str:
        """Returns `tcp://127.0.0.1:P`."""
        return f"tcp://127.0.0.1:{await self.server.start()}"

    async def stop(self) -> None:
        await self.server.stop()

    def advance(self, seconds: float) -> None:
        self.tsl.advance(seconds)

    async def flush(self) -> None:
        await self.server.flush()

    def power_cycle(self) -> None:
        """Diode off, shutter closed, warming up."""
        self.tsl.switch_on()
        self.errors.clear()
        self.server.hang_up()

    @property
    def moving(self) -> bool:
        return not self.tsl.tuned or (self.tsl.diode_on and self.tsl.diode_s > 0)

    def open_interlock(self) -> None:
        """As if somebody opened the laboratory door: the diode goes off now."""
        self.tsl.interlock_open = True
        self.tsl.switch_diode(False)
        self.tsl.touch_light()

    def close_interlock(self) -> None:
        """Close the door again; the diode stays off until it is switched on anew."""
        self.tsl.interlock_open = False
