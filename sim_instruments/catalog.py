"""The catalogue of simulators: from the model's name, the same as its driver's, to the simulator's class.

Simulators announce themselves by the entry point group `bellbench.simulators`, ours in `pyproject.toml`,
others' in their own packages. Listing imports none; finding a model imports that simulator alone.
"""

import importlib.metadata
from functools import cache
from importlib.metadata import EntryPoints

from sim_instruments.instrument import SimInstrument

GROUP = "bellbench.simulators"


@cache  # to look through all installed packages takes some 20 ms, and they stay what they are
def announced() -> EntryPoints:
    """The entry points of all simulators."""
    return importlib.metadata.entry_points(group=GROUP)


def models() -> tuple[str, ...]:
    """The names of all models that can stand on the simulated bench, sorted."""
    return tuple(sorted({point.name for point in announced()}))


def find(model: str) -> type[SimInstrument]:
    """The simulator class of a model. KeyError when there is none, ImportError when its module cannot be
    imported, TypeError when what is announced is no simulator."""
    points = list(announced().select(name=model))
    if not points:
        raise KeyError(model)
    simulator = points[0].load()
    if not (isinstance(simulator, type) and issubclass(simulator, SimInstrument)):
        raise TypeError(f"what {points[0].value} announces as '{model}' is not a simulated instrument")
    return simulator
