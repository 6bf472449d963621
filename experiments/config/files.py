"""The two entry points: an experiment file or a testbed file, read and checked as a whole.

Both open no instrument and raise `ConfigError` with everything that is wrong, in both files at once and at
every point of a sweep; what they return is free of errors. What cannot be read at all hides what depends on
it, never the rest.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Any

from experiments.config.experiment import Experiment
from experiments.config.include import read_whole, without
from experiments.config.inventory import Inventory
from experiments.config.loader import Document
from experiments.config.overrides import Override, overridden, parted
from experiments.config.problems import ConfigError, Problem, nearest
from experiments.config.read_experiment import read_experiment
from experiments.config.read_testbed import read_testbed
from experiments.config.sweep import KEY as SWEEP
from experiments.config.sweep import Point, Sweep, sweep_of
from experiments.config.testbed import Testbed


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


def beside_each_other(sources: Mapping[str, str]) -> dict[str, str]:
    """The same texts under names relative to the folder that all of them have in common, as they would stand
    in a copy of it: those that name one another find one another there."""
    whole = {FilePath(file).resolve(): text for file, text in sources.items()}
    common = os.path.commonpath([file.parent for file in whole]) if whole else ""
    return {str(file.relative_to(common)): text for file, text in whole.items()}


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
    testbed, inventory, problems = read_testbed(document)
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
            testbed, inventory, problems = read_testbed(document)
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
    experiment, found = read_experiment(document, ground.inventory if ground else None)
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
