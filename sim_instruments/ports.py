"""Ports: where a simulated instrument touches the light field.

The bench makes one port per instrument and hands it to both sides. The instrument writes what a
setting over its wire does to the light; the world reads that at the start of every slice of time, and
writes what the instrument can see. A port holds physical quantities in SI units, nothing of protocols.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass
class LaserPort:
    """A laser head. Written by the instrument."""

    power_w: float = 0.0
    """Light that leaves the head now, in watts; 0.0 while emission is off."""
    detuning_hz: float = 0.0
    """How far its frequency is from the nominal one."""
    on_line: float = 1.0
    """Which fraction of its light a source that it pumps still makes: 1.0 while the laser is locked to the
    line that the source needs. Written by happenings."""


@dataclass
class RotationPort:
    """A rotation mount. What stands in it the layout says. Written by the instrument."""

    angle_rad: float = 0.0


@dataclass
class PlatesPort:
    """A polarization controller as a stack of linear retarders in beam order: fibre paddles and wave plates
    turn (fixed retardance, moving axis), squeezers and liquid crystals change their retardance. Written by
    the instrument."""

    plates: list[tuple[float, float]] = field(default_factory=list)
    """(retardance, angle of the fast axis), both in radians."""
    polarizer_rad: float | None = None
    """Angle of a polarizer in front of the plates, where there is one."""


@dataclass
class AttenuatorPort:
    """A variable attenuator, perhaps with a shutter. Written by the instrument."""

    attenuation_db: float = 0.0
    """Insertion loss included."""
    open: bool = True


@dataclass
class ShutterPort:
    """A shutter. Written by the instrument."""

    open: bool = False


@dataclass
class SwitchPort:
    """An optical switch. Written by the instrument."""

    connected: dict[int, int] = field(default_factory=dict)
    """Input -> output; inputs that are missing lead nowhere."""


@dataclass
class DelayPort:
    """An optical delay line. Written by the instrument."""

    delay_s: float = 0.0


@dataclass
class TemperaturePort:
    """A heated or cooled thing, such as an etalon. Written by the instrument."""

    temperature_k: float = 298.15


@dataclass
class GatePort:
    """An output of a delay generator that gates a detector. Written by the instrument."""

    period_s: float = 0.0
    """Time between gates; 0.0: no gates, the detector sees nothing."""
    delay_s: float = 0.0
    width_s: float = 0.0


@dataclass
class NanowirePort:
    """One superconducting nanowire with its bias and read-out."""

    bias_a: float = 0.0
    """Bias current in amperes, 0.0 while disabled. Written by the instrument."""
    trigger_v: float = 0.1
    """Trigger level of the read-out's own counter in volts. Written by the instrument."""
    latched: bool = False
    """Normal-conducting and blind until the bias is lowered. Written by the world."""
    voltage_v: float = 0.0
    """Voltage across the wire. Written by the world."""
    clicks: int = 0
    """Clicks since the bench began, as the read-out's own counter sees them. Written by the world."""


@dataclass
class DiodePort:
    """A single-photon avalanche diode module."""

    enabled: bool = True
    """Written by the instrument."""
    excess_v: float | None = None
    """Excess bias over breakdown; None: at its operating point. Written by the instrument."""
    temperature_k: float | None = None
    """Of the diode; None: at its operating point. Written by the instrument."""
    clicks: int = 0
    """Clicks since the bench began, as the module's own counter sees them. Written by the world."""


@dataclass
class TaggerInput:
    """One input of a time tagger. Written by the instrument."""

    threshold_v: float = 0.1
    enabled: bool = True
    delay_ps: int = 0
    """Added to the times of the input."""
    test_signal_hz: float = 0.0
    """Rate of the tagger's own periodic test signal on this input, instead of the detector; 0.0: off."""


@dataclass
class TaggerPort:
    """A time tagger."""

    inputs: dict[int, TaggerInput]
    recording: bool = False
    """Whether anybody looks at the tags; the world computes no clicks for which nobody looks.
    Written by the instrument."""
    clock_ps: int = 0
    """The tagger's own clock now, in picoseconds. Written by the world."""
    clock_locked: bool = True
    """Whether its clock follows the reference. Written by whatever distributes the reference (a White Rabbit
    switch) or by a test; unlocked, the clock's frequency error is a free oscillator's."""
    lost: dict[int, int] = field(default_factory=dict)
    """Tags of every input that its buffer had no room for, since the bench began. Written by the world."""


@dataclass
class MeterPort:
    """The sensor of an optical power meter."""

    power_w: float = 0.0
    """Light on the sensor. Written by the world."""
    wavelength_m: float = 0.0
    """Wavelength of that light. Written by the world."""


@dataclass
class PolarimeterPort:
    """The sensor of a polarimeter. Written by the world."""

    power_w: float = 0.0
    stokes: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Normalised Stokes vector S1..S3 of the light, of length 1 for polarized light."""
    wavelength_m: float = 0.0


@dataclass
class Ports:
    """All ports of a bench, by the instrument's name; what has several channels by (name, channel)."""

    lasers: dict[str, LaserPort] = field(default_factory=dict)
    rotations: dict[str, RotationPort] = field(default_factory=dict)
    plates: dict[str, PlatesPort] = field(default_factory=dict)
    """Of polarization controllers."""
    attenuators: dict[str, AttenuatorPort] = field(default_factory=dict)
    shutters: dict[str, ShutterPort] = field(default_factory=dict)
    switches: dict[str, SwitchPort] = field(default_factory=dict)
    delays: dict[str, DelayPort] = field(default_factory=dict)
    temperatures: dict[str, TemperaturePort] = field(default_factory=dict)
    gates: dict[tuple[str, int], GatePort] = field(default_factory=dict)
    """Outputs of delay generators."""
    nanowires: dict[tuple[str, int], NanowirePort] = field(default_factory=dict)
    diodes: dict[tuple[str, int], DiodePort] = field(default_factory=dict)
    taggers: dict[str, TaggerPort] = field(default_factory=dict)
    meters: dict[str, MeterPort] = field(default_factory=dict)
    polarimeters: dict[str, PolarimeterPort] = field(default_factory=dict)


Tags = dict[int, NDArray[np.int64]]
"""What one tagger saw in a slice: input number -> sorted int64 picoseconds of the tagger's own clock."""
