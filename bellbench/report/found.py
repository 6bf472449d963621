"""The plots of a report, of what a run's measurements found: figures beside published ones, correlations by
setting, density matrices."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bellbench.figures import BELL_STATES, label_of
from bellbench.report.blocks import Plot
from bellbench.report.figures import sentence, small_plots
from bellbench.report.reported import ReportedRun, Row
from bellbench.report.style import INK, QUIET, TONES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

DENSITY_MATRIX = "density_matrix"
SETTINGS = "settings"
MOST_PLOTS = 6
"""Of correlations; many pairs of nodes have a plot that shows them all."""
BASIS = ("HH", "HV", "VH", "VV")


def beside_published(run: ReportedRun) -> Plot | None:
    """Our figures beside the published ones, each on an axis of its own."""
    figures = run.figures()
    both = [(name, figures[name], run.published[name]) for name in run.published if name in figures]
    if not both:
        return None

    def draw(figure: "FigureBase") -> None:
        rows = figure.subplots(len(both), 1, squeeze=False)[:, 0]
        figure.subplots_adjust(left=0.34, right=0.97, top=0.97, bottom=0.3 / height, hspace=1.3)
        for axes, (name, ours, theirs) in zip(rows, both, strict=True):
            _beside(axes, name, ours, theirs)

    height = 0.25 + 0.52 * len(both)
    caption = "Our figures (circles, one standard error) beside published ones (diamonds; arrows for bounds)."
    return Plot("published", caption, draw, height)


def _beside(axes: "Axes", name: str, ours: Row, theirs: Row) -> None:
    label, unit = label_of(name)
    axes.errorbar(
        ours["value"], 1, xerr=ours.get("error"), fmt="o", color=TONES[0], markersize=4, elinewidth=1.2
    )
    points = [ours["value"] - (ours.get("error") or 0), ours["value"] + (ours.get("error") or 0)]
    bound = theirs.get("above") if theirs.get("above") is not None else theirs.get("below")
    if theirs.get("value") is not None:
        axes.errorbar(theirs["value"], 0, xerr=theirs.get("error"), fmt="D", color=TONES[1], markersize=4)
        points.append(theirs["value"])
    elif bound is not None:
        way = 1 if theirs.get("above") is not None else -1
        reach = way * max(abs(ours["value"] - bound), 0.1 * abs(bound) or 1) * 0.6
        axes.annotate(
            "",
            (bound + reach, 0),
            (bound, 0),
            arrowprops={"arrowstyle": "->", "color": TONES[1], "linewidth": 1.2},
        )
        axes.plot(bound, 0, "|", color=TONES[1], markersize=8)
        points += [bound, bound + reach]
    room = 0.12 * (max(points) - min(points)) or 0.1
    axes.set_xlim(min(points) - room, max(points) + room)
    axes.set_ylim(-0.8, 1.8)
    axes.set_yticks([0, 1], ["published", "measured"], color=QUIET)
    axes.set_ylabel(
        f"{sentence(label)}\n({unit})" if unit else sentence(label),
        rotation=0,
        ha="right",
        va="center",
        color=INK,
    )
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)


def correlations(run: ReportedRun) -> list[Plot]:
    """The correlation E of each setting of the analysers, for every measurement that has settings."""
    plots: list[Plot] = []
    for name, settings in run.results.items():
        whose, _, what = name.rpartition(".")
        if what == SETTINGS and isinstance(settings, Mapping):
            found = {setting: _series(each) for setting, each in settings.items()}
            if any(found.values()) and len(plots) < MOST_PLOTS:
                plots.append(_correlations(whose, found))
    return plots


def _series(setting: Any) -> dict[str, Row]:
    """The estimates of one setting by what they are called: of each heralded state, or of the pairs of one
    source as counted and less accidentals."""
    found = setting.get("correlation") if isinstance(setting, Mapping) else None
    if not isinstance(found, Mapping):
        return {}
    if "value" in found:
        found = {"as counted": found, "less accidentals": found.get("subtracted")}
    return {
        BELL_STATES.get(name, name.replace("_", " ")): each for name, each in found.items() if _known(each)
    }


def _correlations(whose: str, settings: Mapping[str, Mapping[str, Row]]) -> Plot:
    names = list(dict.fromkeys(name for found in settings.values() for name in found))

    def draw(figure: "FigureBase") -> None:
        axes = figure.subplots()
        figure.subplots_adjust(left=0.09, right=0.985, top=0.88, bottom=0.14)
        wide = 0.8 / len(names)
        for n, name in enumerate(names):
            known = [(k, found[name]) for k, found in enumerate(settings.values()) if name in found]
            x = [k + (n - (len(names) - 1) / 2) * wide for k, _ in known]
            axes.bar(
                x, [e["value"] for _, e in known], wide * 0.92, yerr=[e.get("error") or 0 for _, e in known],
                color=TONES[n % len(TONES)], alpha=0.85, ecolor=INK, error_kw={"elinewidth": 0.8},
                label=name,
            )  # fmt: skip
        axes.axhline(0, color=QUIET, linewidth=0.7)
        axes.set_xticks(range(len(settings)), list(settings), color=INK)
        axes.set_ylim(-1.05, 1.05)
        axes.set_ylabel("correlation E")
        axes.legend(ncols=4, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2)

    caption = f"Correlation of the outcomes in each setting{f' of {whose}' if whose else ''}."
    return Plot(f"correlations {whose}".strip(), caption, draw, 2.0)


def _known(estimate: Any) -> bool:
    return isinstance(estimate, Mapping) and estimate.get("value") is not None


def density_matrices(run: ReportedRun) -> list[Plot]:
    """Every density matrix in the results, real and imaginary part."""
    found = {}
    for name, value in run.results.items():
        inside = value.get(DENSITY_MATRIX) if isinstance(value, Mapping) else None
        matrix = _matrix(value if DENSITY_MATRIX in name else inside)
        if matrix is not None:
            found[name] = matrix
    return [_density_matrix(name, matrix) for name, matrix in found.items()]


def _matrix(value: Any) -> NDArray[np.complex128] | None:
    """A square matrix, stored as real and imaginary part, or with pairs of numbers as elements."""
    try:
        if isinstance(value, Mapping):
            made = np.array(value["real"], float) + 1j * np.array(value["imaginary"], float)
        else:
            parts = np.array(value, float)
            made = parts if parts.ndim == 2 else parts[..., 0] + 1j * parts[..., 1]
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    return made.astype(complex) if made.ndim == 2 and made.shape[0] == made.shape[1] else None


def _density_matrix(name: str, matrix: NDArray[np.complex128]) -> Plot:
    size = len(matrix)
    letters = BASIS if size == len(BASIS) else tuple(map(str, range(size)))

    def draw(figure: "FigureBase") -> None:
        axes_of = small_plots(figure, 2)
        figure.subplots_adjust(left=0.07, right=0.9, top=0.9, bottom=0.12)
        for axes, part, title in zip(axes_of, (matrix.real, matrix.imag), ("Re ρ", "Im ρ"), strict=True):
            edges = np.arange(size + 1) - 0.5
            shown = axes.pcolormesh(edges, edges, part, cmap="RdBu_r", vmin=-0.5, vmax=0.5)
            axes.set_ylim(size - 0.5, -0.5)
            axes.set_aspect("equal")
            for (row, column), value in np.ndenumerate(part):
                colour = "white" if abs(value) > 0.35 else INK
                axes.text(column, row, f"{value:+.2f}", ha="center", va="center", fontsize=6.5, color=colour)
            axes.set_title(title)
            axes.set_xticks(range(size), [f"⟨{letter}|" for letter in letters], color=INK)
            axes.set_yticks(range(size), [f"|{letter}⟩" for letter in letters], color=INK)
            axes.grid(visible=False)
            axes.tick_params(length=0)
        bar = figure.colorbar(shown, ax=axes_of, fraction=0.03, pad=0.03)
        assert bar.solids is not None
        bar.solids.set_rasterized(False)  # a picture in a picture does not print well

    caption = f"Reconstructed density matrix ({name.replace('_', ' ')}), real and imaginary part."
    return Plot(name, caption, draw, 2.9)
