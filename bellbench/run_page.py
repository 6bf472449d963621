"""A stored run on a page of the terminal: what it was asked, did and found; and two of them side by side."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bellbench.text import duration, with_error

if TYPE_CHECKING:
    from experiments.archive.compare import FigureDifference, SettingDifference
    from experiments.archive.stored import StoredRun

SHOWN_EVENTS = 40
"""The latest events that a page shows; --json has all."""
MUCH_SIGMAS = 3.0
"""A difference beyond this is shown in red: one in 370 by chance."""
BAD = {"failed": "red", "aborted": "yellow", "interrupted": "red"}


def run_summary(run: "StoredRun") -> dict[str, Any]:
    """Everything that the page says, for programs: the output of `bellbench runs show --json`."""
    from experiments.archive.catalogue import SHOWN
    from experiments.archive.compare import figures

    journal = run.journal
    return {
        "run": run.name,
        "folder": str(run.path),
        **{name: run.about.get(name) for name in SHOWN if name != "figures"},
        "plan": run.config.get("experiment", {}).get("plan", []),
        "steps": [dict(event.data) for event in journal.of("step")],
        "figures": {name: figure.to_json() for name, figure in figures(run.results)},
        "calibrations": dict(run.calibrations),
        "safe_state": [dict(event.data) for event in journal.of("safe")],
        "events": [dict(event.data) for event in journal.of("happened")],
        "tags": run.tag_sources,
        "missing": journal.problems,
    }


def run_page(summary: Mapping[str, Any]) -> RenderableType:
    """The page of one run."""
    parts: list[RenderableType] = [_head(summary), Text("Steps", style="bold"), *_steps(summary)]
    if summary["figures"]:
        parts += [Text("Results", style="bold"), _figures(summary["figures"])]
    if summary["calibrations"]:
        parts.append(Text("Calibrations", style="bold"))
        parts += [Text(f"  {line}") for line in _calibrations(summary["calibrations"])]
    parts.append(Text("What happened", style="bold"))
    parts += _events(summary["events"])
    unsafe = [seen for seen in summary["safe_state"] if not seen.get("verified")]
    parts += [Text(f"NOT SAFE {seen['instrument']}: {seen['problem']}", style="bold red") for seen in unsafe]
    parts += [Text(f"documents.jsonl: {problem}", style="yellow") for problem in summary["missing"]]
    return Group(*parts)


def comparison_page(
    one: str,
    other: str,
    figures: "Sequence[FigureDifference]",
    settings: "Sequence[SettingDifference]",
) -> RenderableType:
    """Two runs side by side."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("figure", one, other, "difference"):
        table.add_column(heading, justify="left" if heading == "figure" else "right", overflow="fold")
    for figure in figures:
        sigmas = figure.sigmas
        much = sigmas is not None and abs(sigmas) > MUCH_SIGMAS
        table.add_row(
            figure.name,
            *(with_error(f.value, f.error) if f else "-" for f in (figure.one, figure.other)),
            Text(f"{sigmas:+.1f} sigma" if sigmas is not None else "", style="red" if much else ""),
        )
    changed = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("set otherwise", one, other):
        changed.add_column(heading, overflow="fold")
    for setting in settings:
        changed.add_row(setting.path, *("-" if v is None else str(v) for v in (setting.one, setting.other)))
    same = Text("Both were set alike.")
    return Group(table, Text(), changed if settings else same)


def _head(summary: Mapping[str, Any]) -> RenderableType:
    state = str(summary["state"])
    grid = Table.grid(padding=(0, 2))
    took = summary["run_time_s"]
    rows = (
        ("run", Text(str(summary["run"]), style="bold")),
        ("experiment", " ".join(filter(None, (summary["experiment"], summary["title"])))),
        ("testbed", summary["testbed"]),
        ("state", Text(state, style=BAD.get(state, "green"))),
        ("message", summary["message"]),
        ("began", summary["began_utc"]),
        ("ended", summary["ended_utc"]),
        ("took", duration(took) if took is not None else None),
        ("seed", summary["seed"]),
        ("tags", ", ".join(summary["tags"]) or "none"),
    )
    for name, value in rows:
        if value not in (None, ""):
            grid.add_row(name, value if isinstance(value, Text) else Text(str(value)))
    return grid


def _steps(summary: Mapping[str, Any]) -> Iterator[Text]:
    took = {step["number"]: step["took_s"] for step in summary["steps"] if step.get("phase") == "ended"}
    began = {step["number"] for step in summary["steps"]}
    for number, item in enumerate(summary["plan"], 1):
        kind = next(iter(item), "?") if isinstance(item, Mapping) else str(item)
        if number in took:
            how = f"done in {duration(took[number])}"
        else:
            how = "not finished" if number in began else "not begun"
        yield Text(f"  {number} {kind}: {how}")


def _figures(figures: Mapping[str, Mapping[str, float]]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for name, figure in figures.items():
        table.add_row(f"  {name}", with_error(figure["value"], figure["error"]))
    return table


def _calibrations(calibrations: Mapping[str, Any]) -> Iterator[str]:
    for name, found in calibrations.items():
        about = found if isinstance(found, Mapping) else {}
        when, run = about.get("utc"), about.get("run")
        yield f"{name}{f', of {when}' if when else ''}{f', made in {run}' if run else ''}"


def _events(events: Sequence[Mapping[str, Any]]) -> Iterator[Text]:
    if len(events) > SHOWN_EVENTS:
        yield Text(f"  ... {len(events) - SHOWN_EVENTS} more before; --json has all", style="dim")
    for event in events[-SHOWN_EVENTS:]:
        style = "yellow" if event.get("level") == "warning" else ""
        yield Text(f"  {duration(event.get('t_s') or 0.0):>8}  {event.get('message')}", style=style)
