"""A serial line that carries frames: bytes out at once, frames in at any time, one question at a time.

What it guarantees: frames are read continuously by a thread of the line's own and handed over in the
event loop, so an unasked frame never disturbs; a question waits for the frame that its predicate
accepts, no longer than the deadline; a line that closes ends a waiting question at once in LineError.

An error or a cancellation leaves the line in step. Many binary protocols do not number their answers,
so an answer that comes too late cannot be told from the answer to the next question. Therefore, after a
question that ended without its answer, the next one is preceded by a *probe*: a question whose answer
is the same at all times. Instruments answer in order, so everything before the probe's answer is old and
is not taken for an answer; and if it is the probe's answer that comes late, it does no harm.

A port is exclusive, and it is opened and closed in threads, which a cancellation cannot break off. Therefore
a cancelled opening or closing ends when the port is free again, if that comes within the deadline: whoever is
next, perhaps to make the instrument safe, can have it.

It also works on a pseudo-terminal, which has no modem lines: setting RTS there fails, and then the line
goes without hardware flow control.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from drivers.errors import ConnectError, DeadlineError, LineError

if TYPE_CHECKING:
    import serial

FrameT = TypeVar("FrameT")
FrameT_co = TypeVar("FrameT_co", covariant=True)

HEARD_BYTES = 64
"""How many of the bytes that came instead of an answer are kept for the error message."""
MODEM_PAUSE_S = 0.05
"""Rest around the clearing of a hardware line when it is opened; thorlabs_mpc320.md, Transport."""


class Decoder(Protocol[FrameT_co]):
    """Cuts received bytes into frames."""

    def feed(self, data: bytes) -> Sequence[FrameT_co]:
        """Take the next bytes and return the frames that are now whole."""

    def reset(self) -> None:
        """Forget a frame that has begun."""


@dataclass(frozen=True)
class Probe(Generic[FrameT]):
    """A question whose answer is the same at all times, and how to know the answer."""

    request: bytes
    matches: Callable[[FrameT], bool]


class SerialLine(Generic[FrameT]):
    """One serial line, 8 data bits, no parity, one stop bit; `deadline` in seconds per question.

    `on_frame` is called in the event loop with every frame, asked for or not, before a waiting question
    sees it. With `flow_control` the lines RTS and CTS are used, and cleared when the line is opened.
    """

    def __init__(
        self,
        name: str,
        address: str,
        path: str,
        baud: int,
        decoder: Decoder[FrameT],
        probe: Probe[FrameT],
        on_frame: Callable[[FrameT], None],
        deadline: float,
        *,
        flow_control: bool = True,
    ) -> None:
        self._name, self._address, self._path, self._baud = name, address, path, baud
        self._flow_control = flow_control
        self._decoder, self._probe, self._on_frame = decoder, probe, on_frame
        self._deadline = deadline
        self._port: serial.Serial | None = None
        self._reader: threading.Thread | None = None
        # One thread for writing: frames leave in order and whole, also when the writer is cancelled.
        self._writer: ThreadPoolExecutor | None = None
        self._closing = False
        self._may_read = threading.Event()
        self._may_read.set()
        self._failure: LineError | None = None
        self._question = asyncio.Lock()
        self._waiting: tuple[Callable[[FrameT], bool], asyncio.Future[FrameT]] | None = None
        self._in_step = True
        self._busy_until = 0.0  # by the monotonic clock: how long the last question may be measured for
        self._heard = bytearray()

    @property
    def is_usable(self) -> bool:
        """Whether the line is open and has not broken."""
        return self._port is not None and self._failure is None

    async def open(self) -> None:
        """Open the line; bytes that waited in it are discarded. Raises ConnectError."""
        opening = asyncio.get_running_loop().run_in_executor(None, self._open_port)
        try:
            await _ended(opening, self._deadline)
        except asyncio.CancelledError:
            if opening.done():
                _give_back(opening)
            else:  # the patience is over, but not the opening
                opening.add_done_callback(_give_back)
            raise
        try:
            self._port = opening.result()
        except OSError as error:
            raise ConnectError(
                self._name,
                self._address,
                f"cannot open {self._path}: {error}",
                "Check that the instrument is plugged in and switched on, that the device path is right "
                "(ls /dev/serial/by-id), that you may use it (group dialout), "
                "and that no other program has it",
            ) from error
        self._writer = ThreadPoolExecutor(1, thread_name_prefix=f"{self._name} writer")
        self._reader = threading.Thread(
            target=self._read,
            args=(self._port, asyncio.get_running_loop()),
            name=f"{self._name} reader",
            daemon=True,
        )
        self._reader.start()

    def _open_port(self) -> "serial.Serial":
        import serial

        port = serial.Serial(self._path, self._baud, write_timeout=self._deadline, exclusive=True)
        if not self._flow_control:
            port.reset_input_buffer()
            return port
        try:
            port.rts = True
        except OSError:
            return port  # a pseudo-terminal: no modem lines, nothing to settle
        time.sleep(MODEM_PAUSE_S)
        port.reset_input_buffer()
        port.reset_output_buffer()
        time.sleep(MODEM_PAUSE_S)
        port.rtscts = True
        return port

    async def close(self) -> None:
        """Close the line. Never raises; may be called twice."""
        port, reader, writer = self._port, self._reader, self._writer
        self._port = self._reader = self._writer = None
        if port is None or reader is None or writer is None:
            return
        self._closing = True
        self._may_read.set()
        self._fail("the line was closed")
        with suppress(OSError):  # when it has broken before, the reader has ended by itself
            port.cancel_read()
            port.cancel_write()
        joining = asyncio.get_running_loop().run_in_executor(None, reader.join, self._deadline)
        try:
            await _ended(joining, self._deadline)
        finally:
            writer.shutdown(wait=False, cancel_futures=True)
            with suppress(OSError):
                port.close()

    def hold(self, on: bool) -> None:
        """Read nothing more for a while, or go on: what the instrument sends then waits in the operating
        system and, when that is full, in the instrument. What has been read already still comes."""
        if on:
            self._may_read.clear()
        else:
            self._may_read.set()

    async def send(self, data: bytes, command: str, *, at_once: bool = False) -> None:
        """Send a frame that has no answer; `at_once`, for what makes safe, without waiting until a question
        under way has its answer. Raises LineError, DeadlineError."""
        async with nullcontext() if at_once else self._question:
            await self._write(data, command)

    async def ask(
        self, request: bytes, matches: Callable[[FrameT], bool], command: str, *, patience: float = 0.0
    ) -> FrameT:
        """Send `request` and return the first frame after it that `matches`; `command` names the question
        in errors. The answer may take `patience` seconds longer than the deadline, where the instrument has
        to measure first. Raises DeadlineError, LineError."""
        async with self._question:
            if not self._in_step:
                await self._exchange(
                    self._probe.request,
                    self._probe.matches,
                    f"probe before {command}",
                    # An instrument that still measures for a question given up answers only after that.
                    patience=max(0.0, self._busy_until - time.monotonic()),
                )
            return await self._exchange(request, matches, command, patience)

    async def _exchange(
        self, request: bytes, matches: Callable[[FrameT], bool], command: str, patience: float = 0.0
    ) -> FrameT:
        answer: asyncio.Future[FrameT] = asyncio.get_running_loop().create_future()
        self._heard.clear()
        self._in_step = False  # until the answer is here, whatever ends the wait
        self._busy_until = time.monotonic() + patience
        self._waiting = matches, answer
        try:
            async with asyncio.timeout(self._deadline + patience):
                await self._write(request, command)
                frame = await answer
        except TimeoutError as error:
            self._decoder.reset()
            raise self._silence(command, self._deadline + patience) from error
        finally:
            self._waiting = None
            # A failure that nobody waits for any more is not an error of its own.
            if answer.done() and not answer.cancelled():
                answer.exception()
        self._in_step = True
        return frame

    async def _write(self, data: bytes, command: str) -> None:
        import serial

        if self._failure is not None:
            raise self._failure
        if self._port is None or self._writer is None:
            raise LineError(self._name, self._address, f"{command}: the line is not open", "Open it first")
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._port.write, data)
        except serial.SerialTimeoutException as error:
            raise DeadlineError(
                self._name,
                self._address,
                f"{command}: could not be sent within {self._deadline:g} s",
                "The instrument takes nothing more: switch it off and on",
            ) from error
        except OSError as error:
            raise self._fail(f"{command}: the line broke while sending: {error}") from error

    def _silence(self, command: str, seconds: float) -> DeadlineError:
        came = f"only {bytes(self._heard).hex(' ')} came" if self._heard else "nothing came back"
        return DeadlineError(
            self._name,
            self._address,
            f"{command}: no answer within {seconds:g} s, {came}",
            "Check that the instrument is on and that the address is its own",
        )

    def _read(self, port: "serial.Serial", loop: asyncio.AbstractEventLoop) -> None:
        """The reader thread: hand bytes to the event loop until the line closes."""
        try:
            while self._may_read.wait() and not self._closing:
                # One byte at least, then all that have come meanwhile.
                data = port.read(1)
                data += port.read(port.in_waiting) if data else b""
                if data:
                    loop.call_soon_threadsafe(self._received, data)
        except (OSError, TypeError) as error:
            # pyserial raises TypeError when the port is closed under a read.
            if not self._closing:
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(self._fail, f"the line broke: {error}")
        except RuntimeError:
            pass  # the event loop has ended, and with it everybody who could listen

    def _received(self, data: bytes) -> None:
        self._heard += data
        del self._heard[:-HEARD_BYTES]
        for frame in self._decoder.feed(data):
            self._on_frame(frame)
            if self._waiting is None:
                continue
            matches, answer = self._waiting
            if not answer.done() and matches(frame):
                answer.set_result(frame)

    def _fail(self, problem: str) -> LineError:
        if self._failure is None:
            self._failure = LineError(
                self._name, self._address, problem, "Check cable and power, then open the instrument again"
            )
        if self._waiting is not None and not self._waiting[1].done():
            self._waiting[1].set_exception(self._failure)
        return self._failure


async def _ended(work: "asyncio.Future[Any]", patience: float) -> None:
    """Return when a thread has done its work. A cancellation is raised only then too, or after `patience`
    seconds; one that comes meanwhile changes nothing."""
    try:
        await asyncio.wait([work])
    except asyncio.CancelledError:
        loop = asyncio.get_running_loop()
        end = loop.time() + patience
        while not work.done() and (left := end - loop.time()) > 0:
            with suppress(asyncio.CancelledError):
                await asyncio.wait([work], timeout=left)
        raise


def _give_back(opening: "asyncio.Future[serial.Serial]") -> None:
    """Close the port that nobody wants any more, if the opening came to one."""
    if opening.exception() is None:
        with suppress(OSError):
            opening.result().close()
