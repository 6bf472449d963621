"""`bellbench run`: carry out an experiment, on real instruments or on the simulated bench."""

import asyncio
import json
import secrets
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import click

from bellbench.exit_codes import ExitCode
from experiments.config.files import LoadedExperiment, load_experiment
from experiments.config.problems import ConfigError


@click.command()
@click.argument("file", type=click.Path(path_type=str))
@click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Folder in which the run gets a folder of its own.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), help="Of everything random; by default the file's, or a new one."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end and nothing else.")
@click.option("--quiet", is_flag=True, help="Print the results alone.")
def run(file: str, runs: Path, seed: int | None, as_json: bool, quiet: bool) -> int:
    """Carry out the experiment in FILE.

    Ctrl-C aborts: the instruments are made safe, and what was measured is kept.
    """
    try:
        loaded = load_experiment(file)
    except ConfigError as error:
        if as_json:
            problems = [vars(problem) for problem in error.problems]
            about = {"folder": None, "state": "refused", "exit_code": 2, "problems": problems}
            click.echo(json.dumps(about, indent=2))
        raise
    if seed is None:
        seed = loaded.experiment.seed if loaded.experiment.seed is not None else secrets.randbits(32)
    return asyncio.run(_run(loaded, runs, seed, as_json=as_json, quiet=quiet))


async def _run(loaded: LoadedExperiment, runs: Path, seed: int, *, as_json: bool, quiet: bool) -> int:
    from rich.console import Console

    from bellbench.display import LiveDisplay, PlainLines, results_table
    from bellbench.session import Session
    from experiments.engine.events import RunObserver

    console = Console()
    title = f"{loaded.experiment.title or loaded.experiment.experiment} (seed {seed})"
    observers: list[RunObserver] = []
    async with AsyncExitStack() as stack:
        if not (as_json or quiet):
            if console.is_terminal:
                observers.append(stack.enter_context(LiveDisplay(console, title)))
            else:
                console.print(title, markup=False)
                observers.append(PlainLines(console))
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        session = Session(loaded, runs, seed)
        report = await session.carry_out(observers)
    if session.telemetry_trouble:
        click.echo(f"telemetry did not get through: {session.telemetry_trouble}", err=True)
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
        if report.results:
            console.print(results_table(report.results))
        if report.folder:
            console.print(f"{report.ending.state}: {report.folder}", markup=False, highlight=False)
    if report.ending.message:
        click.secho(report.ending.message, err=True, fg="red" if sys.stderr.isatty() else None)
    return ExitCode(report.ending.exit)
