"""`bellbench resume`: go on with an interrupted run where its books end."""

import json
from pathlib import Path

import click

from bellbench.commands.options import runs_option
from bellbench.commands.run import Manner, carry_out, with_manner
from bellbench.exit_codes import ExitCode


@click.command()
@click.argument("name", metavar="RUN")
@runs_option("Folder of the runs; the new run gets a folder beside the old one.")
@with_manner
def resume(name: str, runs: Path, **manner: bool) -> int:
    """Go on with RUN: one that was interrupted, aborted or stopped, or that failed.

    A new run of the same experiment brings the bench up and calibrates, measures what RUN has not, and adds
    what RUN has counted. Its results say how much came from where. RUN is the name of its folder, the
    beginning or end of it, or `last`; a run that is paused goes on by `bellbench runs resume`.
    """
    from experiments.archive.continuation import CannotGoOnError, continuation_of
    from experiments.archive.finding import NoSuchRunError, find_run

    how = Manner(**manner)
    try:
        folder = find_run(name, runs)
        continuation = continuation_of(folder)
    except (NoSuchRunError, CannotGoOnError) as error:
        if how.as_json:
            about = {"folder": None, "state": "refused", "exit_code": 2, "message": str(error)}
            click.echo(json.dumps(about, indent=2))
        click.echo(str(error), err=True)
        return ExitCode.CONFIG
    report = carry_out(continuation.loaded, folder.parent, continuation.seed, how, continuation)
    return ExitCode(report.ending.exit)
