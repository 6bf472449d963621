"""A simulated Thorlabs CLD1015 laser diode controller with a diode in its mount, as SCPI over a TCP socket.

`Controller` is the device: current source, temperature controller, protections. `COMMANDS` is its tree as
thorlabs_cld1015.md of the protocol notes lists it. The real unit has USB only; a socket carries the same
text. "Invented" marks what no source gives.
"""

import math
from collections.abc import Callable
from typing import Self
from zlib import crc32

import numpy as np

from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.ports import LaserPort, Ports
from sim_instruments.wire.scpi import CONFLICT, Command, ErrorQueue, Scpi, ScpiError, Tree
from sim_instruments.wire.tcp import TcpServer

ERRORS_KEPT = 10
FIRMWARE = "1.4.0/2.0.3/1.6.0"
LD_MAX_A, COMPLIANCE_MAX_V = 1.5, 4.0  # "1.5 A / 4 V LD"
TEC_MAX_A = 3.0
METER = 0.999868  # of the set current is what the meter reads in the notes' example
DIODE_V, DIODE_OHM = 1.7, 1.2  # forward voltage at no current, and its slope; invented
TEMPERATURES_C = (5.0, 70.0)  # invented
ROOM_C, LAG_S = 22.0, 4.0  # where an uncontrolled diode settles, and its time constant; invented
TEC_A_PER_C, TEC_V_PER_A = 0.04, 1.8  # invented
KEY_LOCK, INTERLOCK, CURRENT_LIMIT = 1 << 0, 1 << 2, 1 << 3  # STAT:MEAS:COND?
MEMORIES = 5  # invented


class Controller:
    """The controller and the diode: current in amperes, temperature in C."""

    def __init__(
        self, name: str, port: LaserPort, *, threshold_a: float, slope_w_per_a: float, max_power_w: float
    ) -> None:
        self.port, self.threshold_a, self.slope_w_per_a = port, threshold_a, slope_w_per_a
        self.serial = f"M{crc32(name.encode()) % 100_000_000:08d}"
        needed_a = threshold_a + max_power_w / slope_w_per_a
        self.current_max_a = max(LD_MAX_A, math.ceil(1e3 * needed_a) / 1e3)
        self.current_limit_a = math.ceil(1e3 * needed_a) / 1e3
        self.interlock_open = self.key_locked = False
        self.errors = ErrorQueue(ERRORS_KEPT, overflow="Error queue overflow")
        self.temperature_c = ROOM_C
        self.memories: dict[int, dict[str, object]] = {}
        self.reset()

    def reset(self) -> None:
        """To the settings of `*RST`: outputs off. The limit that protects the diode stays (invented)."""
        self.ld_on = self.tec_on = False
        self.switching_s = 0.0
        self.current_a = round(self.threshold_a, 4)
        self.set_c = 25.0
        self.delay_s, self.polarity, self.compliance_v = 0.0, "CG", COMPLIANCE_MAX_V
        self.external_mode, self.mode, self.photodiode_polarity = "OFF", "CURR", "CG"
        self.am_on, self.am_source, self.am_hz = False, "INT", 1000.0
        self.gain, self.integral, self.derivative = 1.0, 0.1, 0.0
        self.tripped: set[str] = set()
        self.touch_light()

    def switch_on(self) -> None:
        """As after power has come: both outputs off, set-points kept."""
        self.ld_on = self.tec_on = False
        self.switching_s = 0.0
        self.tripped.clear()
        self.errors.clear()
        self.temperature_c = ROOM_C
        self.touch_light()

    def advance(self, seconds: float) -> None:
        goal = self.set_c if self.tec_on else ROOM_C
        self.temperature_c = goal + (self.temperature_c - goal) * math.exp(-seconds / LAG_S)
        self.switching_s = max(0.0, self.switching_s - seconds)
        self.touch_light()

    def touch_light(self) -> None:
        self.port.power_w = max(0.0, self.slope_w_per_a * (self.driven_a - self.threshold_a))

    @property
    def driven_a(self) -> float:
        driving = self.ld_on and not self.switching_s
        return min(self.current_a, self.current_limit_a) if driving else 0.0

    @property
    def tec_a(self) -> float:
        if not self.tec_on:
            return 0.0
        return max(-TEC_MAX_A, min(TEC_MAX_A, TEC_A_PER_C * (ROOM_C - self.set_c)))

    @property
    def condition(self) -> int:
        limited = self.ld_on and self.current_a >= self.current_limit_a
        return KEY_LOCK * self.key_locked | INTERLOCK * self.interlock_open | CURRENT_LIMIT * limited

    def switch_ld(self, on: bool) -> None:
        if on and (self.interlock_open or self.key_locked or not self.tec_on):
            raise ScpiError(CONFLICT)
        if on and not self.ld_on:
            self.switching_s = self.delay_s
        self.ld_on = on

    def switch_tec(self, on: bool) -> None:
        if not on and self.ld_on:
            raise ScpiError(CONFLICT)
        self.tec_on = on

    def set_limit(self, amperes: float) -> None:
        if self.ld_on:
            raise ScpiError(CONFLICT)
        self.current_limit_a = amperes
        self.current_a = min(self.current_a, amperes)

    def set_mode(self, mode: str) -> None:
        if self.ld_on:
            raise ScpiError(CONFLICT)
        self.mode = {"CURRENT": "CURR", "POWER": "POW"}.get(mode, mode)

    def trip(self, what: str) -> None:
        """A protection ends the emission."""
        if self.ld_on:
            self.tripped.add(what)
        self.ld_on = False
        self.touch_light()

    SAVED = ("current_a", "set_c", "delay_s", "mode", "gain", "integral", "derivative")

    def save(self, memory: float) -> None:
        self.memories[round(memory)] = {name: getattr(self, name) for name in self.SAVED}

    def recall(self, memory: float) -> None:
        """The settings of a memory, with both outputs off (invented); an empty one changes nothing."""
        self.ld_on = self.tec_on = False
        for name, value in self.memories.get(round(memory), {}).items():
            setattr(self, name, value)

    def take_event_status(self) -> str:
        status, self.errors.event_status = self.errors.event_status, 0
        return str(status)


def show(value: float) -> str:
    """A set-point as the controller writes it."""
    return f"{value:.6E}"


def reading(read: Callable[[Controller], float]) -> Command[Controller]:
    return Command(read=lambda c: f"{read(c):.5E}")


def number(
    attribute: str, bounds: Callable[[Controller], tuple[float, float]], unit: str = "", digits: int = 6
) -> Command[Controller]:
    """A setting that is a number, rounded to what the unit can do."""
    return Command(
        read=lambda c: show(getattr(c, attribute)),
        write=lambda c, value: setattr(c, attribute, round(value, digits)),
        bounds=bounds,
        show=lambda _, value: show(value),
        unit=unit,
    )


def choice(attribute: str, *choices: str) -> Command[Controller]:
    return Command(
        read=lambda c: str(getattr(c, attribute)),
        choose=lambda c, value: setattr(c, attribute, value),
        choices=choices,
    )


def switch(
    read: Callable[[Controller], bool], act: Callable[[Controller, bool], object]
) -> Command[Controller]:
    return Command(
        read=lambda c: str(int(read(c))),
        choose=lambda c, value: act(c, value in ("1", "ON")),
        choices=("0", "1", "ON", "OFF"),
    )


def tripped(what: str) -> Command[Controller]:
    return Command(read=lambda c: str(int(what in c.tripped)))


def ld_voltage(c: Controller) -> float:
    return DIODE_V + DIODE_OHM * c.driven_a if c.driven_a else 0.0


LIMIT = Command[Controller](
    read=lambda c: show(c.current_limit_a),
    write=Controller.set_limit,
    bounds=lambda c: (0.0, c.current_max_a),
    show=lambda _, value: show(value),
    unit="A",
)
CURRENT_METER = reading(lambda c: METER * c.driven_a)
THERMOMETER = reading(lambda c: c.temperature_c)
TEC_METER = reading(lambda c: c.tec_a)
COMMANDS: dict[str, Command[Controller]] = {
    "*IDN": Command(read=lambda c: f"THORLABS,CLD1015,{c.serial},{FIRMWARE}"),
    "*RST": Command(act=Controller.reset),
    "*SAV": Command(write=Controller.save, bounds=lambda _: (1, MEMORIES)),
    "*RCL": Command(write=Controller.recall, bounds=lambda _: (1, MEMORIES)),
    "*TST": Command(read=lambda _: "0"),
    "*OPC": Command(read=lambda _: "1", act=lambda _: None),
    "*ESR": Command(read=Controller.take_event_status),
    "*STB": Command(read=lambda c: str(4 * bool(c.errors.entries))),  # bit 2: the error queue
    "OUTPut[1][:STATe]": switch(lambda c: c.ld_on, Controller.switch_ld),
    "OUTPut[1]:DELay": number("delay_s", lambda _: (0.0, 60.0), "S"),
    "OUTPut[1]:POLarity": choice("polarity", "CG", "AG"),
    "OUTPut[1]:PROTection:VOLTage": number("compliance_v", lambda _: (0.0, COMPLIANCE_MAX_V), "V", 2),
    "OUTPut[1]:PROTection:EXTernal:MODE": choice("external_mode", "OFF", "PROT", "ENAB"),
    "OUTPut[1]:PROTection:INTLock:TRIPped": Command(read=lambda c: str(int(c.interlock_open))),
    "OUTPut[1]:PROTection:KEYLock:TRIPped": Command(read=lambda c: str(int(c.key_locked))),
    "OUTPut[1]:PROTection:VOLTage:TRIPped": tripped("VOLT"),
    "OUTPut[1]:PROTection:CURRent:TRIPped": tripped("CURR"),
    "OUTPut[1]:PROTection:OTEMp:TRIPped": tripped("OTEM"),
    "OUTPut[1]:PROTection:EXTernal:TRIPped": tripped("EXT"),
    "OUTPut2[:STATe]": switch(lambda c: c.tec_on, Controller.switch_tec),
    "SOURce[1]:FUNCtion:MODE": Command(
        read=lambda c: c.mode, choose=Controller.set_mode, choices=("CURR", "POW", "CURRENT", "POWER")
    ),
    "SOURce[1]:CURRent[:LEVel][:IMMediate][:AMPLitude]": number(
        "current_a", lambda c: (0.0, c.current_limit_a), "A", 5
    ),
    "SOURce[1]:CURRent:LIMit[:AMPLitude]": LIMIT,
    "SOURce[1]:AM[:STATe]": switch(lambda c: c.am_on, lambda c, on: setattr(c, "am_on", on)),
    "SOURce[1]:AM:SOURce": choice("am_source", "INT", "EXT"),
    "SOURce[1]:AM:INTernal:FREQuency": number("am_hz", lambda _: (20.0, 100e3), "HZ"),
    "SOURce2:TEMPerature[:SPOint]": number("set_c", lambda _: TEMPERATURES_C, "C", 3),
    "SOURce2:TEMPerature:LCONstants:GAIN": number("gain", lambda _: (0.0, 100.0)),
    "SOURce2:TEMPerature:LCONstants:INTegral": number("integral", lambda _: (0.0, 100.0)),
    "SOURce2:TEMPerature:LCONstants:DERivative": number("derivative", lambda _: (0.0, 100.0)),
    "SENSe2:TEMPerature[:DC]:DATA": THERMOMETER,
    "SENSe3:CURRent[:DC]:DATA": CURRENT_METER,
    "SENSe4:VOLTage[:DC]:DATA": reading(ld_voltage),
    "SENSe[1]:CURRent[:DC]:POLarity": choice("photodiode_polarity", "CG", "AG"),
    "MEASure[:SCALar]:TEMPerature": THERMOMETER,
    "MEASure[:SCALar]:CURRent[1][:DC]": CURRENT_METER,
    "MEASure[:SCALar]:CURRent2[:DC]": TEC_METER,
    "MEASure[:SCALar]:POWer2": reading(lambda c: c.port.power_w),
    "STATus:MEASurement:CONDition": Command(read=lambda c: str(c.condition)),
}
"""Of `INP:PD...` the notes name no command; what begins so is an undefined header here."""
TREE = Tree(COMMANDS)


class SimThorlabsCld1015(SimInstrument):
    """A CLD1015 with the key turned and the interlock closed, serving on a port of 127.0.0.1."""

    model = "thorlabs_cld1015"

    def __init__(self, name: str, rng: np.random.Generator, controller: Controller) -> None:
        super().__init__(name, rng)
        self.controller = controller
        self.server = TcpServer(
            self.faults,
            lambda line: Scpi(
                line, TREE, controller, controller.errors, self.faults, after=Controller.touch_light
            ),
        )

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        port = ports.lasers[placed.name] = LaserPort()
        controller = Controller(
            placed.name,
            port,
            threshold_a=placed.settings["threshold_current"],
            slope_w_per_a=placed.settings["slope_efficiency"],
            max_power_w=placed.settings["max_power"],
        )
        return cls(placed.name, rng, controller)

    async def start(self) -> str:
        """Returns `visa:TCPIP0::127.0.0.1::P::SOCKET`."""
        return f"visa:TCPIP0::127.0.0.1::{await self.server.start()}::SOCKET"

    async def stop(self) -> None:
        await self.server.stop()

    def advance(self, seconds: float) -> None:
        self.controller.advance(seconds)

    async def flush(self) -> None:
        await self.server.flush()

    def power_cycle(self) -> None:
        """Both outputs off, set-points kept."""
        self.controller.switch_on()
        self.server.hang_up()

    @property
    def moving(self) -> bool:
        return self.controller.ld_on and self.controller.switching_s > 0

    def open_interlock(self) -> None:
        """As if somebody opened the laboratory door: the diode's current goes off now."""
        self.controller.interlock_open = True
        self.controller.trip("INTL")

    def close_interlock(self) -> None:
        """Close the door again; the output stays off until it is switched on anew."""
        self.controller.interlock_open = False

    def lock_key(self) -> None:
        """Turn the key to its locked position: the diode's current goes off now."""
        self.controller.key_locked = True
        self.controller.trip("KEYL")

    def unlock_key(self) -> None:
        """Turn the key back; the output stays off until it is switched on anew."""
        self.controller.key_locked = False
