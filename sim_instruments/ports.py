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


@dataclass
class RotationPort:
    """A wave plate in a rotation mount. Written by the instrument."""

    angle_rad: float = 0.0


@dataclass
class PaddlesPort:
    """A fibre paddle controller. Written by the instrument."""

    angles_rad: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])


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
class TaggerInput:
    """One input of a time tagger. Written by the instrument."""

    threshold_v: float = 0.1
    enabled: bool = True


@dataclass
class TaggerPort:
    """A time tagger."""

    inputs: dict[int, TaggerInput]
    recording: bool = False
    """Whether anybody looks at the tags; the world computes no clicks for which nobody looks.
    Written by the instrument."""
    clock_ps: int = 0
    """The tagger's own clock now, in picoseconds. Written by the world."""


@dataclass
class MeterPort:
    """The sensor of an optical power meter."""

    power_w: float = 0.0
    """Light on the sensor. Written by the world."""
    wavelength_m: float = 0.0
    """Wavelength of that light. Written by the world."""


Tags = dict[int, NDArray[np.int64]]
"""What one tagger saw in a slice: input number -> sorted int64 picoseconds of the tagger's own clock."""
