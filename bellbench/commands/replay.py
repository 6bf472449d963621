"""`bellbench replay`: count the stored tags of a run again, with its windows and delays or with others."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from bellbench.commands.options import runs_option
from bellbench.commands.runs import Refused, as_json_option, opened
from bellbench.commands.tags.options import POSITIVE_PS, TIME_PS, picoseconds
from bellbench.console import console


def _of_detectors(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:  # noqa: ARG001
    found: dict[str, int] = {}
    for value in values:
        name, equals, time = value.partition("=")
        if not equals:
            raise click.BadParameter(f"{value!r}: write a detector and a time, like alice_h=-120ps")
        if name in found:
            raise click.BadParameter(f"{name} is given twice")
        try:
            found[name] = picoseconds(time)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error
    return found


@click.command()
@click.argument("run")
@runs_option()
@click.option("--bsm-window", type=POSITIVE_PS, help="Full width on the difference of the two hub times.")
@click.option("--spoke-window", type=POSITIVE_PS, help="Full width on the time of a spoke's click.")
@click.option("--window", type=POSITIVE_PS, help="Of pairs: full width on the time between both clicks.")
@click.option("--centre", type=TIME_PS, help="Of the spoke window, or of that of pairs, after the peak.")
@click.option("--pair", help="The pair whose window is meant; without, the windows of all pairs.")
@click.option(
    "--delay",
    "delays",
    multiple=True,
    metavar="DETECTOR=TIME",
    callback=_of_detectors,
    help="Add this to a detector's times, besides its calibrated delay. May be given for several.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the results there as JSON."
)
@as_json_option
def replay(
    run: str,
    runs: Path,
    bsm_window: int | None,
    spoke_window: int | None,
    window: int | None,
    centre: int | None,
    pair: str | None,
    delays: Mapping[str, int],
    out: Path | None,
    as_json: bool,
) -> None:
    """Count the tags of RUN again; what is not given is as in the run, and nothing of the run is changed.

    RUN is the beginning or the end of a run's name, or `last`. With the run's own windows and delays its
    results come out again. Refused is what the run did not count with, and what its stored tags cannot tell,
    such as windows beyond those around which tags were kept.
    """
    from bellbench.commands.tags.reading import ProgressBar
    from experiments.archive.changes import Changes
    from experiments.archive.counting import ReplayError
    from experiments.archive.replay import replay as count_again

    stored = opened(run, runs)
    changes = Changes(bsm_window, spoke_window, window, centre, pair, delays)
    try:
        with ProgressBar(f"counting {stored.name} again") as bar:
            found = count_again(stored, changes, bar.show)
    except ReplayError as error:
        raise Refused(str(error)) from error
    for remark in found.remarks:
        click.echo(remark, err=True)
    text = json.dumps(found.results, indent=2, ensure_ascii=False)
    if out is not None:
        out.write_text(text + "\n", encoding="utf-8")
    if as_json:
        click.echo(text)
    else:
        _show(stored.name, stored.results, found.results)


def _show(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """The figures of the run and those of now. They are of the same clicks, so their difference has no
    standard deviations."""
    from rich.table import Table

    from bellbench.text import with_error
    from experiments.archive.compare import figures

    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("figure", "in the run", "counted again"):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    old, new = dict(figures(before)), dict(figures(now))
    for figure in {**old, **new}:
        cells = (with_error(f.value, f.error) if f else "-" for f in (old.get(figure), new.get(figure)))
        table.add_row(figure, *cells)
    terminal = console(highlight=False)
    terminal.print(name)
    terminal.print(table)
