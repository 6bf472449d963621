"""A serial line as a pseudo-terminal: the instrument's end is ours, any serial program opens the other.

Guarantees: bytes pass unchanged in both directions (raw mode, no echo) as long as clients keep the line
raw, clients may open and close the line as often as they like, and neither reading nor writing ever
blocks the event loop. The path stays the same when the line hangs up and comes back. What nobody reads is
kept up to `BACKLOG` bytes and lost beyond, as on a real line.

What a pseudo-terminal is not: it has no modem lines (setting RTS or DTR fails with ENOTTY), baud rates
mean nothing, and it cannot see who opens it, so that `Faults.refuse` has no effect here.
"""

import asyncio
import os
import tempfile
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sim_instruments.wire.delivery import Delivery
from sim_instruments.wire.faults import Faults

BACKLOG = 65536
"""Bytes kept for a client that does not read, beyond the kernel's own 4 KiB."""


class SerialLine:
    """One pseudo-terminal. `receive` is called in the event loop with whatever bytes arrive."""

    def __init__(self, faults: Faults, receive: Callable[[bytes], None]) -> None:
        self._faults = faults
        self._receive = receive
        self._delivery = Delivery(faults, self._queue)
        self._pending = bytearray()
        self._path: Path | None = None
        self._ours: int | None = None
        self._theirs: int | None = None
        self._taken = asyncio.Event()
        """Set while nothing waits for the client but what the kernel keeps."""
        self._taken.set()

    def open(self) -> str:
        """Create the line and listen to it; returns the path for clients. Needs a running loop."""
        if self._path is None:
            self._path = Path(tempfile.mkdtemp(prefix="bellbench-")) / "tty"
        self._plug_in()
        return str(self._path)

    def close(self) -> None:
        """Hang up for good. May be called twice, and before `open`."""
        self._unplug()
        if self._path is not None:
            self._path.unlink()
            self._path.parent.rmdir()
            self._path = None

    def hang_up(self) -> None:
        """Break the line to whoever has it open, and come back under the same path."""
        if self._path is not None:
            self._unplug()
            self._plug_in()

    def _plug_in(self) -> None:
        assert self._path is not None
        self._ours, self._theirs = os.openpty()
        # Theirs stays open here, or the kernel would hang the line up when the first client leaves.
        tty.setraw(self._theirs)
        os.set_blocking(self._ours, False)
        asyncio.get_running_loop().add_reader(self._ours, self._read)
        self._path.unlink(missing_ok=True)
        self._path.symlink_to(os.ttyname(self._theirs))

    def _unplug(self) -> None:
        if self._ours is None or self._theirs is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._ours)
        loop.remove_writer(self._ours)
        os.close(self._ours)
        os.close(self._theirs)
        self._ours = self._theirs = None
        self._delivery.drop()
        self._pending.clear()
        self._taken.set()

    def send(self, data: bytes) -> None:
        """Send bytes to whoever has the line open, at once as far as the kernel takes them."""
        if self._ours is not None:
            self._delivery.send(data)

    async def drain(self, patience_s: float) -> bool:
        """Wait until the client has taken what was sent, but for what the kernel keeps; False when it has
        not within so much wall time. For streams that wait for their reader instead of losing what is
        beyond `BACKLOG`."""
        try:
            async with asyncio.timeout(patience_s):
                await self._taken.wait()
        except TimeoutError:
            return False
        return True

    def _queue(self, data: bytes) -> None:
        if self._ours is None or len(self._pending) + len(data) > BACKLOG:
            return
        self._pending += data
        self._write()

    def _read(self) -> None:
        assert self._ours is not None
        try:
            data = os.read(self._ours, 65536)
        except BlockingIOError:
            return
        if not self._faults.silent:
            self._receive(data)

    def _write(self) -> None:
        if self._ours is None:
            return
        loop = asyncio.get_running_loop()
        with suppress(BlockingIOError):
            del self._pending[: os.write(self._ours, self._pending)]
        if self._pending:
            self._taken.clear()
            loop.add_writer(self._ours, self._write)
        else:
            self._taken.set()
            loop.remove_writer(self._ours)
