"""Options that several commands have in common."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

C = TypeVar("C", bound=Callable[..., Any])

_FILE = click.Path(dir_okay=False, exists=True)


def broker_options(command: C) -> C:
    """How to get into a broker that does not let everybody in, where the run folder does not say it."""
    for option in (
        click.option("--key", type=_FILE, help="PEM file with the key of the certificate."),
        click.option("--certificate", type=_FILE, help="PEM file that we show to the broker."),
        click.option("--ca", type=_FILE, help="PEM file of the authority behind the broker's certificate."),
        click.option("--password", metavar="${env:NAME}", callback=_reference, help="Where the password is."),
        click.option("--username", metavar="${env:NAME}", callback=_reference, help="Where the user is."),
    ):
        command = option(command)
    return command


def _reference(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:  # noqa: ARG001
    """A secret on a command line would be seen by everyone on the machine."""
    if value is not None and not (value.startswith("${env:") and value.endswith("}")):
        raise click.BadParameter("write ${env:NAME} and set that environment variable")
    return value
