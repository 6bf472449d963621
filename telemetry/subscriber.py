"""The listener's side: messages of a broker as checked values.

What a broker sends was written by others: a message that is not one of the contract's is passed over. What
the messages of one run add up to is in `view`.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import aiomqtt

from telemetry.contract import kind_of
from telemetry.line import Line, connect, reason_of
from telemetry.topics import Place, everything, parse
from telemetry.wire import Payload, Scalar, Stamp, decode

_PAUSE_S = 0.5  # between attempts to reconnect


@dataclass(frozen=True)
class Message:
    """One message. `payload` is None when this version does not know the kind; `fields` has it anyway."""

    topic: str
    place: Place
    stamp: Stamp
    fields: dict[str, Scalar]
    payload: Payload | None
    kept: bool  # by the broker, from before the subscription


class BrokerError(Exception):
    """No broker answers, or it went away and did not come back."""


def read(root: str, topic: str, data: bytes, *, kept: bool = False) -> Message | None:
    """The message, or None when it is not one of the contract's."""
    place = parse(root, topic)
    if place is None:
        return None
    try:
        stamp, fields = decode(data)
        kind = kind_of(place)
        payload = kind.payload.read(fields) if kind else None
        return Message(topic, place, stamp, fields, payload, kept)
    except ValueError:
        return None


async def listen(line: Line, *, root: str, patience_s: float = 10.0) -> AsyncGenerator[Message]:
    """All messages under `root`, the retained ones first. Reconnects for up to `patience_s` seconds.

    Raises BrokerError at once when no broker answers at first.
    """
    loop = asyncio.get_running_loop()
    give_up = loop.time()
    while True:
        try:
            async with connect(line) as client:
                await client.subscribe(everything(root), qos=1)
                give_up = loop.time() + patience_s
                async for raw in client.messages:
                    if message := _message(root, raw):
                        yield message
        except (OSError, aiomqtt.MqttError) as error:
            if loop.time() >= give_up:
                raise BrokerError(reason_of(error)) from error
            await asyncio.sleep(_PAUSE_S)


async def retained(line: Line, *, root: str) -> list[Message]:
    """What the broker keeps under `root`, for one who comes late. Raises BrokerError when none answers.

    MQTT does not say where the retained messages end. But brokers serve one client's packets in order: when
    a second subscription is acknowledged, the retained messages of the first have been sent (at QoS 0 none
    is held back).
    """
    messages = []
    try:
        async with connect(line) as client:
            await client.subscribe(everything(root), qos=0)
            await client.subscribe(f"{root.strip('/')}/end-of-retained", qos=0)
            while len(client.messages):
                if message := _message(root, await anext(client.messages)):
                    messages.append(message)
    except (OSError, aiomqtt.MqttError) as error:
        raise BrokerError(reason_of(error)) from error
    return messages


def _message(root: str, raw: aiomqtt.Message) -> Message | None:
    return (
        read(root, raw.topic.value, raw.payload, kept=raw.retain) if isinstance(raw.payload, bytes) else None
    )
