"""`bellbench runs`: what was done, from the folders of the runs; and runs that go on, from another terminal.

    bellbench runs list|show|compare|export|verify        here
    bellbench runs pause|resume|stop|abort                in `run_control`

Before anything is listed, runs whose process is gone are marked as interrupted.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bellbench.commands import run_control
from bellbench.commands.options import runs_option
from bellbench.console import console
from bellbench.exit_codes import ExitCode

if TYPE_CHECKING:
    from experiments.archive.catalogue import Entry
    from experiments.archive.stored import StoredRun

C = TypeVar("C", bound=Callable[..., Any])
AGO = {"min": 60, "h": 3600, "d": 86400, "w": 604800}
"""Units of `--since`."""
FORMATS = ("csv", "hdf5", "ptu", "parquet")


class Refused(click.ClickException):
    """A command that cannot be carried out as it was given; the message says why, and what would be right."""

    exit_code = ExitCode.CONFIG

    def show(self, file: Any = None) -> None:  # noqa: ARG002 - click's signature
        click.echo(self.message, err=True)


@click.group()
def runs() -> None:
    """Look into stored runs, and control those that go on.

    RUN is the beginning or the end of a run's name, if no other has it, or `last`.
    """


as_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def opened(name: str, runs: Path) -> "StoredRun":
    """The run that is meant. Refused when there is none."""
    from experiments.archive.finding import NoSuchRunError
    from experiments.archive.stored import open_run

    try:
        return open_run(name, runs)
    except NoSuchRunError as error:
        raise Refused(str(error)) from error


def _since(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:  # noqa: ARG001
    """A time in UTC as run.json writes it, of a date, a date with a time, or how long ago."""
    if value is None:
        return None
    if ago := re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(min|h|d|w)\s*", value):
        then = datetime.now(UTC) - timedelta(seconds=float(ago[1]) * AGO[ago[2]])
    else:
        try:
            then = datetime.fromisoformat(value.strip())
        except ValueError:
            raise click.BadParameter(
                f"{value!r} is no time: write 2026-11-22, 2026-11-22T03:10 (UTC), 12 h, 7 d"
            ) from None
        then = then.replace(tzinfo=UTC) if then.tzinfo is None else then.astimezone(UTC)
    return then.strftime("%Y-%m-%dT%H:%M:%S")


@runs.command("list")
@runs_option()
@click.option("--experiment", metavar="NAME", help="Only runs of this experiment.")
@click.option("--state", metavar="STATE", help="Only runs in this state: completed, failed, interrupted, ...")
@click.option(
    "--since",
    callback=_since,
    metavar="TIME",
    help="Only runs begun since then: 2026-11-22, 2026-11-22T03:10 (UTC), or 12 h, 7 d ago.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the last N of them.")
@as_json_option
def list_(
    runs: Path,
    experiment: str | None,
    state: str | None,
    since: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """List runs, the latest last."""
    from experiments.archive.catalogue import Catalogue
    from experiments.config.problems import choices
    from experiments.engine.outcome import State

    if state is not None and state not in list(State):
        raise Refused(f"no state {state!r}; {choices(state, list(State))}")
    if not runs.is_dir():
        raise Refused(f"there is no folder {runs}; --runs names another")
    with Catalogue(runs) as catalogue:
        entries = catalogue.entries(experiment, state, since)
        recovered = catalogue.recovered
    entries = entries[-limit:] if limit else entries
    for run in recovered:
        click.echo(f"{run.run}: {run.message}", err=True)
    if as_json:
        click.echo(json.dumps({"runs": [entry.to_json() for entry in entries]}, indent=2))
        return
    for line in _table(entries):
        click.echo(line)
    if not entries:
        click.echo("no runs" if not (experiment or state or since) else "no such runs", err=True)


def _table(entries: "list[Entry]") -> list[str]:
    """Plain columns: a list of a thousand runs is read by people and by grep."""
    from bellbench.figures import label_of, place_of
    from bellbench.text import duration, with_error

    rows = []
    for entry in entries:
        about = entry.about
        took = about.get("run_time_s")
        found = about.get("figures") or {}
        figures = [
            f"{label_of(name)[0]} {with_error(found[name]['value'], found[name]['error'])}"
            for name in sorted(found, key=place_of)
            if found[name]["value"] is not None
        ]
        message = str(about.get("message") or "").partition("\n")[0]
        what = message if message and entry.state != "completed" else ", ".join(figures[:3])
        rows.append((entry.name, entry.state, duration(took) if took is not None else "", what))
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    return [
        f"{name:{widths[0]}}  {state:{widths[1]}}  {took:>{widths[2]}}  {what}".rstrip()
        for name, state, took, what in rows
    ]


@runs.command()
@click.argument("run")
@runs_option()
@as_json_option
def show(run: str, runs: Path, as_json: bool) -> None:
    """Show what RUN was asked, did, and found."""
    from bellbench.run_page import run_page, run_summary

    stored = opened(run, runs)
    summary = run_summary(stored)
    if as_json:
        click.echo(json.dumps(summary, indent=2))
    else:
        console(highlight=False).print(run_page(summary))


@runs.command()
@click.argument("one")
@click.argument("other")
@runs_option()
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page with plots too.")
@as_json_option
def compare(one: str, other: str, runs: Path, html: Path | None, as_json: bool) -> None:
    """Compare run OTHER with run ONE: figures with their difference, and what was set otherwise."""
    from bellbench.run_page import comparison_page
    from experiments.archive.compare import compare_figures, compare_settings

    first, second = opened(one, runs), opened(other, runs)
    if html is not None:
        from bellbench.report.comparison import comparison_of
        from bellbench.report.html import html_of
        from bellbench.report.reported import ReportedRun

        page = comparison_of(ReportedRun(first.path), ReportedRun(second.path))
        html.write_text(html_of(page), encoding="utf-8")
    figures, settings = compare_figures(first, second), compare_settings(first, second)
    if not as_json:
        console(highlight=False).print(comparison_page(first.name, second.name, figures, settings))
        return
    about = {
        "one": first.name,
        "other": second.name,
        "figures": {
            figure.name: {
                "one": figure.one and figure.one.to_json(),
                "other": figure.other and figure.other.to_json(),
                "sigmas": figure.sigmas,
            }
            for figure in figures
        },
        "settings": {setting.path: {"one": setting.one, "other": setting.other} for setting in settings},
    }
    click.echo(json.dumps(about, indent=2))


@runs.command()
@click.argument("run")
@click.option("--format", "format_", type=click.Choice(FORMATS), required=True, help="Of what is written.")
@click.option("--out", type=click.Path(path_type=Path), help="A new folder; by default RUN.FORMAT here.")
@runs_option()
@as_json_option
def export(run: str, format_: str, out: Path | None, runs: Path, as_json: bool) -> None:
    """Write the tags and events of RUN for other programs: a file for each tagger or stream.

    PTU files hold tags alone.
    """
    from experiments.archive.export import export_run

    stored = opened(run, runs)
    target = out or Path(f"{stored.name}.{format_}")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Refused(f"{target} is there already; --out names another folder")
    exported = export_run(stored, target, format_)
    for remark in exported.remarks:
        click.echo(remark, err=True)
    if as_json:
        files = [{"file": str(path), "rows": rows} for path, rows in exported.files.items()]
        click.echo(json.dumps({"run": stored.name, "folder": str(target), "files": files}, indent=2))
        return
    for path, rows in exported.files.items():
        click.echo(f"{path}  {rows:,} rows")


@runs.command()
@click.argument("run")
@runs_option()
@as_json_option
def verify(run: str, runs: Path, as_json: bool) -> int:
    """Check that RUN is whole: tags against their hashes, documents against their counts.

    Ends with 1 if anything that was acknowledged is missing or damaged.
    """
    from dataclasses import asdict

    from experiments.archive.verify import verify as verified

    verdict = verified(opened(run, runs))
    if as_json:
        click.echo(json.dumps({**asdict(verdict), "whole": not verdict.problems}, indent=2))
    else:
        events = sum(verdict.events.values())
        click.echo(
            f"{verdict.run}: {verdict.tags:,} tags in {verdict.segments} segments and {events:,} events of "
            f"{len(verdict.events)} streams read; {len(verdict.problems)} problems"
        )
        for problem in verdict.problems:
            click.echo(f"  {problem}")
        for remark in verdict.remarks:
            click.echo(f"  no loss: {remark}")
    return ExitCode.RUN_FAILED if verdict.problems else ExitCode.DONE


for command in (run_control.pause, run_control.resume, run_control.stop, run_control.abort):
    runs.add_command(command)
