"""A report as one HTML file that opens anywhere, offline, without JavaScript: plots are SVG within it."""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from html import escape
from io import BytesIO
from pathlib import Path

from bellbench.report.blocks import WIDTH_IN, Block, Heading, Paragraph, Plot, Report, Table
from bellbench.report.style import paper

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = Path(__file__).with_name("report.css")


def html_of(report: Report) -> str:
    """The whole file as text."""
    key = "".join(
        f"<div><dt>{escape(label)}</dt><dd>{escape(value)} <small>{escape(error)}</small></dd></div>"
        for label, value, error in report.key_figures
    )
    with paper():
        body = "\n".join(_html(report.blocks))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="content-security-policy" content="{POLICY}">
<title>{escape(report.title)}</title>
<style>
{STYLE.read_text()}</style>
</head>
<body>
<header>
<h1>{escape(report.title)}</h1>
<p class="subtitle">{escape(report.subtitle)}</p>
<p class="verdict {report.tone}">{escape(report.verdict)}</p>
{f'<dl class="key">{key}</dl>' if key else ""}
</header>
<main>
{body}
</main>
<footer>Made by bellbench from the run folder alone.</footer>
</body>
</html>
"""


def _html(blocks: Iterable[Block]) -> Iterator[str]:
    for block in blocks:
        match block:
            case Heading():
                yield f"<h2>{escape(block.text)}</h2>"
            case Paragraph(text, "code"):
                yield f"<pre><code>{escape(text)}</code></pre>"
            case Paragraph():
                yield f'<p class="{block.kind}">{escape(block.text)}</p>'
            case Table():
                yield _table(block)
            case Plot():
                yield _figure(block)


def _table(table: Table) -> str:
    caption = f"<caption>{escape(table.caption)}</caption>"
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in table.head)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in table.rows
    )
    columns = "".join(f'<col style="width:{100 * wide / sum(table.widths):.1f}%">' for wide in table.widths)
    label = escape(table.caption, quote=True)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table>{caption}'
        f"<colgroup>{columns}</colgroup><thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>"
    )


def _figure(plot: Plot) -> str:
    picture = b64encode(svg_of(plot)).decode()
    caption = escape(plot.caption, quote=True)
    return (
        f'<figure><img alt="{caption}" src="data:image/svg+xml;base64,{picture}">'
        f"<figcaption>{escape(plot.caption)}</figcaption></figure>"
    )


def svg_of(plot: Plot) -> bytes:
    """A plot as an SVG file; its letters are drawn, so that it looks the same everywhere."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, plot.height_in))
    plot.draw(figure)
    file = BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
