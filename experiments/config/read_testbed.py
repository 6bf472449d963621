"""A testbed document to its model and to unopened drivers: settings by each driver's model, and whether all
that stands there fits together. Whatever is wrong is found, with its place; what is free of errors is there
all the same, so that an experiment can be checked against it.
"""

from collections.abc import Collection, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from drivers.capabilities import Instrument, Settings
from drivers.catalog import models
from drivers.errors import InstrumentError
from experiments.config.crosscheck import wrong_address, wrong_testbed
from experiments.config.inventory import Inventory, construct, driver_of, nowhere
from experiments.config.loader import Document
from experiments.config.problems import Path, Problem, choices, show_value
from experiments.config.simulation import Simulation
from experiments.config.testbed import Testbed
from experiments.config.validate import valid, validate

_ITEMS: dict[str, type[BaseModel]] = {
    name: get_args(field.annotation)[1]
    for name, field in Testbed.model_fields.items()
    if get_origin(field.annotation) is dict
}
"""The model of one thing in each section of a testbed."""


def read_testbed(document: Document) -> tuple[Testbed | None, Inventory, list[Problem]]:
    """The testbed, None where it has errors; what of it is free of them; and everything that is wrong."""
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


def _draft(data: Mapping[str, object]) -> Testbed:
    """What is free of errors in a testbed that is not, so that the rest can be checked all the same."""

    sections: dict[str, Any] = {}
    for section, model in _ITEMS.items():
        items = data.get(section)
        found = {name: valid(model, item) for name, item in items.items()} if isinstance(items, dict) else {}
        sections[section] = {name: item for name, item in found.items() if item is not None}
    order = data.get("safe_order")
    return Testbed.model_construct(
        testbed="draft",
        safe_order=tuple(order) if isinstance(order, list) and all(isinstance(n, str) for n in order) else (),
        simulation=valid(Simulation, data.get("simulation")),
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
