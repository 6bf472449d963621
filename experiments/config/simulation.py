"""The section `simulation` of a testbed file: the hidden truth about what stands there.

Losses, noise, drift and imperfections that no experiment is told; the simulated bench is built with them.
Values are in SI units, `1.0` standing for a fraction of 100 %, levels in dB. An `extinction` says by how many
dB less light goes the wrong way than arrives; without one none does.
"""

from math import inf
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Strict

from drivers.units import (
    Amperes,
    Decibel,
    DecibelPerKilometre,
    Dispersion,
    Fraction,
    FrequencyWalk,
    Hertz,
    HertzPerKelvin,
    Kelvin,
    Metres,
    NoisePower,
    PhaseWalk,
    PolarizationDiffusion,
    Radians,
    RamanEfficiency,
    Seconds,
    Volts,
    Watts,
    format_si,
)
from experiments.config.happenings import SimulatedHappening
from experiments.config.model import Name, NotNegative, Number, Part, Positive
from experiments.config.polarization import PairState

LONGEST_TAU_S = 4e-9
"""Twelve of these are within the 50 ns by which the light field holds clicks back."""

Rate = Annotated[Hertz, NotNegative]
Duration = Annotated[Seconds, NotNegative]
Loss = Annotated[Decibel, NotNegative]
SmallNumber = Annotated[Number, Field(gt=-1e-3, lt=1e-3)]


def _overlapping(tau: float) -> float:
    """Photons that overlap must never be further apart than the light field looks ahead."""
    if tau > LONGEST_TAU_S:
        raise ValueError(
            f"{format_si(tau, 's')} is longer than the light field looks ahead; allowed: up to "
            f"{format_si(LONGEST_TAU_S, 's')}"
        )
    return tau


class Biphoton(Part):
    """The amplitude of the time between signal and idler, x = t_signal - t_idler (physics.md 1).

    `two_sided_exponential` (kind 1): the probability falls as exp(-x / tau_signal) for x > 0 and as
    exp(x / tau_idler) for x < 0; without `tau_idler` the signal never comes first (kind 0). `gaussian` (kind
    2): `tau_signal` is the standard deviation of x.
    """

    shape: Literal["two_sided_exponential", "gaussian"]
    tau_signal: Annotated[Seconds, Positive, AfterValidator(_overlapping)]
    tau_idler: Annotated[Seconds, NotNegative, AfterValidator(_overlapping)] = 0.0


class SimulatedSource(Part):
    """What a simulated source emits at `pump_power`; pairs and unpaired light are proportional to it.

    `unpaired_signal_rate` and `unpaired_idler_rate` are photons per second without a partner that set out,
    unpolarised, on that light path; like those of pairs they have its collection (`signal_transmission`),
    all losses on the path and the detector's efficiency before them.
    """

    pair_rate: Rate
    """Mean pairs per second, of a pulsed source too."""
    pump_power: Annotated[Watts, Positive]
    state: PairState
    biphoton: Biphoton
    signal_transmission: Fraction
    idler_transmission: Fraction
    unpaired_signal_rate: Rate = 0.0
    unpaired_idler_rate: Rate = 0.0
    pulse_width: Annotated[Seconds, Positive] | None = None
    """Standard deviation of (t_signal + t_idler) / 2 within a pulse."""
    statistics: Literal["thermal", "poisson"] = "thermal"
    modes: Annotated[Number, Field(ge=1)] = 1.0
    """Into how many modes thermal pairs are emitted: they bunch as 1 / modes."""
    carrier_offset: Hertz = 0.0
    """By how much the idler's carrier lies above its nominal frequency."""
    detuning_per_pump: Number = 1.0
    """Shift of the idler's carrier per hertz of the pump's own."""

    @property
    def number_of_modes(self) -> float:
        """Infinite for Poisson statistics."""
        return inf if self.statistics == "poisson" else self.modes


class SimulatedBeam(Part):
    linewidth: Rate = 0.0
    """Full width of the laser's Lorentzian line."""
    pulse_width: Annotated[Seconds, Positive] | None = None
    """Standard deviation of a pulse's intensity over time."""


class SimulatedEmitter(Part):
    """A simulated emitter. In a train of pulses it gives one photon per pulse with probability `brightness`
    and a second one as `g2` says; continuously excited it takes `pump_time` to be excited again.

    With a laser this holds at `laser_power`; brightness and 1 / pump_time are proportional to it.
    """

    lifetime: Annotated[Seconds, Positive]
    transmission: Fraction = 1.0
    brightness: Fraction | None = None
    g2: Fraction = 0.0
    """g2(0) over pulses."""
    pump_time: Annotated[Seconds, Positive] | None = None
    background_rate: Rate = 0.0
    """Photons per second of Poisson light that set out with the emitter's."""
    laser_power: Annotated[Watts, Positive] | None = None
    pulse_width: Annotated[Seconds, Positive] | None = None
    """Standard deviation of the exciting pulse over time."""
    carrier_offset: Hertz = 0.0


class SimulatedClassicalChannel(Part):
    """Classical light in a fibre, and the Raman noise that it leaves there (testbeds.md 2).

    `raman_efficiency` is that of Stokes light; anti-Stokes light is less by the Boltzmann factor.
    """

    power: Annotated[Watts, NotNegative]
    """Launched."""
    wavelength: Annotated[Metres, Positive]
    raman_efficiency: Annotated[RamanEfficiency, NotNegative]
    filter_bandwidth: Annotated[Metres, NotNegative]
    """Of the filter that the quantum channel passes, in wavelength."""
    direction: Literal["forward", "backward"] = "forward"
    laser: Name | None = None
    """The laser that makes it; without one it always shines."""
    laser_power: Annotated[Watts, Positive] | None = None
    """Power of that laser at which `power` is launched, which is proportional to it; without it `power` is
    launched whenever the laser shines."""


class SimulatedFibre(Part):
    """Loss, delay and drift of a simulated fibre.

    The polarization drifts as a diffusion with sudden jumps; the delay follows a temperature that swings by
    `temperature_swing` (peak) over a day, with noise of `temperature_noise` (standard deviation) about it.
    """

    attenuation: Annotated[DecibelPerKilometre, NotNegative]
    insertion_loss: Loss = 0.0
    delay: Duration
    polarization_diffusion: Annotated[PolarizationDiffusion, NotNegative] = 0.0
    jump_rate: Rate = 0.0
    jump_angle: Annotated[Radians, NotNegative] = 0.4
    """Of a jump, on the Poincare sphere."""
    scrambled: Annotated[bool, Strict()] = False
    """Whether its rotation is random to begin with, and not none."""
    polarization_dependent_loss: Loss = 0.0
    differential_group_delay: Duration = 0.0
    dispersion: Dispersion = 0.0
    reference_wavelength: Annotated[Metres, Positive] = 1324e-9
    """At which delay and rotation are those stated."""
    delay_per_kelvin: Duration = 0.0
    temperature_swing: Annotated[Kelvin, NotNegative] = 0.0
    temperature_noise: Annotated[Kelvin, NotNegative] = 0.0
    temperature_correlation: Annotated[Seconds, Positive] = 3600.0
    classical_channel: SimulatedClassicalChannel | None = None


class SimulatedController(Part):
    """How a polarization controller differs from its maker's model, plate by plate in beam order."""

    transmission: Fraction = 1.0
    retardance_errors: tuple[Number, ...] = ()
    """Relative."""
    axis_errors: tuple[Radians, ...] = ()


class SimulatedWavePlate(Part):
    zero: Radians = 0.0
    """Angle of the mount at which the fast axis is horizontal."""
    retardance_error: Radians = 0.0
    transmission: Fraction = 1.0


class SimulatedFilter(Part):
    """The line of a filter: `bandwidth` is its full width at half maximum, `centre_offset` its centre above
    the light's nominal frequency at `reference_temperature`."""

    shape: Literal["lorentzian", "gaussian"]
    bandwidth: Annotated[Hertz, Positive]
    peak_transmission: Fraction = 1.0
    centre_offset: Hertz = 0.0
    tuning: HertzPerKelvin = 0.0
    reference_temperature: Annotated[Kelvin, Positive] = 298.15


class SimulatedSplitter(Part):
    reflectivity: Fraction = 0.5
    """Of a plain splitter."""
    extinction: Loss | None = None
    """Of a polarizing one."""
    transmission: Fraction = 1.0


class SimulatedSwitch(Part):
    """`crosstalk` says how much less than what enters reaches each other output."""

    insertion_loss: Loss = 0.0
    crosstalk: Loss = 60.0


class SimulatedShutter(Part):
    """`extinction` is what it keeps back while closed."""

    insertion_loss: Loss = 0.0
    extinction: Loss = 60.0


class SimulatedDelayLine(Part):
    insertion_loss: Loss = 0.0


class SimulatedAnalyser(Part):
    """Its zeros are the angles of the mounts at which the fast axes are horizontal, its errors are
    retardance above a quarter and a half wave."""

    transmission: Fraction
    extinction: Loss | None = None
    qwp_zero: Radians = 0.0
    hwp_zero: Radians = 0.0
    qwp_error: Radians = 0.0
    hwp_error: Radians = 0.0


class SimulatedBellStateMeasurement(Part):
    """`mode_overlap` is the overlap of the modes of two photons that meet, 1 for identical ones; `extinction`
    is that of the polarizing beam splitters."""

    transmission: Fraction
    mode_overlap: Fraction
    reflectivity: Fraction = 0.5
    extinction: Loss | None = None


class SimulatedGate(Part):
    """Gates that a detector module makes by itself; the first opens `phase` after the bench begins."""

    period: Annotated[Seconds, Positive]
    width: Annotated[Seconds, Positive]
    phase: Duration = 0.0


class SimulatedDetector(Part):
    """A simulated detector. `jitter` is the standard deviation of a Gaussian; a fraction `jitter_tail` of the
    clicks come later besides, by an exponential time of mean `jitter_tail_time`.

    `afterpulsing` is the probability that a click is followed by a false one, after the dead time and an
    exponential time of mean `afterpulse_time`. A nanowire in a detector unit has its `efficiency` at
    `operating_bias`, and goes normal (blind until its bias is lowered) above `switching_current`; a diode in
    a unit has it at `operating_excess_voltage` over breakdown.
    """

    kind: Literal["nanowire", "avalanche_diode"] = "nanowire"
    efficiency: Fraction
    dark_counts: Rate
    jitter: Duration
    dead_time: Duration
    jitter_tail: Fraction = 0.0
    jitter_tail_time: Annotated[Seconds, Positive] | None = None
    afterpulsing: Fraction = 0.0
    afterpulse_time: Annotated[Seconds, Positive] | None = None
    operating_bias: Annotated[Amperes, Positive] | None = None
    switching_current: Annotated[Amperes, Positive] | None = None
    operating_excess_voltage: Annotated[Volts, Positive] | None = None
    operating_temperature: Annotated[Kelvin, Positive] | None = None
    """Of a diode in a unit, at which its dark counts are those stated."""
    max_rate: Annotated[Hertz, Positive] | None = None
    """Absorbed photons per second above which a nanowire latches and a diode saturates."""
    ambient_counts: Rate = 0.0
    """By stray light."""
    gate: SimulatedGate | None = None


class SimulatedSensor(Part):
    """The noise of a power meter or polarimeter, within the `bandwidth` of a reading."""

    noise_equivalent_power: Annotated[NoisePower, NotNegative] = 0.0
    bandwidth: Annotated[Hertz, Positive] = 10.0


class SimulatedTagger(Part):
    """A simulated tagger's clock, noise and limits.

    `start_latency` bounds the unknown time between the command to record and the tagger's time zero. The
    three numbers of its clock are those of `SimulatedClock`; a tagger that shares one has none of its own.
    """

    start_latency: Duration
    frequency_error: SmallNumber | None = None
    phase_walk: Annotated[PhaseWalk, NotNegative] | None = None
    frequency_walk: Annotated[FrequencyWalk, NotNegative] | None = None
    noise_counts: Rate = 0.0
    """Clicks per second of an input that sees nothing."""
    resolution: Annotated[Seconds, Field(ge=1e-12)] = 1e-12
    """Width of its time bins, in whole picoseconds."""
    dead_time: Duration = 0.0
    """Per input."""
    max_rate: Annotated[Hertz, Positive] | None = None
    """Tags per second, all inputs together, that its line carries away."""
    buffer: Annotated[int, Strict(), Positive] | None = None
    """Tags that it holds when more come than that; what does not fit is lost."""


class SimulatedClock(Part):
    """A clock: the standard deviation of its relative frequency error, of the phase it walks in a second, and
    of the relative frequency it walks in a second."""

    frequency_error: SmallNumber
    phase_walk: Annotated[PhaseWalk, NotNegative] = 0.0
    frequency_walk: Annotated[FrequencyWalk, NotNegative] = 0.0


class SimulatedFaults(Part):
    """How the wire of an instrument, or the instrument on it, misbehaves from the beginning on."""

    silent: bool = False
    """It hears nothing and says nothing."""
    refuse: bool = False
    """It takes no connection."""
    latency: Duration = 0.0
    """Every answer comes so much later, in wall time."""
    jitter: Duration = 0.0
    """And later again by a uniform time up to this."""
    piece_bytes: Annotated[int, Strict(), Field(ge=0)] = 0
    """Answers come in pieces of so many bytes."""
    lost: Fraction = 0.0
    """Probability that a byte of an answer is lost."""
    garbled: Fraction = 0.0
    """Probability that a byte of an answer arrives as another."""
    late: Annotated[int, Strict(), Field(ge=0)] = 0
    """So many answers wait until the next question."""
    unsolicited: str = ""
    """Sent unasked in front of every answer."""
    own_errors: Annotated[int, Strict(), Field(ge=0)] = 0
    """So many commands are answered by the instrument's own error."""


class Simulation(Part):
    """What only a simulation needs to know: the hidden truth about the things named in the other sections,
    and about instruments by their names. A thing whose truth is all defaults may be left out."""

    sources: dict[Name, SimulatedSource] = Field(default_factory=dict)
    beams: dict[Name, SimulatedBeam] = Field(default_factory=dict)
    emitters: dict[Name, SimulatedEmitter] = Field(default_factory=dict)
    fibres: dict[Name, SimulatedFibre] = Field(default_factory=dict)
    controllers: dict[Name, SimulatedController] = Field(default_factory=dict)
    wave_plates: dict[Name, SimulatedWavePlate] = Field(default_factory=dict)
    filters: dict[Name, SimulatedFilter] = Field(default_factory=dict)
    splitters: dict[Name, SimulatedSplitter] = Field(default_factory=dict)
    switches: dict[Name, SimulatedSwitch] = Field(default_factory=dict)
    shutters: dict[Name, SimulatedShutter] = Field(default_factory=dict)
    delay_lines: dict[Name, SimulatedDelayLine] = Field(default_factory=dict)
    analysers: dict[Name, SimulatedAnalyser] = Field(default_factory=dict)
    bell_state_measurements: dict[Name, SimulatedBellStateMeasurement] = Field(default_factory=dict)
    detectors: dict[Name, SimulatedDetector] = Field(default_factory=dict)
    sensors: dict[Name, SimulatedSensor] = Field(default_factory=dict)
    taggers: dict[Name, SimulatedTagger] = Field(default_factory=dict)
    clocks: dict[Name, SimulatedClock] = Field(default_factory=dict)
    faults: dict[Name, SimulatedFaults] = Field(default_factory=dict)
    happenings: tuple[SimulatedHappening, ...] = ()
