"""What there is to know of an instrument model before one buys a cable for it, gathered from the code alone.

The driver's class says who makes it, where it can be, where the facts of its protocol are from and what of
them is in doubt. What it can be set to follows from its settings on the bench of one of each. How it was
tried follows from the tests of this checkout: those of the driver and of its simulator say in their first
paragraph what they hold them to, and whatever stands on that bench goes through the conformance suite.
`bellbench instruments` and `docs/instruments.md` show these facts; nothing about a model is written twice.
"""

import ast
import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from drivers.capabilities import Control, Instrument, Settings
from drivers.catalog import capabilities_of, find
from drivers.units import Quantity, format_si
from experiments.config.files import load_testbed
from experiments.config.inventory import nowhere
from sim_instruments.catalog import models as simulated

CHECKOUT = Path(__file__).parents[1]
ONE_OF_EACH = CHECKOUT / "configs/testbeds/one_of_each.yaml"
NOT_DECLARED = "not declared"


@dataclass(frozen=True)
class SettingFacts:
    """One thing that a testbed file may say of an instrument of this model."""

    name: str
    kind: str
    example: Any
    required: bool
    default: Any
    """As the file would have it, with its unit; None where it is required."""


@dataclass(frozen=True)
class ControlFacts:
    """One thing on its front panel. `name` may stand for several of a kind: `bias.1 to bias.4`."""

    name: str
    unit: str
    """SI unit or dB, 1 for a number of things, empty for a flag."""
    limits: tuple[float, float] | None
    """None for a flag, a reading, and where the instrument itself has to be asked."""
    step: float
    settable: bool
    energises: bool
    asked: bool
    """Whether its limits are known only when the instrument has been opened."""

    @property
    def values(self) -> str:
        """What it can be, in words: `0 W to 60 mW`, `on or off`, `in Hz, only to be read`."""
        unit = self.unit if self.unit != "1" else ""
        words = [f"in {unit}"] if unit else [] if self.unit else ["on or off"]
        if self.limits:
            words = [" to ".join(format_si(end, unit, 6) for end in self.limits)]
        if self.step:
            words[0] += f" in steps of {format_si(self.step, unit)}"
        words += ["as far as the instrument says"] if self.asked else []
        words += [] if self.settable else ["only to be read"]
        return ", ".join(words)


@dataclass(frozen=True)
class Trials:
    """How driver and simulator were tried, in the words of their tests; empty where there are none."""

    driver: str
    simulator: str
    conformance: bool
    """Whether the conformance suite, with all faults of the wire, runs over the driver and its simulator."""
    hardware: tuple[str, ...]
    """The real instruments that have passed `tests/hardware`."""


@dataclass(frozen=True)
class ModelFacts:
    """All of it, for one model."""

    model: str
    manufacturer: str
    capability: str
    """The first of `capabilities`."""
    capabilities: tuple[str, ...]
    address_schemes: tuple[str, ...]
    about: str
    """What the driver's class says of itself, among it the form of the address."""
    settings: tuple[SettingFacts, ...]
    controls: tuple[ControlFacts, ...] | None
    """With the settings of the bench of one of each; None for a driver that is not there and cannot do
    without settings."""
    tried: Trials
    protocol: str
    doubts: tuple[str, ...]


def facts_of(model: str) -> ModelFacts:
    """Raises ValueError for a model that nobody announces, ImportError when its driver cannot be imported."""
    driver = find(model)
    capabilities = capabilities_of(driver)
    return ModelFacts(
        model,
        driver.manufacturer,
        capabilities[0],
        capabilities,
        driver.schemes,
        inspect.getdoc(driver) or "",
        tuple(_setting(name, driver.settings_model) for name in driver.settings_model.model_fields),
        _controls(driver),
        Trials(
            _first_paragraph(f"tests/drivers/test_{model}.py", driver),
            _first_paragraph(f"tests/sim_instruments/test_sim_{model}.py", driver),
            model in _one_of_each() and model in simulated(),
            driver.tried_on,
        ),
        getattr(driver, "protocol", NOT_DECLARED),
        driver.doubts,
    )


@cache
def _one_of_each() -> Mapping[str, Instrument]:
    """The drivers on the bench of one of each, by model; none is opened."""
    loaded = load_testbed(ONE_OF_EACH)
    return {driver.model: driver for driver in loaded.inventory.drivers.values()}


def controls_of(instrument: Instrument) -> tuple[ControlFacts, ...]:
    """Its front panel, those controls as one that differ by their numbers alone. Opens nothing."""
    alike: dict[tuple[Any, ...], list[Control]] = {}
    for control in instrument.controls():
        stem, _, number = control.name.rpartition(".")
        kind = (stem if number.isdigit() else control.name, control.unit, control.limits, control.energises,
                control.write is None)  # fmt: skip
        alike.setdefault(kind, []).append(control)
    return tuple(map(_control, alike.values()))


def _controls(driver: type[Instrument]) -> tuple[ControlFacts, ...] | None:
    if driver.model in _one_of_each():
        return controls_of(_one_of_each()[driver.model])
    if any(field.is_required() for field in driver.settings_model.model_fields.values()):
        return None
    return controls_of(driver(driver.model, nowhere(driver), driver.settings_model()))


def _control(alike: Sequence[Control]) -> ControlFacts:
    first = alike[0]
    settable = first.write is not None
    limits = first.limits if settable else None
    known = limits is not None and math.isfinite(limits.low) and math.isfinite(limits.high)
    return ControlFacts(
        first.name if len(alike) == 1 else f"{first.name} to {alike[-1].name}",
        first.unit,
        (limits.low, limits.high) if limits is not None and known else None,
        limits.step if limits is not None else 0.0,
        settable,
        first.energises,
        limits is not None and not known,
    )


def _setting(name: str, settings: type[Settings]) -> SettingFacts:
    field = settings.model_fields[name]
    quantity = next((part for part in field.metadata if isinstance(part, Quantity)), None)
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    kind = quantity.name if quantity else _kind(field.annotation)
    example = quantity.example if quantity else next(iter(field.examples or ()), None)
    if quantity and default is not None:
        default = format_si(default, quantity.si_unit)
    return SettingFacts(field.alias or name, kind, example, field.is_required(), default)


def _kind(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(map(str, get_args(annotation)))
    return getattr(annotation, "__name__", str(annotation))


def _first_paragraph(file: str, driver: type[Instrument]) -> str:
    """Of a module's docstring, as one line; empty when there is no such file, as in an installation without
    tests, or when the driver is another package's."""
    path = CHECKOUT / file
    if not driver.__module__.startswith("drivers.") or not path.exists():
        return ""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return " ".join(text.partition("\n\n")[0].split())
