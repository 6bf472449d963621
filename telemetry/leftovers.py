"""What an earlier process could not send any more: sent by a later run, or by `bellbench telemetry flush`.

Messages go out as they were, with their time, boot and numbers. A retained one does so unless a newer one of
its topic is with the broker: then it has been replaced, as it would have been in its own outbox.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import aiomqtt

from telemetry.delivery import Delivery, Echoes
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
    outbox = await asyncio.to_thread(Outbox, path)
    try:
        async with connect(line) as client, asyncio.TaskGroup() as both:
            echoes = Echoes(client)
            delivery = Delivery(client, echoes, outbox, asyncio.to_thread)
            listener = both.create_task(_listen(client, echoes))
            flushed = await clear(line, outbox, delivery, root=root)
            listener.cancel()
        return flushed
    except (OSError, aiomqtt.MqttError, ExceptionGroup) as error:
        raise BrokerError(reason_of(error)) from error
    finally:
        await asyncio.to_thread(outbox.close)


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
    return decode(message.payload)[0].time


async def _listen(client: aiomqtt.Client, echoes: Echoes) -> None:
    async for message in client.messages:
        if isinstance(message.payload, bytes):
            echoes.came_back(message.topic.value, message.payload)
