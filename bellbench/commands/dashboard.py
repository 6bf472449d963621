"""`bellbench dashboard`: a run on a page in the browser, live or replayed, from its folder alone."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import click

from bellbench.commands.options import runs_option
from bellbench.exit_codes import ExitCode

LAST = "last"


class DashboardError(click.ClickException):
    """There is nothing to show, or no place to show it at."""

    exit_code = ExitCode.CONFIG


@click.command()
@click.argument("run", default=LAST)
@runs_option()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="By default any that is free.")
@click.option(
    "--speed", type=click.FloatRange(min=0, min_open=True), help="Replay a run that is over, so much faster."
)
@click.option("--no-open", is_flag=True, help="Do not open a browser.")
def dashboard(run: str, runs: Path, port: int, speed: float | None, no_open: bool) -> None:
    """Show RUN on a page in the browser: the name of its folder, the beginning or end of it, or `last`.

    With `last`, which is the default, the page goes over to each newer run. It is served to this machine
    alone and changes nothing. Ctrl-C ends it.
    """
    from bellbench.dashboard.server import DashboardServer, listen, url_of

    source = source_of(run, runs)
    try:
        listening = listen(port)
    except OSError as error:
        raise DashboardError(
            f"port {port} cannot be had ({error.strerror}); choose another with --port"
        ) from None
    server = DashboardServer(source, speed)
    click.echo(f"{url_of(listening)}  (Ctrl-C ends it)")
    if not no_open and has_screen():
        click.launch(url_of(listening))
    try:
        server.serve(listening)
    except KeyboardInterrupt:
        return


def source_of(run: str, runs: Path) -> Callable[[], Path | None]:
    """Where to look for the run of that name; raises DashboardError when it is not there."""
    from experiments.archive.finding import NoSuchRunError, find_run

    if run == LAST:
        return lambda: newest(runs)
    try:
        folder = find_run(run, runs)
    except NoSuchRunError as error:
        raise DashboardError(str(error)) from None
    return lambda: folder


def newest(runs: Path) -> Path | None:
    """The run that began last. Names begin with the second of the beginning: only of those that share it the
    record is read, since this is asked every second."""
    from experiments.archive.finding import began, run_folders

    folders = run_folders(runs)
    together = [folder for folder in folders if folder.name[:20] == folders[-1].name[:20]]
    return max(together, key=began, default=None)


def has_screen() -> bool:
    """Whether a browser would be a window, and not text in this terminal."""
    return sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
