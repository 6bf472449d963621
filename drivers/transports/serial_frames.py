"""A serial line for binary frames that is opened when needed: each question is answered by one frame.

What holds is what `SerialLine` guarantees. A line that has broken is opened anew before the next question.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from drivers.address import Address
from drivers.errors import LineError
from drivers.transports.serial import Decoder, Probe, SerialLine

FrameT = TypeVar("FrameT")


class SerialFrameLine(Generic[FrameT]):
    """The line at `serial:/dev/PATH`. `decoder` makes what cuts the bytes of one opening into frames;
    `probe` is a question whose answer is the same at all times and is asked for nothing else. `on_frame` is
    called with every frame, before a waiting question sees it. `begin` is what is said first on every new
    line, before anybody else may use it; a line for which it raises is closed again."""

    def __init__(
        self,
        name: str,
        address: Address,
        baud: int,
        deadline: float,
        *,
        decoder: Callable[[], Decoder[FrameT]],
        probe: Probe[FrameT],
        on_frame: Callable[[FrameT], None] = lambda _: None,
        begin: Callable[[SerialLine[FrameT]], Awaitable[None]] | None = None,
        flow_control: bool = False,
    ) -> None:
        self._name, self._address, self._baud, self._deadline = name, address, baud, deadline
        self._decoder, self._probe, self._on_frame = decoder, probe, on_frame
        self._begin, self._flow_control = begin, flow_control
        self._line: SerialLine[FrameT] | None = None
        # The port is exclusive: nobody opens it while somebody else still opens or closes it.
        self._changing = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        return self._line is not None and self._line.is_usable

    async def open(self) -> None:
        """Open the line, unless open. Raises ConnectError."""
        await self.opened()

    async def opened(self) -> SerialLine[FrameT]:
        """The open line, for dialogues that must not go on over a new line when it breaks: what is said on
        it then ends in LineError. Raises ConnectError."""
        async with self._changing:
            if self._line is not None and self._line.is_usable:
                return self._line
            await self._hang_up()
            line = SerialLine(
                self._name,
                str(self._address),
                self._address.path,
                self._baud,
                self._decoder(),
                self._probe,
                self._on_frame,
                self._deadline,
                flow_control=self._flow_control,
            )
            await line.open()
            try:
                if self._begin is not None:
                    await self._begin(line)
            except BaseException:
                await line.close()
                raise
            self._line = line
            return line

    async def close(self) -> None:
        """Close the line, after an opening under way. Never raises; may be called twice."""
        async with self._changing:
            await self._hang_up()

    async def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.close()

    def hold(self, on: bool) -> None:
        """Read nothing more from the open line for a while, or go on: see `SerialLine.hold`."""
        if self._line is not None:
            self._line.hold(on)

    async def send(self, data: bytes, command: str, *, at_once: bool = False) -> None:
        """Send a frame that has no answer, or none now; `at_once` as for `SerialLine.send`. Raises
        ConnectError, DeadlineError, LineError."""
        line = await self.opened()
        await line.send(data, command, at_once=at_once)

    async def ask(
        self,
        request: bytes,
        matches: Callable[[FrameT], bool],
        command: str,
        *,
        retry: bool = False,
        patience: float = 0.0,
    ) -> FrameT:
        """Send `request` and return the first frame after it that `matches`; `command` names the question
        in errors.

        With `retry`, for questions that change nothing, a line that breaks is opened anew and the question
        asked once more. With `patience`, for answers that have to be measured first, the answer may take so
        many seconds longer than the deadline. Raises ConnectError, DeadlineError, LineError.
        """
        line = await self.opened()
        try:
            return await line.ask(request, matches, command, patience=patience)
        except LineError:  # opening makes a new line of one that has broken
            if not retry:
                raise
        return await self.ask(request, matches, command, patience=patience)
