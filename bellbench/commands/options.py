"""Options that several commands have in common."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from experiments.config.references import is_reference

C = TypeVar("C", bound=Callable[..., Any])

_FILE = click.Path(dir_okay=False, exists=True)
RUNS = Path("runs")
"""The folder of the runs, where nobody says another."""


def runs_option(meaning: str = "Folder of the runs.", *, exists: bool = False) -> Callable[[C], C]:
    """The option --runs, of every command that reads or writes run folders."""
    return click.option(
        "--runs",
        type=click.Path(path_type=Path, file_okay=False, exists=exists),
        default=RUNS,
        show_default=True,
        help=meaning,
    )


def broker_options(command: C) -> C:
    """How to get into a broker that does not let everybody in, where the run folder does not say it."""
    for option in (
        click.option("--key", type=_FILE, help="PEM file with the key of the certificate."),
        click.option("--certificate", type=_FILE, help="PEM file that we show to the broker."),
        click.option("--ca", type=_FILE, help="PEM file of the authority behind the broker's certificate."),
        click.option(
            "--password",
            metavar="REFERENCE",
            callback=_reference,
            help="${env:NAME} or ${file:/PATH} of the password.",
        ),
        click.option("--username", metavar="REFERENCE", callback=_reference, help="The same of the user."),
    ):
        command = option(command)
    return command


def _reference(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:  # noqa: ARG001
    """A secret on a command line would be seen by everyone on the machine."""
    if value is not None and not is_reference(value):
        raise click.BadParameter("write ${env:NAME}, or ${file:/PATH} of a file that only its owner can read")
    return value
