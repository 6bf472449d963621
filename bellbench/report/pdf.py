"""A report as PDF, on A4, by matplotlib alone: no browser is needed. Plots and text stay vectors and text."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bellbench.report.blocks import WIDTH_IN, Block, Heading, Paragraph, Plot, Report, Table
from bellbench.report.style import GRID, INK, QUIET, paper

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE_IN = (8.27, 11.69)
MARGIN_IN = (PAGE_IN[0] - WIDTH_IN) / 2
TOP_IN, BOTTOM_IN = 0.8, 0.8
LEADING = 1.4
PT_PER_IN = 72.0
TONE_COLOURS = {"good": "#0b5a31", "mixed": "#6b4200", "bad": "#8f1414"}


@dataclass(frozen=True)
class Strip:
    """Something as wide as the text and so high, in inches, drawn into a page at its upper edge, which is
    counted from the foot of the page. One that `leads` does not stand last on a page."""

    height_in: float
    draw: "Callable[[Figure, float], None]"
    leads: bool = False


def write_pdf(report: Report, path: Path) -> None:
    """Write the file. Raises OSError."""
    from matplotlib.backends.backend_pdf import PdfPages
    from matplotlib.figure import Figure

    about: dict[str, Any] = {"Title": report.title, "Creator": "bellbench", "CreationDate": None}
    with paper(), PdfPages(path, metadata=about) as pdf:
        pages = list(_paged(list(_strips(report))))
        for number, strips in enumerate(pages, 1):
            page = Figure(figsize=PAGE_IN)
            at_in = PAGE_IN[1] - TOP_IN
            for strip in strips:
                strip.draw(page, at_in)
                at_in -= strip.height_in
            foot = f"{report.subtitle.split(' · ')[0]} · {number} of {len(pages)}"
            _write(page, foot, MARGIN_IN, BOTTOM_IN - 0.2, 6.5, QUIET)
            pdf.savefig(page)


def _paged(strips: Sequence[Strip]) -> Iterator[list[Strip]]:
    """Strips by page; what leads goes over together with what it leads."""
    room = PAGE_IN[1] - TOP_IN - BOTTOM_IN
    page: list[Strip] = []
    used = 0.0
    for strip in strips:
        if used + strip.height_in > room and page:
            over: list[Strip] = []
            while page and page[-1].leads:
                over.insert(0, page.pop())
            if page:
                yield page
            page, used = over, sum(one.height_in for one in over)
        page.append(strip)
        used += strip.height_in
    yield page


def _strips(report: Report) -> Iterator[Strip]:
    yield from _text(report.title, 17, INK, bold=True)
    yield from _text(report.subtitle, 7.5, QUIET)
    yield _space(0.08)
    yield from _text(report.verdict, 9, TONE_COLOURS[report.tone], bold=True)
    yield _space(0.1)
    if report.key_figures:
        yield _key_figures(report.key_figures)
    yield from _blocks(report.blocks)


def _blocks(blocks: Iterable[Block]) -> Iterator[Strip]:
    for block in blocks:
        match block:
            case Heading(text):
                yield _space(0.16)
                yield Strip(0.34, lambda page, at, text=text: _heading(page, text, at), leads=True)  # type: ignore[misc]
            case Paragraph(text, kind):
                colour = {"note": QUIET, "warning": TONE_COLOURS["bad"]}.get(kind, INK)
                yield from _text(text, 7 if kind == "note" else 8, colour, mono=kind == "code")
                yield _space(0.06)
            case Table():
                yield from _table(block)
                yield _space(0.1)
            case Plot():
                yield Strip(block.height_in, lambda page, at, plot=block: _plot(page, plot, at), leads=True)  # type: ignore[misc]
                yield from _text(block.caption, 7, QUIET)
                yield _space(0.12)


def _space(height_in: float) -> Strip:
    return Strip(height_in, lambda _page, _at: None)


def _write(
    page: "Figure", text: str, x_in: float, y_in: float, size: float, colour: str, **more: Any
) -> None:
    """One line, at its upper edge."""
    page.text(
        x_in / PAGE_IN[0],
        y_in / PAGE_IN[1],
        text,
        fontsize=size,
        color=colour,
        va="top",
        parse_math=False,
        **more,
    )


def _text(text: str, size: float, colour: str, *, bold: bool = False, mono: bool = False) -> Iterator[Strip]:
    """Lines of text, each a strip, so that a page may end between them."""
    look: dict[str, Any] = {"fontweight": "bold"} if bold else {"fontfamily": "monospace"} if mono else {}
    for line in _wrapped(text, size * (1.12 if bold or mono else 1.0), WIDTH_IN):
        yield Strip(
            size * LEADING / PT_PER_IN,
            lambda page, at, line=line: _write(page, line, MARGIN_IN, at, size, colour, **look),  # type: ignore[misc]
        )


def _heading(page: "Figure", text: str, at_in: float) -> None:
    _rule(page, at_in, INK, 1.0)
    _write(page, text, MARGIN_IN, at_in - 0.07, 11, INK, fontweight="bold")


def _rule(page: "Figure", at_in: float, colour: str, width: float) -> None:
    from matplotlib.lines import Line2D

    y = at_in / PAGE_IN[1]
    ends = [MARGIN_IN / PAGE_IN[0], 1 - MARGIN_IN / PAGE_IN[0]]
    page.add_artist(Line2D(ends, [y, y], color=colour, linewidth=width))


def _key_figures(figures: Sequence[tuple[str, str, str]]) -> Strip:
    def draw(page: "Figure", at_in: float) -> None:
        for n, (label, value, error) in enumerate(figures):
            x_in = MARGIN_IN + n * WIDTH_IN / len(figures)
            _write(page, label, x_in, at_in, 7.5, QUIET)
            _write(page, value, x_in, at_in - 0.15, 17, INK)
            _write(page, error, x_in, at_in - 0.45, 7.5, QUIET)

    return Strip(0.65, draw)


def _plot(page: "Figure", plot: Plot, at_in: float) -> None:
    """A plot in a part of the page of its own; parts are cut by their ratios to the page."""
    grid = page.add_gridspec(
        3,
        3,
        width_ratios=(MARGIN_IN, WIDTH_IN, MARGIN_IN),
        height_ratios=(PAGE_IN[1] - at_in, plot.height_in, at_in - plot.height_in),
    )
    part = page.add_subfigure(grid[1, 1])
    part.set_facecolor("none")
    plot.draw(part)


def _table(table: Table) -> Iterator[Strip]:
    size = 6.8
    gap_in = 0.1
    widths = [WIDTH_IN * wide / sum(table.widths) for wide in table.widths]
    yield from _text(table.caption, 7, QUIET)

    def row(cells: Sequence[str], colour: str, *, leads: bool = False) -> Strip:
        columns = [_wrapped(cell, size, wide - gap_in) for cell, wide in zip(cells, widths, strict=True)]
        lines = max(1, *map(len, columns))
        height_in = lines * size * LEADING / PT_PER_IN + 0.045

        def draw(page: "Figure", at_in: float) -> None:
            x_in = MARGIN_IN
            for column, wide in zip(columns, widths, strict=True):
                for n, line in enumerate(column):
                    _write(page, line, x_in, at_in - n * size * LEADING / PT_PER_IN - 0.02, size, colour)
                x_in += wide
            _rule(page, at_in - height_in, GRID, 0.6)

        return Strip(height_in, draw, leads)

    yield row(table.head, QUIET, leads=True)
    for cells in table.rows:
        yield row(cells, INK)


def _wrapped(text: str, size: float, width_in: float) -> list[str]:
    """Lines no wider than that; a word that is wider is cut."""
    lines: list[str] = []
    for paragraph in text.splitlines() or [""]:
        line = ""
        for word in paragraph.split():
            whole = f"{line} {word}".strip()
            if not line or _width_in(whole, size) <= width_in:
                line = whole
            else:
                lines.append(line)
                line = word
            while len(line) > 1 and _width_in(line, size) > width_in:
                cut = max(1, int(len(line) * width_in / _width_in(line, size)) - 1)
                lines.append(line[:cut])
                line = line[cut:]
        lines.append(line)
    return lines


def _width_in(text: str, size: float) -> float:
    return sum(map(_letter_em, text)) * size / PT_PER_IN


@cache
def _letter_em(letter: str) -> float:
    """How wide a letter of the font is, in parts of its size."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties(family="DejaVu Sans")))
    font.set_size(100, 72)
    font.load_char(ord(letter))
    return float(font.load_char(ord(letter)).linearHoriAdvance / 65536 / 100)
