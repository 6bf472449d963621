"""Whether the interlocks and limits of a file fit its testbed: names, units, and that something is left."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from drivers.capabilities import Control, Instrument
from drivers.gate import passes_gate
from drivers.units import format_si
from experiments.config.expressions import ExpressionError, Signal, UnitOf, in_unit
from experiments.config.interlocks import (
    ClearError,
    Interlock,
    Limit,
    bounds_of,
    condition_of,
    controls_of,
    limits_on,
    unit_in,
    without_channel,
)
from experiments.config.inventory import Inventory
from experiments.config.plan import SetPoint
from experiments.config.problems import Fault, Path, choices, show_value


def wrong_interlocks(inventory: Inventory, interlocks: Mapping[str, Interlock]) -> Iterator[Fault]:
    """What does not fit the testbed, or is no expression."""
    unit_of = unit_in(inventory.drivers, dict.fromkeys(inventory.declared.get("detectors", ())))
    for name, interlock in interlocks.items():
        at: Path = ("interlocks", name)
        try:
            condition_of(interlock, _excusing(inventory, unit_of))
        except _UnknownError:
            pass
        except ExpressionError as error:
            key = "clear" if isinstance(error, ClearError) else "when"
            yield Fault((*at, key), str(error), letter=error.at)
        if interlock.resume and interlock.action != "pause":
            paused = (
                f"resume: true belongs to action: pause; with {interlock.action} nothing is to be resumed"
            )
            yield Fault((*at, "resume"), paused)
        elif interlock.resume and interlock.latch:
            latched = "resume: true and latch: true contradict each other; a latched one waits for a person"
            yield Fault((*at, "resume"), latched)


def wrong_limits(inventory: Inventory, limits: Mapping[str, Limit]) -> Iterator[Fault]:
    """What does not fit the testbed, or allows nothing."""
    for name, limit in limits.items():
        instrument, _, setting = name.partition(".")
        if wrong := inventory.wrong_name("instruments", instrument):
            yield Fault(("limits", name), wrong, at_key=True)
            continue
        driver = inventory.drivers.get(instrument)
        if driver is None:
            continue  # its entry has an error of its own
        can = _limitable(driver)
        if setting not in can:
            wrong = f"{instrument} has no setting {show_value(setting)} with limits; {choices(setting, can)}"
            yield Fault(("limits", name), wrong, at_key=True)
            continue
        yield from _wrong_limit(name, limit, can[setting])


def wrong_set_points(
    points: Iterable[SetPoint], inventory: Inventory, limits: Mapping[str, Limit]
) -> Iterator[Fault]:
    """Set-points of a step that are outside these limits, or those of the testbed. Of those that the
    instrument itself cannot reach its step says so."""
    for point in points:
        if not point.allowed:
            continue
        driver = inventory.drivers[point.instrument]
        for held in (inventory.testbed.limits, limits):
            try:
                wrong = set_point_problem(held, driver, point.quantity, point.value)
            except ValueError:
                continue  # the limit has an error of its own
            if wrong:
                yield Fault((point.quantity, point.instrument), wrong)


def set_point_problem(
    limits: Mapping[str, Limit], driver: Instrument, setting: str, value: float
) -> str | None:
    """What is wrong with a set-point by these limits, or None. `setting` may leave the channel out."""
    for control in controls_of(driver).values():
        if setting not in (control.name, without_channel(control.name)) or control.write is None:
            continue
        for limit, bounds in limits_on(limits, driver.name, control.name, control.unit):
            if value not in bounds:
                return f"{format_si(value, bounds.unit)} is outside the limit {limit}; allowed: {bounds}"
    return None


class _UnknownError(Exception):
    """An instrument whose own entry has an error: nothing can be said."""


def _excusing(inventory: Inventory, unit_of: UnitOf) -> Callable[[Signal], str]:
    """The same, but an instrument that is declared and could not be made is no error of the expression."""

    def excusing(signal: Signal) -> str:
        name = signal.path.partition(".")[0]
        if name in inventory.declared.get("instruments", ()) and name not in inventory.drivers:
            raise _UnknownError
        return unit_of(signal)

    return excusing


def _limitable(driver: Instrument) -> dict[str, Control]:
    """The numbers of an instrument that the gate can hold to a limit, also by the name of all channels."""
    own = {
        name: control
        for name, control in controls_of(driver).items()
        if control.write and control.limits and passes_gate(type(driver), name)
    }
    return {without_channel(name): control for name, control in own.items()} | own


def _wrong_limit(name: str, limit: Limit, control: Control) -> Iterator[Fault]:
    if not (limit.above or limit.below):
        yield Fault(("limits", name), "allows everything; give above, below or both, with their units")
        return
    wrong = False
    for key, text in (("above", limit.above), ("below", limit.below)):
        try:
            if text:
                in_unit(text, control.unit)
        except ValueError as error:
            yield Fault(("limits", name, key), str(error))
            wrong = True
    if wrong:
        return
    bounds = bounds_of(limit, control.unit)
    assert control.limits is not None
    if bounds.low > bounds.high or bounds.low > control.limits.high or bounds.high < control.limits.low:
        own = f"the instrument itself allows {control.limits}"
        yield Fault(("limits", name), f"leaves nothing: {bounds}, and {own}")
