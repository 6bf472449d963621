"""Peers at the far end of a TCP line, for the tests of the drivers.

`ScriptedPeer` expects and answers exact bytes. `served` runs any peers, each at a port of its own, and does
not end before every conversation has: what a peer asserts about the driver is then heard. Nothing here
knows a protocol.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]
"""Called for each connection."""


@dataclass(frozen=True)
class Late:
    """A reply that is held back until the test sets `late` of the peer."""

    reply: bytes


Exchange = tuple[bytes, bytes | Late]
"""What is expected, and what is answered."""


class ScriptedPeer:
    """Answers each connection by the next list of exchanges, byte for byte, then waits for its end.

    With `hang_up` it does not wait but closes the line. `asked` is set when a late reply is due.
    """

    def __init__(self, *dialogues: Sequence[Exchange], greeting: bytes = b"", hang_up: bool = False) -> None:
        self.left = list(dialogues)
        self.greeting = greeting
        self.hang_up = hang_up
        self.late = asyncio.Event()
        self.asked = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dialogue = self.left.pop(0)
        writer.write(self.greeting)
        for request, reply in dialogue:
            heard = await reader.readexactly(len(request))
            assert heard == request, (heard, request)
            if isinstance(reply, Late):
                self.asked.set()
                await self.late.wait()
                writer.write(reply.reply)
            else:
                writer.write(reply)
        if not self.hang_up:
            with suppress(ConnectionError):  # the driver hangs up on a late answer
                assert await reader.read() == b""
        writer.close()


@asynccontextmanager
async def served(*peers: Peer) -> AsyncIterator[tuple[int, ...]]:
    """The ports of this machine at which the peers answer. Close the driver before leaving: a conversation
    that goes on for five seconds more is an error, and so is one that went wrong."""
    conversations: list[asyncio.Task[None]] = []

    async def serve(peer: Peer) -> asyncio.Server:
        return await asyncio.start_server(
            lambda reader, writer: conversations.append(asyncio.create_task(peer(reader, writer))),
            "127.0.0.1",
            0,
        )

    servers = [await serve(peer) for peer in peers]
    try:
        yield tuple(server.sockets[0].getsockname()[1] for server in servers)
    finally:
        for server in servers:
            server.close()
        for conversation in conversations:
            await asyncio.wait_for(conversation, 5)


async def cancel_once(asked: asyncio.Event, call: Coroutine[None, None, object]) -> None:
    """Cancel a call of the driver when its request has been heard."""
    calling = asyncio.create_task(call)
    await asked.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
