"""What an earlier process could not send any more: sent by a later run, or by `bellbench telemetry flush`.

Messages go out as they were, with their time, boot and numbers. A retained one does so unless a newer one of
its topic is with the broker: then it has been replaced, as it would have been in its own outbox.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import aiomqtt

from telemetry.delivery import Delivery, Echoes, InThread
from telemetry.line import Line, connect, reason_of
from telemetry.outbox import FILE, Outbox, Outgoing
from telemetry.subscriber import BrokerError, retained
from telemetry.wire import decode


@dataclass(frozen=True)
class Flushed:
    """What became of one outbox."""

    sent: int
    replaced: int
    """Retained messages for which there is a newer one."""
    left: int
    trouble: str | None


def outboxes(runs: Path) -> list[Path]:
    """The outboxes that wait in run folders, the oldest run first."""
    return sorted(runs.glob(f"*/{FILE}"))


async def flush(line: Line, path: Path, *, root: str) -> Flushed:
    """Send what waits in an outbox over a line of its own.

    Raises OutboxBusyError while a run has it, and BrokerError when there is no broker or it goes away.
    """
    async with opened(path) as (outbox, in_thread):
        try:
            async with connect(line) as client, asyncio.TaskGroup() as both:
                echoes = Echoes(client)
                listener = both.create_task(_listen(client, echoes))
                delivery = Delivery(client, echoes, outbox, in_thread)
                flushed = await clear(line, outbox, delivery, root=root)
                listener.cancel()
            return flushed
        except (OSError, aiomqtt.MqttError, ExceptionGroup) as error:
            raise BrokerError(reason_of(error)) from error


@contextlib.asynccontextmanager
async def opened(path: Path) -> AsyncIterator[tuple[Outbox, InThread]]:
    """An outbox, and the one thread for everything that is done with it. So it is not closed under a piece of
    work that still goes on when nobody waits for it any more.

    Raises OutboxBusyError when another process has it, sqlite3.Error when the file is not one of ours.
    """
    thread = ThreadPoolExecutor(1, "telemetry leftovers")
    in_thread = partial(asyncio.get_running_loop().run_in_executor, thread)
    try:
        outbox = await in_thread(Outbox, path)
        try:
            yield outbox, in_thread
        finally:
            await asyncio.shield(in_thread(outbox.close))
    finally:
        thread.shutdown(wait=False)


async def clear(
    line: Line, outbox: Outbox, delivery: Delivery, *, root: str, ours: Collection[str] = ()
) -> Flushed:
    """Send what waits in `outbox` by `delivery`, except retained messages on topics that are `ours`, where
    we have something newer, and those for which the broker has. What is `ours` may grow meanwhile."""
    kept = {message.topic: message.stamp.time for message in await retained(line, root=root)}
    replaced: set[int] = set()

    def is_replaced(message: Outgoing) -> bool:
        topic = message.topic
        if message.retain and (topic in ours or (topic in kept and kept[topic] > _time_of(message))):
            replaced.add(message.seq)
        return message.seq in replaced

    count = len(outbox)
    while await delivery.fetch():
        await delivery.send_fetched(is_replaced)
    return Flushed(count - len(outbox) - len(replaced), len(replaced), len(outbox), delivery.trouble)


def _time_of(message: Outgoing) -> datetime:
    try:
        return decode(message.payload)[0].time
    except ValueError:  # an earlier version wrote what is refused now; it gives way to whatever can be read
        return datetime.min.replace(tzinfo=UTC)


async def _listen(client: aiomqtt.Client, echoes: Echoes) -> None:
    async for message in client.messages:
        if isinstance(message.payload, bytes):
            echoes.came_back(message.topic.value, message.payload)
