"""ZeroMQ: questions and answers in strict turn, and streams of messages that the reader holds back.

What it guarantees: every wait for an answer has a deadline; a question that ends without its answer, in an
error or by cancellation, takes its socket with it, so that a late answer can never be taken for the
answer to the next question. A stream is connected before it is handed over, and says so when its other
end goes away. All sockets of an instrument share one context, which ends with `close()`; nothing
lingers.

ZeroMQ itself hides a broken connection behind its reconnecting: a REQ socket whose server dies is merely
silent. Hence DeadlineError is what a dead server looks like here.
"""

import asyncio
from typing import TYPE_CHECKING

from drivers.errors import ConnectError, DeadlineError, LineError, ProtocolError

if TYPE_CHECKING:
    import zmq
    import zmq.asyncio

MESSAGES_AT_A_STRETCH = 64
"""After so many messages that were there already, a stream lets others have the event loop."""


class ZmqSockets:
    """The ZeroMQ sockets of one instrument; `deadline` in seconds for connecting and for each answer."""

    def __init__(self, name: str, address: str, deadline: float) -> None:
        import zmq.asyncio

        self.name, self.address, self.deadline = name, address, deadline
        self._context = zmq.asyncio.Context()

    def request_line(self, host: str, port: int) -> "RequestLine":
        """A line for questions to a REP socket. Nothing is sent yet, and nobody need listen."""
        return RequestLine(self, f"tcp://{host}:{port}")

    async def message_stream(self, host: str, port: int, waiting_messages: int) -> "MessageStream":
        """Connect to a PAIR socket. No more than about `waiting_messages` wait on this side unread.
        Raises ConnectError when nobody has answered within the deadline."""
        stream = MessageStream(self, f"tcp://{host}:{port}", waiting_messages)
        try:
            await stream.until_connected()
        except BaseException:
            stream.close()
            raise
        return stream

    def socket(self, kind: int) -> "zmq.asyncio.Socket":
        """A socket that drops what is unsent when it closes."""
        socket = self._context.socket(kind)
        socket.linger = 0
        return socket

    def close(self) -> None:
        """Close every socket and the context. Never blocks; may be called twice."""
        self._context.destroy(linger=0)


class RequestLine:
    """Questions and answers as text, in strict turn, over a REQ socket."""

    def __init__(self, sockets: ZmqSockets, endpoint: str) -> None:
        self._sockets, self._endpoint = sockets, endpoint
        self._socket: zmq.asyncio.Socket | None = None
        self._turn = asyncio.Lock()

    async def exchange(self, request: str) -> str:
        """Send `request` and return the answer. Raises DeadlineError, ProtocolError, LineError."""
        import zmq

        name, address = self._sockets.name, self._sockets.address
        async with self._turn:
            if self._socket is None:
                self._socket = self._sockets.socket(zmq.REQ)
                self._socket.connect(self._endpoint)
            try:
                async with asyncio.timeout(self._sockets.deadline):
                    await self._socket.send(request.encode())
                    parts = await self._socket.recv_multipart()
            except BaseException as error:
                # REQ allows nothing but the answer now; the next question gets a socket of its own.
                self._socket.close(linger=0)
                self._socket = None
                if isinstance(error, TimeoutError):
                    raise DeadlineError(
                        name, address,
                        f"{request!r} at {self._endpoint}: no answer within {self._sockets.deadline:g} s, "
                        "nothing came back",
                        "Check that the instrument or service is on and that this is its address",
                    ) from error  # fmt: skip
                if isinstance(error, zmq.ZMQError):
                    raise LineError(name, address, f"{request!r} at {self._endpoint}: {error}") from error
                raise
        try:
            [answer] = parts
            return answer.decode()
        except ValueError as error:
            raise ProtocolError(
                name, address, f"{request!r} at {self._endpoint}: the answer {parts!r} is not one text"
            ) from error


class MessageStream:
    """Messages from a PAIR socket, read without copying. For one reader."""

    def __init__(self, sockets: ZmqSockets, endpoint: str, waiting_messages: int) -> None:
        import zmq

        self._sockets, self._endpoint = sockets, endpoint
        self._socket = sockets.socket(zmq.PAIR)
        self._socket.rcvhwm = waiting_messages
        self._monitor = self._socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
        )
        self._monitor.linger = 0
        # The same socket without asyncio: a message that is there already costs 5 us by it, 25 us otherwise.
        self._at_hand: zmq.Socket[bytes] = zmq.Socket.shadow(self._socket)
        self._stretch = 0
        self._socket.connect(endpoint)

    async def until_connected(self) -> None:
        """Return when the other end has answered. Raises ConnectError."""
        import zmq

        try:
            async with asyncio.timeout(self._sockets.deadline):
                await self._until(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        except TimeoutError as error:
            raise ConnectError(
                self._sockets.name, self._sockets.address,
                f"no stream at {self._endpoint} within {self._sockets.deadline:g} s",
                "Check that the port is free on the computer that serves the stream, and that no firewall "
                "closes it",
            ) from error  # fmt: skip

    async def until_lost(self) -> LineError:
        """Return, with the error to raise, when the other end has gone away."""
        import zmq

        await self._until(zmq.EVENT_DISCONNECTED)
        return LineError(
            self._sockets.name, self._sockets.address, f"the stream from {self._endpoint} broke off",
            "Check that the service that sends it still runs",
        )  # fmt: skip

    async def receive(self) -> memoryview:
        """The next message, however long it takes to come."""
        import zmq

        self._stretch += 1
        if self._stretch % MESSAGES_AT_A_STRETCH == 0:
            await asyncio.sleep(0)
        try:
            return self._at_hand.recv(zmq.NOBLOCK, copy=False).buffer
        except zmq.Again:
            return (await self._socket.recv(copy=False)).buffer

    def close(self) -> None:
        """Close the socket; unread messages are dropped. May be called twice."""
        if not self._socket.closed:
            self._socket.disable_monitor()
            self._monitor.close(linger=0)
            self._socket.close(linger=0)

    async def _until(self, event: int) -> None:
        from zmq.utils.monitor import parse_monitor_message

        while parse_monitor_message(await self._monitor.recv_multipart())["event"] != event:
            pass
