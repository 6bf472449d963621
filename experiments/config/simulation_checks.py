"""What is wrong with the section `simulation` of a testbed: that it speaks of things that are there, of all
that need it, and that what it says of each agrees with what the other sections say."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from drivers.capabilities import (
    DelayLine,
    DiodeBias,
    Instrument,
    Laser,
    NanowireBias,
    OpticalSwitch,
    Polarimeter,
    PolarizationController,
    PowerMeter,
    Shutter,
    TimeTagger,
)
from drivers.catalog import capability_of
from experiments.config.happening_checks import wrong_happenings
from experiments.config.inventory import SECTION_WORDS, Inventory
from experiments.config.problems import Fault, Path, choices, one, show_value
from experiments.config.simulation import SimulatedDetector, SimulatedEmitter, Simulation
from experiments.config.testbed import Emitter

INSTRUMENTS: Mapping[str, Any] = {
    "taggers": TimeTagger,
    "controllers": PolarizationController,
    "switches": OpticalSwitch,
    "shutters": Shutter,
    "delay_lines": DelayLine,
    "sensors": (PowerMeter, Polarimeter),
    "faults": Instrument,
}
"""Sections of the simulation that speak of instruments, and the capability they must have, for isinstance."""


def wrong_simulation(inventory: Inventory) -> Iterator[Fault]:
    """Everything about the simulation of a testbed that does not fit the testbed."""
    testbed = inventory.testbed
    simulated = any(entry.simulated for entry in testbed.instruments.values())
    if "simulation" not in inventory.declared:
        if simulated:
            yield Fault(
                ("instruments",),
                "there are instruments with the address 'sim', but no section simulation; it is needed to "
                "say what the simulated bench is like",
                at_key=True,
            )
        return
    for section, field in Simulation.model_fields.items():
        if section == "happenings":
            continue
        yield from _names(inventory, section, get_args(field.annotation)[1], simulated)
    if testbed.simulation is not None:
        yield from _lights(inventory, testbed.simulation)
        yield from _clocks(inventory, testbed.simulation)
        yield from _classical_channels(inventory, testbed.simulation)
        yield from wrong_happenings(inventory, testbed.simulation.happenings)
        for name, truth in testbed.simulation.detectors.items():
            yield from _detector(inventory, name, truth)


def _names(inventory: Inventory, section: str, model: type[BaseModel], simulated: bool) -> Iterator[Fault]:
    """That what is described is there, and that what is there is described, unless defaults describe it."""
    described = inventory.declared.get(f"simulation.{section}")
    capability = INSTRUMENTS.get(section)
    things = (
        [name for name, driver in inventory.drivers.items() if isinstance(driver, capability)]
        if capability
        else inventory.declared.get(section)
    )
    if things is None or described is None:
        return  # that section cannot be read, which is reported already
    word = SECTION_WORDS[section]
    for name in described:
        if name not in things and not (capability and _hidden(inventory, name)):
            yield Fault(
                ("simulation", section, name),
                f"{show_value(name)} is no {word} of this testbed; {choices(name, things)}",
                at_key=True,
            )
    if simulated and any(field.is_required() for field in model.model_fields.values()):
        # Said at the section, or at the one around it where it is absent.
        for name in things:
            if name not in described:
                missing = f"{word} {show_value(name)} is missing; a simulated bench needs it"
                yield Fault(("simulation", section), missing, at_key=True)


def _hidden(inventory: Inventory, name: str) -> bool:
    """Whether an instrument is declared, but with an error that hides what it is."""
    return name in inventory.declared.get("instruments", (name,)) and name not in inventory.drivers


def _lights(inventory: Inventory, truth: Simulation) -> Iterator[Fault]:
    """Pulses have a repetition rate and a width, continuous light neither."""
    testbed = inventory.testbed
    for name, source in truth.sources.items():
        path: Path = ("simulation", "sources", name)
        if name in testbed.sources:
            pulsed = testbed.sources[name].repetition_rate is not None
            if pulsed and source.pulse_width is None:
                yield Fault(path, f"{name} is pulsed; it needs pulse_width", at_key=True)
            yield from _no_pulses(path, name, pulsed, source.pulse_width)
        if source.biphoton.shape == "gaussian" and source.biphoton.tau_idler > 0:
            yield Fault((*path, "biphoton", "tau_idler"), "a gaussian biphoton has only tau_signal")
        if source.statistics == "poisson" and "modes" in source.model_fields_set:
            yield Fault((*path, "modes"), "pairs of Poisson statistics have no modes; leave modes out")
    for name, beam in truth.beams.items():
        if name in testbed.beams:
            pulsed = testbed.beams[name].repetition_rate is not None
            if pulsed and beam.pulse_width is None:
                yield Fault(
                    ("simulation", "beams", name), f"{name} is pulsed; it needs pulse_width", at_key=True
                )
            yield from _no_pulses(("simulation", "beams", name), name, pulsed, beam.pulse_width)
    for name, emitter in truth.emitters.items():
        if name in testbed.emitters:
            yield from _emitter(("simulation", "emitters", name), name, testbed.emitters[name], emitter)
    simulated_beams = inventory.declared.get("simulation.beams", [])
    for name, what in testbed.beams.items():
        if what.repetition_rate is not None and name not in simulated_beams:
            missing = f"beam {show_value(name)} is pulsed and missing; it needs pulse_width"
            yield Fault(("simulation", "beams"), missing, at_key=True)


def _no_pulses(path: Path, name: str, pulsed: bool, width: float | None) -> Iterator[Fault]:
    if not pulsed and width is not None:
        wrong = f"{name} has no repetition_rate, so it is not pulsed; leave pulse_width out"
        yield Fault((*path, "pulse_width"), wrong)


def _emitter(path: Path, name: str, emitter: Emitter, truth: SimulatedEmitter) -> Iterator[Fault]:
    pulsed, lit = emitter.repetition_rate is not None, emitter.laser is not None
    wanted = {"brightness": pulsed, "pump_time": not pulsed, "laser_power": lit}
    for key, needed in wanted.items():
        given = getattr(truth, key) is not None
        why = ("has a" if lit else "has no") + " laser" if key == "laser_power" else (
            "is pulsed" if pulsed else "has no repetition_rate, so it is excited continuously"
        )  # fmt: skip
        if needed and not given:
            yield Fault(path, f"{name} {why}; it needs {key}", at_key=True)
        elif given and not needed:
            yield Fault((*path, key), f"{name} {why}; leave {key} out")
    if not pulsed and "g2" in truth.model_fields_set:
        yield Fault((*path, "g2"), f"{name} is excited continuously, so its g2(0) is 0; leave g2 out")
    yield from _no_pulses(path, name, pulsed, truth.pulse_width)


def _classical_channels(inventory: Inventory, truth: Simulation) -> Iterator[Fault]:
    for name, fibre in truth.fibres.items():
        path: Path = ("simulation", "fibres", name, "classical_channel")
        channel = fibre.classical_channel
        if channel is None:
            continue
        if channel.laser is None and channel.laser_power is not None:
            yield Fault((*path, "laser_power"), "the channel has no laser; leave laser_power out")
        if channel.laser is not None and (wrong := inventory.wrong_instrument(channel.laser, Laser)):
            yield Fault((*path, "laser"), wrong)


def _clocks(inventory: Inventory, truth: Simulation) -> Iterator[Fault]:
    """A tagger has a clock of its own or shares one."""
    shared = {tagger: name for name, clock in inventory.testbed.clocks.items() for tagger in clock.taggers}
    for name, tagger in truth.taggers.items():
        path: Path = ("simulation", "taggers", name)
        if name not in shared:
            if tagger.frequency_error is None:
                missing = f"{name} shares no clock, so it has its own; it needs frequency_error"
                yield Fault(path, missing, at_key=True)
            continue
        for key in ("frequency_error", "phase_walk", "frequency_walk"):
            if getattr(tagger, key) is not None:
                yield Fault((*path, key), f"{name} runs on the clock {shared[name]}; say {key} there")


def _detector(inventory: Inventory, name: str, truth: SimulatedDetector) -> Iterator[Fault]:
    path: Path = ("simulation", "detectors", name)
    for share, time in (("afterpulsing", "afterpulse_time"), ("jitter_tail", "jitter_tail_time")):
        if getattr(truth, share) > 0 and getattr(truth, time) is None:
            yield Fault((*path, share), f"{share} without {time}; it is needed with it")
    if truth.gate is not None and truth.gate.width > truth.gate.period:
        yield Fault((*path, "gate", "width"), "longer than the period, so that the gate never closes")
    detector = inventory.testbed.detectors.get(name)
    if detector is None:
        return
    if truth.gate is not None and detector.gate is not None:
        yield Fault((*path, "gate"), f"{detector.gate.instrument} gates {name}; leave gate out here")
    unit = detector.instrument.instrument if detector.instrument else None
    wrong_bias = DiodeBias if truth.kind == "nanowire" else NanowireBias
    if unit is not None and isinstance(driver := inventory.drivers.get(unit), wrong_bias):
        kind = one(truth.kind.replace("_", " "))
        wrong = f"{name} is {kind}, but a channel of {unit}, which is {one(capability_of(type(driver)))}"
        yield Fault(path, wrong, at_key=True)
    for key in ("operating_bias", "switching_current", "operating_excess_voltage", "operating_temperature"):
        given = getattr(truth, key) is not None
        of_nanowire = key in ("operating_bias", "switching_current")
        if given and unit is None:
            yield Fault((*path, key), f"{name} has no instrument that could change it; leave {key} out")
        elif given and of_nanowire != (truth.kind == "nanowire"):
            kind = one(truth.kind.replace("_", " "))
            yield Fault((*path, key), f"{name} is {kind}; leave {key} out")
        elif unit is None or given or of_nanowire != (truth.kind == "nanowire"):
            continue
        elif key != "operating_temperature":
            yield Fault(path, f"{name} is a channel of {unit}; it needs {key}", at_key=True)
    if truth.operating_bias and truth.switching_current and truth.operating_bias >= truth.switching_current:
        yield Fault((*path, "operating_bias"), "not below switching_current, where the wire goes blind")
