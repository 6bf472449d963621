"""From the telemetry section of an experiment to the line to its broker, and back from what was written down.

What is written down (in run.json and beside an outbox) has references in the place of secrets, so that a
later process can go the same way without any of them ever standing in a file.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from experiments.config.references import resolve
from experiments.config.telemetry import SCHEMES, Telemetry
from telemetry.broker import EmbeddedBroker
from telemetry.leftovers import outboxes
from telemetry.line import PORT, TLS_PORT, Line, Tls
from telemetry.outbox import Outbox, OutboxBusyError

_WRITTEN = ("username", "password", "ca", "certificate", "key")


async def line_of(telemetry: Telemetry, stack: AsyncExitStack) -> Line:
    """The line to the experiment's broker; without one, to a broker that lives as long as `stack`.

    Raises click.UsageError when something of it cannot be had.
    """
    if telemetry.broker is None:
        broker = await stack.enter_async_context(EmbeddedBroker())
        return Line(broker.host, broker.port)
    return line_to(telemetry.broker, {name: getattr(telemetry, name) for name in _WRITTEN})


def line_to(url: str, facts: Mapping[str, str | None]) -> Line:
    """The line to a broker at `mqtt://HOST[:PORT]` or `mqtts://...`; `facts` are username and password, as
    references, and ca, certificate and key. Raises click.UsageError."""
    parts = urlsplit(url)
    secure = parts.scheme == "mqtts"
    try:
        username, password = (
            resolve(reference) if (reference := facts.get(name)) else None
            for name in ("username", "password")
        )
    except LookupError as error:
        raise click.UsageError(f"telemetry: {error}") from error
    files = {
        name: Path(path).expanduser() for name in ("ca", "certificate", "key") if (path := facts.get(name))
    }
    tls = Tls(**files) if secure else None
    if tls is not None:
        try:
            tls.context()
        except OSError as error:
            raise click.UsageError(f"telemetry: {error}") from error
    port = parts.port or (TLS_PORT if secure else PORT)
    return Line(parts.hostname or "", port, username, password, tls)


def written(telemetry: Telemetry, line: Line, site: str) -> dict[str, object]:
    """How to reach the broker, without secrets, and where a run of this site stands there."""
    about: dict[str, object] = {"host": line.host, "port": line.port, "root": telemetry.root, "site": site}
    if telemetry.broker is None:
        return about | {"embedded": True}
    facts = {name: value for name in _WRITTEN if (value := getattr(telemetry, name)) is not None}
    return about | {"tls": line.tls is not None, **facts}


def leftovers_for(about: Mapping[str, object], runs: Path) -> list[Path]:
    """The outboxes under `runs` that earlier processes left for the broker of `about`. One that cannot be
    read, or that a run has in use, is passed over."""
    mine = _place(about)
    found = []
    for path in outboxes(runs):
        with suppress(sqlite3.Error, OutboxBusyError, OSError, ValueError):
            box = Outbox(path)
            try:
                if _place(box.about) == mine:
                    found.append(path)
            finally:
                box.close()
    return found


def _place(about: Mapping[str, object]) -> tuple[object, ...]:
    """What makes two brokers the same one; an embedded one is the next run's, whatever its port."""
    where = ("embedded",) if about.get("embedded") else (about.get("host"), about.get("port"))
    return (*where, about.get("root"))


def line_from(about: Mapping[str, Any]) -> Line:
    """The line that `written` wrote down. Raises click.UsageError, and KeyError or ValueError for what it
    did not write."""
    scheme = SCHEMES[bool(about.get("tls"))]
    host = f"[{about['host']}]" if ":" in str(about["host"]) else about["host"]
    return line_to(f"{scheme}://{host}:{int(about['port'])}", about)
