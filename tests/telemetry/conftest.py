"""Brokers, a subscriber that waits with a deadline, and a line that can be cut or held."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from telemetry.broker import EmbeddedBroker
from tests.telemetry.brokers import KINDS, Broker, running

Seen = tuple[str, dict[str, Any]]


class Ear:
    """A subscriber. `until` gives all messages up to the first that is as wanted."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client

    async def until(
        self, wanted: Callable[[str, dict[str, Any]], bool], deadline_s: float = 8.0
    ) -> list[Seen]:
        seen: list[Seen] = []
        try:
            async with asyncio.timeout(deadline_s):
                async for message in self._client.messages:
                    assert isinstance(message.payload, bytes)
                    seen.append((message.topic.value, json.loads(message.payload)))
                    if wanted(*seen[-1]):
                        return seen
        except TimeoutError:
            pass
        raise AssertionError(
            f"what was waited for did not come; of {len(seen)} messages the last: {seen[-5:]}"
        )


@contextlib.asynccontextmanager
async def listening(port: int, topics: str = "bellbench/v1/#") -> AsyncIterator[Ear]:
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe(topics, qos=1)
        yield Ear(client)


class Relay:
    """A TCP line to `target` that a test can hold (nothing passes any more) or cut (without good-bye)."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._open = asyncio.Event()
        self._open.set()
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Relay":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hold(self) -> None:
        self._open.clear()

    def go_on(self) -> None:
        self._open.set()

    def cut(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers += [writer, there_writer]
        for source, sink in ((reader, there_writer), (there_reader, writer)):
            task = asyncio.create_task(self._pass_on(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                await self._open.wait()
                sink.write(data)
                await sink.drain()
            await self._open.wait()
        sink.close()


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    async with EmbeddedBroker(0) as running:
        yield running


@pytest.fixture(params=KINDS)
async def any_broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Broker]:
    """Each of the brokers in turn."""
    async with running(request.param, tmp_path) as broker:
        yield broker


@pytest.fixture
def listen_on() -> Callable[..., contextlib.AbstractAsyncContextManager[Ear]]:
    return listening


@pytest.fixture
def relay_to() -> type[Relay]:
    return Relay


@pytest.fixture
async def relay(broker: EmbeddedBroker) -> AsyncIterator[Relay]:
    async with Relay(broker.port) as line:
        yield line
