"""`bellbench run`: carry out an experiment, on real instruments or on the simulated bench."""

import asyncio
import json
import secrets
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bellbench.commands.options import runs_option
from bellbench.configuration import read_changes, with_changes
from bellbench.console import console
from bellbench.exit_codes import ExitCode
from experiments.config.files import LoadedExperiment, load_experiment
from experiments.config.problems import ConfigError
from experiments.engine.outcome import Exit

if TYPE_CHECKING:
    from experiments.archive.continuation import Continuation
    from experiments.engine.control import RunControl
    from experiments.engine.run import RunReport

C = TypeVar("C", bound=Callable[..., Any])


@dataclass(frozen=True)
class Manner:
    """What people see of a run, from the options of the command."""

    dashboard: bool
    no_report: bool
    as_json: bool
    quiet: bool


def with_manner(command: C) -> C:
    """The options of `Manner`."""
    for option in (
        click.option("--quiet", is_flag=True, help="Print the results alone."),
        click.option(
            "--json", "as_json", is_flag=True, help="Print one JSON object at the end and nothing else."
        ),
        click.option("--no-report", is_flag=True, help="Do not write report.html at the end."),
        click.option("--dashboard", is_flag=True, help="Serve a page that shows the run while it goes on."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("file", type=click.Path(path_type=str))
@runs_option("Folder in which the run gets a folder of its own.")
@click.option(
    "--seed", type=click.IntRange(min=0), help="Of everything random; by default the file's, or a new one."
)
@with_changes
@with_manner
def run(
    file: str,
    runs: Path,
    seed: int | None,
    changes: tuple[str, ...],
    sweeps: tuple[str, ...],
    **manner: bool,
) -> int:
    """Carry out the experiment in FILE, or one run for each point of its sweep.

    Ctrl-C once lets the run finish well at its next safe point, twice aborts it. Either way the instruments
    are made safe, and what was measured is kept.
    """
    how = Manner(**manner)
    try:
        loaded = load_experiment(file, *read_changes(changes, sweeps))
    except ConfigError as error:
        if how.as_json:
            problems = [vars(problem) for problem in error.problems]
            about = {"folder": None, "state": "refused", "exit_code": 2, "problems": problems}
            click.echo(json.dumps(about, indent=2))
        raise
    if seed is not None and any(what.point and "seed" in what.point.values for what in loaded.points):
        raise click.UsageError("the seed is swept; leave --seed out")
    anew = secrets.randbits(32)

    def one(what: LoadedExperiment) -> "RunReport":
        given = seed if seed is not None else what.experiment.seed
        return carry_out(what, runs, anew if given is None else given, how)

    if not loaded.points:
        return ExitCode(one(loaded).ending.exit)
    return _sweep(loaded, one, as_json=how.as_json)


def _sweep(
    loaded: LoadedExperiment, one: "Callable[[LoadedExperiment], RunReport]", *, as_json: bool
) -> ExitCode:
    """Carry out all points and tell how they went."""
    from bellbench.sweeps import carry_out_all, sweep_table, worst

    done = carry_out_all(loaded.points, one)
    code = worst(done)
    if as_json:
        about = {"sweep": done[0].point.sweep, "of": len(loaded.points), "exit_code": int(code)}
        click.echo(json.dumps({**about, "points": [d.to_json() for d in done]}, indent=2))
    else:
        console().print(sweep_table(done))
    return code


def carry_out(
    loaded: LoadedExperiment,
    runs: Path,
    seed: int,
    how: Manner,
    continuation: "Continuation | None" = None,
) -> "RunReport":
    """Carry out one run, perhaps one that goes on with another, and tell how it went."""
    report = asyncio.run(_run(loaded, runs, seed, how, continuation))
    if report.folder and not how.no_report:
        _write_report(report.folder)
    if not (how.as_json and loaded.point):
        _tell(report, as_json=how.as_json)
    return report


async def _run(
    loaded: LoadedExperiment, runs: Path, seed: int, how: Manner, continuation: "Continuation | None"
) -> "RunReport":

    from bellbench.display import LiveDisplay, PlainLines
    from bellbench.session import Session
    from experiments.engine.events import RunObserver

    terminal = console()
    title = f"{loaded.experiment.title or loaded.experiment.experiment} (seed {seed})"
    if loaded.point:
        title += f", {loaded.point}"
    if continuation:
        title += f", goes on with {continuation.run}"
    observers: list[RunObserver] = []
    async with AsyncExitStack() as stack:
        if not (how.as_json or how.quiet):
            if terminal.is_terminal:
                observers.append(stack.enter_context(LiveDisplay(terminal, title)))
            else:
                terminal.print(title)
                observers.append(PlainLines(terminal))
        if how.dashboard:
            from bellbench.dashboard.beside import DashboardBeside

            beside = stack.enter_context(DashboardBeside(runs))
            observers.append(beside)
            click.echo(f"dashboard: {beside.url}", err=True)
        session = Session(loaded, runs, seed, continuation)
        obey_signals(session.control)
        report = await session.carry_out(observers)
    if session.telemetry_trouble:
        click.echo(f"telemetry did not get through: {session.telemetry_trouble}", err=True)
    return report


def obey_signals(control: "RunControl") -> None:
    """Ctrl-C is a wish to stop, and again one to abort, as SIGTERM and SIGHUP are at once; before there is a
    run, and after it, they end the present task. One that is ignored, as SIGHUP under `nohup`, stays so."""
    task = asyncio.current_task()
    assert task is not None

    def heard(number: signal.Signals) -> None:
        if not control.in_charge:
            task.cancel()
        elif number is signal.SIGINT and not control.stopping:
            control.stop("Ctrl-C; once more aborts")
        else:
            control.abort("Ctrl-C twice" if number is signal.SIGINT else number.name)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, heard, number)


def _write_report(folder: Path) -> None:
    """A run that went well does not fail for a report that cannot be written."""
    from bellbench.commands.report import write_report

    try:
        write_report(folder)
    except Exception as error:
        click.echo(f"no report.html: {type(error).__name__}: {error}. `bellbench report` makes it", err=True)


def _tell(report: "RunReport", *, as_json: bool) -> None:
    """How the run ended, and its results."""

    from bellbench.display import results_table

    if as_json:
        about = {
            "folder": str(report.folder) if report.folder else None,
            "state": report.ending.state,
            "exit_code": int(report.ending.exit),
            "message": report.ending.message,
            "results": report.results,
        }
        click.echo(json.dumps(about, indent=2))
    else:
        terminal = console()
        if report.results:
            terminal.print(results_table(report.results))
        if report.folder:
            terminal.print(f"{report.ending.state}: {report.folder}", highlight=False)
    if report.ending.message:
        colour = "yellow" if report.ending.exit is Exit.DONE else "red"
        click.secho(report.ending.message, err=True, fg=colour if sys.stderr.isatty() else None)
