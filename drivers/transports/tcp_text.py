"""Lines of text over TCP, for instruments that speak the same text here as over VISA.

What holds is what `TcpLine` guarantees; the calls are those of `VisaLine`.
"""

from drivers.address import Address
from drivers.transports.tcp import TcpLine


class TcpTextLine:
    """The line at `tcp://HOST:PORT`, opened when needed. `ending` ends a command and an answer."""

    def __init__(self, name: str, address: Address, deadline: float, *, ending: str) -> None:
        self._line = TcpLine(name, address, deadline)
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
        """Send a command that has no answer. Raises ConnectError, LineError."""
        async with self._line.exchange(command) as peer:
            peer.send(command.encode() + self._ending)

    async def query(self, command: str, *, retry: bool = False) -> str:
        """Send a command and return its answer, without the line end.

        With `retry`, for questions that change nothing, a line that breaks is opened anew and the
        question asked once more. Raises ConnectError, DeadlineError, LineError.
        """
        answer = await self._line.query(command.encode() + self._ending, self._ending, retry=retry)
        return answer.decode(errors="replace").strip("\r\n")
