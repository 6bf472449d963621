"""The testbed file: what stands where, how light goes through it, and what only a simulation knows.

The models say which keys there are and of which kind; whether names resolve, capabilities fit and
channels are free is checked by `experiments.config.crosscheck` once the whole file is read. Values are in
SI units, `1.0` standing for a fraction of 100 %. The sections of a testbed are mappings from the names of
things to the things; the names of one section are used in the others.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SerializeAsAny

from drivers.capabilities import Settings
from drivers.units import (
    Amperes,
    Decibel,
    DecibelPerKilometre,
    Fraction,
    Hertz,
    Kelvin,
    Metres,
    PolarizationDiffusion,
    Seconds,
    Watts,
    format_si,
)
from experiments.config.model import Channel, Name, NotNegative, Number, Part, Positive, Text

SIM = "sim"
"""The address of an instrument that the simulated bench provides."""


LONGEST_TAU_S = 4e-9
"""Twelve of these are within the 50 ns by which the light field holds clicks back."""


class Node(Part):
    """A place: a laboratory, a rack, a building at one end of a fibre."""

    title: Text = ""


class InstrumentEntry(Part):
    """One instrument. `settings` is the settings model of its driver, with its defaults filled in."""

    node: Name
    model: str
    address: str
    settings: SerializeAsAny[Settings] = Settings()

    @property
    def simulated(self) -> bool:
        return self.address == SIM


class Fibre(Part):
    """A fibre between two nodes."""

    from_node: Annotated[Name, Field(alias="from")]
    to_node: Annotated[Name, Field(alias="to")]
    length: Annotated[Metres, NotNegative]


class Source(Part):
    """A source of photon pairs, the laser that pumps it, and what each photon passes in beam order.

    A light path names fibres and polarization controllers, and ends at an analyser (`alice_analyser`) or
    at an input of a Bell-state measurement (`hub_bsm.a`).
    """

    node: Name
    pump: Name
    signal: Annotated[tuple[str, ...], Field(min_length=1)]
    idler: Annotated[tuple[str, ...], Field(min_length=1)]


class AnalyserOutputs(Part):
    """The detectors behind the polarizing beam splitter, for the polarization that it lets go there."""

    H: Name
    V: Name


class Analyser(Part):
    """A quarter-wave plate, a half-wave plate and a polarizing beam splitter, in beam order."""

    node: Name
    qwp: Name
    hwp: Name
    outputs: AnalyserOutputs


class BellStateMeasurementOutputs(Part):
    """The detectors at the outputs c and d of the beam splitter, behind a polarizing beam splitter each."""

    cH: Name  # noqa: N815 - the letters that the field writes
    cV: Name  # noqa: N815
    dH: Name  # noqa: N815
    dV: Name  # noqa: N815


class BellStateMeasurement(Part):
    """A 50:50 beam splitter with inputs a and b and outputs c and d, and a polarizing beam splitter behind
    each output. Light that goes straight through goes from input a to output c."""

    node: Name
    outputs: BellStateMeasurementOutputs


class Detector(Part):
    """A single-photon detector and the tagger input that it feeds.

    With `instrument` it is a channel of a detector unit under control; without, a module that just clicks.
    """

    tagger: Channel
    instrument: Channel | None = None


class Tap(Part):
    """A power meter that sees a fraction of a laser's light."""

    light: Name
    meter: Name
    fraction: Fraction


def _overlapping(tau: float) -> float:
    """Photons that overlap must never be further apart than the light field looks ahead."""
    if tau > LONGEST_TAU_S:
        raise ValueError(
            f"{format_si(tau, 's')} is longer than the light field looks ahead; allowed: up to "
            f"{format_si(LONGEST_TAU_S, 's')}"
        )
    return tau


class Biphoton(Part):
    """The amplitude of the time between signal and idler, x = t_signal - t_idler (physics.md 1, kind 1).

    The probability falls as exp(-x / tau_signal) for x > 0 and as exp(x / tau_idler) for x < 0.
    """

    shape: Literal["two_sided_exponential"]
    tau_signal: Annotated[Seconds, Positive, AfterValidator(_overlapping)]
    tau_idler: Annotated[Seconds, Positive, AfterValidator(_overlapping)]


class SimulatedSource(Part):
    """What a simulated source emits at `pump_power`; pairs and unpaired counts are proportional to it.

    `unpaired_signal_counts` and `unpaired_idler_counts` are counts per second of light without a partner,
    summed over the detectors at the end of that light path, losses included.
    """

    pair_rate: Annotated[Hertz, NotNegative]
    pump_power: Annotated[Watts, Positive]
    pump_wavelength: Annotated[Metres, Positive]
    fidelity: Annotated[Fraction, Field(ge=0.25)]
    """Of the Werner state around Phi+; 1/4 is the fully mixed state."""
    biphoton: Biphoton
    signal_transmission: Fraction
    idler_transmission: Fraction
    unpaired_signal_counts: Annotated[Hertz, NotNegative] = 0.0
    unpaired_idler_counts: Annotated[Hertz, NotNegative] = 0.0


class SimulatedFibre(Part):
    """Loss, delay and drift of a simulated fibre.

    The drift of the polarization is a diffusion; the delay follows a temperature that swings by
    `temperature_swing` (peak) over a day.
    """

    attenuation: Annotated[DecibelPerKilometre, NotNegative]
    insertion_loss: Annotated[Decibel, NotNegative] = 0.0
    delay: Annotated[Seconds, NotNegative]
    polarization_diffusion: Annotated[PolarizationDiffusion, NotNegative] = 0.0
    delay_per_kelvin: Annotated[Seconds, NotNegative] = 0.0
    temperature_swing: Annotated[Kelvin, NotNegative] = 0.0


class SimulatedAnalyser(Part):
    transmission: Fraction


class SimulatedBellStateMeasurement(Part):
    """`idler_overlap` is the overlap of the modes of two photons that meet, 1 for identical ones."""

    transmission: Fraction
    idler_overlap: Fraction


class SimulatedDetector(Part):
    """A simulated detector. `jitter` is the standard deviation of a Gaussian.

    `afterpulsing` is the probability that a click is followed by a false one, after the dead time and an
    exponential time of mean `afterpulse_time`. A channel of a detector unit has its `efficiency` at
    `operating_bias`, and goes normal (blind until its bias is lowered) above `switching_current`.
    """

    efficiency: Fraction
    dark_counts: Annotated[Hertz, NotNegative]
    jitter: Annotated[Seconds, NotNegative]
    dead_time: Annotated[Seconds, NotNegative]
    afterpulsing: Fraction = 0.0
    afterpulse_time: Annotated[Seconds, Positive] | None = None
    operating_bias: Annotated[Amperes, Positive] | None = None
    switching_current: Annotated[Amperes, Positive] | None = None


class SimulatedTagger(Part):
    """A simulated tagger's clock and noise.

    `start_latency` bounds the unknown time between the command to record and the tagger's time zero,
    `frequency_error` is the relative error of its clock, `noise_counts` the clicks per second of an input
    that sees nothing, `resolution` the width of its time bins in whole picoseconds.
    """

    start_latency: Annotated[Seconds, NotNegative]
    frequency_error: Annotated[Number, Field(gt=-1e-3, lt=1e-3)]
    noise_counts: Annotated[Hertz, NotNegative] = 0.0
    resolution: Annotated[Seconds, Field(ge=1e-12)] = 1e-12


class Simulation(Part):
    """What only a simulation needs to know: the hidden truth about the things named above."""

    sources: dict[Name, SimulatedSource] = Field(default_factory=dict)
    fibres: dict[Name, SimulatedFibre] = Field(default_factory=dict)
    analysers: dict[Name, SimulatedAnalyser] = Field(default_factory=dict)
    bell_state_measurements: dict[Name, SimulatedBellStateMeasurement] = Field(default_factory=dict)
    detectors: dict[Name, SimulatedDetector] = Field(default_factory=dict)
    taggers: dict[Name, SimulatedTagger] = Field(default_factory=dict)


class Testbed(Part):
    """What stands there. Every section but `nodes` and `instruments` may be absent."""

    __test__ = False  # not a test class, whatever pytest reads in its name

    testbed: Name
    title: Text = ""
    nodes: dict[Name, Node]
    instruments: dict[Name, InstrumentEntry]
    safe_order: tuple[Name, ...] = ()
    """Instruments to make safe first, in this order; the others follow."""
    fibres: dict[Name, Fibre] = Field(default_factory=dict)
    sources: dict[Name, Source] = Field(default_factory=dict)
    analysers: dict[Name, Analyser] = Field(default_factory=dict)
    bell_state_measurements: dict[Name, BellStateMeasurement] = Field(default_factory=dict)
    detectors: dict[Name, Detector] = Field(default_factory=dict)
    taps: dict[Name, Tap] = Field(default_factory=dict)
    simulation: Simulation | None = None

    @property
    def simulated(self) -> bool:
        """Whether the simulated bench provides the instruments; they are all `sim` or none is."""
        return all(entry.simulated for entry in self.instruments.values())
