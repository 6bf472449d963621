"""Light paths: from where light is born, through what stands in the beam, to where it ends.

The testbed file gives a path as a list of names in beam order; here it becomes a list of stages of known
kinds. A path that divides, at a splitter or a switch, goes on in the paths behind its outputs. What is wrong
with paths is said by `experiments.config.light_checks`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from drivers.capabilities import (
    Attenuator,
    DelayLine,
    Instrument,
    OpticalSwitch,
    Polarimeter,
    PolarizationController,
    PowerMeter,
    Shutter,
)
from experiments.config.inventory import driver_of
from experiments.config.problems import Path
from experiments.config.testbed import Testbed

StageKind = Literal[
    "fibre",
    "wave_plate",
    "filter",
    "polarization_controller",
    "attenuator",
    "shutter",
    "delay_line",
    "splitter",
    "switch",
    "detector",
    "analyser",
    "bell_state_measurement",
    "power_meter",
    "polarimeter",
]
SECTIONS: Mapping[str, StageKind] = {
    "fibres": "fibre",
    "wave_plates": "wave_plate",
    "filters": "filter",
    "splitters": "splitter",
    "detectors": "detector",
    "analysers": "analyser",
    "bell_state_measurements": "bell_state_measurement",
}
"""The sections of a testbed whose things stand in light paths by their own names."""
CAPABILITIES: Mapping[type, StageKind] = {
    PolarizationController: "polarization_controller",
    Attenuator: "attenuator",
    Shutter: "shutter",
    DelayLine: "delay_line",
    OpticalSwitch: "switch",
    PowerMeter: "power_meter",
    Polarimeter: "polarimeter",
}
"""What an instrument must be able to do to stand in a light path, and as what it stands there."""
ENDS = ("detector", "analyser", "bell_state_measurement", "power_meter", "polarimeter")
BRANCHINGS = ("splitter", "switch")
BSM_INPUTS = ("a", "b")
Photon = Literal["signal", "idler"]
PHOTONS: tuple[Photon, ...] = ("signal", "idler")


@dataclass(frozen=True)
class Stage:
    """One thing in a beam. `input` is that of a Bell-state measurement or of a switch, else empty."""

    kind: StageKind
    name: str
    input: str = ""

    @property
    def is_end(self) -> bool:
        return self.kind in ENDS

    @property
    def is_branching(self) -> bool:
        return self.kind in BRANCHINGS


@dataclass(frozen=True)
class Stretch:
    """A light path as it stands in the file: from a light, or from an output, to an end or a branching."""

    place: Path
    """Where it stands in the testbed file."""
    title: str
    """Like `the idler of alice_source`."""
    words: tuple[str, ...]

    @property
    def label(self) -> str:
        """Shorter: `alice_source idler`, `alice_pump_tap`, `loop_switch 2`."""
        return " ".join(str(step) for step in self.place[1:] if step not in ("path", "outputs"))


def lights(testbed: Testbed) -> Iterator[Stretch]:
    """The light paths that begin where light is born: of photons first, then of beams."""
    for name, source in testbed.sources.items():
        for photon in PHOTONS:
            yield Stretch(("sources", name, photon), f"the {photon} of {name}", getattr(source, photon))
    for name, emitter in testbed.emitters.items():
        yield Stretch(("emitters", name, "path"), f"the light of {name}", emitter.path)
    for name, beam in testbed.beams.items():
        yield Stretch(("beams", name, "path"), f"the beam {name}", beam.path)


def outputs(testbed: Testbed) -> Iterator[Stretch]:
    """The light paths behind the outputs of splitters and switches."""
    for name in testbed.splitters:
        yield from outputs_of(testbed, Stage("splitter", name)).values()
    for name in testbed.switches:
        yield from outputs_of(testbed, Stage("switch", name)).values()


def outputs_of(testbed: Testbed, stage: Stage) -> Mapping[str, Stretch]:
    """The light paths behind a splitter or switch by the names of its outputs; of other things none."""
    if stage.kind == "splitter" and stage.name in testbed.splitters:
        splitter = testbed.splitters[stage.name]
        return {
            way: Stretch(("splitters", stage.name, way), f"what {stage.name} {verb}", getattr(splitter, way))
            for way, verb in (("transmitted", "transmits"), ("reflected", "reflects"))
        }
    if stage.kind == "switch" and stage.name in testbed.switches:
        return {
            str(number): Stretch(
                ("switches", stage.name, "outputs", str(number)), f"output {number} of {stage.name}", words
            )
            for number, words in testbed.switches[stage.name].outputs.items()
        }
    return {}


def kind_of(driver: type[Instrument]) -> StageKind | None:
    """As what an instrument stands in a light path; None when light does not pass it."""
    return next((kind for capability, kind in CAPABILITIES.items() if issubclass(driver, capability)), None)


def _kind_of_model(model: str) -> StageKind | None:
    try:
        return kind_of(driver_of(model))
    except (ValueError, ImportError, AttributeError):
        return None  # a model without a driver is an error of its own


def stage(testbed: Testbed, word: str) -> Stage | None:
    """What a word in a light path stands for; None when that is nothing that light meets."""
    name, _, port = word.partition(".")
    for section, kind in SECTIONS.items():
        if name in getattr(testbed, section):
            return Stage(kind, name, port)
    entry = testbed.instruments.get(name)
    found = _kind_of_model(entry.model) if entry else None
    return Stage(found, name, port) if found else None


def stages(testbed: Testbed, words: Sequence[str]) -> tuple[Stage, ...]:
    """The stages of a light path of a testbed without errors."""
    return tuple(found for word in words if (found := stage(testbed, word)))


def met(
    testbed: Testbed, words: Sequence[str], connected: Mapping[str, Mapping[int, int]] | None = None
) -> Iterator[Stage]:
    """Everything that light along a path can come to. Switches may be set to anything, but for inputs that
    `connected` leads to an output of a switch."""
    divided: set[Stage] = set()
    waiting = [words]
    while waiting:
        for here in stages(testbed, waiting.pop()):
            yield here
            if here not in divided and here.is_branching:
                divided.add(here)
                ways = outputs_of(testbed, here)
                of_switch = (connected or {}).get(here.name, {})
                if here.kind == "switch" and here.input.isdecimal() and int(here.input) in of_switch:
                    only = str(of_switch[int(here.input)])
                    ways = {only: ways[only]} if only in ways else {}
                waiting += (stretch.words for stretch in ways.values())


def ends(
    testbed: Testbed, words: Sequence[str], connected: Mapping[str, Mapping[int, int]] | None = None
) -> set[str]:
    """Where light along a path can end, in the words of the file: `alice_analyser`, `hub_bsm.a`; `connected`
    as in `met`."""
    found = (here for here in met(testbed, words, connected) if here.is_end)
    return {f"{here.name}.{here.input}" if here.input else here.name for here in found}


def source_into(testbed: Testbed, photon: Photon, end: str) -> str | None:
    """The source whose signal or idler can end at an analyser (`alice_analyser`) or input (`hub_bsm.a`)."""
    return next(
        (name for name, s in testbed.sources.items() if end in ends(testbed, getattr(s, photon))), None
    )
