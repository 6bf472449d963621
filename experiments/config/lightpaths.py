"""Light paths: from a source, through what stands in the beam, to an analyser or a Bell-state measurement.

The testbed file gives a path as a list of names in beam order; here it becomes a list of stages of known
kinds. A path is well formed when each stage stands where the light is, when nothing stands in two paths,
and when it ends at an analyser or at one input of a Bell-state measurement.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from drivers.capabilities import PolarizationController
from experiments.config.inventory import Inventory
from experiments.config.problems import Fault, Path, choices, nearest, show_value
from experiments.config.testbed import Testbed

StageKind = Literal["fibre", "polarization_controller", "analyser", "bell_state_measurement"]
PATH_SECTIONS = ("instruments", "fibres", "analysers", "bell_state_measurements")
BSM_INPUTS = ("a", "b")
PHOTONS: tuple[Literal["signal", "idler"], ...] = ("signal", "idler")


@dataclass(frozen=True)
class Stage:
    """One thing in a beam. `input` is the input of a Bell-state measurement, else empty."""

    kind: StageKind
    name: str
    input: str = ""

    @property
    def is_end(self) -> bool:
        return self.kind in ("analyser", "bell_state_measurement")


def stages(testbed: Testbed, path: Sequence[str]) -> tuple[Stage, ...]:
    """The stages of a light path of a testbed without errors."""
    return tuple(_stage(testbed, word) for word in path)


def _stage(testbed: Testbed, word: str) -> Stage:
    name, _, port = word.partition(".")
    if name in testbed.bell_state_measurements:
        return Stage("bell_state_measurement", name, port)
    if word in testbed.analysers:
        return Stage("analyser", word)
    return Stage("fibre" if word in testbed.fibres else "polarization_controller", word)


def source_into(testbed: Testbed, photon: Literal["signal", "idler"], end: str) -> str | None:
    """The source whose signal or idler ends at an analyser (`alice_analyser`) or input (`hub_bsm.a`)."""
    return next((name for name, s in testbed.sources.items() if getattr(s, photon)[-1] == end), None)


def wrong_light_paths(inventory: Inventory) -> Iterator[Fault]:
    """What is wrong with the light paths of a testbed, each with its path in the testbed file."""
    if any(section not in inventory.declared for section in PATH_SECTIONS):
        return  # a section that cannot be read might have named anything
    yield from _ambiguous_names(inventory)
    used: dict[str, str] = {}
    for name, source in inventory.testbed.sources.items():
        for photon in PHOTONS:
            words: tuple[str, ...] = getattr(source, photon)
            for number, word in enumerate(words):
                if word in used:
                    again = f"{show_value(word)} stands in {used[word]} already"
                    yield Fault(("sources", name, photon, number), again)
                used[word] = f"the {photon} of {name}"
            yield from _wrong_path(inventory, ("sources", name, photon), words, source.node)


def _ambiguous_names(inventory: Inventory) -> Iterator[Fault]:
    """Light paths name things of several sections, so no two of those may share a name."""
    taken: dict[str, str] = {}
    for section in PATH_SECTIONS:
        for name in inventory.declared[section]:
            if name in taken:
                other = f"{taken[name]}.{name}"
                yield Fault(
                    (section, name), f"{show_value(name)} is the name of {other} already", at_key=True
                )
            taken.setdefault(name, section)


def _wrong_path(inventory: Inventory, path: Path, words: Sequence[str], node: str) -> Iterator[Fault]:
    """What is wrong along one light path that begins at a node."""
    here: str | None = node
    for number, word in enumerate(words):
        at: Path = (*path, number)
        if wrong := _wrong_stage(inventory, word):
            yield Fault(at, wrong)
        if wrong or not _declared_well(inventory, word):
            here = None  # where the light is now nobody knows; do not guess further
            continue
        stage = _stage(inventory.testbed, word)
        start, end = _nodes(inventory.testbed, stage)
        if here is not None and start != here:
            yield Fault(at, f"{show_value(word)} begins at {start}, the light is at {here} there")
        here = end
        last = number == len(words) - 1
        if last and not stage.is_end:
            ends = [*inventory.declared["analysers"], *_inputs(inventory)]
            yield Fault(at, f"the light ends at {show_value(word)}; allowed at the end: {', '.join(ends)}")
        if stage.is_end and not last:
            yield Fault(at, f"{show_value(word)} ends a light path; nothing can stand behind it")


def _inputs(inventory: Inventory) -> list[str]:
    return [f"{name}.{port}" for name in inventory.declared["bell_state_measurements"] for port in BSM_INPUTS]


def _wrong_stage(inventory: Inventory, word: str) -> str | None:
    """What is wrong with a word in a light path, whatever is around it."""
    declared = inventory.declared
    inputs = _inputs(inventory)
    if word in inputs or word in declared["fibres"] or word in declared["analysers"]:
        return None
    if word.partition(".")[0] in declared["bell_state_measurements"]:
        return f"{show_value(word)} is no input of a Bell-state measurement; {choices(word, inputs)}"
    if word in declared["instruments"]:
        return inventory.wrong_instrument(word, PolarizationController)
    controllers = [n for n, d in inventory.drivers.items() if isinstance(d, PolarizationController)]
    allowed = [*declared["fibres"], *controllers, *declared["analysers"], *inputs]
    near = nearest(word, allowed)
    what = "a fibre, a polarization controller, an analyser or an input of a Bell-state measurement"
    return f"{show_value(word)} is nothing that light passes; allowed: {what}" + (
        f"; did you mean '{near}'?" if near else ""
    )


def _declared_well(inventory: Inventory, word: str) -> bool:
    """Whether the thing named is free of errors itself, so that it can be looked at."""
    testbed = inventory.testbed
    name = word.partition(".")[0]
    return (
        word in testbed.fibres
        or word in testbed.analysers
        or name in testbed.bell_state_measurements
        or (word in testbed.instruments and word in inventory.drivers)
    )


def _nodes(testbed: Testbed, stage: Stage) -> tuple[str, str]:
    """Where light goes into a stage and where it comes out."""
    match stage.kind:
        case "fibre":
            return testbed.fibres[stage.name].from_node, testbed.fibres[stage.name].to_node
        case "analyser":
            node = testbed.analysers[stage.name].node
        case "bell_state_measurement":
            node = testbed.bell_state_measurements[stage.name].node
        case _:
            node = testbed.instruments[stage.name].node
    return node, node
