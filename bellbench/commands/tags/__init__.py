"""`bellbench tags`: look into tag files of any format, without an experiment."""

import click

from bellbench.commands.tags.coincide import coincide
from bellbench.commands.tags.convert import convert
from bellbench.commands.tags.correlate import correlate
from bellbench.commands.tags.info import info


@click.group()
def tags() -> None:
    """Look into a file of time tags, or a folder of segments, of any format known here."""


for command in (info, correlate, coincide, convert):
    tags.add_command(command)
