"""The two entry points: an experiment file or a testbed file, read and checked as a whole.

Both open no instrument and raise `ConfigError` with everything that is wrong, in both files at once and at
every point of a sweep; what they return is free of errors. What cannot be read at all hides what depends on
it, never the rest.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from drivers.capabilities import Instrument, Settings
from drivers.catalog import models
from drivers.errors import InstrumentError
from experiments.config.compensation import Compensation
from experiments.config.crosscheck import wrong_address, wrong_testbed
from experiments.config.experiment import Experiment
from experiments.config.include import read_whole, without
from experiments.config.interlock_checks import wrong_interlocks, wrong_limits, wrong_set_points
from experiments.config.interlocks import Interlock, Limit
from experiments.config.inventory import Inventory, construct, driver_of, nowhere
from experiments.config.loader import Document
from experiments.config.overrides import Override, overridden, parted
from experiments.config.plan import STEPS, PlanStep, result_names
from experiments.config.problems import ConfigError, Fault, Path, Problem, choices, nearest, show_value
from experiments.config.settings import PairSettings, Sections, SwappingSettings
from experiments.config.simulation import Simulation
from experiments.config.sweep import KEY as SWEEP
from experiments.config.sweep import Point, Sweep, sweep_of
from experiments.config.testbed import Testbed
from experiments.config.validate import validate

M = TypeVar("M", bound=BaseModel)

_ITEMS: dict[str, type[BaseModel]] = {
    name: get_args(field.annotation)[1]
    for name, field in Testbed.model_fields.items()
    if get_origin(field.annotation) is dict
}
"""The model of one thing in each section of a testbed."""


@dataclass(frozen=True)
class LoadedTestbed:
    """A testbed without errors. `sources` is the text of each file read, by the name of the file; `resolved`
    the configuration with every default filled in, in SI units, as JSON has it. `overrides` are the values
    that were put over those of the files, by their paths, as they were written."""

    testbed: Testbed
    inventory: Inventory
    sources: Mapping[str, str]
    resolved: Mapping[str, Any]
    overrides: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class LoadedExperiment:
    """An experiment without errors and the testbed that it names; the rest as in `LoadedTestbed`.

    One with a sweep has `points`, an experiment for each of them, with its `point`.
    """

    experiment: Experiment
    testbed: Testbed
    inventory: Inventory
    sources: Mapping[str, str]
    resolved: Mapping[str, Any]
    overrides: Mapping[str, object] = field(default_factory=dict)
    point: Point | None = None
    points: tuple["LoadedExperiment", ...] = ()

    @property
    def about(self) -> dict[str, object]:
        """What run.json says of how this came about: what was changed on the command line, and the sweep."""
        about: dict[str, object] = {"overrides": dict(self.overrides)} if self.overrides else {}
        return {**about, "sweep": self.point.to_json()} if self.point else about


def load(
    path: str | FilePath, overrides: Sequence[Override] = (), sweep: Sweep | None = None
) -> LoadedExperiment | LoadedTestbed:
    """Read either kind of file; its key `experiment` or `testbed` says which. Raises ConfigError."""
    document = read_whole(FilePath(path))
    if "experiment" in document.data:
        return _experiment(document, overrides, sweep)
    if "testbed" in document.data:
        if sweep is not None:
            raise ConfigError(
                [o.problem("a sweep is one of experiments; this is a testbed") for o in sweep.firsts]
            )
        return _testbed(document, overrides)
    near = next((word for key in document.data if (word := nearest(key, ["experiment", "testbed"]))), None)
    message = "neither an experiment nor a testbed; the file begins with experiment: NAME or testbed: NAME"
    raise ConfigError(
        [*document.problems, document.at_value((), f"{message}; did you mean '{near}'?" if near else message)]
    )


def load_experiment(
    path: str | FilePath, overrides: Sequence[Override] = (), sweep: Sweep | None = None
) -> LoadedExperiment:
    """Read an experiment file and its testbed file. `sweep` holds instead of the file's own. Raises
    ConfigError."""
    return _experiment(read_whole(FilePath(path)), overrides, sweep)


def load_testbed(path: str | FilePath, overrides: Sequence[Override] = ()) -> LoadedTestbed:
    """Read a testbed file. Raises ConfigError."""
    return _testbed(read_whole(FilePath(path)), overrides)


def _testbed(document: Document, overrides: Sequence[Override]) -> LoadedTestbed:
    document = overridden(document, overrides, Testbed)
    testbed, inventory, problems = _read_testbed(document)
    if testbed is None or problems:
        raise ConfigError(problems)
    resolved = {"testbed": testbed.model_dump(mode="json")}
    return LoadedTestbed(testbed, inventory, document.sources, resolved, _values(overrides))


def _values(overrides: Sequence[Override]) -> dict[str, object]:
    return {override.path: override.value for override in overrides}


def _experiment(document: Document, overrides: Sequence[Override], sweep: Sweep | None) -> LoadedExperiment:
    own, below = parted(overrides)
    document = overridden(document, own, Experiment)
    grounds = _Grounds()
    problems: list[Problem] = []
    if sweep is None:
        try:
            sweep = sweep_of(document)
        except ConfigError as error:
            problems += error.problems
    document = without(document, SWEEP)
    try:
        base = replace(_checked(document, below, grounds), overrides=_values(overrides))
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from error
    points: list[LoadedExperiment] = []
    for point, chosen in sweep.points() if sweep else ():
        own, inner = parted(chosen)
        try:
            swept = _checked(overridden(document, own, Experiment), [*below, *inner], grounds)
        except ConfigError as error:
            problems += error.problems
        else:
            points.append(replace(swept, overrides=base.overrides, point=point))
    if problems:
        raise ConfigError(problems)
    return replace(base, points=tuple(points))


@dataclass(frozen=True)
class _Ground:
    """What was found in a testbed file."""

    document: Document
    testbed: Testbed | None
    inventory: Inventory
    problems: Sequence[Problem]
    resolved: Mapping[str, Any]


class _Grounds:
    """The testbeds of one experiment: one, unless a sweep has several. Each is read once."""

    def __init__(self) -> None:
        self._found: dict[str, _Ground] = {}

    def get(self, path: FilePath, overrides: Sequence[Override]) -> _Ground:
        """Raises ConfigError when the file cannot be read at all, or an override leads nowhere."""
        key = repr((path, [(override.words, override.value) for override in overrides]))
        if key not in self._found:
            document = overridden(read_whole(path), overrides, Testbed)
            testbed, inventory, problems = _read_testbed(document)
            resolved = testbed.model_dump(mode="json") if testbed and not problems else {}
            self._found[key] = _Ground(document, testbed, inventory, problems, resolved)
        return self._found[key]


def _checked(document: Document, below: Sequence[Override], grounds: _Grounds) -> LoadedExperiment:
    """One experiment and its testbed, with `below` put over the testbed's values. Raises ConfigError."""
    problems = list(document.problems)
    name = document.data.get("testbed")
    ground = None
    if isinstance(name, str) and name:
        place = document.values.get(("testbed",))
        # On a command line, a file is meant from where one stands.
        beside = FilePath(place.file).parent if place and place.line else FilePath()
        try:
            ground = grounds.get(beside / name, below)
        except ConfigError as error:
            unreadable = any("cannot be read" in p.message for p in error.problems)
            problems += [document.at_value(("testbed",), str(error))] if unreadable else error.problems
        else:
            problems += ground.problems
    experiment, found = _read_experiment(document, ground.inventory if ground else None)
    problems += found
    if experiment is None or ground is None or ground.testbed is None or problems:
        raise ConfigError(problems)
    return LoadedExperiment(
        experiment,
        ground.testbed,
        ground.inventory,
        {**document.sources, **ground.document.sources},
        {"experiment": experiment.model_dump(mode="json"), "testbed": ground.resolved},
    )


def _read_experiment(
    document: Document, inventory: Inventory | None
) -> tuple[Experiment | None, list[Problem]]:
    steps, problems = _steps(document)
    data = dict(document.data)
    if isinstance(data.get("plan"), list) and data["plan"]:
        # The steps are read above; a stand-in keeps the other checks going when one of them is wrong.
        data["plan"] = tuple(steps.values()) or (PlanStep(),)
    experiment, found = validate(Experiment, data, document)
    problems += found
    if inventory is not None:
        sections, faults = _sections(data, inventory)
        problems += [document.problem(fault) for fault in faults]
        for number, step in steps.items():
            start: Path = ("plan", number, step.kind)
            problems += [document.problem(fault, start) for fault in step.faults(inventory, sections)]
        problems += [document.problem(fault) for fault in _safety(data, steps, inventory)]
    done: set[str] = set()
    policies = data.get("calibrations")
    earlier = set(policies) if isinstance(policies, dict) else set()
    known = [calibration for kind in STEPS.values() for calibration in kind.makes]
    for name in earlier.difference(known):
        message = f"{show_value(name)} is no calibration that a step makes; {choices(name, known)}"
        problems.append(document.at_key(("calibrations", name), message))
    for number, step in steps.items():
        for kind in step.needs:
            if kind not in done and not earlier.intersection(STEPS[kind].makes):
                message = f"{step.kind} needs a step {kind} before it"
                if STEPS[kind].makes:
                    message += f", or calibrations: {{{STEPS[kind].makes[0]}: {{valid_for: 1 h}}}}"
                problems.append(document.at_key(("plan", number, step.kind), message))
        done.add(step.kind)
    plan = document.data.get("plan")
    if isinstance(plan, list) and len(steps) == len(plan):
        known = result_names(steps.values())
        for section in ("published", "accept"):
            named = data.get(section)
            for name in named if isinstance(named, dict) else ():
                if name not in known:
                    message = f"{show_value(name)} is no result of this plan; {choices(name, known)}"
                    problems.append(document.at_key((section, name), message))
    return experiment, problems


def _sections(data: Mapping[str, object], inventory: Inventory) -> tuple[Sections, list[Fault]]:
    """What steps measure with, as far as it is free of errors, and what of it does not fit the testbed."""
    settings = _item(SwappingSettings, data.get("settings"))
    pairs = _items(PairSettings, data.get("pairs"))
    links = _items(Compensation, data.get("compensation"))
    declared: dict[str, Collection[str]] = {
        section: list(named) if isinstance(named := data.get(section), dict) else []
        for section in ("pairs", "compensation")
    }
    if data.get("settings") is not None:
        declared["settings"] = ()
    faults = [] if settings is None else _below(("settings",), settings.faults(inventory))
    for name, pair in pairs.items():
        faults += _below(("pairs", name), pair.faults(inventory))
    for name, link in links.items():
        faults += _below(("compensation", name), link.faults(inventory, declared["pairs"]))
    return Sections(settings, pairs, links, declared), faults


def _safety(
    data: Mapping[str, object], steps: Mapping[int, PlanStep], inventory: Inventory
) -> Iterator[Fault]:
    """What is wrong with the interlocks and limits of an experiment, and with set-points by any limit."""
    interlocks, limits = _items(Interlock, data.get("interlocks")), _items(Limit, data.get("limits"))
    yield from wrong_interlocks(inventory, interlocks)
    for name in interlocks:
        if name in inventory.testbed.interlocks:
            taken = f"{show_value(name)} is an interlock of the testbed already; choose another name"
            yield Fault(("interlocks", name), taken, at_key=True)
    yield from wrong_limits(inventory, limits)
    for number, step in steps.items():
        points = step.set_points(inventory)
        yield from _below(("plan", number, step.kind), wrong_set_points(points, inventory, limits))


def _items(model: type[M], data: object) -> dict[str, M]:
    """What is free of errors in a section."""
    found = {name: _item(model, item) for name, item in data.items()} if isinstance(data, dict) else {}
    return {name: item for name, item in found.items() if item is not None}


def _below(start: Path, faults: Iterable[Fault]) -> list[Fault]:
    return [fault._replace(path=(*start, *fault.path)) for fault in faults]


def _steps(document: Document) -> tuple[dict[int, PlanStep], list[Problem]]:
    """The steps of the plan by their number, as far as they are free of errors."""
    plan = document.data.get("plan")
    steps: dict[int, PlanStep] = {}
    problems: list[Problem] = []
    for number, item in enumerate(plan if isinstance(plan, list) else []):
        at: Path = ("plan", number)
        kind: str
        parameters: object
        if isinstance(item, str):
            kind, parameters = item, None
        elif isinstance(item, dict) and len(item) == 1:
            kind, parameters = next(iter(item.items()))
        else:
            message = f"{show_value(item)} is no step; a step is a word, or a word with its parameters like"
            problems.append(document.at_value(at, f"{message} - wait: {{duration: 5 s}}"))
            continue
        if kind not in STEPS:
            message = f"unknown step {show_value(kind)}; {choices(kind, STEPS)}"
            problems.append(document.at_value(at, message))
            continue
        step, found = validate(STEPS[kind], {} if parameters is None else parameters, document, (*at, kind))
        problems += found
        if step is not None:
            steps[number] = step
    return steps, problems


def _read_testbed(document: Document) -> tuple[Testbed | None, Inventory, list[Problem]]:
    data, without_settings, problems = _with_settings(document)
    testbed, found = validate(Testbed, data, document)
    problems = [*document.problems, *problems, *found]
    draft = testbed or _draft(data)
    drivers: dict[str, Instrument] = {}
    for name, entry in draft.instruments.items():
        if name in without_settings:
            continue
        at: Path = ("instruments", name, "address")
        wrong = wrong_address(entry)
        try:
            drivers[name] = construct(name, entry, nowhere(driver_of(entry.model)) if wrong else None)
        except (ValueError, InstrumentError) as error:
            problems.append(document.at_value(at, str(error)))
        if wrong:
            problems.append(document.at_value(at, wrong))
    inventory = Inventory(draft, drivers, _declared(document.data))
    problems += [document.problem(fault) for fault in wrong_testbed(inventory)]
    return testbed, inventory, problems


def _with_settings(document: Document) -> tuple[dict[str, object], set[str], list[Problem]]:
    """The data with each instrument's settings as its driver's model; the names of the instruments for
    which that failed, and why."""
    entries = document.data.get("instruments")
    if not isinstance(entries, dict):
        return document.data, set(), []
    problems: list[Problem] = []
    failed: set[str] = set()
    ready: dict[str, object] = {}
    known = models()
    for name, entry in entries.items():
        model = entry.get("model") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(model, str):
            ready[name] = entry
            failed.add(name)
            continue
        settings, found = _settings(document, ("instruments", name), model, known, entry.get("settings"))
        ready[name] = {**entry, "settings": settings or Settings()}
        if settings is None:
            failed.add(name)
        problems += found
    return {**document.data, "instruments": ready}, failed, problems


def _settings(
    document: Document, at: Path, model: str, known: Collection[str], data: object
) -> tuple[Settings | None, list[Problem]]:
    if model not in known:
        message = f"unknown model {show_value(model)}; {choices(model, known)}"
        return None, [document.at_value((*at, "model"), message)]
    try:
        driver = driver_of(model)
    except (ImportError, AttributeError, ValueError) as error:
        return None, [document.at_value((*at, "model"), f"the driver of {model} cannot be loaded: {error}")]
    return validate(driver.settings_model, {} if data is None else data, document, (*at, "settings"))


def _item(model: type[M], data: object) -> M | None:
    """The model, or None when the data have errors (reported elsewhere)."""
    try:
        return model.model_validate(data)
    except ValidationError:
        return None


def _draft(data: Mapping[str, object]) -> Testbed:
    """What is free of errors in a testbed that is not, so that the rest can be checked all the same."""

    sections: dict[str, Any] = {}
    for section, model in _ITEMS.items():
        items = data.get(section)
        found = {name: _item(model, item) for name, item in items.items()} if isinstance(items, dict) else {}
        sections[section] = {name: item for name, item in found.items() if item is not None}
    order = data.get("safe_order")
    return Testbed.model_construct(
        testbed="draft",
        safe_order=tuple(order) if isinstance(order, list) and all(isinstance(n, str) for n in order) else (),
        simulation=_item(Simulation, data.get("simulation")),
        **sections,
    )


def _declared(data: Mapping[str, object]) -> dict[str, list[str]]:
    """The names in each section of the file, whether or not they are free of errors; a section that is
    not a mapping, and so might have meant any name, is left out."""
    sections: dict[str, object] = {section: data.get(section, {}) for section in _ITEMS}
    if "simulation" in data:
        truth = data["simulation"]
        sections["simulation"] = truth
        if isinstance(truth, dict):
            sections |= {
                f"simulation.{section}": truth.get(section, {}) for section in Simulation.model_fields
            }
    return {section: list(items) for section, items in sections.items() if isinstance(items, dict)}
