"""`bellbench check`: what a configuration says and whether it holds together, without opening anything; with
`--full` also whether a run could begin now."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bellbench.commands.options import runs_option
from bellbench.configuration import read_changes, with_changes
from bellbench.exit_codes import ExitCode
from drivers.catalog import capability_of
from drivers.units import format_si
from experiments.config.estimate import estimate, show_duration
from experiments.config.files import LoadedExperiment, LoadedTestbed, load
from experiments.config.lightpaths import lights, outputs
from experiments.config.plan import BringUp
from experiments.config.problems import ConfigError

if TYPE_CHECKING:
    from experiments.engine.readiness import Finding


@click.command()
@click.argument("file", type=click.Path(path_type=str))
@with_changes
@click.option(
    "--full",
    is_flag=True,
    help="Find out whether a run could begin now: set-points, calibrations, disk, secrets, and, with all "
    "instruments opened and nothing changed, identities, clocks and interlocks.",
)
@click.option("--offline", is_flag=True, help="With --full: open no instrument.")
@runs_option("With --full: the folder of the runs, for disk space and calibrations.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, problems included.")
def check(
    file: str,
    changes: tuple[str, ...],
    sweeps: tuple[str, ...],
    full: bool,
    offline: bool,
    runs: Path,
    as_json: bool,
) -> int:
    """Check FILE, an experiment or a testbed, with all that it names; opens no instrument but with --full.

    Every error is printed with its place as file:line:column, all at once and at every point of a sweep. The
    exit code is 2 for what the files have to say differently (calibrations and secrets too), 3 for an
    instrument or a clock, 4 for an interlock, 6 for the disk; of several that of the first in the order 4, 3,
    6, 2.
    """
    try:
        loaded = load(file, *read_changes(changes, sweeps))
    except ConfigError as error:
        if not as_json:
            raise
        problems = [vars(problem) for problem in error.problems]
        click.echo(json.dumps({"file": file, "ok": False, "problems": problems}, indent=2))
        return ExitCode.CONFIG
    facts = {"file": file, "ok": True, "problems": []} | _facts(loaded)
    code = 0
    if full:
        from experiments.engine.readiness import exit_code

        findings = _findings(loaded, runs, offline)
        code = exit_code(findings)
        facts |= {"ok": code == 0, "findings": [vars(f) | {"ok": f.ok} for f in findings]}
    click.echo(json.dumps(facts, indent=2) if as_json else "\n".join(_summary(facts)))
    return ExitCode(code)


def _findings(loaded: LoadedExperiment | LoadedTestbed, runs: Path, offline: bool) -> "list[Finding]":
    """Whether a run could begin now."""
    from bellbench.lines import lines_of
    from experiments.engine.readiness import of_bench, of_plan

    findings = list(of_plan(loaded, runs)) if isinstance(loaded, LoadedExperiment) else []
    interlocks = loaded.experiment.interlocks if isinstance(loaded, LoadedExperiment) else {}

    async def look() -> "list[Finding]":
        async with lines_of(loaded.testbed) as lines:
            return await of_bench(loaded.testbed, interlocks, lines.instruments)

    return findings if offline else [*findings, *asyncio.run(look())]


def _facts(loaded: LoadedExperiment | LoadedTestbed) -> dict[str, Any]:
    """What there is to say, as JSON has it; SI units, named in the keys."""
    testbed = loaded.testbed
    facts: dict[str, Any] = {
        "testbed": testbed.testbed,
        "testbed_title": testbed.title,
        "simulated": testbed.simulated,
        "nodes": {name: node.title for name, node in testbed.nodes.items()},
        "instruments": [
            {
                "name": name,
                "node": entry.node,
                "model": entry.model,
                "capability": capability_of(type(loaded.inventory.drivers[name])),
                "address": entry.address,
            }
            for name, entry in testbed.instruments.items()
        ],
        "light_paths": [
            {"light": stretch.label, "path": list(stretch.words)}
            for stretch in [*lights(testbed), *outputs(testbed)]
        ],
        "detectors": len(testbed.detectors),
    }
    if isinstance(loaded, LoadedTestbed):
        return facts
    experiment = loaded.experiment
    cost = estimate(experiment, testbed)
    costs = [estimate(point.experiment, point.testbed) for point in loaded.points] or [cost]
    return (
        {"experiment": experiment.experiment, "title": experiment.title}
        | facts
        | {
            "plan": [vars(step) for step in cost.steps],
            "set_points": [
                {
                    "instrument": point.instrument,
                    "quantity": point.quantity,
                    "value": point.value,
                    "low": point.limits.low,
                    "high": point.limits.high,
                    "unit": point.limits.unit,
                }
                for step in experiment.plan
                if isinstance(step, BringUp)
                for point in step.set_points(loaded.inventory)
            ],
            "record": experiment.record.tags,
            "duration_s": cost.duration_s,
            "recording_s": cost.recording_s,
            "click_rates_hz": cost.click_rates_hz,
            "heralds_hz": cost.heralds_hz,
            "tag_bytes": cost.tag_bytes,
            "points": [point.point.values for point in loaded.points if point.point],
            "all_points_duration_s": sum(each.duration_s for each in costs),
        }
    )


def _summary(facts: dict[str, Any]) -> Iterator[str]:
    if "experiment" in facts:
        yield f"{facts['experiment']}: {facts['title']}"
    kind = "simulated" if facts["simulated"] else "real"
    yield f"testbed {facts['testbed']}, {kind}: {facts['testbed_title']}"
    yield ""
    yield "What stands where"
    for node, title in facts["nodes"].items():
        yield f"  {node}: {title}"
        yield from _table(
            [i["name"], i["model"], i["capability"], i["address"]]
            for i in facts["instruments"]
            if i["node"] == node
        )
    yield f"Light, to {facts['detectors']} detectors"
    yield from _table([p["light"], " -> ".join(p["path"] or ["dark"])] for p in facts["light_paths"])
    if "experiment" in facts:
        yield from _plan(facts)
    if "findings" in facts:
        yield "Ready to run" if facts["ok"] else "Not ready to run"
        yield from _table(
            [finding["topic"], "ok" if finding["ok"] else "WRONG", line]
            for finding in facts["findings"]
            for line in finding["problems"] or [finding["found"]]
        )
    elif facts["ok"]:
        yield f"{facts['file']}: no problems found"


def _plan(facts: dict[str, Any]) -> Iterator[str]:
    yield "Set-points, all within limits"
    yield from _table(
        [
            p["instrument"],
            f"{p['quantity']} {format_si(p['value'], p['unit'])}",
            f"({format_si(p['low'], p['unit'])} to {format_si(p['high'], p['unit'])})",
        ]
        for p in facts["set_points"]
    )
    duration, recording = show_duration(facts["duration_s"]), show_duration(facts["recording_s"])
    yield f"Plan, about {duration}, of which {recording} taking data"
    yield from _table(
        [f"{number}.", step["kind"], show_duration(step["duration_s"])]
        for number, step in enumerate(facts["plan"], 1)
    )
    if points := facts["points"]:
        yield f"Sweep, {len(points)} points, about {show_duration(facts['all_points_duration_s'])} in all"
        yield from _table([[f"{path}:", *_few(values)] for path, values in _by_path(points).items()])
    if facts["click_rates_hz"] is None:
        yield "Rates and disk space: not known before the light is on"
        return
    clicks = format_si(sum(facts["click_rates_hz"].values()), "cps", 3)
    heralds = "" if facts["heralds_hz"] is None else f", {facts['heralds_hz']:.3g} heralds/s"
    yield f"Expected: {clicks} in all{heralds}"
    yield f"Tags kept ({facts['record']}): up to {facts['tag_bytes'] / 1e6:,.0f} MB"


def _by_path(points: list[dict[str, object]]) -> dict[str, list[str]]:
    """The values that each path has in a sweep, each once."""
    return {path: list(dict.fromkeys(str(point[path]) for point in points)) for path in points[0]}


def _few(values: list[str]) -> list[str]:
    shown = values if len(values) <= 6 else [*values[:3], "...", values[-1]]
    return [", ".join(shown)]


def _table(rows: Any) -> Iterator[str]:
    """Rows of text in columns, indented."""
    cells = [list(map(str, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "    " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
