"""A simulated Cobolt 06-01 diode laser on a serial line.

`Diode` is the laser: key, interlock, warm-up, constant power or current. `COMMANDS` are the command table
of cobolt_0601.md of the protocol notes; those marked pycobolt are what the vendor's own package asks
(github cobolt-lasers/pycobolt), "invented" marks what no source gives.
"""

import math
import re
from collections.abc import Callable
from typing import Self
from zlib import crc32

import numpy as np

from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.ports import LaserPort, Ports
from sim_instruments.wire.pty import SerialLine
from sim_instruments.wire.text_lines import TextLines

ILLEGAL = "Syntax error: illegal command"
OFF, WAITING_FOR_KEY, CONTINUOUS, MODULATION, FAULT = 0, 1, 2, 4, 5  # gom?
NO_FAULT, INTERLOCK_FAULT = 0, 3  # f?
CURRENT, POWER, MODULATED = 0, 1, 2  # gam?; pycobolt
WARM_UP_S = 3.0  # "warm-up seconds"
RISE_S = 0.3  # time constant of the light; invented
MONITOR = 0.99935  # of the set power is what the monitor reads in the notes' example
THRESHOLD_MA, MA_PER_W = 40.0, 1500.0  # the diode's L-I line; invented
OVERDRIVE = 1.2  # how much more current than for the nominal power may be set; invented


class Diode:
    """The laser. Powers in watts, currents in mA as the commands count."""

    def __init__(self, name: str, port: LaserPort, max_power_w: float) -> None:
        self.port, self.max_power_w = port, max_power_w
        self.serial = str(10_000 + crc32(name.encode()) % 90_000)
        self.hours = 123.4
        self.interlock_open = False
        self.key_on = True
        # What is kept over a power-cycle.
        self.power_set = max_power_w
        self.current_set_ma = self.current_for(max_power_w)
        self.mode = POWER
        self.digital = self.analogue = self.low_impedance = self.autostart = False
        self.warm_up_s = WARM_UP_S
        self.switch_on()

    def switch_on(self) -> None:
        """As after power has come; `@cobas 1` makes it emit by itself."""
        self.fault = NO_FAULT
        self.on = False
        self.power_w = 0.0
        self.warm_up_s = WARM_UP_S
        if self.autostart:
            self.switch(True)
        self.touch_light()

    def advance(self, seconds: float) -> None:
        warming, self.warm_up_s = self.warm_up_s, max(0.0, self.warm_up_s - seconds)
        if self.driving:
            self.hours += seconds / 3600
            rising_s = max(0.0, seconds - warming)
            self.power_w = self.goal_w + (self.power_w - self.goal_w) * math.exp(-rising_s / RISE_S)
        else:
            self.power_w = 0.0
        self.touch_light()

    def touch_light(self) -> None:
        self.port.power_w = self.power_w

    @staticmethod
    def current_for(power_w: float) -> float:
        return THRESHOLD_MA + MA_PER_W * power_w

    @property
    def driving(self) -> bool:
        return self.on and self.key_on and not self.fault

    @property
    def goal_w(self) -> float:
        """What it emits when warm. Modulated, with nothing at the modulation inputs, it is dark where it
        listens to them (invented)."""
        if self.mode == CURRENT:
            return min(self.max_power_w, max(0.0, (self.current_set_ma - THRESHOLD_MA) / MA_PER_W))
        if self.mode == MODULATED and (self.digital or self.analogue):
            return 0.0
        return self.power_set

    @property
    def current_ma(self) -> float:
        return self.current_for(self.power_w) if self.driving and not self.warm_up_s else 0.0

    @property
    def state(self) -> int:
        if self.fault:
            return FAULT
        if not self.on:
            return OFF
        if not self.key_on:
            return WAITING_FOR_KEY
        return MODULATION if self.mode == MODULATED else CONTINUOUS

    def switch(self, on: bool) -> bool:
        if on and self.interlock_open:
            self.fault = INTERLOCK_FAULT
        self.on = on and not self.fault
        if not self.on:
            self.power_w = 0.0
        return True

    def set_power(self, power_w: float) -> bool:
        """False: refused."""
        if not 0.0 <= power_w <= self.max_power_w:
            return False
        self.power_set = power_w
        return True

    def set_current(self, current_ma: float) -> bool:
        if not 0.0 <= current_ma <= OVERDRIVE * self.current_for(self.max_power_w):
            return False
        self.current_set_ma = current_ma
        return True

    def set_mode(self, mode: int) -> bool:
        self.mode = mode
        return True

    def clear_fault(self) -> bool:
        self.fault = NO_FAULT
        return True

    def set_flag(self, flag: str, on: str) -> bool:
        setattr(self, flag, on == "1")
        return True

    def restart(self) -> bool:
        self.switch_on()
        return True


def real(text: str) -> float:
    """Not a number counts as out of range."""
    try:
        return float(text)
    except ValueError:
        return math.nan


Handler = Callable[..., str | bool]
COMMANDS: dict[str, Handler] = {
    r"\?": lambda _: True,  # pycobolt: is somebody there
    r"g?sn\?": lambda d: d.serial,  # gsn?; sn? by pycobolt
    r"gfv\?": lambda _: "6.0.1",  # pycobolt; the number invented
    r"glm\?": lambda d: f"0780-06-01-{round(1e3 * d.max_power_w):04d}-100",  # pycobolt
    r"l\?": lambda d: str(int(d.on)),
    r"l([01])": lambda d, on: d.switch(on == "1"),
    r"@cob1": Diode.restart,
    r"hrs\?": lambda d: f"{d.hours:.2f}",
    r"ilk\?": lambda d: str(int(d.interlock_open)),
    r"f\?": lambda d: str(d.fault),
    r"cf": Diode.clear_fault,
    r"p\?": lambda d: f"{d.power_set:.6f}",
    r"p (\S+)": lambda d, power: d.set_power(real(power)),
    r"pa\?": lambda d: f"{MONITOR * d.power_w:.6f}",
    r"i\?": lambda d: f"{d.current_ma:.1f}",
    r"glc\?": lambda d: f"{d.current_set_ma:.1f}",  # pycobolt
    r"slc (\S+)": lambda d, current: d.set_current(real(current)),
    r"cp": lambda d: d.set_mode(POWER),
    r"ci": lambda d: d.set_mode(CURRENT),
    r"em": lambda d: d.set_mode(MODULATED),
    r"gam\?": lambda d: str(d.mode),  # pycobolt
    r"gom\?": lambda d: str(d.state),
    r"gdmes\?": lambda d: str(int(d.digital)),
    r"sdmes ([01])": lambda d, on: d.set_flag("digital", on),
    r"games\?": lambda d: str(int(d.analogue)),
    r"sames ([01])": lambda d, on: d.set_flag("analogue", on),
    r"galis\?": lambda d: str(int(d.low_impedance)),
    r"salis ([01])": lambda d, on: d.set_flag("low_impedance", on),
    r"@cobas\?": lambda d: str(int(d.autostart)),
    r"@cobas ([01])": lambda d, on: d.set_flag("autostart", on),
}
IDENTITY = ("gsn?", "sn?", "gfv?", "glm?")


class SimCobolt0601(SimInstrument):
    """An 06-01 with its key turned on and its interlock closed, serving on a pseudo-terminal."""

    model = "cobolt_0601"

    def __init__(self, name: str, rng: np.random.Generator, port: LaserPort, *, max_power_w: float) -> None:
        super().__init__(name, rng)
        self.diode = Diode(name, port, max_power_w)
        self._lines = TextLines()
        self._line = SerialLine(self.faults, self._received)

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        port = ports.lasers[placed.name] = LaserPort()
        return cls(placed.name, rng, port, max_power_w=placed.settings["max_power"])

    async def start(self) -> str:
        """Returns `serial:PATH`."""
        return f"serial:{self._line.open()}"

    async def stop(self) -> None:
        self._line.close()

    def advance(self, seconds: float) -> None:
        self.diode.advance(seconds)

    def power_cycle(self) -> None:
        """Set-points are kept; emission is off unless autostart was set."""
        self.diode.switch_on()
        self._lines = TextLines()
        self._line.hang_up()

    @property
    def moving(self) -> bool:
        diode = self.diode
        return diode.driving and abs(diode.power_w - diode.goal_w) > 1e-3 * diode.max_power_w

    def open_interlock(self) -> None:
        """As if somebody opened the laboratory door: emission ends now, and the fault stays until it is
        cleared."""
        self.diode.interlock_open = True
        if self.diode.on:
            self.diode.switch(True)
        self.diode.touch_light()

    def close_interlock(self) -> None:
        """Close the door again."""
        self.diode.interlock_open = False

    def turn_key(self, on: bool) -> None:
        """Turn the key; a laser that is switched on and waits for it begins to emit."""
        self.diode.key_on = on
        if not on:
            self.diode.power_w = 0.0
        self.diode.touch_light()

    def _received(self, data: bytes) -> None:
        for command in self._lines.feed(data):
            self._line.send(f"{self.answer(command.decode(errors='replace'))}\r\n".encode())

    def answer(self, command: str) -> str:
        """Every command is answered: by a value, OK, or an error text."""
        if command not in IDENTITY and self.faults.take_own_error():
            return ILLEGAL
        for pattern, handler in COMMANDS.items():
            if match := re.fullmatch(pattern, command, re.ASCII):
                answer = handler(self.diode, *match.groups())
                self.diode.touch_light()
                if isinstance(answer, str):
                    return answer
                return "OK" if answer else ILLEGAL
        return ILLEGAL
