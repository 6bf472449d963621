"""The testbed file: what stands there and how light goes through it.

The models say which keys there are and of which kind; whether names resolve, capabilities fit and
channels are free is checked by `experiments.config.crosscheck` and `light_checks` once the whole file is
read. Values are in SI units, `1.0` standing for a fraction of 100 %. The sections of a testbed are mappings
from the names of things to the things; the names of one section are used in the others. What only a
simulated bench needs to know of them stands apart, in `simulation` (`experiments.config.simulation`).

A **light path** names what light passes, in beam order: fibres, wave plates, filters, and the instruments
that stand in beams (polarization controllers, attenuators, shutters, delay lines). At a splitter, or at an
input of a switch (`loop_switch.3`), it divides; each of their outputs has a path of its own. It ends at a
detector, an analyser, an input of a Bell-state measurement (`hub_bsm.a`), a power meter or a polarimeter. A
path without anything ends in the dark.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, SerializeAsAny, model_validator

from drivers.capabilities import Settings
from drivers.units import Fraction, Hertz, Metres
from experiments.config.interlocks import Interlock, Limit
from experiments.config.model import Channel, Name, NotNegative, Part, Positive, Text
from experiments.config.polarization import Polarization
from experiments.config.simulation import Simulation

SIM = "sim"
"""The address of an instrument that the simulated bench provides."""

LightPath = tuple[str, ...]
OutputNumber = Annotated[int, Field(ge=1, le=9999)]


class Node(Part):
    """A place: a laboratory, a rack, a building at one end of a fibre."""

    title: Text = ""


class Expected(Part):
    """Who must answer at an address: a run, and `bellbench check --full`, refuse anybody else."""

    serial_number: Text | None = None
    """As the instrument itself says it; `bellbench doctor` shows it."""
    firmware: Text | None = None

    @model_validator(mode="after")
    def _something(self) -> "Expected":
        if self.serial_number is None and self.firmware is None:
            raise ValueError("say what is expected: serial_number, firmware or both")
        return self


class InstrumentEntry(Part):
    """One instrument. `settings` is the settings model of its driver, with its defaults filled in."""

    node: Name
    model: str
    address: str
    settings: SerializeAsAny[Settings] = Settings()
    expect: Expected | None = None
    """The instrument that is meant, where an address may lead to another one some day."""

    @property
    def simulated(self) -> bool:
        return self.address == SIM


class Fibre(Part):
    """A fibre between two nodes; light goes from `from` to `to`."""

    from_node: Annotated[Name, Field(alias="from")]
    to_node: Annotated[Name, Field(alias="to")]
    length: Annotated[Metres, NotNegative]


class Source(Part):
    """A source of photon pairs, the laser that pumps it, and the light path of each photon."""

    node: Name
    pump: Name
    signal: LightPath
    idler: LightPath
    signal_wavelength: Annotated[Metres, Positive]
    idler_wavelength: Annotated[Metres, Positive]
    repetition_rate: Annotated[Hertz, Positive] | None = None
    """Of the pump's pulses; without it the source is continuous."""


class Beam(Part):
    """Laser light with a light path of its own, from where its laser stands: the tap of a power meter, a
    probe for the polarization of a fibre, or, attenuated, weak coherent light. It may share what it passes
    with photons and with other beams."""

    laser: Name
    wavelength: Annotated[Metres, Positive]
    path: LightPath
    fraction: Fraction = 1.0
    """Of the laser's power."""
    polarization: Polarization = Polarization("H")
    repetition_rate: Annotated[Hertz, Positive] | None = None
    """Of its pulses; without it the light is continuous."""


class Emitter(Part):
    """A single-photon emitter; with `repetition_rate` it is excited by pulses."""

    node: Name
    wavelength: Annotated[Metres, Positive]
    path: LightPath
    laser: Name | None = None
    """The laser that excites it."""
    polarization: Polarization = Polarization("H")
    repetition_rate: Annotated[Hertz, Positive] | None = None


class WavePlate(Part):
    """A wave plate in a rotation mount of its own; it stands where the mount does."""

    mount: Name
    kind: Literal["half", "quarter"]


class Filter(Part):
    """An etalon or another filter. `heater` names what sets its temperature."""

    node: Name
    heater: Name | None = None


class Splitter(Part):
    """A beam splitter with one input used, and the light paths behind its outputs.

    A `polarizing` one transmits H and reflects V.
    """

    node: Name
    kind: Literal["plain", "polarizing"]
    transmitted: LightPath = ()
    reflected: LightPath = ()


class Switch(Part):
    """The light paths behind the outputs of an optical switch, the instrument of the same name."""

    outputs: dict[OutputNumber, LightPath]


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
    """The detectors at the outputs c and d of the beam splitter, behind a polarizing beam splitter each.

    For a plain Hong-Ou-Mandel measurement, without polarizing beam splitters, an output's detector is
    named for H and for V.
    """

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
    gate: Channel | None = None
    """The output of a delay generator outside whose pulses it sees nothing."""


class Clock(Part):
    """A clock that time taggers share, so that their times run alike. A tagger of none has its own."""

    taggers: Annotated[tuple[Name, ...], Field(min_length=1)]
    monitor: Name | None = None
    """The instrument that says whether it follows its reference."""


class Testbed(Part):
    """What stands there. Every section but `nodes` and `instruments` may be absent."""

    __test__ = False  # not a test class, whatever pytest reads in its name
    earlier: ClassVar[tuple[str, ...]] = ("include",)

    testbed: Name
    title: Text = ""
    nodes: dict[Name, Node]
    instruments: dict[Name, InstrumentEntry]
    safe_order: tuple[Name, ...] = ()
    """Instruments to make safe first, in this order; the others follow."""
    clocks: dict[Name, Clock] = Field(default_factory=dict)
    fibres: dict[Name, Fibre] = Field(default_factory=dict)
    sources: dict[Name, Source] = Field(default_factory=dict)
    beams: dict[Name, Beam] = Field(default_factory=dict)
    emitters: dict[Name, Emitter] = Field(default_factory=dict)
    wave_plates: dict[Name, WavePlate] = Field(default_factory=dict)
    filters: dict[Name, Filter] = Field(default_factory=dict)
    splitters: dict[Name, Splitter] = Field(default_factory=dict)
    switches: dict[Name, Switch] = Field(default_factory=dict)
    analysers: dict[Name, Analyser] = Field(default_factory=dict)
    bell_state_measurements: dict[Name, BellStateMeasurement] = Field(default_factory=dict)
    detectors: dict[Name, Detector] = Field(default_factory=dict)
    interlocks: dict[Name, Interlock] = Field(default_factory=dict)
    limits: dict[str, Limit] = Field(default_factory=dict)
    """By the setting: `alice_pump.power`."""
    simulation: Simulation | None = None

    @property
    def simulated(self) -> bool:
        """Whether the simulated bench provides the instruments; they are all `sim` or none is."""
        return all(entry.simulated for entry in self.instruments.values())
