"""An experiment document to its model: the steps of the plan, the sections that they use, and whether all of
it fits together and fits the testbed. Whatever is wrong is found, with its place; one mistake does not hide
another.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from experiments.config.compensation import Compensation
from experiments.config.experiment import Experiment
from experiments.config.interlock_checks import wrong_interlocks, wrong_limits, wrong_set_points
from experiments.config.interlocks import Interlock, Limit
from experiments.config.inventory import Inventory
from experiments.config.loader import Document
from experiments.config.plan import STEPS, PlanStep, result_names
from experiments.config.problems import Fault, Path, Problem, choices, show_value
from experiments.config.settings import PairSettings, Sections, SwappingSettings
from experiments.config.validate import valid, valid_items, validate
from experiments.config.watchdogs import Watchdogs


def read_experiment(
    document: Document, inventory: Inventory | None
) -> tuple[Experiment | None, list[Problem]]:
    """The experiment, None where it has errors, and everything that is wrong with it but for what the
    document says of itself; `inventory` is what stands there, None where that is not known."""
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
        if (dogs := valid(Watchdogs, data.get("watchdogs"))) is not None:
            faults = _below(("watchdogs",), dogs.faults(inventory, sections, steps.values()))
            problems += [document.problem(fault) for fault in faults]
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
    settings = valid(SwappingSettings, data.get("settings"))
    pairs = valid_items(PairSettings, data.get("pairs"))
    links = valid_items(Compensation, data.get("compensation"))
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
    interlocks, limits = (
        valid_items(Interlock, data.get("interlocks")),
        valid_items(Limit, data.get("limits")),
    )
    yield from wrong_interlocks(inventory, interlocks)
    for name in interlocks:
        if name in inventory.testbed.interlocks:
            taken = f"{show_value(name)} is an interlock of the testbed already; choose another name"
            yield Fault(("interlocks", name), taken, at_key=True)
    yield from wrong_limits(inventory, limits)
    for number, step in steps.items():
        points = step.set_points(inventory)
        yield from _below(("plan", number, step.kind), wrong_set_points(points, inventory, limits))


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
