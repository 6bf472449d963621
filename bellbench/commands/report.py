"""`bellbench report`: everything about a stored run in one file that opens offline."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bellbench.commands.options import runs_option
from bellbench.exit_codes import ExitCode

if TYPE_CHECKING:
    from bellbench.report.blocks import Report

REPORT = "report"


class ReportError(click.ClickException):
    """There is no such run, or its folder cannot be written."""

    exit_code = ExitCode.CONFIG


@click.command()
@click.argument("run", default="last")
@runs_option()
@click.option("--pdf", is_flag=True, help="A PDF file instead of an HTML file.")
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file; by default report.html or report.pdf in the run's folder.",
)
def report(run: str, runs: Path, pdf: bool, to: Path | None) -> None:
    """Write the report of RUN: what was asked, what was done, results beside published figures, plots, and
    how to reproduce it. RUN is the name of its folder, the beginning or end of it, or `last`.

    The file needs nothing beside it: no network, no JavaScript.
    """
    from bellbench.report.html import html_of
    from bellbench.report.pdf import write_pdf
    from experiments.archive.finding import NoSuchRunError
    from experiments.archive.stored import open_run

    try:
        folder = open_run(run, runs).path
    except NoSuchRunError as error:
        raise ReportError(str(error)) from None
    path = to or folder / f"{REPORT}.{'pdf' if pdf else 'html'}"
    try:
        if pdf:
            write_pdf(_content(folder), path)
        else:
            path.write_text(html_of(_content(folder)), encoding="utf-8")
    except OSError as error:
        raise ReportError(f"{path} cannot be written ({error.strerror}); choose another with --to") from None
    click.echo(path)


def write_report(folder: Path) -> None:
    """Write report.html into a run's folder. Raises OSError."""
    from bellbench.report.html import html_of

    (folder / f"{REPORT}.html").write_text(html_of(_content(folder)), encoding="utf-8")


def _content(folder: Path) -> "Report":
    from bellbench.report.content import report_of
    from bellbench.report.reported import ReportedRun

    return report_of(ReportedRun(folder))
