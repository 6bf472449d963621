"""The gate: what every setter passes before a byte is sent, so that whoever is responsible can say no.

A capability marks its setters once, `@sets("power", energises=True)`, with the name of the control that each
of them sets. Whatever class then carries out such a setter, a driver of ours or one from another package, has
it stand behind `instrument.gate`: there is nothing to be remembered in a driver, and no way around it but a
method that is not marked. It guarantees that **switching off and going to zero is never refused**: a control
that energises is asked about only when it is to become more than nothing. `make_safe()` passes no gate.

Outside of a run the gate is open. A run sets its own (`experiments.engine.run_gate`), and so does the safe
state, which lets a bias go down only.
"""

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from drivers.capabilities.instrument import Instrument

F = TypeVar("F", bound=Callable[..., Any])
_MARK, _GATED = "__sets__", "__gated__"


class Gate(Protocol):
    """Whoever is asked before something is set."""

    def check(self, instrument: "Instrument", control: str, value: float | bool, *, energises: bool) -> None:
        """Return when `control` of the instrument may become `value` (SI unit, or a flag) now.

        Raises RefusedError or LimitError, which names the remedy. Must not wait.
        """
        ...


class OpenGate:
    """Lets everything pass."""

    def check(self, instrument: "Instrument", control: str, value: float | bool, *, energises: bool) -> None:
        del instrument, control, value, energises


OPEN: Gate = OpenGate()


@dataclass(frozen=True)
class Setting:
    """What a setter sets: `control` is the name of a control, with `{}` for each argument that comes before
    the value (`bias.{}`: the channel). `energises` as in `Control`."""

    control: str
    energises: bool


def sets(control: str, *, energises: bool = False) -> Callable[[F], F]:
    """Mark a setter, whose last argument is the value. Marks are inherited by what overrides it."""

    def mark(setter: F) -> F:
        setattr(setter, _MARK, Setting(control, energises))
        return setter

    return mark


def settings_of(kind: type[Any]) -> dict[str, Setting]:
    """What the marked setters of a class set, by the setter's name."""
    return {
        name: setting
        for base in reversed(kind.__mro__)
        for name, member in vars(base).items()
        if (setting := getattr(member, _MARK, None)) is not None
    }


def passes_gate(kind: type[Any], control: str) -> bool:
    """Whether to set this control, such as `bias.2`, a class has to pass the gate."""
    return any(
        re.fullmatch(re.escape(setting.control).replace(r"\{\}", r"\d+"), control)
        for setting in settings_of(kind).values()
    )


def stand_behind_gate(kind: type[Any]) -> None:
    """Put every marked setter that a class carries out behind the gate of its instrument."""
    for name, setting in settings_of(kind).items():
        setter = getattr(kind, name)
        if not (getattr(setter, _GATED, False) or getattr(setter, "__isabstractmethod__", False)):
            setattr(kind, name, _gated(setter, setting))


def _gated(setter: Callable[..., Awaitable[None]], setting: Setting) -> Callable[..., Awaitable[None]]:
    parameters = inspect.signature(setter)

    @wraps(setter)
    async def gated(self: "Instrument", *args: Any, **kwargs: Any) -> None:
        *which, value = list(parameters.bind(self, *args, **kwargs).arguments.values())[1:]
        if value or not setting.energises:
            self.gate.check(self, setting.control.format(*which), value, energises=setting.energises)
        await setter(self, *args, **kwargs)

    setattr(gated, _GATED, True)
    setattr(gated, _MARK, setting)
    return gated
