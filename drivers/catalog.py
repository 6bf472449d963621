"""The catalogue of instrument models: from the name in a testbed file to the driver's class.

Drivers announce themselves by the entry point group `bellbench.drivers`, ours in `pyproject.toml`,
others' in their own packages. Listing imports no driver; finding a model imports that driver alone.
"""

import importlib.metadata
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints

from drivers.capabilities import Instrument

GROUP = "bellbench.drivers"


def models() -> tuple[str, ...]:
    """The names of all known models, sorted."""
    return tuple(sorted(_announced()))


def find(model: str) -> type[Instrument]:
    """The driver class of a model.

    Raises ValueError with the nearest known name when there is none, or when what is announced under
    this name is not a driver; ImportError when its module cannot be imported.
    """
    announced = _announced()
    if model not in announced:
        near = get_close_matches(model, announced, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(sorted(announced))}"
        raise ValueError(f"'{model}' is not a known instrument model ({hint})")
    driver = announced[model].load()
    if not (isinstance(driver, type) and issubclass(driver, Instrument)):
        raise ValueError(f"what {announced[model].value} announces as '{model}' is not an instrument driver")
    return driver


def capabilities_of(driver: type[Instrument]) -> tuple[str, ...]:
    """What an instrument can do: the names of its capabilities, for example `("Laser",)`, the one that says
    what kind of instrument it is first; those that another of them includes are left out."""
    home = Instrument.__module__.rpartition(".")[0]
    kinds = [kind for kind in driver.__mro__ if kind.__module__.startswith(home + ".")]
    return tuple(
        kind.__name__
        for kind in kinds
        if not any(other is not kind and issubclass(other, kind) for other in kinds)
    )


def capability_of(driver: type[Instrument]) -> str:
    """What kind of instrument a driver is for: the name of its first capability, for example `Laser`."""
    return capabilities_of(driver)[0]


@cache  # to look through all installed packages takes some 20 ms, and they stay what they are
def entry_points(group: str) -> EntryPoints:
    return importlib.metadata.entry_points(group=group)


def _announced() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        # A checkout that is installed in place can announce itself twice, in the same words.
        if found.setdefault(point.name, point).value != point.value:
            raise ValueError(
                f"two drivers announce the model '{point.name}': {found[point.name].value} and {point.value}"
            )
    return found
