"""`python -m benchmarks [--only GROUP] [--json]`: from the root of the checkout."""

import json
from importlib import import_module

import click

GROUPS = ("world",)


@click.command()
@click.option("--only", type=click.Choice(GROUPS), help="One group of figures; by default all.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each figure.")
def main(only: str | None, as_json: bool) -> None:
    """Measure and print the figures of the README."""
    for group in (only,) if only else GROUPS:
        for figure in import_module(f"benchmarks.{group}").figures():
            if as_json:
                click.echo(json.dumps(vars(figure)))
            else:
                click.echo(f"{figure.name:40} {figure.value:8.2f}   {figure.text}")


if __name__ == "__main__":
    main()
