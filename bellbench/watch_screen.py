"""A run as its telemetry shows it, for the terminal.

Texts from the broker are shown with control characters replaced, so that none can act on the terminal.
"""

from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bellbench.text import duration, rate, with_error
from drivers.units import format_si
from telemetry.messages import ENDED, RunState
from telemetry.view import DeviceView, RunView

_COLOURS = {
    "running": "green",
    "completed": "green",
    "ready": "green",
    "safe": "green",
    "paused": "yellow",
    "warning": "yellow",
    "MINOR": "yellow",
    "aborted": "red",
    "failed": "red",
    "interrupted": "red",
    "error": "red",
    "lost": "red",
    "not_safe": "red",
    "MAJOR": "red",
    "INVALID": "magenta",
}
_MOST_SETTINGS = 4
"""Of one instrument, in one line."""


def render(view: RunView) -> RenderableType:
    """The run as something that rich can print."""
    state = view.state
    assert state is not None
    parts: list[RenderableType] = [
        Text.assemble(
            (_plain(state.experiment or "run"), "bold"),
            f"  {_plain(view.run or '')}  at {_plain(view.site or '')}",
        ),
        Text.assemble((state.state, f"bold {_COLOURS.get(state.state, '')}"), _where(state)),
    ]
    if state.progress is not None:
        done = min(max(state.progress, 0.0), 1.0)
        parts.append(Padding(ProgressBar(total=1.0, completed=done, width=60), 0))  # which ends its line
    if state.reason:
        parts.append(Text(f"reason: {_plain(state.reason)}"))
    if view.lost:
        parts.append(Text("lost: its process is gone, or cannot reach the broker", "bold red"))
    parts += _alarms(view)
    if view.rates:
        parts.append(_rates(view))
    if view.result:
        parts.append(_results(view))
    if instruments := [device for device in view.devices.values() if device.state]:
        parts.append(_instruments(instruments))
    if view.missed:
        parts.append(Text(f"{view.missed} messages did not come", "yellow"))
    for time, event in view.events:
        parts.append(
            Text.assemble(
                f"{time.astimezone():%H:%M:%S} ",
                (event.level, _COLOURS.get(event.level, "")),
                f" {_plain(event.instrument) + ': ' if event.instrument else ''}{_plain(event.text)}",
            )
        )
    return Group(*parts)


def _where(state: RunState) -> str:

    words = []
    if state.step:
        of = f"step {state.step_index} of {state.steps}: " if state.step_index and state.steps else "step "
        words.append(of + _plain(state.step))
    if state.progress is not None:
        words.append(f"{state.progress:.0%}")
    if state.elapsed_s is not None:
        words.append(f"{duration(state.elapsed_s)} gone")
    if state.remaining_s is not None and state.state not in ENDED:
        words.append(f"{duration(state.remaining_s)} left")
    return "".join(f"  {word}" for word in words)


def _rates(view: RunView) -> Table:

    rates = view.rates
    assert rates is not None
    table = _table()
    for detector, singles in rates.singles_hz.items():
        table.add_row(Text(f"singles {_plain(detector)}"), rate(singles))
    table.add_row("heralds", rate(rates.heralds_hz))
    table.add_row(
        "four-folds", rate(rates.fourfolds_hz), "" if rates.fourfolds is None else f"{rates.fourfolds:,}"
    )
    for name, figure in rates.figures.items():
        table.add_row(Text(f"{_plain(name)} so far"), with_error(figure.value, figure.error))
    return table


def _alarms(view: RunView) -> list[RenderableType]:
    """A line for each alarm, those first that nobody has acknowledged."""
    standing = [
        (alarm, device)
        for device in view.devices.values()
        if device.alarm
        for alarm in device.alarm.alarms.values()
    ]
    lines: list[RenderableType] = []
    for alarm, device in sorted(standing, key=lambda pair: pair[0].acknowledged):
        latched = "" if alarm.active else " (over)"
        seen = f", seen by {_plain(alarm.acknowledged_by)}" if alarm.acknowledged else ""
        lines.append(
            Text.assemble(
                (alarm.severity, f"bold {_COLOURS.get(alarm.severity, '')}"),
                f" {_plain(device.device)}: {_plain(alarm.text)}{latched}{seen}. {_plain(alarm.action)}",
            )
        )
    return lines


def _instruments(devices: list[DeviceView]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for device in devices:
        assert device.state is not None
        condition = Text(device.state.condition, _COLOURS.get(device.state.condition, ""))
        table.add_row(
            Text(f"{_plain(device.node)}/{_plain(device.device)}"), condition, Text(_settings(device))
        )
    return table


def _settings(device: DeviceView) -> str:
    """The first few settings and readings with their units, or why there are none."""
    state = device.state
    assert state is not None
    if state.reason:
        return _plain(state.reason)
    values = {**state.values, **(device.readings.values if device.readings else {})}
    facts = device.meta.fields if device.meta else {}
    words = []
    for name, value in values.items():
        unit = facts[name].unit if name in facts else ""
        if isinstance(value, bool):
            words.append(f"{_plain(name)} {'on' if value else 'off'}")
        elif isinstance(value, float):
            bare = name.removesuffix(f"_{unit.lower()}") if unit not in ("", "1") else name
            words.append(f"{_plain(bare)} {format_si(value, '' if unit == '1' else _plain(unit))}")
    more = len(words) - _MOST_SETTINGS
    return ", ".join(words[:_MOST_SETTINGS]) + (f" and {more} more" if more > 0 else "")


def _results(view: RunView) -> Table:

    assert view.result is not None
    table = _table()
    for name, estimate in view.result.estimates.items():
        table.add_row(Text(_plain(name)), with_error(estimate.value, estimate.error))
    return table


def _table() -> Table:

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right")
    return table


def _plain(text: Any) -> str:
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in str(text))
