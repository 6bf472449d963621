"""The plots of a report, of what a run saw while it went on: each function looks into a stored run and gives
a plot, or None where there is nothing to show. What a measurement found is in `found`."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bellbench.figures import FIGURES, label_of
from bellbench.report.blocks import Plot
from bellbench.report.reported import ReportedRun, Row
from bellbench.report.style import BAND, BAND_EDGE, INK, QUIET, TONES, in_thousands
from bellbench.text import duration, with_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

CLASSICAL = {"chsh_s": 2.0, "fidelity": 0.5}
"""Where what needs no entanglement ends."""
ACROSS = 3
"""Small plots side by side."""
RATE_OVER_S = 10.0
STATE_COLOURS = {"running": TONES[0], "paused": BAND, "preparing": QUIET}


def sentence(text: str) -> str:
    """With a capital letter in front."""
    return text[:1].upper() + text[1:]


def rows_of(count: int) -> tuple[int, int]:
    """Rows and columns for so many small plots."""
    across = min(count, ACROSS)
    return math.ceil(count / across), across


def small_plots(figure: "FigureBase", count: int) -> "list[Axes]":
    """So many axes, a few side by side."""
    rows, across = rows_of(count)
    grid = figure.subplots(rows, across, squeeze=False, gridspec_kw={"hspace": 0.75, "wspace": 0.32})
    figure.subplots_adjust(left=0.075, right=0.985, top=1 - 0.24 / rows, bottom=0.26 / rows)
    axes = list(grid.flat)
    for unused in axes[count:]:
        unused.set_axis_off()
    return axes[:count]


def timeline(run: ReportedRun) -> Plot | None:
    """Steps, states and downtime on one axis of run time."""
    steps = _spans(run.stream("step"), run.duration_s)
    if not steps:
        return None
    states = run.stream("state")
    pauses = [row["t_s"] for row in states if row["state"] == "paused"]
    uptime = run.stream("uptime")

    def draw(figure: "FigureBase") -> None:
        axes = figure.subplots()
        figure.subplots_adjust(left=0.2, right=0.985, top=0.97, bottom=0.36 / height)
        for line, (_, begin, end) in enumerate(steps):
            axes.barh(line, end - begin, left=begin, height=0.62, color=TONES[0])
            axes.text(end, line, f" {duration(end - begin)}", va="center", fontsize=7, color=QUIET)
        names = [f"{n}  {kind}" for n, (kind, _, _) in enumerate(steps, 1)]
        lanes = [("state", states, STATE_COLOURS), ("link", uptime, {"up": TONES[2], "down": "#a31717"})]
        for name, rows, colours in lanes:
            if not rows:
                continue
            line = len(names)
            ends = [row["t_s"] for row in rows[1:]] + [run.duration_s]
            for row, end in zip(rows, ends, strict=True):
                colour = colours.get(row["state"])
                if colour:
                    axes.barh(line, end - row["t_s"], left=row["t_s"], height=0.3, color=colour)
            names.append(name)
        axes.set_yticks(range(len(names)), names, color=INK)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlim(0, run.duration_s * 1.09 or 1)
        axes.set_xlabel("time in the run (s)")
        axes.grid(visible=False)
        axes.tick_params(axis="y", length=0)

    height = 0.55 + 0.22 * (len(steps) + 1 + bool(uptime))
    paused = f" The run paused {len(pauses)} times." if pauses else ""
    return Plot("timeline", f"Steps over {duration(run.duration_s)} of run time.{paused}", draw, height)


def _spans(rows: Sequence[Row], end_s: float) -> list[tuple[str, float, float]]:
    """Kind, begin and end of each step that was begun; one without an end goes on to that of the run."""
    spans: list[tuple[str, float, float]] = []
    for n, row in enumerate(rows):
        if row["phase"] == "began":
            later = rows[n + 1]["t_s"] if n + 1 < len(rows) else end_s
            spans.append((row["kind"], row["t_s"], later))
    return spans


def peaks(run: ReportedRun) -> Plot | None:
    """The newest correlation histogram of each name, with its window."""
    newest = {row["name"]: row for row in run.stream("peaks")}
    if not newest:
        return None

    def draw(figure: "FigureBase") -> None:
        for axes, row in zip(small_plots(figure, len(newest)), newest.values(), strict=True):
            delays = (
                row["from_ps"] + row["bin_ps"] * np.arange(len(row["counts"]) + 1) - row["centre_ps"]
            ) / 1e3
            axes.axvspan(
                *((row[edge] - row["centre_ps"]) / 1e3 for edge in ("window_begin_ps", "window_end_ps")),
                color=BAND, alpha=0.18, linewidth=0,
            )  # fmt: skip
            for edge in ("window_begin_ps", "window_end_ps"):
                axes.axvline(
                    (row[edge] - row["centre_ps"]) / 1e3, color=BAND_EDGE, linewidth=0.7, linestyle=":"
                )
            axes.stairs(row["counts"], delays, color=TONES[0], linewidth=0.9)
            axes.set_title(sentence(row["name"]))
            axes.set_xlabel("delay from the peak (ns)")
            axes.set_xlim(delays[0], delays[-1])
            axes.set_ylim(0)
            in_thousands(axes)

    widths = ", ".join(
        f"{name} {row['window_end_ps'] - row['window_begin_ps']:.0f} ps at "
        f"{with_error(row['centre_ps'], row['error_ps'])} ps"
        for name, row in newest.items()
    )
    caption = f"Correlation histograms, counts per bin, and the coincidence windows (shaded): {widths}."
    return Plot("peaks", caption, draw, 1.75 * rows_of(len(newest))[0])


def growth(run: ReportedRun) -> Plot | None:
    """Every figure with its standard error as data came in."""
    rows = run.stream("live")
    names = [n for n in figure_names(rows) if np.isfinite(run.column("live", n)).sum() > 1]
    if not names:
        return None
    live_s = run.column("live", "live_s")

    def draw(figure: "FigureBase") -> None:
        for axes, name in zip(small_plots(figure, len(names)), names, strict=True):
            value, error = run.column("live", name), run.column("live", f"{name}_error")
            known = np.isfinite(value)
            axes.fill_between(
                live_s[known],
                (value - error)[known],
                (value + error)[known],
                color=TONES[0],
                alpha=0.18,
                linewidth=0,
            )
            axes.plot(live_s[known], value[known], color=TONES[0])
            _frame(axes, value[known], error[known], CLASSICAL.get(name))
            label, unit = label_of(name)
            axes.set_title(sentence(f"{label} ({unit})" if unit else label))
            axes.set_xlabel("data taken (s)")

    caption = (
        "Figures as data came in; the band is one standard error. Settings are measured one by one, so "
        "a figure begins when all that it needs have been seen. Dashed: the limit without entanglement."
    )
    return Plot("growth", caption, draw, 1.75 * rows_of(len(names))[0])


def figure_names(rows: Sequence[Row]) -> list[str]:
    """The figures of stream `live`, those known to people first."""
    names = dict.fromkeys(key for row in rows for key in row if f"{key}_error" in row)
    return sorted(names, key=lambda name: list(FIGURES).index(name) if name in FIGURES else len(FIGURES))


def _frame(axes: "Axes", value: NDArray[np.float64], error: NDArray[np.float64], limit: float | None) -> None:
    """Show what came after the first tenth in full, and the limit when it is near."""
    settled = slice(len(value) // 10, None)
    low = float(np.nanmin(value[settled] - np.nan_to_num(error[settled])))
    high = float(np.nanmax(value[settled] + np.nan_to_num(error[settled])))
    if limit is not None:
        low, high = min(low, limit), max(high, limit)
        axes.axhline(limit, color=QUIET, linewidth=0.8, linestyle="--")
    room = 0.08 * (high - low) or 0.1
    axes.set_ylim(low - room, high + room)


def rates(run: ReportedRun) -> Plot | None:
    """Singles of detectors whose names begin alike, and heralds and four-folds per second of data."""
    singles, times = run.singles_hz(), run.column("rates", "t_s")
    groups: dict[str, list[int]] = {}
    for n, name in enumerate(run.counted):
        groups.setdefault(name.rpartition("_")[0] or name, []).append(n)
    counts = [
        (name, label, *counted)
        for name, label in (("heralds", "Heralds (1/s)"), ("fourfolds", "Four-folds (1/s)"))
        if len((counted := per_second(run, name))[0])
    ]
    if not len(singles) and not counts:
        return None

    def draw(figure: "FigureBase") -> None:
        panels = small_plots(figure, len(counts) + len(groups))
        for axes, (_, label, x, y) in zip(panels, counts, strict=False):
            axes.plot(x, y, color=TONES[1])
            axes.set_title(label)
            axes.set_ylim(0, 1.15 * max(y.max(), 1e-9))
            in_thousands(axes)
        for axes, (stem, members) in zip(panels[len(counts) :], groups.items(), strict=True):
            for tone, n in enumerate(members):
                axes.plot(times, singles[:, n], color=TONES[tone % len(TONES)], label=run.counted[n])
            axes.set_title(f"Singles of {stem} (1/s)")
            axes.set_ylim(0, (1.6 if len(members) > 2 else 1.3) * max(singles[:, members].max(), 1.0))
            axes.legend(loc="upper right", ncols=2, borderaxespad=0)
            in_thousands(axes)
        for axes in panels:
            axes.set_xlabel("time in the run (s)")

    caption = (
        f"Counts over time. Heralds and four-folds over {RATE_OVER_S:g} s of data each, longer in long runs."
    )
    return Plot("rates", caption, draw, 1.75 * rows_of(len(counts) + len(groups))[0])


def per_second(run: ReportedRun, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Run time in s and how fast a count grew over the last stretch of data before it, per second of data."""
    live, count, times = (run.column("live", key) for key in ("live_s", name, "t_s"))
    growing = np.flatnonzero(np.diff(live, prepend=-1.0) > 0)
    live, count, times = live[growing], count[growing], times[growing]
    if len(live) < 2:
        return np.array([]), np.array([])
    over = max(RATE_OVER_S, live[-1] / 60)
    before = np.searchsorted(live, live - over, side="right").clip(max=np.arange(len(live)) - 1).clip(min=0)
    rate = (count - count[before])[1:] / (live - live[before])[1:]
    return times[1:], rate.clip(min=0)


def tracks(run: ReportedRun) -> Plot | None:
    """How the delays drifted after their calibration."""
    found = run.calibrations.get("delay_track", {})
    points = {name: track for name, track in found.items() if isinstance(track, list) and len(track) > 1}
    if not points:
        return None

    def draw(figure: "FigureBase") -> None:
        axes = figure.subplots()
        figure.subplots_adjust(left=0.1, right=0.985, top=0.95, bottom=0.24)
        for tone, (name, track) in zip(TONES, points.items(), strict=False):
            time_s = [point["time_ps"] / 1e12 for point in track]
            offset, error = ([point[key] for point in track] for key in ("offset_ps", "error_ps"))
            axes.errorbar(
                time_s, offset, error, color=tone, label=name, fmt="o-", markersize=2.5, elinewidth=0.8
            )
            for point in track:
                if point.get("jumped"):
                    axes.axvline(point["time_ps"] / 1e12, color=tone, linewidth=0.8, linestyle=":")
        axes.set_xlabel("time of the tags (s)")
        axes.set_ylabel("drift of the delay (ps)")
        axes.legend(ncols=4)

    return Plot(
        "tracks",
        "Drift of the delays since their calibration, as tracked by the pairs; dotted: jumps.",
        draw,
        1.9,
    )


def polarization(run: ReportedRun) -> Plot | None:
    """The Stokes vector and the fidelity behind each link, and what compensations did."""
    links: dict[str, list[Row]] = {}
    for row in run.stream("polarization"):
        seen = links.setdefault(row["link"], [])
        # One look may send several probes: those of the same time and phase, always in the same order.
        again = bool(seen) and (seen[-1]["t_s"], seen[-1]["phase"]) == (row["t_s"], row["phase"])
        seen.append({**row, "probe": seen[-1]["probe"] + 1 if again else 0})
    if not links:
        return None

    def draw(figure: "FigureBase") -> None:
        panels = figure.subplots(
            len(links),
            2,
            squeeze=False,
            gridspec_kw={"wspace": 0.28, "hspace": 0.8, "width_ratios": (2, 1.4)},
        )
        figure.subplots_adjust(left=0.085, right=0.985, top=1 - 0.22 / len(links), bottom=0.25 / len(links))
        for (stokes, fidelity), (link, rows) in zip(panels, links.items(), strict=True):
            for probe in range(1 + max(row["probe"] for row in rows)):
                seen = [row for row in rows if row["probe"] == probe]
                for tone, key in zip(TONES, ("s1", "s2", "s3"), strict=False):
                    stokes.plot(
                        [row["t_s"] for row in seen], [row[key] for row in seen],
                        "o--" if probe else "o-", markersize=2, color=tone,
                        label="" if probe else key.upper(),
                    )  # fmt: skip
            stokes.set_title(link)
            stokes.set_ylim(-1.1, 1.1)
            stokes.legend(ncols=3, loc="lower right")
            for phase, tone, marker in (
                ("check", TONES[0], "o"),
                ("before", TONES[1], "v"),
                ("after", TONES[2], "^"),
            ):
                points = [(row["t_s"], row["fidelity"]) for row in rows if row["phase"] == phase]
                if points:
                    fidelity.plot(*zip(*points, strict=True), marker, markersize=3.5, color=tone, label=phase)
            fidelity.set_title("Fidelity of the probe")
            fidelity.legend(loc="lower right", ncols=3)
            for axes in (stokes, fidelity):
                axes.set_xlabel("time in the run (s)")

    turned = sum(row["phase"] == "after" and row["probe"] == 0 for rows in links.values() for row in rows)
    caption = (
        f"Stokes vector of the probe behind each link, and its fidelity; {turned} compensations. "
        "Of several probes in turn the second is dashed."
    )
    return Plot("polarization", caption, draw, 1.9 * len(links))


def scans(run: ReportedRun) -> Plot | None:
    """The newest curve of each name, with its fit."""
    newest = {row["name"]: row for row in run.stream("scan")}
    if not newest:
        return None

    def draw(figure: "FigureBase") -> None:
        for axes, (name, row) in zip(small_plots(figure, len(newest)), newest.items(), strict=True):
            number = {key: np.array(row[key], dtype=float) for key in ("x", "y", "error", "fit")}
            error = number["error"] if len(number["error"]) else None
            axes.errorbar(
                number["x"], number["y"], error, fmt="o", markersize=2.5, elinewidth=0.8, color=TONES[0]
            )
            if len(number["fit"]):
                axes.plot(number["x"], number["fit"], color=TONES[1])
            axes.set_title(sentence(name.replace("_", " ")))
            axes.set_xlabel(row["x_label"])
            axes.set_ylabel(row["y_label"])

    return Plot(
        "scans", "Scans with one standard error, and their fits.", draw, 2.0 * rows_of(len(newest))[0]
    )
