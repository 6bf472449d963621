"""bellbench: run experiments on photonic quantum-network testbeds, real or simulated.

For programs and notebooks: `from bellbench import open_run` (docs/stored-runs.md), loaded when it is used.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from experiments.archive.stored import StoredRun, Tags, open_run

__all__ = ["StoredRun", "Tags", "open_run"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'bellbench' has no attribute {name!r}")
    from experiments.archive import stored

    return getattr(stored, name)
