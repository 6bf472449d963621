"""Lines to instruments behind VISA, by pyvisa with its pure Python backend.

pyvisa blocks, so each line has one worker thread of its own, and only that thread touches the VISA
handle. Guarantees: an exchange ends by its deadline; one that does not end well (deadline, error,
cancellation) has its handle closed, and the next exchange opens another, so that a late answer never
meets the next question. pyvisa is imported when a line is opened.

Traps of pyvisa-py 0.8 that are dealt with here (tried, `ecosystem.md` 6): opening a TCP port that
refuses raises nothing, so opening asks `*IDN?`; failures come as whatever the socket raised; a dead
handle never recovers; a read that times out throws away the half answer it had.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from drivers.address import Address
from drivers.errors import ConnectError, DeadlineError, LineError

if TYPE_CHECKING:
    from pyvisa.resources import MessageBasedResource

T = TypeVar("T")

GRACE_S = 0.5
"""How long after its deadline the worker thread may stay away before it is given up."""
_one_at_a_time = threading.Lock()  # pyvisa makes its one resource manager when first asked


class _SilenceError(Exception):
    """The deadline came first; carries the half answer."""


class VisaLine:
    """Exchanges of text lines with the instrument at `visa:RESOURCE`, opened when needed. `ending` ends a
    command and an answer; an answer may end with LF as well."""

    def __init__(self, name: str, address: Address, deadline: float, *, ending: str = "\n") -> None:
        self.name, self.address, self.deadline = name, address, deadline
        self._ending = ending
        self.identification = ""
        """What the instrument answered to `*IDN?` when the line was last opened."""
        self._lock = asyncio.Lock()
        self._worker: ThreadPoolExecutor | None = None
        self._left_behind: asyncio.Future[None] | None = None
        self._patience = 0.0  # of the last exchange
        self._handle: MessageBasedResource | None = None  # of the worker thread
        self._is_open = False

    @property
    def is_open(self) -> bool:
        return self._is_open

    async def open(self) -> None:
        """Open and ask `*IDN?`, unless open. Raises ConnectError."""
        async with self._lock:
            await self._connect()

    async def close(self) -> None:
        """Close, after an exchange under way. Never raises; may be called twice."""
        async with self._lock:
            self._give_up()
            if self._left_behind is not None:
                await asyncio.wait([self._left_behind], timeout=self.deadline + GRACE_S)
            if self._worker is not None:
                self._worker.shutdown(wait=False)
                self._worker = None

    async def write(self, command: str) -> None:
        """Send a command that has no answer. Raises ConnectError, LineError."""
        await self._exchange(command, lambda: self._send(command))

    async def query(self, command: str, *, retry: bool = False, patience: float = 0.0) -> str:
        """Send a command and return its answer, without the line end.

        With `retry`, for questions that change nothing, a line that breaks is opened anew and the
        question asked once more. With `patience`, for answers that have to be measured first, the answer may
        take so many seconds longer than the deadline. Raises ConnectError, DeadlineError, LineError.
        """
        try:
            return await self._exchange(command, lambda: self._ask(command, patience), patience)
        except LineError:
            if not retry:
                raise
        return await self.query(command, patience=patience)

    async def _exchange(self, command: str, work: Callable[[], T], patience: float = 0.0) -> T:
        async with self._lock:
            await self._connect()
            try:
                return await self._in_thread(work, patience)
            except (_SilenceError, TimeoutError) as error:
                raise DeadlineError(
                    self.name, str(self.address),
                    f"{command} was not answered within {self.deadline + patience:g} s; "
                    f"what came: {error or 'nothing'}",
                    "See that the instrument is on and not busy with another program",
                ) from error  # fmt: skip
            except Exception as error:  # pyvisa-py lets through whatever its sockets raise
                raise LineError(
                    self.name, str(self.address), f"the line broke during {command}: {error!r}",
                    "See that the instrument is on and its cable is in",
                ) from error  # fmt: skip

    async def _connect(self) -> None:
        if self._is_open:
            return
        try:
            identification = await self._in_thread(self._open)
        except Exception as error:  # as above; also a missing backend or a bad resource name
            what = str(error) if isinstance(error, _SilenceError) else repr(error)
            raise ConnectError(
                self.name, str(self.address), f"no answer to *IDN? within {self.deadline:g} s: {what}",
                "See that the instrument is on, and that the address in the testbed file is right",
            ) from error  # fmt: skip
        self.identification, self._is_open = identification, True

    async def _in_thread(self, work: Callable[[], T], patience: float = 0.0) -> T:
        """Run `work` in the worker thread. Whatever goes wrong, the handle is closed after it."""
        if self._left_behind is not None:
            await asyncio.wait([self._left_behind], timeout=self.deadline + self._patience + GRACE_S)
            if not self._left_behind.done():
                raise TimeoutError("an earlier exchange still blocks the line")
            self._left_behind = None
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"visa {self.name}")
        self._patience = patience
        future = asyncio.get_running_loop().run_in_executor(self._worker, work)
        try:
            async with asyncio.timeout(self.deadline + patience + GRACE_S):
                return await asyncio.shield(future)
        except BaseException:
            # The thread may still be in a read. It ends by its own deadline; only then is closed.
            future.add_done_callback(lambda late: late.cancelled() or late.exception())
            self._give_up()
            raise

    def _give_up(self) -> None:
        self._is_open = False
        if self._worker is not None:
            loop = asyncio.get_running_loop()
            self._left_behind = loop.run_in_executor(self._worker, self._shut)

    # What follows runs in the worker thread.

    def _open(self) -> str:
        import pyvisa
        from pyvisa.constants import ResourceAttribute
        from pyvisa.resources import MessageBasedResource, TCPIPSocket

        with _one_at_a_time:
            manager = pyvisa.ResourceManager("@py")
        handle = manager.open_resource(self.address.path, open_timeout=round(1e3 * self.deadline))
        if not isinstance(handle, MessageBasedResource):
            handle.close()
            raise TypeError(f"{self.address.path} is not a resource that exchanges messages")
        self._handle = handle
        handle.write_termination = handle.read_termination = self._ending
        if isinstance(handle, TCPIPSocket):
            # Half an answer is then handed over after a while instead of being thrown away.
            handle.set_visa_attribute(ResourceAttribute.suppress_end_enabled, False)
        return self._ask("*IDN?")

    def _shut(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            with suppress(Exception):  # a dead handle may raise anything, and nothing is lost
                handle.close()

    def _send(self, command: str) -> None:
        if self._handle is None:
            raise ConnectionError("not open")
        self._handle.write(command)

    def _ask(self, command: str, patience: float = 0.0) -> str:
        from pyvisa.constants import StatusCode
        from pyvisa.errors import VisaIOError

        end = time.monotonic() + self.deadline + patience
        self._send(command)
        answer = bytearray()
        while not answer.endswith((self._ending.encode(), b"\n")):
            left = end - time.monotonic()
            try:
                if left <= 0 or self._handle is None:
                    raise _SilenceError(f"{bytes(answer)!r}" if answer else "nothing")
                self._handle.timeout = max(1.0, 1e3 * left)
                answer += self._handle.read_raw()
            except VisaIOError as error:
                if error.error_code != StatusCode.error_timeout:
                    raise
        return answer.decode(errors="replace").strip("\r\n")
