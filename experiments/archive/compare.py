"""Two runs side by side: their figures with the difference in standard deviations, and how they were set."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import hypot
from typing import Any

from experiments.archive.stored import StoredRun
from experiments.estimators.estimate import Estimate


@dataclass(frozen=True)
class FigureDifference:
    """A figure of both runs; None where a run has none."""

    name: str
    one: Estimate | None
    other: Estimate | None

    @property
    def sigmas(self) -> float | None:
        """(other - one) over the error of the difference, for independent runs; None where it has none."""
        if self.one is None or self.other is None:
            return None
        error = hypot(self.one.error, self.other.error)
        return (self.other.value - self.one.value) / error if error > 0 else None


@dataclass(frozen=True)
class SettingDifference:
    """A value of the configuration that differs, by its path; None where a run has none."""

    path: str
    one: Any
    other: Any


def compare_figures(one: StoredRun, other: StoredRun) -> list[FigureDifference]:
    """All figures of results.json that either has, in the order of the first."""
    mine, theirs = dict(figures(one.results)), dict(figures(other.results))
    return [FigureDifference(name, mine.get(name), theirs.get(name)) for name in {**mine, **theirs}]


def compare_settings(one: StoredRun, other: StoredRun) -> list[SettingDifference]:
    """What differs in the configurations as run, and in seed and version."""
    mine, theirs = (dict(_leaves(_settings(run))) for run in (one, other))
    return [
        SettingDifference(path, mine.get(path), theirs.get(path))
        for path in {**mine, **theirs}
        if mine.get(path) != theirs.get(path)
    ]


def figures(results: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Estimate]]:
    """Every figure with an error in results, by its path such as `settings.ZZ.correlation.psi_minus`."""
    for name, part in results.items():
        if name == "published" or not isinstance(part, Mapping):
            continue
        value, error = part.get("value"), part.get("error")
        if isinstance(value, int | float) and isinstance(error, int | float):
            yield f"{path}{name}", Estimate(float(value), float(error))
        else:
            yield from figures(part, f"{path}{name}.")


def _settings(run: StoredRun) -> dict[str, Any]:
    git = run.environment.get("git")
    commit = git.get("commit") if isinstance(git, Mapping) else None
    return {
        **run.config,
        "run": {"seed": run.about.get("seed"), "bellbench": run.about.get("bellbench"), "commit": commit},
    }


def _leaves(data: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every single value with its path: `experiment.plan.2.measure_swapping.dwell`."""
    if isinstance(data, Mapping):
        items = [(str(name), part) for name, part in data.items()]
    elif isinstance(data, list):
        items = [(str(number), part) for number, part in enumerate(data)]
    else:
        yield path, data
        return
    for name, part in items:
        yield from _leaves(part, f"{path}.{name}" if path else name)
