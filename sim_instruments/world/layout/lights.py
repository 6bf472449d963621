"""Where light is born: entangled-pair sources, laser beams, single-photon emitters."""

from dataclasses import dataclass
from math import inf
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Biphoton:
    """Temporal amplitude of a pair over x = t_signal - t_idler (physics.md 1).

    `two_sided_exponential`: exp(-x/2 tau_signal) for x >= 0, exp(x/2 tau_idler) for x < 0; with
    tau_idler = 0 it is one-sided. `gaussian`: exp(-x^2 / 4 tau_signal^2).
    """

    shape: Literal["two_sided_exponential", "gaussian"]
    tau_signal_s: float
    tau_idler_s: float = 0.0


@dataclass(frozen=True)
class Pulses:
    """A pulse train. `width_s` is the standard deviation of a pulse's intensity over time (of (t_signal +
    t_idler)/2 for pairs)."""

    period_s: float
    width_s: float


@dataclass(frozen=True)
class PairSource:
    """An entangled-pair source, CW or pulsed. Rates hold at the pump power stated and scale with it."""

    name: str
    pump: str
    """The laser that pumps it; where it drifts off its lock, the photons follow."""
    pump_power_w: float
    pair_rate_hz: float
    """Mean pairs per second (of a pulsed source too)."""
    state: NDArray[np.complex128]
    """Density matrix (4, 4) of signal x idler over HH, HV, VH, VV."""
    biphoton: Biphoton
    signal_path: tuple[str, ...]
    idler_path: tuple[str, ...]
    signal_transmission: float = 1.0
    idler_transmission: float = 1.0
    unpaired_signal_hz: float = 0.0
    """Photons without a partner that set out on the signal's path, unpolarised; like pairs, they pass
    `signal_transmission`, the path, and the detector's efficiency."""
    unpaired_idler_hz: float = 0.0
    pulses: Pulses | None = None
    modes: float = 1.0
    """Number of modes into which pairs are emitted: thermal statistics for 1, Poisson for infinity; the
    bunching of pairs goes as 1/modes."""
    signal_wavelength_m: float = 795e-9
    idler_wavelength_m: float = 1324e-9
    carrier_offset_hz: float = 0.0
    """By how much the idler's carrier lies above its nominal frequency."""
    detuning_per_pump_hz: float = 1.0
    """Shift of the idler's carrier per hertz of the pump's own detuning. [assumed: energy conservation]"""


@dataclass(frozen=True)
class Beam:
    """Laser light in a path of its own: a classical probe, or, attenuated, weak coherent light.

    Its power is the laser's times `fraction`. In a detector it makes Poisson counts, at a meter or a
    polarimeter a reading, at a Bell-state measurement it interferes.
    """

    name: str
    laser: str
    wavelength_m: float
    polarization: tuple[complex, complex]
    """Jones vector (H, V), normalised."""
    path: tuple[str, ...]
    fraction: float = 1.0
    pulses: Pulses | None = None
    """The light comes in pulses; the power is the mean."""
    linewidth_hz: float = 0.0
    """Full width of the Lorentzian line; the coherence between two beams falls as exp(-pi linewidth d)."""


@dataclass(frozen=True)
class Emitter:
    """A single-photon emitter, excited by every pulse of a train, or re-excited continuously.

    Triggered (`pulses`): one photon per pulse with probability `brightness`; a second one with a
    probability such that g2(0) over pulses is `g2`. Continuous (no pulses): after each photon it takes an
    exponential time of mean `pump_time_s` to be excited and one of mean `lifetime_s` to emit
    (g2 = 1 - exp(-t (1/pump_time + 1/lifetime)), physics.md 1), `background_hz` of Poisson light is
    added in front of the path.
    """

    name: str
    lifetime_s: float
    polarization: tuple[complex, complex]
    path: tuple[str, ...]
    transmission: float = 1.0
    pulses: Pulses | None = None
    brightness: float = 1.0
    g2: float = 0.0
    pump_time_s: float = 0.0
    background_hz: float = 0.0
    wavelength_m: float = 1324e-9
    carrier_offset_hz: float = 0.0
    laser: str | None = None
    """The laser that excites it; without its light it is dark."""
    laser_power_w: float = inf
    """Power at which the numbers above hold; brightness and 1/pump_time are proportional to it."""
