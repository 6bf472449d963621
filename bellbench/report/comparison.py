"""Two runs beside each other, as a report: their figures with the difference in standard errors, what they
saw drawn into the same axes, and what was set otherwise."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from bellbench.figures import label_of
from bellbench.report.blocks import Block, Heading, Paragraph, Plot, Report, Table
from bellbench.report.figures import figure_names, per_second, rows_of, sentence, small_plots
from bellbench.report.reported import ReportedRun
from bellbench.report.style import GRID, INK, QUIET, TONES, in_thousands
from bellbench.text import with_error
from experiments.archive.compare import FigureDifference, compare_figures, compare_settings
from experiments.estimators.estimate import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

APART = 3.0
"""Standard errors from which on a difference is one to look at."""
SETTINGS = 80
LONGEST = 60
"""Letters of a setting that are printed."""


def comparison_of(one: ReportedRun, other: ReportedRun) -> Report:
    """The report of two runs, `other` compared with `one`."""
    figures = compare_figures(one, other)
    far = [figure for figure in figures if figure.sigmas is not None and abs(figure.sigmas) >= APART]
    known = [figure for figure in figures if figure.sigmas is not None]
    if not known:
        verdict, tone = "no figure of both runs can be compared", "mixed"
    elif far:
        names = ", ".join(_label(figure.name) for figure in far[:6])
        verdict, tone = f"{len(far)} of {len(known)} figures differ by {APART:g} σ or more: {names}", "mixed"
    else:
        verdict, tone = f"all {len(known)} figures agree within {APART:g} σ", "good"
    return Report(
        "Two runs compared",
        f"{one.name} (1) and {other.name} (2)",
        verdict,
        tone,
        (),
        list(_blocks(one, other, figures)),
    )


def _blocks(one: ReportedRun, other: ReportedRun, figures: list[FigureDifference]) -> Iterator[Block]:
    yield Heading("Figures")
    if plot := _apart(figures):
        yield plot
    rows = [
        (_label(figure.name), _words(figure.one), _words(figure.other),
         "" if figure.sigmas is None else f"{figure.sigmas:+.1f} σ")
        for figure in figures
    ]  # fmt: skip
    if rows:
        yield Table(
            ("Figure", "1", "2", "2 beside 1"),
            rows,
            (4, 2, 2, 1.2),
            "Differences in standard errors of the difference",
        )
    else:
        yield Paragraph("Neither run has results.", "note")
    yield Heading("What they saw")
    for plot in (_growth(one, other), _rates(one, other), _peaks(one, other)):
        if plot:
            yield plot
    yield Heading("What was set otherwise")
    settings = [(s.path, _short(s.one), _short(s.other)) for s in compare_settings(one, other)]
    if settings:
        caption = f"{len(settings)} settings differ" + (
            f"; the first {SETTINGS}" if len(settings) > SETTINGS else ""
        )
        yield Table(("Setting", "1", "2"), settings[:SETTINGS], (4, 2.5, 2.5), caption)
    else:
        yield Paragraph("Nothing.")


def _label(path: str) -> str:
    return sentence(label_of(path)[0]).replace(".", ", ")


def _words(figure: Estimate | None) -> str:
    return "" if figure is None else with_error(figure.value, figure.error)


def _short(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _apart(figures: list[FigureDifference]) -> Plot | None:
    """How far apart the figures are, each in the standard errors of its difference."""
    known = [figure for figure in figures if figure.sigmas is not None and "." not in figure.name]
    if not known:
        return None

    def draw(figure: "FigureBase") -> None:
        axes = figure.subplots()
        figure.subplots_adjust(left=0.3, right=0.97, top=0.97, bottom=0.35 / height)
        sigmas = np.array([one.sigmas for one in known], dtype=float)
        reach = max(APART + 1, float(np.abs(sigmas).max()) + 1)
        axes.axvspan(-1, 1, color=GRID, linewidth=0)
        axes.axvline(0, color=QUIET, linewidth=0.7)
        for edge in (-APART, APART):
            axes.axvline(edge, color=QUIET, linewidth=0.7, linestyle="--")
        axes.errorbar(sigmas, range(len(known)), xerr=1, fmt="o", color=TONES[0], markersize=4, elinewidth=1)
        axes.set_yticks(range(len(known)), [_label(one.name) for one in known], color=INK)
        axes.set_ylim(len(known) - 0.5, -0.5)
        axes.set_xlim(-reach, reach)
        axes.set_xlabel("difference, 2 - 1, in its standard errors")
        axes.grid(visible=False)

    height = 0.55 + 0.24 * len(known)
    return Plot("apart", f"How far the figures are apart; dashed: {APART:g} standard errors.", draw, height)


def _growth(*runs: ReportedRun) -> Plot | None:
    names = list(dict.fromkeys(name for run in runs for name in figure_names(run.stream("live"))))
    names = [n for n in names if any(np.isfinite(run.column("live", n)).sum() > 1 for run in runs)]
    if not names:
        return None

    def draw(figure: "FigureBase") -> None:
        for axes, name in zip(small_plots(figure, len(names)), names, strict=True):
            ends = []
            for number, (run, tone) in enumerate(zip(runs, TONES, strict=False), 1):
                live_s, value = run.column("live", "live_s"), run.column("live", name)
                error = np.nan_to_num(run.column("live", f"{name}_error"))
                known = np.flatnonzero(np.isfinite(value))
                known = known[len(known) // 10 :]  # the first are as uncertain as they are many
                if len(known):
                    low, high = (value - error)[known], (value + error)[known]
                    axes.fill_between(live_s[known], low, high, color=tone, alpha=0.15, linewidth=0)
                    axes.plot(live_s[known], value[known], color=tone, label=str(number))
                    ends += [float(low[-1]), float(high[-1])]
            label, unit = label_of(name)
            axes.set_title(sentence(f"{label} ({unit})" if unit else label))
            axes.set_xlabel("data taken (s)")
            if ends:
                room = max(ends) - min(ends) or 1.0
                axes.set_ylim(min(ends) - room, max(ends) + room)
            axes.legend(ncols=2, loc="upper right", borderaxespad=0)

    return Plot("growth", "Figures as data came in.", draw, 1.75 * rows_of(len(names))[0])


def _rates(*runs: ReportedRun) -> Plot | None:
    kinds = [("heralds", "Heralds (1/s)"), ("fourfolds", "Four-folds (1/s)")]
    kinds = [(name, label) for name, label in kinds if any(len(per_second(run, name)[0]) for run in runs)]
    singles = [run for run in runs if len(run.singles_hz())]
    if not kinds and not singles:
        return None

    def draw(figure: "FigureBase") -> None:
        panels = small_plots(figure, len(kinds) + bool(singles))
        for axes, (name, label) in zip(panels, kinds, strict=False):
            for number, (run, tone) in enumerate(zip(runs, TONES, strict=False), 1):
                axes.plot(*per_second(run, name), color=tone, label=str(number))
            axes.set_title(label)
        if singles:
            for number, (run, tone) in enumerate(zip(runs, TONES, strict=False), 1):
                axes = panels[-1]
                axes.plot(
                    run.column("rates", "t_s"), run.singles_hz().sum(axis=1), color=tone, label=str(number)
                )
            panels[-1].set_title("Singles of all detectors (1/s)")
        for axes in panels:
            axes.set_ylim(0, 1.12 * axes.get_ylim()[1])
            axes.set_xlabel("time in the run (s)")
            axes.legend(ncols=2, loc="lower right")
            in_thousands(axes)

    return Plot("rates", "Counts over time.", draw, 1.75)


def _peaks(*runs: ReportedRun) -> Plot | None:
    newest = [{row["name"]: row for row in run.stream("peaks")} for run in runs]
    names = list(dict.fromkeys(name for of_run in newest for name in of_run))
    if not names:
        return None

    def draw(figure: "FigureBase") -> None:
        for axes, name in zip(small_plots(figure, len(names)), names, strict=True):
            for number, (of_run, tone) in enumerate(zip(newest, TONES, strict=False), 1):
                if row := of_run.get(name):
                    edges = row["from_ps"] + row["bin_ps"] * np.arange(len(row["counts"]) + 1)
                    counts = np.array(row["counts"], dtype=float)
                    delays = (edges - row["centre_ps"]) / 1e3
                    axes.stairs(counts / max(counts.max(), 1.0), delays, color=tone, label=str(number))
            axes.set_title(sentence(name.replace("_", " ")))
            axes.set_xlabel("delay from the peak (ns)")
            axes.set_ylim(0, 1.2)
            axes.legend(ncols=2, loc="upper right", borderaxespad=0)

    return Plot(
        "peaks",
        "Correlation histograms, each as a part of its highest bin.",
        draw,
        1.75 * rows_of(len(names))[0],
    )
