"""What stands on the bench and how the light goes, as plain data in SI units.

`bellbench` fills a `Layout` from a testbed file; the light field is built from it and from nothing else.

**Light paths.** A path is a tuple of names in beam order. Most things are passed: a fibre, a polarization
controller, a wave plate, an attenuator, a shutter, a delay line, a filter. A splitter or a switch divides the
path: its outputs each have a path of their own, which goes on from there. A path ends at a detector, an
analyser, an input of a Bell-state measurement (`hub_bsm.a`), a meter or a polarimeter; an output without a
path, or an empty path, ends in the dark. Nothing recombines but at a Bell-state measurement.
"""

from dataclasses import dataclass

from sim_instruments.world.layout.detection import Clock, Detector, Gate, Tagger
from sim_instruments.world.layout.lights import Beam, Biphoton, Emitter, PairSource, Pulses
from sim_instruments.world.layout.optics import (
    Analyser,
    Attenuator,
    BellStateMeasurement,
    ClassicalChannel,
    Controller,
    DelayLine,
    Fibre,
    Filter,
    Plate,
    Sensor,
    Shutter,
    Splitter,
    Switch,
)

__all__ = [
    "Analyser",
    "Attenuator",
    "Beam",
    "BellStateMeasurement",
    "Biphoton",
    "ClassicalChannel",
    "Clock",
    "Controller",
    "DelayLine",
    "Detector",
    "Emitter",
    "Fibre",
    "Filter",
    "Gate",
    "Layout",
    "PairSource",
    "Plate",
    "Pulses",
    "Sensor",
    "Shutter",
    "Splitter",
    "Switch",
    "Tagger",
]


@dataclass(frozen=True)
class Layout:
    """A bench. Names are unique over all its parts: light paths use them."""

    lights: tuple[PairSource | Beam | Emitter, ...]
    detectors: tuple[Detector, ...]
    taggers: tuple[Tagger, ...]
    fibres: tuple[Fibre, ...] = ()
    controllers: tuple[Controller, ...] = ()
    plates: tuple[Plate, ...] = ()
    attenuators: tuple[Attenuator, ...] = ()
    shutters: tuple[Shutter, ...] = ()
    delay_lines: tuple[DelayLine, ...] = ()
    filters: tuple[Filter, ...] = ()
    splitters: tuple[Splitter, ...] = ()
    switches: tuple[Switch, ...] = ()
    analysers: tuple[Analyser, ...] = ()
    measurements: tuple[BellStateMeasurement, ...] = ()
    sensors: tuple[Sensor, ...] = ()
