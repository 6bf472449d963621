"""A simulated HP / Agilent 8169A polarization controller: polarizer, quarter- and half-wave plate on motors.

`Controller` is the device, `COMMANDS` its SCPI tree. The real one has GPIB; a socket carries the same text.
Facts are from keysight_8169a.md of the protocol notes; "invented" marks what no source gives.
"""

import math
from typing import Self
from zlib import crc32

import numpy as np

from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.ports import PlatesPort, Ports
from sim_instruments.wire.scpi import Command, ErrorQueue, Scpi, Tree
from sim_instruments.wire.tcp import TcpServer

STEP_DEG = 0.18
SPEED_DEG_S = 360.0
SETTLING_S = 0.3
"""After a motion, before it counts as stopped: "~0.3-0.6 s"."""
FARTHEST_DEG = 36_000.0  # invented; "negative and > 360 values accepted"
SCAN_DEG_S = {0: (31.0, 11.0), 1: (347.0, 131.0)}
"""How the quarter-wave and the half-wave plate turn in a slow and a fast scan; invented."""
ERRORS_KEPT = 30  # invented
QUARTER, HALF = math.pi / 2, math.pi


class Motor:
    """One of the three, at an angle in degrees that is a whole number of steps when it stands."""

    def __init__(self) -> None:
        self.set_deg = self.at_deg = 0.0
        self.settling_s = 0.0

    @property
    def goal_deg(self) -> float:
        return STEP_DEG * round(self.set_deg / STEP_DEG)

    @property
    def moving(self) -> bool:
        return self.at_deg != self.goal_deg or self.settling_s > 0.0

    def go(self, deg: float) -> None:
        """Begin to turn to this angle, as it is, whole turns included."""
        self.set_deg = deg
        if self.at_deg != self.goal_deg:
            self.settling_s = SETTLING_S

    def advance(self, seconds: float) -> None:
        ahead = self.goal_deg - self.at_deg
        turning_s = min(seconds, abs(ahead) / SPEED_DEG_S)
        self.at_deg += math.copysign(SPEED_DEG_S * turning_s, ahead)
        if abs(self.goal_deg - self.at_deg) < 1e-9:
            self.at_deg = self.goal_deg
            self.settling_s = max(0.0, self.settling_s - (seconds - turning_s))

    def turn(self, deg: float) -> None:
        """Turn on by so much, without a goal."""
        self.at_deg += deg
        self.set_deg = self.at_deg

    def halt(self) -> None:
        self.set_deg = self.at_deg = self.goal_deg


class Controller:
    """The 8169A: its three motors, the Poincare sphere scan, the angles of circle mode."""

    def __init__(self, name: str, port: PlatesPort) -> None:
        self.port = port
        self.serial = f"3234G{crc32(name.encode()) % 100_000:05d}"
        self.errors = ErrorQueue(ERRORS_KEPT, empty='0,"No error"', overflow="<Queue Overflow>")
        self.switch_on()

    def switch_on(self) -> None:
        """It has looked for its zeros, and stands there."""
        self.polarizer, self.quarter, self.half = self.motors = Motor(), Motor(), Motor()
        self.ellipticity_deg = self.azimuth_deg = 0.0
        self.scan_rate, self.scanning = 0, False
        self.errors.clear()
        self.touch_light()

    def touch_light(self) -> None:
        self.port.polarizer_rad = math.radians(self.polarizer.at_deg)
        self.port.plates = [
            (QUARTER, math.radians(self.quarter.at_deg)),
            (HALF, math.radians(self.half.at_deg)),
        ]

    @property
    def moving(self) -> bool:
        return self.scanning or any(motor.moving for motor in self.motors)

    def advance(self, seconds: float) -> None:
        if self.scanning:
            quarter_deg_s, half_deg_s = SCAN_DEG_S[self.scan_rate]
            self.quarter.turn(quarter_deg_s * seconds)
            self.half.turn(half_deg_s * seconds)
        for motor in self.motors:
            motor.advance(seconds)
        self.touch_light()

    def reset(self) -> None:
        """All to 0."""
        self.stop_scan()
        self.ellipticity_deg = self.azimuth_deg = 0.0
        self.scan_rate = 0
        for motor in self.motors:
            motor.go(0.0)

    def turn_to_circle(self) -> None:
        """The plates where they make light of these angles, counted from the polarizer: the quarter-wave
        plate makes the ellipticity, the half-wave plate turns the ellipse by twice its angle (inferred)."""
        self.stop_scan()
        polarizer = self.polarizer.set_deg
        self.quarter.go(polarizer + self.ellipticity_deg)
        self.half.go(polarizer + (self.azimuth_deg + self.ellipticity_deg) / 2)

    def start_scan(self) -> None:
        self.scanning = True

    def stop_scan(self) -> None:
        if self.scanning:
            self.scanning = False
            self.quarter.halt()
            self.half.halt()

    def take_event_status(self) -> str:
        """Bits 2 to 5; reading clears them."""
        status, self.errors.event_status = self.errors.event_status, 0
        return str(status)


def position(motor: str) -> Command[Controller]:
    """Reads back as set; during a scan, where it is (invented). A motion ends a scan (invented)."""

    def go(controller: Controller, deg: float) -> None:
        controller.stop_scan()
        getattr(controller, motor).go(deg)

    return Command(
        read=lambda c: f"{getattr(c, motor).set_deg:.2f}",
        write=go,
        bounds=lambda _: (-FARTHEST_DEG, FARTHEST_DEG),
        show=lambda _, deg: f"{deg:.2f}",
    )


def circle(attribute: str, most_deg: float) -> Command[Controller]:
    def turn(controller: Controller, deg: float) -> None:
        setattr(controller, attribute, deg)
        controller.turn_to_circle()

    return Command(
        read=lambda c: f"{getattr(c, attribute):.2f}",
        write=turn,
        bounds=lambda _: (-most_deg, most_deg),
        show=lambda _, deg: f"{deg:.2f}",
    )


def choose_rate(controller: Controller, choice: str) -> None:
    controller.scan_rate = int(choice)


COMMANDS: dict[str, Command[Controller]] = {
    "*IDN": Command(read=lambda c: f"HEWLETT-PACKARD,HP8169A,{c.serial},1.0"),
    "*RST": Command(act=Controller.reset),
    "*OPC": Command(read=lambda c: str(int(not c.moving)), act=lambda _: None),
    "*ESR": Command(read=Controller.take_event_status),
    "*STB": Command(read=lambda c: str(4 * bool(c.errors.entries))),  # bit 2: the error queue
    "*TST": Command(read=lambda _: "0"),
    "[INPut:]POSition:POLarizer": position("polarizer"),
    "[INPut:]POSition:QUARter": position("quarter"),
    "[INPut:]POSition:HALF": position("half"),
    "[INPut:]CIRCle:EPSB": circle("ellipticity_deg", 45.0),
    "[INPut:]CIRCle:THETAP": circle("azimuth_deg", 180.0),
    "[INPut:]PSPHere:RATE": Command(read=lambda c: str(c.scan_rate), choose=choose_rate, choices=("0", "1")),
    "INITiate[:IMMediate]": Command(act=Controller.start_scan),
    "ABORt": Command(act=Controller.stop_scan),
}
"""Capitals are the short form, brackets what may be left out."""
TREE = Tree(COMMANDS)


class SimKeysight8169a(SimInstrument):
    """An 8169A serving on a port of 127.0.0.1."""

    model = "keysight_8169a"

    def __init__(self, name: str, rng: np.random.Generator, port: PlatesPort) -> None:
        super().__init__(name, rng)
        self.controller = Controller(name, port)
        self.locked_up = False
        self.server = TcpServer(
            self.faults,
            lambda line: Scpi(
                line, TREE, self.controller, self.controller.errors, self.faults,
                after=Controller.touch_light,
            ),
        )  # fmt: skip

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        port = ports.plates[placed.name] = PlatesPort()
        return cls(placed.name, rng, port)

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
        """Everything at 0."""
        if self.locked_up:
            self.locked_up = self.faults.silent = False
        self.controller.switch_on()
        self.server.hang_up()

    @property
    def moving(self) -> bool:
        return self.controller.moving

    def lock_up(self) -> None:
        """As old firmware does under long back-to-back moves (L): nothing is answered until it is
        power-cycled."""
        self.locked_up = self.faults.silent = True
