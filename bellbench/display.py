"""What a run looks like in the terminal: live while it goes on, and the table at its end.

On a terminal the picture is redrawn in place; elsewhere (a pipe, a CI log) plain lines come out. Both are
observers of the run and know nothing that telemetry does not know.
"""

import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live as LiveScreen
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bellbench.figures import FIGURES, label_of, place_of
from bellbench.text import duration, rate, with_error
from experiments.engine.events import (
    Finished,
    Happened,
    Live,
    Progress,
    Rates,
    RunEvent,
    StateChanged,
    StepBegan,
    StepEnded,
)
from experiments.engine.outcome import State

COLOURS = {
    State.PREPARING: "cyan",
    State.RUNNING: "cyan",
    State.PAUSED: "yellow",
    State.COMPLETED: "green",
    State.ABORTED: "yellow",
    State.FAILED: "red",
}
EVENTS_SHOWN = 4
UNDER_WAY = "…"
LINE_EVERY_S = 30.0
"""Plain lines tell how far the run is once in so much run time."""


class LiveDisplay:
    """The run as a picture that is redrawn in place. Use as a context manager around the run."""

    def __init__(self, console: Console, title: str) -> None:
        self._console, self._title = console, title
        self._run, self._state, self._message = "", State.PREPARING, ""
        self._steps: list[tuple[str, str]] = []
        self._progress: Progress | None = None
        self._rates: Rates | None = None
        self._live: Live | None = None
        self._events: deque[str] = deque(maxlen=EVENTS_SHOWN)
        self._began = time.monotonic()
        self._screen = LiveScreen(get_renderable=self.render, console=console, refresh_per_second=5)

    def __enter__(self) -> Self:
        self._screen.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._screen.stop()

    def notify(self, event: RunEvent) -> None:
        match event:
            case StateChanged():
                self._run, self._state, self._message = event.run, event.state, event.message
            case StepBegan():
                if self._steps and self._steps[-1][1] == UNDER_WAY:
                    self._steps[-1] = (self._steps[-1][0], "interrupted")
                self._steps.append((f"{event.number}/{event.count} {event.kind}", UNDER_WAY))
            case StepEnded():
                self._steps[-1] = (self._steps[-1][0], duration(event.took_s))
            case Progress():
                self._progress = event
            case Rates():
                self._rates = event
            case Live():
                self._live = event
            case Happened():
                self._events.append(event.message)
            case Finished():
                self._progress = None

    def render(self) -> RenderableType:
        """The whole picture as it is now."""
        parts: list[RenderableType] = [
            Text.assemble(
                (self._state.value, f"bold {COLOURS[self._state]}"),
                f"  {self._run}  {duration(time.monotonic() - self._began)} at the wall",
            )
        ]
        if self._state is State.PAUSED:
            parts.append(Text(f"  {self._message}", style="yellow"))
        for step, took in self._steps:
            parts.append(Text(f"  {step}  {took}", style="bold" if took == UNDER_WAY else "dim"))
        if self._progress:
            parts.append(_progress_line(self._progress))
        if self._rates:
            parts.append(_singles(self._rates))
        if self._live:
            parts.append(_so_far(self._live))
        parts += [
            Text(f"· {message}", style="dim", overflow="ellipsis", no_wrap=True) for message in self._events
        ]
        title = Text(self._title)  # somebody's own words, in which brackets are brackets and no markup
        return Panel(Group(*parts), title=title, title_align="left", border_style="blue")


class PlainLines:
    """The run as lines of a log."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next_s = 0.0
        self._live: Live | None = None

    def notify(self, event: RunEvent) -> None:
        match event:
            case StateChanged():
                why = f": {event.message}" if event.state is State.PAUSED else ""
                self._say(f"{event.run}: {event.state}{why}")
            case StepBegan():
                self._say(f"step {event.number}/{event.count} {event.kind}")
            case StepEnded():
                self._say(f"step {event.number}/{event.count} {event.kind} done in {duration(event.took_s)}")
            case Live():
                self._live = event
            case Progress() if event.elapsed_s >= self._next_s:
                self._next_s = event.elapsed_s + LINE_EVERY_S
                so_far = (
                    f"; {event.doing}; {_figures_so_far(self._live)}" if self._live else f"; {event.doing}"
                )
                self._say(f"{event.fraction:.0%}, {duration(event.left_s)} left{so_far}")
            case Happened():
                self._say(event.message)
            case _:
                pass

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _progress_line(progress: Progress) -> RenderableType:
    line = Table.grid(padding=(0, 1))
    line.add_row(
        ProgressBar(total=1.0, completed=progress.fraction, width=30),
        f"{progress.fraction:4.0%}  {duration(progress.elapsed_s)} gone, {duration(progress.left_s)} left",
        Text(progress.doing, style="bold"),
    )
    return line


def _singles(rates: Rates) -> RenderableType:
    """Singles per detector, four to a line."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    cells = [f"{name} {rate(hz)}" for name, hz in rates.singles_hz.items()]
    for start in range(0, len(cells), 4):
        table.add_row(*(Text(cell) for cell in cells[start : start + 4]))
    return table


def _so_far(live: Live) -> RenderableType:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    if live.heralds:
        fourfolds = Text(f"{live.fourfolds:,}", style="bold")
        table.add_row("heralds", f"{live.heralds:,}", "four-folds", fourfolds)
    for name, (label, unit) in FIGURES.items():
        estimate = live.figures.get(name)
        if estimate is not None:
            table.add_row(label, with_error(estimate.value, estimate.error), unit, "so far")
    return table


def _figures_so_far(live: Live | None) -> str:
    if live is None:
        return ""
    words = [f"{live.heralds:,} heralds, {live.fourfolds:,} four-folds"] if live.heralds else []
    s = live.figures.get("chsh_s")
    if s is not None:
        words.append(f"S {with_error(s.value, s.error)} so far")
    return ", ".join(words)


def results_table(results: Mapping[str, Any]) -> RenderableType:
    """Our figures with their error bars beside the published ones, whose sources stand below."""
    table = Table(title="Results", title_justify="left", title_style="bold")
    table.add_column("figure")
    table.add_column("measured", justify="right", no_wrap=True)
    table.add_column("published", justify="right", no_wrap=True)
    sources: list[str] = []
    for name in _figures_in(results):
        label, unit = label_of(name)
        found = results[name]
        published = results.get("published", {}).get(name, {})
        theirs = f"{_published(published)} {unit}".strip() if published else "not published"
        if source := published.get("source"):
            if source not in sources:
                sources.append(source)
            theirs += f" [{sources.index(source) + 1}]"
        ours = f"{with_error(found['value'], found['error'])} {unit}".strip()
        table.add_row(*(Text(cell) for cell in (label, ours, theirs)))
    notes = [f"[{number}] {source}" for number, source in enumerate(sources, 1)]
    if "fourfolds" in results:
        notes += [
            f"{results['fourfolds']:,} four-folds in {results['heralds']:,} heralds, "
            f"{duration(results['live_time_s'])} of data; accidentals not subtracted",
            f"fidelity: {results['fidelity'].get('takes', '')}",
        ]
    if any(name.endswith("coincidences") for name in results):
        notes.append("pairs: raw figures; those with accidentals subtracted are in results.json beside them")
    if not results["complete"]:
        notes.append("the run did not complete: these are the figures so far")
    return Group(table, *(Text(note, style="dim") for note in notes))


def _figures_in(results: Mapping[str, Any]) -> list[str]:
    """The figures of merit that were measured, in the order in which people look for them."""
    known = [
        name
        for name, result in results.items()
        if name.rpartition(".")[2] in FIGURES
        and isinstance(result, Mapping)
        and result.get("value") is not None
    ]
    return sorted(known, key=place_of)


def _published(figure: Mapping[str, Any]) -> str:
    if "above" in figure:
        return f"> {figure['above']:g}"
    if "below" in figure:
        return f"< {figure['below']:g}"
    return with_error(figure["value"], figure.get("error"))
