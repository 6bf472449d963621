"""`bellbench telemetry`: what earlier runs still have to say.

A run that was killed, or whose broker was away until its end, leaves its unsent messages in its folder. The
next run for the same broker sends them; `flush` does so at once.
"""

import asyncio
import sqlite3
from pathlib import Path

import click

from bellbench.commands.options import runs_option
from bellbench.exit_codes import ExitCode


@click.group()
def telemetry() -> None:
    """Messages that earlier runs could not send."""


@telemetry.command()
@runs_option(exists=True)
def flush(runs: Path) -> int:
    """Send what earlier runs left unsent, each to its own broker.

    Ends with 0 when nothing is left, and with 3 when something is.
    """
    from telemetry.leftovers import outboxes

    waiting = outboxes(runs)
    if not waiting:
        click.echo(f"nothing waits under {runs}")
    done = [asyncio.run(_flush(path)) for path in waiting]
    return ExitCode.DONE if all(done) else ExitCode.INSTRUMENT


async def _flush(path: Path) -> bool:
    """Send one outbox and say what became of it; whether it is empty now."""
    from bellbench.broker_line import line_from
    from telemetry.leftovers import flush
    from telemetry.outbox import Outbox, OutboxBusyError
    from telemetry.subscriber import BrokerError

    run = path.parent.name
    try:
        outbox = Outbox(path)
        about, count = outbox.about, len(outbox)
        outbox.close()
        if not count:
            return True
        line = line_from(about)
        done = await flush(line, path, root=str(about["root"]))
    except OutboxBusyError:
        click.echo(f"{run}: the run goes on and sends its messages itself")
        return True
    except BrokerError as error:
        click.echo(f"{run}: {count} messages left, broker at {line}: {error}", err=True)
        return False
    except (click.UsageError, sqlite3.Error, KeyError, ValueError) as error:
        click.echo(f"{run}: {path} cannot be sent: {error}", err=True)
        return False
    replaced = f", {done.replaced} replaced by newer ones" if done.replaced else ""
    click.echo(f"{run}: {done.sent} messages sent{replaced}, {done.left} left")
    if done.trouble:
        click.echo(f"{run}: {done.trouble}", err=True)
    return not done.left
