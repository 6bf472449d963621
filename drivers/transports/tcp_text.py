"""Lines of text over TCP, for instruments that speak the same text here as over VISA.

What holds is what `TcpLine` guarantees; the calls are those of `VisaLine`. An instrument behind a gateway
does not notice that a connection was made anew, and its late answer to a question of the old one comes over
the new one; so for these each connection begins with a *probe*, and everything before the probe's answer is
old. It does no harm when it is the probe's answer that comes late.
"""

import re

from drivers.address import Address
from drivers.transports.tcp import Peer, TcpLine


class TcpTextLine:
    """The line at `tcp://HOST:PORT`, opened when needed. `ending` ends a command and an answer. `probe`, for
    instruments behind a gateway, is a question whose answer is the same at all times, and a regular
    expression that this answer matches as a whole and no other does."""

    def __init__(
        self,
        name: str,
        address: Address,
        deadline: float,
        *,
        ending: str,
        probe: tuple[str, str] | None = None,
    ) -> None:
        self._probe = probe
        self._line = TcpLine(name, address, deadline, begin=self._begin if probe else None)
        self._ending = ending.encode()

    @property
    def is_open(self) -> bool:
        return self._line.is_open

    async def open(self) -> None:
        """Connect now, unless connected. Raises ConnectError."""
        await self._line.open()

    async def close(self) -> None:
        """Disconnect. Never raises; may be called twice."""
        await self._line.close()

    async def write(self, command: str) -> None:
        """Send a command that has no answer. Raises ConnectError, DeadlineError, LineError."""
        async with self._line.exchange(command) as peer:
            peer.send(command.encode() + self._ending)

    async def query(self, command: str, *, retry: bool = False) -> str:
        """Send a command and return its answer, without the line end.

        With `retry`, for questions that change nothing, a line that breaks is opened anew and the
        question asked once more. Raises ConnectError, DeadlineError, LineError.
        """

        async def ask(peer: Peer) -> str:
            peer.send(command.encode() + self._ending)
            answer = await self._hear(peer)
            while self._probe and command != self._probe[0] and re.fullmatch(self._probe[1], answer):
                answer = await self._hear(peer)
            return answer

        return await self._line.converse(command, ask, retry=retry)

    async def _begin(self, peer: Peer) -> None:
        assert self._probe is not None
        question, answer = self._probe
        peer.send(question.encode() + self._ending)
        while not re.fullmatch(answer, await self._hear(peer)):
            pass

    async def _hear(self, peer: Peer) -> str:
        return (await peer.read_until(self._ending)).decode(errors="replace").strip("\r\n")
