"""`bellbench watch`: a run as its telemetry shows it, live in the terminal.

It knows nothing but what the broker sends: no run folder is opened, except to learn which broker the newest
run uses. Texts from the broker are shown with control characters replaced, so that none can act on the
terminal.
"""

import asyncio
import contextlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from bellbench.exit_codes import ExitCode
from bellbench.text import duration, rate, with_error

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from telemetry.messages import RunState
    from telemetry.subscriber import Message, RunView

DEFAULT_BROKER = ("127.0.0.1", 18830)  # telemetry.broker's, which is not imported for it
DEFAULT_RUNS = Path("runs")
LINGER_S = 0.5  # after the end of a run, for its last words
LOST_S = 30.0  # for a lost run to come back, as after a broken network

_COLOURS = {
    "running": "green",
    "completed": "green",
    "paused": "yellow",
    "warning": "yellow",
    "aborted": "red",
    "failed": "red",
    "interrupted": "red",
    "error": "red",
}


class WatchError(click.ClickException):
    """There is nothing to watch."""

    exit_code = ExitCode.INSTRUMENT


@click.command()
@click.option("--broker", metavar="mqtt://HOST:PORT", help="Default: the newest run's broker.")
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=DEFAULT_RUNS,
    show_default=True,
    help="Where run folders are.",
)
@click.option("--root", default="bellbench", show_default=True, help="First level of the topics.")
@click.option("--once", is_flag=True, help="Print what the broker keeps, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print each message as one JSON line.")
def watch(broker: str | None, runs: Path, root: str, once: bool, as_json: bool) -> None:
    """Watch a run from its telemetry alone, until it ends.

    Ends with 0 when the run ended, whichever way, and with 3 when there is no broker or no run.
    """
    if not broker and not runs.is_dir() and runs != DEFAULT_RUNS:
        raise click.BadParameter(f"there is no folder {runs}", param_hint="--runs")
    host, port = parse_broker(broker) if broker else broker_of_newest_run(runs) or DEFAULT_BROKER
    from telemetry.subscriber import BrokerError

    try:
        asyncio.run(_once(host, port, root, as_json) if once else _follow(host, port, root, as_json))
    except BrokerError as error:
        raise WatchError(
            f"no MQTT broker at {host}:{port} ({error}). Start a run with `bellbench run FILE`, "
            "which brings its own broker, or name another with --broker mqtt://HOST:PORT."
        ) from None
    except KeyboardInterrupt:
        return


def parse_broker(text: str) -> tuple[str, int]:
    """Host and port of `mqtt://HOST[:PORT]`; the port is 1883 unless given."""
    address = urlsplit(text if "://" in text else f"mqtt://{text}")
    try:
        port = address.port or 1883
    except ValueError:
        port = 0
    if (
        address.scheme != "mqtt"
        or not address.hostname
        or not port
        or address.username
        or address.path.strip("/")
    ):
        raise click.BadParameter(f"{text!r} is not of the form mqtt://HOST:PORT", param_hint="--broker")
    return address.hostname, port


def broker_of_newest_run(runs: Path) -> tuple[str, int] | None:
    """The broker in the newest run folder's run.json; folders are named by the time of their start."""
    for record in sorted(runs.glob("*/run.json"), reverse=True):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            broker = json.loads(record.read_text())["broker"]
            return str(broker["host"]), int(broker["port"])
    return None


async def _once(host: str, port: int, root: str, as_json: bool) -> None:
    from rich.console import Console

    from telemetry.subscriber import RunView, retained

    view = RunView()
    for message in await retained(host, port, root=root):
        view.take(message)
        if as_json:
            click.echo(_json_line(message))
    if view.state is None:
        raise WatchError(f"the broker at {host}:{port} knows of no run under {root!r}.")
    if not as_json:
        Console().print(render(view))


async def _follow(host: str, port: int, root: str, as_json: bool) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from telemetry.subscriber import RunView

    view = RunView()
    console = Console()
    waiting = Text(f"waiting for a run at {host}:{port} ..." if console.is_terminal else "")
    if as_json:
        await _listen_to_the_end(host, port, root, view, as_json=True)
    else:
        with Live(
            get_renderable=lambda: render(view) if view.state else waiting,
            console=console,
            refresh_per_second=4,
        ):
            await _listen_to_the_end(host, port, root, view, as_json=False)
    if view.lost:
        raise WatchError(
            f"run {view.run} is lost: its process ended without a word, or cannot reach the broker. "
            "What it recorded is in its folder under runs/."
        )


async def _listen_to_the_end(host: str, port: int, root: str, view: "RunView", *, as_json: bool) -> None:
    """Take messages into `view` until the run has ended, or is lost and does not come back."""
    from telemetry.subscriber import BrokerError, listen

    loop = asyncio.get_running_loop()
    condition = (False, False)
    messages = listen(host, port, root=root)
    try:
        async with asyncio.timeout(None) as patience, contextlib.aclosing(messages):
            async for message in messages:
                view.take(message)
                if as_json:
                    click.echo(_json_line(message))
                if condition != (condition := (view.ended, view.lost)):
                    wait_s = LINGER_S if view.ended else LOST_S if view.lost else math.inf
                    patience.reschedule(loop.time() + wait_s if wait_s < math.inf else None)
    except TimeoutError:
        return
    except BrokerError:
        if view.state is None:
            raise
        if not view.ended:  # an embedded broker dies with its run
            raise WatchError(
                f"the broker at {host}:{port} went away while run {view.run} was {view.state.state}. "
                "What the run recorded is in its folder under runs/."
            ) from None


def _json_line(message: "Message") -> str:
    stamp = message.stamp
    return json.dumps(
        {
            "topic": message.topic,
            "time": stamp.time.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "seq": stamp.seq,
            "boot": stamp.boot,
            "run": stamp.run,
            **message.fields,
        }
    )


def render(view: "RunView") -> "RenderableType":
    """The run as something that rich can print."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.progress_bar import ProgressBar
    from rich.text import Text

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
    if view.rates:
        parts.append(_rates(view))
    if view.result:
        parts.append(_results(view))
    for time, event in view.events:
        parts.append(
            Text.assemble(
                f"{time.astimezone():%H:%M:%S} ",
                (event.level, _COLOURS.get(event.level, "")),
                f" {_plain(event.instrument) + ': ' if event.instrument else ''}{_plain(event.text)}",
            )
        )
    return Group(*parts)


def _where(state: "RunState") -> str:
    from telemetry.messages import ENDED

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


def _rates(view: "RunView") -> "Table":
    from rich.text import Text

    rates = view.rates
    assert rates is not None
    table = _table()
    for detector, singles in rates.singles_hz.items():
        table.add_row(Text(f"singles {_plain(detector)}"), rate(singles))
    table.add_row("heralds", rate(rates.heralds_hz))
    table.add_row(
        "four-folds", rate(rates.fourfolds_hz), "" if rates.fourfolds is None else f"{rates.fourfolds:,}"
    )
    if rates.chsh_s is not None:
        table.add_row("CHSH S so far", with_error(rates.chsh_s, rates.chsh_s_error))
    return table


def _results(view: "RunView") -> "Table":
    from rich.text import Text

    assert view.result is not None
    table = _table()
    for name, estimate in view.result.estimates.items():
        table.add_row(Text(_plain(name)), with_error(estimate.value, estimate.error))
    return table


def _table() -> "Table":
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right")
    return table


def _plain(text: Any) -> str:
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in str(text))
