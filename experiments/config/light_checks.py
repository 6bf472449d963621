"""What is wrong with the light paths of a testbed.

A path is well formed when each stage stands where the light is, when it ends where light can end, and when
nothing stands in the paths of photons twice. A laser's beam may share what it passes with photons and with
other beams: it is light of another colour or of another moment.
"""

from collections.abc import Iterator

from drivers.capabilities import OpticalSwitch
from drivers.catalog import capability_of
from experiments.config.inventory import SECTION_WORDS, Inventory
from experiments.config.lightpaths import (
    BSM_INPUTS,
    SECTIONS,
    Stage,
    StageKind,
    Stretch,
    kind_of,
    lights,
    outputs,
    outputs_of,
    stage,
)
from experiments.config.problems import Fault, Path, choices, nearest, one, show_value
from experiments.config.testbed import Testbed

NAMED = ("instruments", "clocks", "sources", "beams", "emitters", *SECTIONS)
"""Sections of which no two may share a name: light paths, tags and the bench know things by their names."""
WHAT_LIGHT_MEETS = (
    "a fibre, wave plate, filter, splitter, analyser or detector, an input of a switch or of a Bell-state "
    "measurement, or an instrument that light passes"
)


def wrong_light_paths(inventory: Inventory) -> Iterator[Fault]:
    """What is wrong with the light paths of a testbed, each with its path in the testbed file."""
    if any(section not in inventory.declared for section in NAMED):
        return  # a section that cannot be read might have named anything
    yield from _ambiguous_names(inventory)
    yield from _switches(inventory)
    testbed = inventory.testbed
    for stretch in [*lights(testbed), *outputs(testbed)]:
        yield from _wrong_path(inventory, stretch)
    yield from _twice(testbed)


def _ambiguous_names(inventory: Inventory) -> Iterator[Fault]:
    taken: dict[str, str] = {}
    for section in NAMED:
        for name in inventory.declared[section]:
            if name in taken:
                other = f"{taken[name]}.{name}"
                yield Fault(
                    (section, name), f"{show_value(name)} is the name of {other} already", at_key=True
                )
            taken.setdefault(name, section)


def _switches(inventory: Inventory) -> Iterator[Fault]:
    for name, switch in inventory.testbed.switches.items():
        path: Path = ("switches", name)
        if wrong := inventory.wrong_instrument(name, OpticalSwitch):
            yield Fault(path, wrong, at_key=True)
            continue
        driver = inventory.drivers.get(name)
        for number in switch.outputs:
            if isinstance(driver, OpticalSwitch) and number not in driver.outputs:
                missing = f"{name} has no output {number}; {choices(str(number), map(str, driver.outputs))}"
                yield Fault((*path, "outputs", str(number)), missing, at_key=True)


def _twice(testbed: Testbed) -> Iterator[Fault]:
    """What stands in two paths of photons, or where light of any kind goes round for ever."""
    known: dict[Path, Stretch] = {s.place: s for s in lights(testbed) if s.place[0] != "beams"}
    waiting = list(known.values())
    used: dict[str, str] = {}
    while waiting:
        stretch = waiting.pop(0)
        for number, word in enumerate(stretch.words):
            if word in used:
                again = f"{show_value(word)} stands in {used[word]} already"
                yield Fault((*stretch.place, number), again)
            used[word] = stretch.title
            behind = outputs_of(testbed, here) if (here := _branching(testbed, word)) else {}
            fresh = {s.place: s for s in behind.values() if s.place not in known}
            known |= fresh
            waiting += fresh.values()
    for stretch in lights(testbed):
        if stretch.place not in known:
            yield from _round(testbed, stretch, ())


def _round(testbed: Testbed, stretch: Stretch, behind: tuple[str, ...]) -> Iterator[Fault]:
    """Where a beam comes to a thing a second time, whatever switches are set to."""
    for number, word in enumerate(stretch.words):
        if word in (*behind, *stretch.words[:number]):
            yield Fault((*stretch.place, number), f"light comes to {show_value(word)} a second time here")
            return
        here = _branching(testbed, word)
        if here is not None and here.kind == "splitter":
            for branch in outputs_of(testbed, here).values():
                yield from _round(testbed, branch, (*behind, *stretch.words[: number + 1]))


def _branching(testbed: Testbed, word: str) -> Stage | None:
    """A branching by its word; other things, and those with errors, do not matter here."""
    name, _, port = word.partition(".")
    if name in testbed.splitters:
        return Stage("splitter", name, port)
    return Stage("switch", name, port) if name in testbed.switches else None


def _wrong_path(inventory: Inventory, stretch: Stretch) -> Iterator[Fault]:
    """What is wrong along one light path."""
    here = _start(inventory, stretch)
    for number, word in enumerate(stretch.words):
        at: Path = (*stretch.place, number)
        if wrong := _wrong_word(inventory, word):
            yield Fault(at, wrong)
        stage_here = None if wrong else _declared_well(inventory, word)
        if stage_here is None:
            here = None  # where the light is now nobody knows; do not guess further
            continue
        begin, end = _nodes(inventory.testbed, stage_here)
        if here is not None and begin is not None and begin != here:
            yield Fault(at, f"{show_value(word)} begins at {begin}, the light is at {here} there")
        here = end
        last = number == len(stretch.words) - 1
        closes = stage_here.is_end or stage_here.is_branching
        if last and not closes:
            allowed = ", ".join(_ends(inventory))
            yield Fault(at, f"the light ends at {show_value(word)}; allowed at the end: {allowed}")
        if closes and not last:
            why = (
                "divides the light; what stands behind it belongs to its outputs"
                if stage_here.is_branching
                else "ends a light path; nothing can stand behind it"
            )
            yield Fault(at, f"{show_value(word)} {why}")


def _start(inventory: Inventory, stretch: Stretch) -> str | None:
    """The node where a light path begins, if that is known."""
    section, name = stretch.place[0], str(stretch.place[1])
    testbed = inventory.testbed
    if section == "beams":
        name, things = testbed.beams[name].laser, testbed.instruments
    elif section == "switches":
        things = testbed.instruments
    else:
        things = getattr(testbed, str(section))
    return things[name].node if name in things else None


def _inputs(inventory: Inventory) -> list[str]:
    """Inputs of Bell-state measurements."""
    return [f"{name}.{port}" for name in inventory.declared["bell_state_measurements"] for port in BSM_INPUTS]


def _switch_inputs(inventory: Inventory) -> list[str]:
    return [
        f"{name}.{number}"
        for name, driver in inventory.drivers.items()
        if isinstance(driver, OpticalSwitch)
        for number in driver.inputs
    ]


def _passed(inventory: Inventory, *, ends: bool) -> list[str]:
    """Instruments that light passes, or at which it ends, but for switches."""
    found = {name: _kind(inventory, name) for name in inventory.drivers}
    kinds = {name: Stage(kind, name) for name, kind in found.items() if kind and kind != "switch"}
    return [name for name, thing in kinds.items() if thing.is_end == ends]


def _ends(inventory: Inventory) -> list[str]:
    """All at which a path may end or divide, but detectors, which are many, and seldom named there."""
    return [
        *inventory.declared["analysers"],
        *_inputs(inventory),
        *inventory.declared["splitters"],
        *_switch_inputs(inventory),
        *_passed(inventory, ends=True),
        "or a detector",
    ]


def _kind(inventory: Inventory, name: str) -> StageKind | None:
    return kind_of(type(inventory.drivers[name])) if name in inventory.drivers else None


def _wrong_word(inventory: Inventory, word: str) -> str | None:
    """What is wrong with a word in a light path, whatever is around it."""
    declared = inventory.declared
    name, dot, _ = word.partition(".")
    if name in declared["bell_state_measurements"]:
        inputs = _inputs(inventory)
        if word in inputs:
            return None
        return f"{show_value(word)} is no input of a Bell-state measurement; {choices(word, inputs)}"
    if name in declared["instruments"]:
        return _wrong_instrument(inventory, word)
    if not dot and any(word in declared[section] for section in SECTIONS):
        return None
    allowed = [
        *(
            other
            for section in SECTIONS
            if section != "bell_state_measurements"
            for other in declared[section]
        ),
        *_passed(inventory, ends=False),
        *_passed(inventory, ends=True),
        *_inputs(inventory),
        *_switch_inputs(inventory),
    ]
    near = nearest(word, allowed)
    what = f"{show_value(word)} is nothing that light meets; allowed: {WHAT_LIGHT_MEETS}"
    return f"{what}; did you mean '{near}'?" if near else what


def _wrong_instrument(inventory: Inventory, word: str) -> str | None:
    """What is wrong with an instrument in a light path."""
    name, dot, _ = word.partition(".")
    if name not in inventory.drivers:
        return None  # it has an error of its own
    driver = inventory.drivers[name]
    if isinstance(driver, OpticalSwitch):
        inputs = [f"{name}.{number}" for number in driver.inputs]
        if word not in inputs:
            return f"{show_value(word)} is no input of a switch; {choices(word, inputs)}"
        if name not in inventory.declared.get("switches", (name,)):
            return f"{name} has no section in switches; it is needed to say where its outputs lead"
        return None
    passed = [*_passed(inventory, ends=False), *_switch_inputs(inventory), *_passed(inventory, ends=True)]
    if dot or kind_of(type(driver)) is None:
        what = f"{show_value(word)} is {one(capability_of(type(driver)))}, which light does not meet"
        return f"{what}; {_standing_in(inventory, name) or choices(word, passed)}"
    return None


def _standing_in(inventory: Inventory, mount: str) -> str:
    """The wave plate that stands in a mount, which may have been meant."""
    meant = [name for name, plate in inventory.testbed.wave_plates.items() if plate.mount == mount]
    return f"did you mean {meant[0]!r}, the {SECTION_WORDS['wave_plates']} in it?" if meant else ""


def _declared_well(inventory: Inventory, word: str) -> Stage | None:
    """The stage, when the thing named is free of errors itself, so that it can be looked at."""
    name = word.partition(".")[0]
    if name in inventory.testbed.instruments and name not in inventory.drivers:
        return None
    return stage(inventory.testbed, word)


def _nodes(testbed: Testbed, here: Stage) -> tuple[str | None, str | None]:
    """Where light goes into a stage and where it comes out; None where an error elsewhere hides it."""
    match here.kind:
        case "fibre":
            return testbed.fibres[here.name].from_node, testbed.fibres[here.name].to_node
        case "filter" | "splitter" | "analyser" | "bell_state_measurement":
            section = next(section for section, kind in SECTIONS.items() if kind == here.kind)
            node = getattr(testbed, section)[here.name].node
            return node, node
        case "wave_plate":
            instrument = testbed.wave_plates[here.name].mount
        case "detector":
            instrument = testbed.detectors[here.name].tagger.instrument
        case _:
            instrument = here.name
    entry = testbed.instruments.get(instrument)
    return (entry.node, entry.node) if entry else (None, None)
