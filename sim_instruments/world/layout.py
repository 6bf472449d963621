"""What stands on the bench and how the light goes, as plain data in SI units.

`bellbench` fills this from a testbed file; the light field is built from it and from nothing else.
"""

from dataclasses import dataclass, field
from typing import Literal


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
class Source:
    """A CW entangled-pair source. Rates hold at the pump power stated and scale with it."""

    name: str
    pump: str
    pump_power_w: float
    pump_wavelength_m: float
    pair_rate_hz: float
    fidelity: float
    biphoton: Biphoton
    signal_transmission: float
    idler_transmission: float
    unpaired_signal_hz: float
    """Counts of unpaired light in the signal path, both detectors together."""
    unpaired_idler_hz: float
    """Counts of unpaired light in the idler path, all detectors together."""
    signal_path: tuple[str, ...]
    idler_path: tuple[str, ...]
    """Names of what the photon passes, in beam order; the last is an analyser (signal) or an input of a
    Bell-state measurement, `hub_bsm.a` or `hub_bsm.b` (idler)."""


@dataclass(frozen=True)
class Fibre:
    name: str
    loss_db: float
    delay_s: float
    polarization_diffusion: float
    """D in rad^2/s: mean pair fidelity falls as (1 + 3 exp(-2 D t)) / 4."""
    delay_per_kelvin_s: float
    temperature_swing_k: float
    """Peak of the diurnal sine."""


@dataclass(frozen=True)
class Analyser:
    """Quarter-wave plate, half-wave plate, polarizing beam splitter, in beam order."""

    name: str
    qwp: str
    hwp: str
    transmission: float
    outputs: tuple[str, str]
    """The detectors behind H and V."""
    extinction: float = 0.0
    """Probability that a photon leaves the polarizing beam splitter by the wrong port."""


@dataclass(frozen=True)
class BellStateMeasurement:
    """A beam splitter for two inputs a and b, a polarizing beam splitter behind each output c and d."""

    name: str
    transmission: float
    outputs: tuple[str, str, str, str]
    """The detectors behind cH, cV, dH, dV."""
    idler_overlap: float = 1.0
    """Overlap (kappa) of the modes of two photons that meet here from different inputs, 0 to 1."""
    reflectivity: float = 0.5
    extinction: float = 0.0


@dataclass(frozen=True)
class Detector:
    """A single-photon detector on an input of a tagger; `nanowire` names the unit and channel that
    bias it, None stands for a module without a control line."""

    name: str
    tagger: str
    input: int
    efficiency: float
    dark_counts_hz: float
    jitter_s: float
    """Standard deviation."""
    dead_time_s: float
    afterpulsing: float = 0.0
    afterpulse_time_s: float = 0.0
    nanowire: tuple[str, int] | None = None
    operating_bias_a: float = 0.0
    switching_current_a: float = 0.0


@dataclass(frozen=True)
class Tagger:
    name: str
    frequency_error: float
    noise_counts_hz: float
    """The tagger's own counts per input, with or without a detector."""
    resolution_ps: int = 1


@dataclass(frozen=True)
class Tap:
    """A power meter that sees a fraction of a laser's light."""

    laser: str
    meter: str
    fraction: float
    wavelength_m: float


@dataclass(frozen=True)
class Layout:
    sources: tuple[Source, ...]
    fibres: tuple[Fibre, ...]
    paddles: tuple[str, ...]
    analysers: tuple[Analyser, ...]
    measurements: tuple[BellStateMeasurement, ...]
    detectors: tuple[Detector, ...]
    taggers: tuple[Tagger, ...]
    taps: tuple[Tap, ...] = field(default=())
