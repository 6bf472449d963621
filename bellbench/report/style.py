"""How plots look: on paper as on the page, the colours of the dashboard's light theme.

Nothing here touches matplotlib's global state: whoever prints does so within `paper()`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TONES = ("#1f6fd0", "#d1541b", "#0b8560", "#7a3fb8", "#8a6d00", "#b0306a", "#3c7d8c", "#5a5f66")
INK, QUIET, EDGE, GRID = "#15181b", "#575e66", "#b9b8b2", "#ecebe6"
BAND, BAND_EDGE = "#f0a632", "#b06d00"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": QUIET,
    "axes.edgecolor": EDGE,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": EDGE,
    "ytick.color": EDGE,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "lines.linewidth": 1.2,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "legend.handlelength": 1.4,
    "path.simplify": True,
    "path.simplify_threshold": 1.0,
    "svg.hashsalt": "bellbench",  # the same run gives the same file
    "figure.facecolor": "white",
}


@contextmanager
def paper() -> Iterator[None]:
    """Draw and print in this style."""
    from matplotlib import rc_context

    with rc_context(STYLE):
        yield


def in_thousands(axes: "Axes") -> None:
    """Ticks of a rate as 200k, 1.5M."""
    from matplotlib.ticker import EngFormatter

    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
