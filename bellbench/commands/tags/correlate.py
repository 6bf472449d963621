"""`bellbench tags correlate`: the histogram of time differences between channels of a tag file."""

import json
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bellbench.commands.tags.options import (
    CHANNELS,
    POSITIVE_PS,
    RANGE_PS,
    as_json,
    delays,
    once_each,
    tag_file,
)
from bellbench.text import with_error
from drivers.units import format_si

if TYPE_CHECKING:
    from bellbench.commands.tags.reading import Reading
    from timetags.analyses.correlate import Correlation

MOST_BINS = 10_000_000
FITTED_BINS = 4_000
FWHM = 2 * math.sqrt(2 * math.log(2))


@click.command()
@tag_file
@click.argument("first", type=CHANNELS)
@click.argument("second", type=CHANNELS)
@click.option(
    "--bin", "bin_ps", type=POSITIVE_PS, default="100 ps", show_default=True, help="Width of a bin."
)
@click.option(
    "--range",
    "range_ps",
    type=RANGE_PS,
    default="100 ns",
    show_default=True,
    help="Differences to show: '100 ns' for +-100 ns, or '-20ns..300ns'. Made up to whole bins.",
)
@delays
@click.option("--png", type=click.Path(path_type=Path, dir_okay=False), help="Write the plot to this file.")
@as_json
def correlate(
    file: str,
    format_: str | None,
    first: tuple[int, ...],
    second: tuple[int, ...],
    bin_ps: int,
    range_ps: tuple[int, int],
    delays: tuple[tuple[int, int], ...],
    png: Path | None,
    as_json: bool,
) -> None:
    """Correlate channels of FILE: the histogram of t(SECOND) - t(FIRST), with its peak.

    FIRST and SECOND are channel numbers, or several such as 1,2 whose tags are taken together.
    """
    from bellbench.commands.tags.reading import Reading, Refused
    from timetags.analyses.correlate import Correlation

    start, stop = range_ps
    stop += (start - stop) % bin_ps
    if (stop - start) // bin_ps > MOST_BINS:
        raise Refused(f"{(stop - start) // bin_ps:,} bins are too many: take wider ones or a shorter range")
    by_channel = once_each(delays, "--delay")
    reading = Reading(file, format_)
    correlation = Correlation(first, second, by_channel, bin_ps=bin_ps, range_ps=(start, stop))
    reading.through(correlation)
    reading.need((*first, *second))
    facts = _facts(reading, correlation, first, second, by_channel, bin_ps, (start, stop))
    if png is not None:
        _draw(png, facts, correlation)
    if as_json:
        click.echo(json.dumps(facts))
        return
    _show(facts, correlation)
    reading.tell()


def _facts(
    reading: "Reading",
    correlation: "Correlation",
    first: tuple[int, ...],
    second: tuple[int, ...],
    delays_ps: dict[int, int],
    bin_ps: int,
    range_ps: tuple[int, int],
) -> dict[str, Any]:
    from timetags.clocks.peak import DelayError, fit_peak

    counts, centres, singles = correlation.counts, correlation.centres_ps, reading.counts()
    # The peak is fitted where it is, whatever the range.
    fullest = int(counts.argmax())
    near = slice(max(0, fullest - FITTED_BINS // 2), fullest + FITTED_BINS // 2)
    tags = [sum(singles[channel] for channel in side) for side in (first, second)]
    duration_s = reading.duration_s
    facts = reading.facts() | {
        "first": list(first),
        "second": list(second),
        "delays_ps": {str(channel): delay for channel, delay in delays_ps.items()},
        "bin_ps": bin_ps,
        "range_ps": list(range_ps),
        "first_tags": tags[0],
        "second_tags": tags[1],
        "pairs": int(counts.sum()),
        "accidentals_per_bin": tags[0] * tags[1] * bin_ps * 1e-12 / duration_s if duration_s else None,
        "peak": None,
        "no_peak": None,
    }
    try:
        peak = fit_peak(counts[near], centres[near], bin_ps)
    except DelayError as error:
        facts["no_peak"] = str(error)
    else:
        facts["peak"] = vars(peak)
    return facts | {"counts": counts.tolist()}


def _title(facts: dict[str, Any]) -> str:
    first, second = (",".join(map(str, facts[side])) for side in ("first", "second"))
    return f"t({second}) - t({first}), bins of {format_si(facts['bin_ps'] * 1e-12, 's')}"


def _show(facts: dict[str, Any], correlation: "Correlation") -> None:
    from bellbench.commands.tags.terminal_plot import histogram

    start, stop = (format_si(edge * 1e-12, "s") for edge in facts["range_ps"])
    middle = format_si(sum(facts["range_ps"]) / 2 * 1e-12, "s")
    click.echo(_title(facts))
    width = min(shutil.get_terminal_size().columns, 160)
    for line in histogram(correlation.counts, (start, middle, stop), width):
        click.echo(line)
    click.echo(f"{facts['pairs']:,} pairs of {facts['first_tags']:,} and {facts['second_tags']:,} tags")
    if facts["accidentals_per_bin"] is not None:
        click.echo(
            f"{facts['accidentals_per_bin']:.4g} per bin if the channels had nothing to do with each other"
        )
    peak = facts["peak"]
    if peak is None:
        click.echo(facts["no_peak"])
        return
    position = with_error(peak["position_ps"], peak["position_error_ps"])
    pairs, floor = f"{peak['pairs']:,.0f} pairs", f"{peak['background']:.4g} per bin"
    click.echo(f"peak at {position} ps with {pairs} on {floor}")
    before, after = peak["tau_idler_ps"], peak["tau_signal_ps"]
    jitter = FWHM * peak["sigma_ps"]
    click.echo(
        f"falls off over {before:.3g} ps before and {after:.3g} ps after it, jitter {jitter:.3g} ps FWHM"
    )


def _draw(path: Path, facts: dict[str, Any], correlation: "Correlation") -> None:
    from bellbench.commands.tags.reading import Refused

    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise Refused("--png needs matplotlib, which is not installed: pip install matplotlib") from None
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    start, stop = facts["range_ps"]
    edges = [(start + k * facts["bin_ps"]) * 1e-3 for k in range(len(correlation.counts) + 1)]
    axes.stairs(correlation.counts, edges, fill=True)
    axes.set(xlabel="time difference (ns)", ylabel="pairs per bin", title=_title(facts))
    axes.set_xlim(start * 1e-3, stop * 1e-3)
    try:
        figure.savefig(path, format="png", dpi=150)
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from error
