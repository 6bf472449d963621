"""A simulated OZ Optics DD-100-MC motorised attenuator on a serial line.

Commands from ozoptics_dd100.md of the protocol notes; "invented" marks what no source gives. A hundred steps
are one dB, as in the notes' examples. Before it has been homed it does not know its attenuation; an `A` then
homes it on the way, as a laboratory that uses some has seen.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self
from zlib import crc32

import numpy as np

from sim_instruments.instrument import Placed
from sim_instruments.optics.oz_part import NOT_HOMED, OUT_OF_RANGE, Handler, Journey, OzError, OzPart
from sim_instruments.polarization.motion import Leg
from sim_instruments.ports import AttenuatorPort, Ports

STEPS_PER_DB = 100
INSERTION_LOSS_DB, GREATEST_DB = 0.60, 60.00
STEPS_PER_S = 6000.0  # "motion ~1 s"
HOMING_STEPS_PER_S = 300.0  # "up to 30-40 s"
LAST_STEP = round(GREATEST_DB * STEPS_PER_DB)


class SimOzOpticsDd100(OzPart):
    """An attenuator that acts on `port`, at a random position after power-up."""

    model = "ozoptics_dd100"
    end = "Done\r\n"
    identities = frozenset({"CD"})

    def __init__(self, name: str, rng: np.random.Generator, port: AttenuatorPort) -> None:
        super().__init__(name, rng, float(rng.integers(LAST_STEP + 1)))
        self.port = port
        self.serial = 300_000 + crc32(name.encode()) % 10_000
        self.touch_light()

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        port = ports.attenuators[placed.name] = AttenuatorPort()
        return cls(placed.name, rng, port)

    @property
    def attenuation_db(self) -> float:
        """Insertion loss included, which is all there is below the first steps."""
        return max(INSERTION_LOSS_DB, self.motor.position / STEPS_PER_DB)

    def touch_light(self) -> None:
        self.port.attenuation_db = self.attenuation_db

    def configuration(self) -> Sequence[str]:
        """The lines beside the two that the notes have are invented."""
        return (
            "DD-100-MC",
            f"S/N:{self.serial}",
            "Wavelength:1550",
            f"IL:{INSERTION_LOSS_DB:.2f}",
            f"Max Atten:{GREATEST_DB:.2f}",
        )

    def display(self) -> Sequence[str]:
        if not self.homed:
            return ("DPos:unknown", "ATTEN:unknown")
        return (f"DPos:{self.motor.position:.0f}", f"ATTEN:{self.attenuation_db:.2f}")

    def ask_attenuation(self) -> Sequence[str]:
        return (f"Atten:{self.attenuation_db:.2f}(dB)" if self.homed else "Atten:unknown",)

    def home(self) -> Journey:
        return Journey((Leg(self.motor.position, 0.0, HOMING_STEPS_PER_S),), then=self.found)

    def found(self) -> Sequence[str]:
        self.homed = True
        return ()

    def go(self, steps: int) -> Journey:
        """By way of zero when it has not been homed. Raises OzError."""
        if not 0 <= steps <= LAST_STEP:
            raise OzError(OUT_OF_RANGE)
        start = self.motor.position if self.homed else 0.0
        legs = [Leg(start, float(steps), STEPS_PER_S)]
        if not self.homed:
            legs.insert(0, Leg(self.motor.position, 0.0, HOMING_STEPS_PER_S))
        return Journey(legs, first=(f"Pos:{steps}",), then=self.found)

    def attenuate(self, text: str) -> Journey:
        if not INSERTION_LOSS_DB <= float(text) <= GREATEST_DB:
            raise OzError(OUT_OF_RANGE)
        return self.go(round(float(text) * STEPS_PER_DB))

    def step(self, sign: str, digits: str) -> Journey:
        if not self.homed:
            raise OzError(NOT_HOMED)
        steps = int(digits)
        return self.go(round(self.motor.position) + int(f"{sign}{steps}") if sign else steps)

    def reboot(self) -> Sequence[str]:
        self.restart()
        return ()

    table: ClassVar[Mapping[str, Handler]] = {
        "CD": configuration,
        "D": display,
        r"A\?": ask_attenuation,
        r"A(\d{1,3}(?:\.\d*)?)": attenuate,
        r"S([+-]?)(\d{1,6})": step,
        "H": home,
        "RST": reboot,
        "L": lambda part: part.step("-", "1"),  # "direction steps": one step each, invented
        "F": lambda part: part.step("+", "1"),
    }
