"""`python -m benchmarks [--only GROUP] [--json]`: from the root of the checkout."""

import json
from collections.abc import Iterator

import click

from benchmarks.figure import Figure

GROUPS = ("world", "timetags", "instruments", "runs", "dashboard", "telemetry")
TAGS, MEMORY_TAGS = 10_000_000, 1_000_000_000


@click.command()
@click.option("--only", type=click.Choice(GROUPS), help="One group of figures; by default all.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each figure.")
@click.option("--size", default=TAGS, show_default=True, help="timetags: how many tags to count.")
@click.option(
    "--memory-size",
    default=MEMORY_TAGS,
    show_default=True,
    help="timetags: tags of the long file (4 bytes each).",
)
def main(only: str | None, as_json: bool, size: int, memory_size: int) -> None:
    """Measure and print the figures of the README."""
    for group in (only,) if only else GROUPS:
        for figure in _figures(group, size, memory_size):
            if as_json:
                click.echo(json.dumps(vars(figure)))
            else:
                click.echo(f"{figure.name:40} {figure.value:8.2f}   {figure.text}")


def _figures(group: str, size: int, memory_size: int) -> Iterator[Figure]:
    # Each group is imported only if it is asked for.
    if group == "world":
        from benchmarks import world

        return world.figures()
    if group == "instruments":
        from benchmarks import instruments

        return instruments.figures()
    if group == "dashboard":
        from benchmarks import dashboard

        return dashboard.figures()
    if group == "telemetry":
        from benchmarks import telemetry

        return telemetry.figures()
    if group == "runs":
        from benchmarks import runs

        return runs.figures()
    from benchmarks import timetags

    return timetags.figures(size, memory_size, lambda text: click.echo(text, err=True))


if __name__ == "__main__":
    main()
