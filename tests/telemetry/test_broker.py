"""The embedded broker: loopback only, and amqtt's faults mended."""

import asyncio
import contextlib
import logging
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from telemetry.broker import EmbeddedBroker

Listen = Callable[..., AbstractAsyncContextManager[Any]]
SOCKETS = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]


@pytest.mark.skipif(not SOCKETS[0].exists(), reason="the kernel's table of sockets is Linux's")
async def test_listens_on_loopback_alone(broker: EmbeddedBroker) -> None:
    lines = [line for table in SOCKETS for line in table.read_text().splitlines()]
    listening = [line.split()[1] for line in lines if f":{broker.port:04X} " in line and " 0A " in line]
    assert listening == [f"0100007F:{broker.port:04X}"]  # 127.0.0.1, as the kernel writes it


async def test_takes_another_port_when_its_own_is_taken(broker: EmbeddedBroker) -> None:
    async with EmbeddedBroker(broker.port) as second:
        assert second.port not in (0, broker.port)
        async with aiomqtt.Client(second.host, second.port):
            pass


async def test_a_newcomer_gets_no_retained_message_that_it_did_not_ask_for(broker: EmbeddedBroker) -> None:
    async with aiomqtt.Client(broker.host, broker.port) as owner:
        await owner.subscribe("secret/#")
        await owner.publish("secret/x", b"1", qos=1, retain=True)
        async with aiomqtt.Client(broker.host, broker.port) as guest:
            await guest.subscribe("open/#")
            await guest.publish("open/end", b"2", qos=1)
            first = await asyncio.wait_for(anext(guest.messages), 5)
            assert first.topic.value == "open/end"


async def test_a_late_subscriber_gets_the_retained_message(broker: EmbeddedBroker) -> None:
    async with aiomqtt.Client(broker.host, broker.port) as client:
        await client.publish("a/b", b"1", qos=1, retain=True)
        async with aiomqtt.Client(broker.host, broker.port) as late:
            await late.subscribe("a/#")
            message = await asyncio.wait_for(anext(late.messages), 5)
            assert (message.topic.value, message.payload, message.retain) == ("a/b", b"1", True)


async def test_what_was_published_last_reaches_subscribers_before_the_end() -> None:
    async with EmbeddedBroker(0) as broker:
        listener = aiomqtt.Client(broker.host, broker.port)
        await listener.__aenter__()
        await listener.subscribe("x/#", qos=1)
        async with aiomqtt.Client(broker.host, broker.port) as client:
            client.pending_calls_threshold = 500
            await asyncio.gather(*(client.publish(f"x/{n}", b"", qos=1) for n in range(200)))
    got = []
    with contextlib.suppress(aiomqtt.MqttError):  # the broker hangs up after the last message
        async for message in listener.messages:
            got.append(message.topic.value)  # noqa: PERF401 -- it ends with an exception
    assert got == [f"x/{n}" for n in range(200)]


async def test_is_quiet(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with EmbeddedBroker(0) as broker:
            _, writer = await asyncio.open_connection(broker.host, broker.port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            async with aiomqtt.Client(broker.host, broker.port):
                pass
            writer.close()
            await writer.wait_closed()
    assert [record for record in caplog.records if record.name.startswith(("amqtt", "transitions"))] == []


async def test_ends_though_a_client_never_says_a_word() -> None:
    async with asyncio.timeout(5):
        async with EmbeddedBroker(0) as broker:
            _, writer = await asyncio.open_connection(broker.host, broker.port)
        writer.close()


def test_amqtt_is_imported_only_when_a_broker_starts() -> None:
    code = (
        "import sys, telemetry.broker, telemetry.publisher, telemetry.subscriber;"
        "print(sorted({m.split('.')[0] for m in sys.modules}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "amqtt" not in out
    assert "aiomqtt" in out
