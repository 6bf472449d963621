"""What a run needs that goes on with an interrupted one: its experiment as it was run, its seed, its books.

The new run has a folder of its own, brings the bench up and calibrates anew, and measures what the books do
not have. A simulated bench gets another seed for its light: the same photons must not be counted twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from experiments.archive.finding import read_about
from experiments.archive.journal import read_journal
from experiments.archive.recovery import recover
from experiments.config.files import LoadedExperiment
from experiments.config.resolved import read_resolved
from experiments.engine.books import COUNTED, Books
from experiments.engine.outcome import State


class CannotGoOnError(Exception):
    """A run that nobody can go on with; the message says why and what to do instead."""


@dataclass(frozen=True)
class Continuation:
    """A run to go on with. `generation` is how many runs the new one stands on."""

    run: str
    loaded: LoadedExperiment
    seed: int
    books: Books
    generation: int
    about: Mapping[str, object]
    """What run.json of the new run shall say of the old one."""

    @property
    def light_seed(self) -> int:
        """The seed for the light of a simulated bench."""
        import numpy as np

        return int(np.random.SeedSequence([self.seed, self.generation]).generate_state(1)[0])


def continuation_of(folder: Path) -> Continuation:
    """What it takes to go on with the run in a folder. Raises CannotGoOnError."""
    recover([folder])
    about = read_about(folder)
    name, state = folder.name, about.get("state")
    if state == State.COMPLETED and not about.get("stopped"):
        raise CannotGoOnError(f"{name} is complete; there is nothing left to measure")
    if state not in {s.value for s in State if s.final}:
        raise CannotGoOnError(
            f"{name} is {state or 'in a state that cannot be read'}, and its process is not gone. Stop it "
            f"first: bellbench runs stop {name}"
        )
    try:
        text = (folder / "config.resolved.yaml").read_text()
        resolved = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        loaded = read_resolved(resolved, _sources(folder))
        seed, generation = int(about["seed"]), int(about.get("generation", 0)) + 1
        books = all_books(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise CannotGoOnError(f"the record of {name} does not tell what was run: {error}") from error
    kept = {key: about[key] for key in ("overrides", "sweep") if key in about}
    said = {"continues": name, "generation": generation, **kept}
    return Continuation(name, loaded, seed, books, generation, said)


def read_books(run: Path) -> Books:
    """What the run in a folder has counted, also what it took over from others. What is damaged is left out.
    Raises OSError when its journal cannot be read at all."""
    entries: dict[tuple[str, str | None], list[Mapping[str, Any]]] = {}
    for entry in read_journal(run).happened(COUNTED):
        step, label = entry.get("step"), entry.get("label")
        if isinstance(step, str) and isinstance(label, str | None):
            entries.setdefault((step, label), []).append(entry)
    return Books(run.name, entries)


def all_books(folder: Path) -> Books:
    """The books of a run and of those that it went on with: it takes over what they have counted for a step
    when that begins, which may never have come to pass. Raises CannotGoOnError when one of them is gone,
    OSError when a journal cannot be read at all."""
    books = read_books(folder)
    if (name := read_about(folder).get("continues")) is None:
        return books
    earlier = folder.parent / str(name)
    if not earlier.is_dir():
        raise CannotGoOnError(
            f"{folder.name} went on with {name}, which is not in {folder.parent}: what that run has counted "
            "would be lost. Put its folder back"
        )
    entries = {key: list(counted) for key, counted in all_books(earlier).entries.items()}
    for key, counted in books.entries.items():
        known = entries.setdefault(key, [])
        known += [entry for entry in counted if entry not in known]
    return Books(books.run, entries)


def _sources(folder: Path) -> dict[str, str]:
    files = sorted(path for path in (folder / "config.source").rglob("*") if path.is_file())
    return {str(path): path.read_text() for path in files}
