"""A simulated OZ Optics 650ML (ODL-650-MC) motorised delay line on a serial line.

Commands from ozoptics_dd100.md of the protocol notes; "invented" marks what no source gives. Before it has
been homed it does not know where it is. `GF` and `GR` run until `G0` or the end and are answered at once; a
motion to a place is answered when it has ended, or by `G0`.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self
from zlib import crc32

import numpy as np

from sim_instruments.instrument import Placed
from sim_instruments.optics.oz_part import NOT_HOMED, OUT_OF_RANGE, Handler, Journey, OzError, OzPart
from sim_instruments.polarization.motion import Leg
from sim_instruments.ports import DelayPort, Ports

LIGHT_MM_PER_S = 2.99792458e11
STEPS_PER_MM = 32768 / 5.08
LAST_STEP = int(200 * STEPS_PER_MM)
STEPS_PER_S = 20 * STEPS_PER_MM  # invented
HOMING_STEPS_PER_S = 8 * STEPS_PER_MM  # "up to tens of seconds"


class SimOzOptics650ml(OzPart):
    """A delay line that acts on `port`, at a random position after power-up."""

    model = "ozoptics_650ml"
    end = "Done"
    identities = frozenset({"V1", "V2"})
    interrupts = frozenset({"G0"})

    def __init__(self, name: str, rng: np.random.Generator, port: DelayPort) -> None:
        super().__init__(name, rng, float(rng.integers(LAST_STEP + 1)))
        self.port = port
        self.echo = True
        self.serial = 100_000 + crc32(name.encode()) % 10_000
        self.touch_light()

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        port = ports.delays[placed.name] = DelayPort()
        return cls(placed.name, rng, port)

    def touch_light(self) -> None:
        self.port.delay_s = self.motor.position / STEPS_PER_MM / LIGHT_MM_PER_S

    def restart(self) -> None:
        super().restart()
        self.echo = True

    def position(self) -> Sequence[str]:
        return (f"POS:{self.motor.position:.0f}" if self.homed else "UNKNOWN",)

    def go(self, text: str) -> Journey:
        steps = int(text)
        if not self.homed:
            raise OzError(NOT_HOMED)
        if steps > LAST_STEP:
            raise OzError(OUT_OF_RANGE)
        return Journey((Leg(self.motor.position, float(steps), STEPS_PER_S),), then=self.position)

    def home(self) -> Journey:
        return Journey((Leg(self.motor.position, 0.0, HOMING_STEPS_PER_S),), then=self.found)

    def found(self) -> Sequence[str]:
        self.homed = True
        return ()

    def run(self, end: float) -> Sequence[str]:
        leg = Leg(self.motor.position, end, STEPS_PER_S)
        self.motor.travel([leg] if leg.duration_ps else [])
        return ()

    def halt(self) -> Sequence[str]:
        self.motor.halt()
        self.touch_light()
        return ()

    def set_echo(self, digit: str) -> Sequence[str]:
        self.echo = digit == "1"
        return ()

    def reset(self) -> Sequence[str]:
        self.restart()
        return ()

    table: ClassVar[Mapping[str, Handler]] = {
        r"S(\d{1,9})": go,
        r"S\?": position,
        "FH": home,
        "GF": lambda part: part.run(float(LAST_STEP)),
        "GR": lambda part: part.run(0.0),
        "G0": halt,
        "V1": lambda _: ("ODL-650-MCV1.0_2019",),  # `<name>V<hw>_...`; the words are invented
        "V2": lambda part: (str(part.serial),),
        r"d\?": lambda _: ("2019-05-01",),  # invented
        "e([01])": set_echo,
        "RESET": reset,
        "OW": lambda _: (),
        "OZ-SHS[01]": lambda _: (),
    }
