"""What light passes, where it divides, and where it ends. Instruments are named, never described: what
one has set comes from its port."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class ClassicalChannel:
    """Classical light that shares a fibre and leaves Raman noise in it (physics.md 1, testbeds.md 2)."""

    power_w: float
    """Launch power."""
    wavelength_m: float
    raman_per_m_per_m: float
    """Spontaneous Raman efficiency rho, photons per photon, metre of fibre and metre of bandwidth (1e-10 /(km
    nm) = 1e-4), for Stokes light; anti-Stokes light is less by exp(-h dnu / kT)."""
    filter_bandwidth_m: float
    """Of the filter that the quantum channel passes."""
    direction: Literal["forward", "backward"] = "forward"
    laser: str | None = None
    """The laser that makes it: no light while that is dark. None: it always shines."""
    laser_power_w: float | None = None
    """Power of that laser at which the launch power is the one stated; it is proportional to it. None: the
    launch power is the one stated whenever the laser shines."""


@dataclass(frozen=True)
class Fibre:
    """A deployed fibre. It begins aligned and at its mean temperature, unless scrambled."""

    name: str
    length_m: float
    loss_db: float
    """Of the polarization that passes best; even over the length, for Raman noise."""
    delay_s: float
    polarization_diffusion: float = 0.0
    """D in rad^2/s: mean pair fidelity falls as (1 + 3 exp(-2 D t)) / 4."""
    jump_rate_hz: float = 0.0
    """Mean rate of sudden turns of the polarization."""
    jump_angle_rad: float = 0.4
    """Angle of a jump on the Poincare sphere; its axis is random. [assumed, physics.md 2]"""
    scrambled: bool = False
    """Whether the fibre begins with a random polarization rotation."""
    pdl_db: float = 0.0
    """Polarization-dependent loss: how much more the worst polarization loses than the best. Which one that
    is at the fibre's end is random."""
    pmd_s: float = 0.0
    """Differential group delay: light off the reference wavelength turns by 2 pi DGD c / lambda^2 dlambda
    more."""
    dispersion_s_per_m2: float = 0.0
    """Chromatic dispersion D (17 ps/(nm km) = 17e-6 s/m^2)."""
    wavelength_m: float = 1324e-9
    """The reference wavelength, for which delay and rotation are stated."""
    delay_per_kelvin_s: float = 0.0
    temperature_swing_k: float = 0.0
    """Peak of the diurnal sine."""
    temperature_noise_k: float = 0.0
    """Standard deviation of an Ornstein-Uhlenbeck process that is added to it."""
    temperature_correlation_s: float = 3600.0
    classical: ClassicalChannel | None = None


@dataclass(frozen=True)
class Controller:
    """A polarization controller (an instrument with a `PlatesPort`), and how it differs from its maker's
    model."""

    name: str
    transmission: float = 1.0
    retardance_errors: tuple[float, ...] = ()
    """Relative error of each plate's retardance; missing ones are 0."""
    axis_errors_rad: tuple[float, ...] = ()


@dataclass(frozen=True)
class Plate:
    """A wave plate in a rotation mount, the instrument `mount`; light comes by its own name."""

    name: str
    mount: str
    kind: Literal["half", "quarter"]
    zero_rad: float = 0.0
    """Angle of the mount at which the fast axis is horizontal."""
    retardance_error_rad: float = 0.0
    transmission: float = 1.0


@dataclass(frozen=True)
class Attenuator:
    """A variable attenuator, an instrument with an `AttenuatorPort`."""

    name: str


@dataclass(frozen=True)
class Shutter:
    """A shutter, an instrument with a `ShutterPort`."""

    name: str
    insertion_loss_db: float = 0.0
    extinction_db: float = 60.0
    """What it keeps back while closed."""


@dataclass(frozen=True)
class DelayLine:
    """An optical delay line, an instrument with a `DelayPort`."""

    name: str
    insertion_loss_db: float = 0.0


@dataclass(frozen=True)
class Filter:
    """An etalon or filter with a Lorentzian or Gaussian line that moves with its temperature.

    It weighs light by its transmission at the light's carrier; it narrows nobody's biphoton (that is the
    source's `tau_idler_s`). With `heater` an instrument with a `TemperaturePort` sets the temperature.
    """

    name: str
    shape: Literal["lorentzian", "gaussian"]
    bandwidth_hz: float
    """Full width at half maximum."""
    peak_transmission: float = 1.0
    centre_offset_hz: float = 0.0
    """Centre at the reference temperature, above the nominal carrier."""
    hz_per_kelvin: float = 0.0
    reference_k: float = 298.15
    heater: str | None = None


@dataclass(frozen=True)
class Splitter:
    """A beam splitter with one input used: its outputs each have a path.

    `plain` divides any polarization: `reflectivity` goes to `reflected`. `polarizing` sends H to
    `transmitted` and V to `reflected`, and with probability `extinction` the other way."""

    name: str
    kind: Literal["plain", "polarizing"]
    transmitted: tuple[str, ...]
    reflected: tuple[str, ...]
    reflectivity: float = 0.5
    extinction: float = 0.0
    transmission: float = 1.0


@dataclass(frozen=True)
class Switch:
    """An optical switch, an instrument with a `SwitchPort`. A path enters it at an input, `loop_switch.3`.

    Light that comes round to the same input again circulates in a closed ring, and is lost."""

    name: str
    outputs: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """The path that goes on from each output; those that are missing end in the dark."""
    insertion_loss_db: float = 0.0
    crosstalk_db: float = 60.0
    """Every other output with a path gets this much less than the light that enters."""


@dataclass(frozen=True)
class Analyser:
    """Quarter-wave plate, half-wave plate, polarizing beam splitter, in beam order; plates by name of their
    mounts. The two detectors stand behind H and V."""

    name: str
    qwp: str
    hwp: str
    outputs: tuple[str, str]
    transmission: float = 1.0
    extinction: float = 0.0
    """Probability that a photon leaves the polarizing beam splitter by the wrong port."""
    qwp_zero_rad: float = 0.0
    hwp_zero_rad: float = 0.0
    qwp_error_rad: float = 0.0
    """Error of its retardance, above a quarter wave."""
    hwp_error_rad: float = 0.0


@dataclass(frozen=True)
class BellStateMeasurement:
    """A beam splitter for two inputs a and b, a polarizing beam splitter behind each output c and d.

    Without polarizing beam splitters, for a plain Hong-Ou-Mandel measurement, H and V of an output go
    to the same detector: name it twice."""

    name: str
    outputs: tuple[str, str, str, str]
    """The detectors behind cH, cV, dH, dV."""
    transmission: float = 1.0
    mode_overlap: float = 1.0
    """Overlap (kappa) of the modes of two photons that meet here from different inputs, 0 to 1."""
    reflectivity: float = 0.5
    extinction: float = 0.0


@dataclass(frozen=True)
class Sensor:
    """The noise of the sensor of a power meter or polarimeter, of the same name as the instrument. Without it
    the sensor reads exactly.

    A polarimeter divides the light evenly over six photodiodes, two behind each of three analysers [assumed].
    """

    name: str
    noise_equivalent_power: float = 0.0
    """Electronic noise of a photodiode, in W/sqrt(Hz)."""
    bandwidth_hz: float = 10.0
    """Of a reading, for electronic and for shot noise."""
