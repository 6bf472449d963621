"""`bellbench watch`: a run as its telemetry shows it, live in the terminal.

It knows nothing but what the broker sends: no run folder is opened, except to learn which broker the newest
run uses. How the run is shown is in `bellbench.watch_screen`.
"""

import asyncio
import contextlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from bellbench.commands.options import RUNS, broker_options, runs_option
from bellbench.console import console
from bellbench.exit_codes import ExitCode

if TYPE_CHECKING:
    from telemetry.line import Line
    from telemetry.subscriber import Message
    from telemetry.view import RunView

DEFAULT_BROKER = "mqtt://127.0.0.1:18830"  # telemetry.broker's, which is not imported for it
DEFAULT_ROOT = "bellbench"
LINGER_S = 0.5  # after the end of a run, for its last words
LOST_S = 30.0  # for a lost run to come back, as after a broken network


class WatchError(click.ClickException):
    """There is nothing to watch."""

    exit_code = ExitCode.INSTRUMENT


@click.command()
@click.option("--broker", metavar="mqtt://HOST:PORT", help="Default: the newest run's broker.")
@broker_options
@runs_option()
@click.option("--root", help="First level of the topics; by default the newest run's, or bellbench.")
@click.option("--once", is_flag=True, help="Print what the broker keeps, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print each message as one JSON line.")
def watch(
    broker: str | None, runs: Path, root: str | None, once: bool, as_json: bool, **facts: str | None
) -> None:
    """Watch a run from its telemetry alone, until it ends.

    Ends with 0 when the run ended, whichever way, and with 3 when there is no broker or no run.
    """
    if not broker and not runs.is_dir() and runs != RUNS:
        raise click.BadParameter(f"there is no folder {runs}", param_hint="--runs")
    line, newest_root = line_to_watch(broker, runs, facts)
    root = root or newest_root
    from telemetry.subscriber import BrokerError

    try:
        asyncio.run(_once(line, root, as_json) if once else _follow(line, root, as_json))
    except BrokerError as error:
        raise WatchError(
            f"no MQTT broker at {line} ({error}). Start a run with `bellbench run FILE`, "
            "which brings its own broker, or name another with --broker mqtt://HOST:PORT."
        ) from None
    except KeyboardInterrupt:
        return


def line_to_watch(broker: str | None, runs: Path, facts: Mapping[str, str | None]) -> "tuple[Line, str]":
    """The line to the broker that is named, or to the newest run's, and the first level of its topics.

    `facts` are username and password, as references, and ca, certificate and key, where they are given.
    """
    from bellbench.broker_line import line_from, line_to

    about = None if broker else broker_of_newest_run(runs)
    if about is None:
        return line_to(checked_broker(broker or DEFAULT_BROKER), facts), DEFAULT_ROOT
    given = {name: value for name, value in facts.items() if value is not None}
    return line_from(about | given), str(about.get("root", DEFAULT_ROOT))


def checked_broker(text: str) -> str:
    """`mqtt://HOST[:PORT]` or `mqtts://...`; without a scheme it is mqtt."""
    url = text if "://" in text else f"mqtt://{text}"
    address = urlsplit(url)
    try:
        wrong = address.port == 0
    except ValueError:
        wrong = True
    if (
        wrong
        or address.scheme not in ("mqtt", "mqtts")
        or not address.hostname
        or address.username
        or address.path.strip("/")
    ):
        raise click.BadParameter(f"{text!r} is not of the form mqtt://HOST:PORT", param_hint="--broker")
    return url


def broker_of_newest_run(runs: Path) -> dict[str, object] | None:
    """The broker in the newest run folder's run.json; folders are named by the time of their start."""
    for record in sorted(runs.glob("*/run.json"), reverse=True):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            broker = dict(json.loads(record.read_text())["broker"])
            return broker | {"host": str(broker["host"]), "port": int(broker["port"])}
    return None


async def _once(line: "Line", root: str, as_json: bool) -> None:

    from bellbench.watch_screen import render
    from telemetry.subscriber import retained
    from telemetry.view import RunView

    view = RunView()
    for message in await retained(line, root=root):
        view.take(message)
        if as_json:
            click.echo(_json_line(message))
    if view.state is None:
        raise WatchError(f"the broker at {line} knows of no run under {root!r}.")
    if not as_json:
        console().print(render(view))


async def _follow(line: "Line", root: str, as_json: bool) -> None:
    from rich.live import Live
    from rich.text import Text

    from bellbench.watch_screen import render
    from telemetry.view import RunView

    view = RunView()
    terminal = console()
    waiting = Text(f"waiting for a run at {line} ..." if terminal.is_terminal else "")
    if as_json:
        await _listen_to_the_end(line, root, view, as_json=True)
    else:
        with Live(
            get_renderable=lambda: render(view) if view.state else waiting,
            console=terminal,
            refresh_per_second=4,
        ):
            await _listen_to_the_end(line, root, view, as_json=False)
    if view.lost:
        raise WatchError(
            f"run {view.run} is lost: its process ended without a word, or cannot reach the broker. "
            "What it recorded is in its folder under runs/."
        )


async def _listen_to_the_end(line: "Line", root: str, view: "RunView", *, as_json: bool) -> None:
    """Take messages into `view` until the run has ended, or is lost and does not come back."""
    from telemetry.subscriber import BrokerError, listen

    loop = asyncio.get_running_loop()
    condition = (False, False)
    messages = listen(line, root=root)
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
                f"the broker at {line} went away while run {view.run} was {view.state.state}. "
                "What the run recorded is in its folder under runs/."
            ) from None


def _json_line(message: "Message") -> str:
    from telemetry.wire import rfc3339

    stamp = message.stamp
    return json.dumps(
        {
            "topic": message.topic,
            "time": rfc3339(stamp.time),
            "seq": stamp.seq,
            "change": stamp.change,
            "boot": stamp.boot,
            "run": stamp.run,
            **message.fields,
        }
    )
