"""What a report is made of, whichever way it is printed: headings, paragraphs, tables, plots."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

WIDTH_IN = 6.9
"""Of plots and of text on paper."""


@dataclass(frozen=True)
class Heading:
    text: str


@dataclass(frozen=True)
class Paragraph:
    """`kind` is how it looks: text, note (small), code (as it stands), warning."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Table:
    """`widths` are those of the columns, relative to each other. No two tables have the same caption."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    widths: Sequence[float]
    caption: str


@dataclass(frozen=True)
class Plot:
    """`draw` fills a figure `WIDTH_IN` wide and `height_in` high, in inches. The caption says what is seen,
    for those too who do not see it."""

    name: str
    caption: str
    draw: "Callable[[FigureBase], None]"
    height_in: float = 2.4


Block = Heading | Paragraph | Table | Plot


@dataclass(frozen=True)
class Report:
    """A title, the line under it, the figures that matter most as (label, value, error), and all else."""

    title: str
    subtitle: str
    verdict: str
    """What became of the run: good, mixed or bad, which is a colour, in `tone`."""
    tone: str
    key_figures: Sequence[tuple[str, str, str]]
    blocks: Sequence[Block]
