"""`bellbench schema`: the JSON Schema of the two kinds of configuration files, for editors."""

import json

import click

from bellbench.exit_codes import ExitCode


@click.command()
@click.argument("kind", type=click.Choice(["experiment", "testbed"]))
def schema(kind: str) -> int:
    """Print the JSON Schema of an experiment or a testbed file.

    configs/schema has it ready; print it anew where other packages bring drivers of their own. An editor uses
    it when the file's first line is "# yaml-language-server: $schema=PATH".
    """
    from experiments.config.schema import schema_of

    click.echo(json.dumps(schema_of("testbed" if kind == "testbed" else "experiment"), indent=1))
    return ExitCode.DONE
