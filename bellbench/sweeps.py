"""A sweep: one run after another, one for each point, each in a folder of its own, and a table at the end.

All points were checked before the first one runs. A run that fails does not end the sweep; one that was
stopped or aborted does, and so does one after which an instrument is not safe or the disk is full.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bellbench.exit_codes import ExitCode
from experiments.config.files import LoadedExperiment
from experiments.config.sweep import Point
from experiments.engine.outcome import Exit

if TYPE_CHECKING:
    from rich.table import Table

    from experiments.engine.run import RunReport

WORST_FIRST = (
    Exit.NOT_SAFE, Exit.STORAGE, Exit.ABORTED, Exit.INSTRUMENT, Exit.FAILED, Exit.OUTSIDE_ACCEPTANCE,
    Exit.DONE,
)  # fmt: skip
"""The exit code of a sweep is the first of these with which one of its runs ended."""
ENDS_THE_SWEEP = (Exit.NOT_SAFE, Exit.STORAGE, Exit.ABORTED)


@dataclass(frozen=True)
class PointReport:
    """How the run of one point went."""

    point: Point
    report: "RunReport"

    @property
    def figures(self) -> dict[str, Mapping[str, Any]]:
        """The figures that were measured, by name, each with `value` and `error`."""
        results = self.report.results or {}
        return {
            name: found
            for name, found in results.items()
            if isinstance(found, Mapping) and found.get("value") is not None and "error" in found
        }

    def to_json(self) -> dict[str, object]:
        ending = self.report.ending
        return {
            "point": self.point.number,
            "values": self.point.values,
            "folder": str(self.report.folder) if self.report.folder else None,
            "state": ending.state,
            "exit_code": int(ending.exit),
            "message": ending.message,
            "figures": self.figures,
        }


def carry_out_all(
    points: Iterable[LoadedExperiment], one: Callable[[LoadedExperiment], "RunReport"]
) -> list[PointReport]:
    """Run the points one after another, until one ends the sweep. They get an id in common."""
    sweep = f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}-{secrets.token_hex(2)}"
    done = []
    for loaded in points:
        assert loaded.point is not None
        point = replace(loaded.point, sweep=sweep)
        report = one(replace(loaded, point=point))
        done.append(PointReport(point, report))
        if report.ending.exit in ENDS_THE_SWEEP or report.ending.stopped:
            break
    return done


def worst(done: Sequence[PointReport]) -> ExitCode:
    """The exit code of the sweep."""
    return ExitCode(min((d.report.ending.exit for d in done), key=WORST_FIRST.index))


def sweep_table(done: Sequence[PointReport]) -> "Table":
    """A row for each point: its values, how it ended, and every figure that one of them has."""
    from rich.table import Table

    from bellbench.text import with_error

    swept = list(done[0].point.values)
    names = list(dict.fromkeys(name for d in done for name in d.figures))
    # The last word of a path is enough where no two are alike.
    short = [path.rpartition(".")[2] for path in swept]
    heads = swept if len(set(short)) < len(short) else short
    table = Table("", *heads, *names, "ended", title=f"{len(done)} of {done[0].point.of} points")
    for d in done:
        figures = d.figures
        shown = [with_error(figures[n]["value"], figures[n]["error"]) if n in figures else "-" for n in names]
        state = d.report.ending.state
        ended = str(state) if d.report.ending.exit is Exit.DONE else f"{state} ({int(d.report.ending.exit)})"
        table.add_row(str(d.point.number), *(str(d.point.values[path]) for path in swept), *shown, ended)
    return table
