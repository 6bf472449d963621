"""Frames over TCP, for instruments that speak the same frames here as over a serial line (behind a terminal
server): the counterpart of `SerialFrameLine`, with the same calls.

What holds is what `TcpLine` guarantees. An instrument behind a terminal server does not notice that a
connection was made anew, and its late answer to a question of the old one comes over the new one; so each
connection begins with the *probe*, and everything before the probe's answer is old.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from drivers.address import Address
from drivers.transports.serial import Decoder, Probe
from drivers.transports.tcp import Peer, TcpLine

FrameT = TypeVar("FrameT")


class TcpFrameLine(Generic[FrameT]):
    """The line at `tcp://HOST:PORT`. `decoder` makes what cuts the bytes of one connection into frames, of
    which no byte may end two; `probe` is a question whose answer is the same at all times."""

    def __init__(
        self,
        name: str,
        address: Address,
        deadline: float,
        *,
        decoder: Callable[[], Decoder[FrameT]],
        probe: Probe[FrameT],
    ) -> None:
        self._line = TcpLine(name, address, deadline, begin=self._begin)
        self._new_decoder, self._probe = decoder, probe
        self._decoder = decoder()

    @property
    def is_open(self) -> bool:
        return self._line.is_open

    async def open(self) -> None:
        """Connect now, unless connected. Raises ConnectError."""
        await self._line.open()

    async def close(self) -> None:
        """Disconnect. Never raises; may be called twice."""
        await self._line.close()

    async def send(self, data: bytes, command: str) -> None:
        """Send a frame that has no answer, or none now. Raises ConnectError, DeadlineError, LineError."""
        async with self._line.exchange(command) as peer:
            peer.send(data)

    async def ask(
        self, request: bytes, matches: Callable[[FrameT], bool], command: str, *, retry: bool = False
    ) -> FrameT:
        """Send `request` and return the first frame after it that `matches`; `command` names the question
        in errors.

        With `retry`, for questions that change nothing, a line that breaks is opened anew and the question
        asked once more. Raises ConnectError, DeadlineError, LineError.
        """

        async def dialogue(peer: Peer) -> FrameT:
            peer.send(request)
            return await self._hear(peer, matches)

        return await self._line.converse(command, dialogue, retry=retry)

    async def _begin(self, peer: Peer) -> None:
        self._decoder = self._new_decoder()
        peer.send(self._probe.request)
        await self._hear(peer, self._probe.matches)

    async def _hear(self, peer: Peer, matches: Callable[[FrameT], bool]) -> FrameT:
        while True:  # byte by byte, so that what follows the frame stays unread
            for frame in self._decoder.feed(await peer.read_exactly(1)):
                if matches(frame):
                    return frame
