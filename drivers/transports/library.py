"""Calls into a maker's library, for instruments that have no protocol of their own that could be spoken.

What it guarantees: calls are made one after the other in one worker thread, so that the event loop never
waits, and nobody else's; each has a deadline. A call that has overstayed its deadline cannot be broken off:
it goes on in its thread, its result is dropped, and the next call begins behind it, or ends by its own
deadline without having begun. That holds for a call after closing too: what a call that was given up has
opened is closed before another opens it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from drivers.errors import DeadlineError

T = TypeVar("T")


class LibraryThread:
    """The thread of one instrument; `deadline` in seconds per call."""

    def __init__(self, name: str, address: str, deadline: float) -> None:
        self._name, self._address, self._deadline = name, address, deadline
        self._worker: ThreadPoolExecutor | None = None
        self._closing: asyncio.Future[object] | None = None

    async def call(self, command: str, work: Callable[[], T], deadline: float | None = None) -> T:
        """What `work` returns; `command` names it in errors. Raises DeadlineError, and what `work` raises."""
        seconds = self._deadline if deadline is None else deadline
        try:
            async with asyncio.timeout(seconds):
                if self._closing is not None:
                    await asyncio.wait([self._closing])
                if self._worker is None:
                    self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"library {self._name}")
                return await asyncio.get_running_loop().run_in_executor(self._worker, work)
        except TimeoutError as error:
            raise DeadlineError(
                self._name, self._address,
                f"{command}: the maker's library did not return within {seconds:g} s",
                "Check that the instrument is plugged in and that no other program uses it",
            ) from error  # fmt: skip

    async def close(self, last: Callable[[], object]) -> None:
        """End the thread with a last call, which is made in any case, but waited for no longer than the
        deadline. Never raises; may be called twice, and a later call begins another thread."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        self._closing = asyncio.get_running_loop().run_in_executor(worker, last)
        self._closing.add_done_callback(lambda done: done.cancelled() or done.exception())
        worker.shutdown(wait=False)
        await asyncio.wait([self._closing], timeout=self._deadline)
