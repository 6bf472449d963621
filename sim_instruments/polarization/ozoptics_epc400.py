"""A simulated OZ Optics EPC-400: four fibre squeezers behind a serial line.

`Squeezers` is the device: voltages and, in AC mode, waves of their own frequencies that scramble. `COMMANDS`
is the command table of ozoptics_epc400.md of the protocol notes; "invented" marks what no source gives.
"""

import math
import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.ports import PlatesPort, Ports
from sim_instruments.wire.pty import SerialLine
from sim_instruments.wire.text_lines import TextLines

CHANNELS = 4
MOST_MV, MOST_HZ = 5000, 100
AXES_RAD = (0.0, math.pi / 4, 0.0, math.pi / 4)
"""Of the squeezers in beam order (M)."""
SWING_V = 5.0
"""Amplitude of the waves in AC mode: all that there is; invented."""
ERROR = "Error!"


@dataclass
class Settings:
    """What SAVE keeps; the values are the factory's (frequencies M, the rest of AC mode invented)."""

    millivolts: list[int] = field(default_factory=lambda: [0] * CHANNELS)
    hertz: list[int] = field(default_factory=lambda: [7, 17, 37, 71])
    scrambling: bool = False
    triangle: bool = False
    dc_in_ac: bool = False
    """Whether a channel that is set to Volt has its voltage in AC mode, instead of a wave."""
    by_volt: list[bool] = field(default_factory=lambda: [False] * CHANNELS)


class Squeezers:
    """The controller and its squeezers: retardance is proportional to voltage, and follows at once."""

    def __init__(self, port: PlatesPort, half_wave_v: float) -> None:
        self.port, self.half_wave_v = port, half_wave_v
        self.saved = Settings()
        self.switch_on()

    def switch_on(self) -> None:
        """As it was when somebody last saved."""
        self.settings = deepcopy(self.saved)
        self.elapsed_s = 0.0
        self.touch_light()

    def save(self) -> None:
        self.saved = deepcopy(self.settings)

    def waves(self, channel: int) -> bool:
        settings = self.settings
        return settings.scrambling and not (settings.dc_in_ac and settings.by_volt[channel])

    @property
    def moving(self) -> bool:
        return any(self.waves(channel) and self.settings.hertz[channel] for channel in range(CHANNELS))

    def voltage(self, channel: int) -> float:
        """Volts on a squeezer now."""
        if not self.waves(channel):
            return 1e-3 * self.settings.millivolts[channel]
        sine = math.sin(math.tau * self.settings.hertz[channel] * self.elapsed_s)
        return SWING_V * (2 / math.pi * math.asin(sine) if self.settings.triangle else sine)

    def touch_light(self) -> None:
        self.port.plates = [
            (math.pi * self.voltage(channel) / self.half_wave_v, axis)
            for channel, axis in enumerate(AXES_RAD)
        ]

    def advance(self, seconds: float) -> None:
        self.elapsed_s += seconds
        self.touch_light()

    def set_voltage(self, channel: str, millivolts: int) -> str:
        if abs(millivolts) > MOST_MV:
            return ERROR
        self.settings.millivolts[int(channel) - 1] = millivolts
        return f"Set CH{channel} DC Voltage at: {millivolts}mV"

    def set_frequency(self, channel: str, hertz: int) -> str:
        if not 0 <= hertz <= MOST_HZ:
            return ERROR
        self.settings.hertz[int(channel) - 1] = hertz
        return f"Set CH{channel} AC Frequency at: {hertz}Hz"

    def set_mode(self, mode: str) -> str:
        self.settings.scrambling = mode == "AC"
        return f"Set To {mode} Mode"

    def set_wave(self, number: str) -> str:
        self.settings.triangle = number == "2"
        return f"Set AC Waveform at: {self.wave}"

    def set_dc_in_ac(self, flag: str) -> str:
        self.settings.dc_in_ac = flag == "1"
        return f"{'Enable' if self.settings.dc_in_ac else 'Disable'} DC Voltage Output at AC Mode"

    def toggle_by_volt(self, channel: str) -> str:
        by_volt = self.settings.by_volt
        by_volt[int(channel) - 1] ^= True
        return f"Set CH{channel} output to: {'Volt' if by_volt[int(channel) - 1] else 'Hz'} (if possible)"

    @property
    def wave(self) -> str:
        return "Triangle" if self.settings.triangle else "Sine"

    def show_voltages(self) -> str:
        shown = (f"CH{n} {mv:+05d}" for n, mv in enumerate(self.settings.millivolts, 1))
        return f"Voltage(mV): {' '.join(shown)}"

    def show_frequencies(self) -> str:
        return f"Frequency(Hz): {'  '.join(f'CH{n} {hz:03d}' for n, hz in enumerate(self.settings.hertz, 1))}"

    def show_by_volt(self) -> str:
        channels = (f"CH{n}-{'V' if volt else 'F'}" for n, volt in enumerate(self.settings.by_volt, 1))
        state = "enabled" if self.settings.dc_in_ac else "disabled"
        return f"Hz<->Volt at AC Mode is {state}: {','.join(channels)}"

    def write_to_flash(self) -> str:
        self.save()
        return "Write Setting to Flash memory"


COMMANDS: dict[str, Callable[..., str]] = {
    r"V\?": Squeezers.show_voltages,
    r"F\?": Squeezers.show_frequencies,
    r"M\?": lambda s: f"Work Mode: {f'AC({s.wave})' if s.settings.scrambling else 'DC'}",
    r"WF\?": lambda s: f"AC Waveform: {s.wave}",
    r"VF\?": Squeezers.show_by_volt,
    r"M(DC|AC)": Squeezers.set_mode,
    r"V([1-4]),([+-]?\d{1,9})": lambda s, channel, mv: s.set_voltage(channel, int(mv)),
    r"VH([1-4])": lambda s, channel: s.set_voltage(channel, MOST_MV),
    r"VL([1-4])": lambda s, channel: s.set_voltage(channel, -MOST_MV),
    r"VZ([1-4])": lambda s, channel: s.set_voltage(channel, 0),
    r"F([1-4]),([+-]?\d{1,9})": lambda s, channel, hz: s.set_frequency(channel, int(hz)),
    r"WF([12])": Squeezers.set_wave,
    r"ENVF([01])": Squeezers.set_dc_in_ac,
    r"VF([1-4])": Squeezers.toggle_by_volt,
    r"SAVE": Squeezers.write_to_flash,
}


class SimOzOpticsEpc400(SimInstrument):
    """An EPC-400 as it comes from the factory, serving on a pseudo-terminal."""

    model = "ozoptics_epc400"

    def __init__(
        self, name: str, rng: np.random.Generator, port: PlatesPort, *, half_wave_voltage: float
    ) -> None:
        super().__init__(name, rng)
        self.squeezers = Squeezers(port, half_wave_voltage)
        self._lines = TextLines()
        self._line = SerialLine(self.faults, self._received)

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        port = ports.plates[placed.name] = PlatesPort()
        return cls(placed.name, rng, port, half_wave_voltage=placed.settings["half_wave_voltage"])

    async def start(self) -> str:
        """Returns `serial:PATH`."""
        return f"serial:{self._line.open()}"

    async def stop(self) -> None:
        self._line.close()

    def advance(self, seconds: float) -> None:
        self.squeezers.advance(seconds)

    def power_cycle(self) -> None:
        """The settings last saved."""
        self.squeezers.switch_on()
        self._lines = TextLines()
        self._line.hang_up()

    @property
    def moving(self) -> bool:
        return self.squeezers.moving

    def _received(self, data: bytes) -> None:
        for command in self._lines.feed(data):
            answer = self.answer(command.decode(errors="replace").strip())
            end = "" if answer == ERROR else "Done\r\n"
            self._line.send(f"{answer}\r\n{end}".encode())

    def answer(self, command: str) -> str:
        """The line before `Done`, or the error that has none after it."""
        if self.faults.take_own_error():
            return ERROR
        for pattern, handler in COMMANDS.items():
            if match := re.fullmatch(pattern, command.upper(), re.ASCII):
                answer = handler(self.squeezers, *match.groups())
                self.squeezers.touch_light()
                return answer
        return ERROR
