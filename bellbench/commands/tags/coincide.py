"""`bellbench tags coincide`: n-fold coincidences in a tag file, plain, by analyser outcome, or heralded."""

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from bellbench.commands.tags.options import (
    CHANNELS,
    POSITIVE_PS,
    TIME_PS,
    WINDOW,
    as_json,
    delays,
    once_each,
    tag_file,
)
from bellbench.text import rate, with_error

if TYPE_CHECKING:
    from bellbench.commands.tags.counting import Request, Row

WAYS = ("--channels", "--pattern", "--party", "--hub")


@click.command()
@tag_file
@click.option("--channels", type=CHANNELS, help="Count all coincidences among these channels.")
@click.option(
    "--fold", "numbers", type=click.IntRange(2), multiple=True, help="Of so many; by default, of any."
)
@click.option("--pattern", "patterns", type=CHANNELS, multiple=True, help="Count this coincidence: 1,2,5.")
@click.option("--party", "parties", type=CHANNELS, multiple=True, help="Outcomes of an analyser: a matrix.")
@click.option("--hub", type=CHANNELS, help="Channels of cH,cV,dH,dV, whose pairs of clicks are heralds.")
@click.option("--spoke", "spokes", type=CHANNELS, multiple=True, help="Outcomes of an analyser, heralded.")
@click.option(
    "--herald",
    "heralds",
    multiple=True,
    metavar="NAME",
    help="Psi-, Psi+, 'cH&dV', ...; by default, both Psi.",
)
@click.option(
    "--window", "windows", type=WINDOW, multiple=True, help="Full width: 1ns, or 2=1ns for a channel."
)
@click.option("--bsm-window", "bsm_ps", type=POSITIVE_PS, help="Full width between the clicks of a herald.")
@click.option(
    "--centre", "centre_ps", type=TIME_PS, default="0 ps", help="Of a spoke's window about a herald."
)
@delays
@click.option("--accidentals", is_flag=True, help="Measure them with displaced windows, and subtract them.")
@click.option(
    "--displacement",
    "displacement_ps",
    type=POSITIVE_PS,
    default="200 ns",
    show_default=True,
    help="Step of the displaced windows: beyond correlation and dead time.",
)
@as_json
def coincide(
    file: str,
    format_: str | None,
    delays: tuple[tuple[int, int], ...],
    accidentals: bool,
    displacement_ps: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Count coincidences in FILE, in one of four ways.

    \b
    --channels 1,2,3                 all two- and three-folds among these
    --pattern 1,2 --pattern 1,3,5    these; the first channel is the reference
    --party 1,2 --party 3,4          a matrix of one analyser's outcomes by another's
    --hub 5,6,7,8 --spoke 1,2 --spoke 3,4    heralded by a Bell-state measurement

    A click t is in coincidence with the reference's click T if -window/2 <= t - T < window/2, delays added.
    Combinations are counted: two clicks in a window are two coincidences.
    """
    from bellbench.commands.tags.counting import Count
    from bellbench.commands.tags.reading import Reading, Refused

    by_channel = once_each(delays, "--delay")
    try:
        request = _request(by_channel, **options)
        count = Count(request, displacement_ps if accidentals else None, os.cpu_count() or 1)
    except ValueError as error:
        raise Refused(str(error)) from error
    reading = Reading(file, format_)
    reading.through(count.analysis)
    reading.need(request.channels)
    seconds = reading.duration_s
    rows = count.rows(seconds)
    heralds = getattr(count.counting, "heralds", None)
    herald_counts = None if heralds is None else heralds.tolist()
    if as_json:
        facts = reading.facts() | {
            "kind": request.kind,
            "shape": list(request.shape),
            "heralds": herald_counts,
            "coincidences": [vars(row) for row in rows],
        }
        click.echo(json.dumps(facts, indent=2))
        return
    if herald_counts is not None:
        for name, number in zip(options["heralds"] or ("Psi-", "Psi+"), herald_counts, strict=True):
            click.echo(f"{name}: {number:,} heralds, {rate(number / seconds if seconds else None)}")
    if request.kind == "matrix" and len(request.shape) == 2:
        _show_matrix(options["parties"], rows)
    # A sum of two-folds and three-folds would mean nothing.
    _show(rows if request.kind == "folds" else [*rows, count.total(rows, seconds)])
    reading.tell()


def _request(
    delays_ps: dict[int, int],
    *,
    channels: tuple[int, ...] | None,
    numbers: Sequence[int],
    patterns: Sequence[tuple[int, ...]],
    parties: Sequence[tuple[int, ...]],
    hub: tuple[int, ...] | None,
    spokes: Sequence[tuple[int, ...]],
    heralds: Sequence[str],
    windows: Sequence[tuple[int | None, int]],
    bsm_ps: int | None,
    centre_ps: int,
) -> "Request":
    """Which of the four ways was asked for. click.UsageError if none, or more than one."""
    from bellbench.commands.tags.counting import Windows, folds, heralded, matrix

    chosen = [way for way, given in zip(WAYS, (channels, patterns, parties, hub), strict=True) if given]
    if len(chosen) != 1:
        ways = f"{' and '.join(chosen)} exclude each other" if chosen else "what shall be counted?"
        raise click.UsageError(f"{ways}; choose one of {', '.join(WAYS)}")
    alone = (("--fold", numbers, "--channels"), ("--spoke", spokes, "--hub"), ("--herald", heralds, "--hub"))
    for option, given, way in alone:
        if given and way != chosen[0]:
            raise click.UsageError(f"{option} goes with {way}")
    widths = Windows(windows)
    if parties:
        return matrix(parties, widths, delays_ps)
    if hub:
        return heralded(hub, spokes, heralds, bsm_ps, centre_ps, widths, delays_ps)
    return folds(channels, numbers, patterns, widths, delays_ps)


def _show(rows: Sequence["Row"]) -> None:
    heads = ["coincidence", "counts", "rate", "accidentals", "without accidentals"]
    table = [heads[: 3 if rows[0].accidentals is None else 5]]
    for row in rows:
        line = [row.name, f"{row.count:,}", rate(row.rate_hz)]
        if row.accidentals is not None:
            line += [f"{row.accidentals:,.1f}", with_error(row.subtracted, row.subtracted_error)]
        table.append(line)
    _print(table)


def _show_matrix(parties: Sequence[tuple[int, ...]], rows: Sequence["Row"]) -> None:
    across = [str(channel) for channel in parties[1]]
    table = [["", *across]]
    for k, channel in enumerate(parties[0]):
        counts = rows[k * len(across) : (k + 1) * len(across)]
        table.append([str(channel), *(f"{row.count:,}" for row in counts)])
    _print(table)
    click.echo()


def _print(table: Sequence[Sequence[str]]) -> None:
    """Rows of text in columns, the first one to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for first, *others in table:
        cells = [first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(others, widths[1:], strict=True))]
        click.echo("  ".join(cells).rstrip())
