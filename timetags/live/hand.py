"""Work in threads that can be ended for good."""

import asyncio
from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Hand:
    """Does one thing after another in worker threads, until it is ended for good: a task that is cancelled
    leaves its thread at work, and what that does must not come after the end."""

    def __init__(self) -> None:
        self._at_work = Lock()
        self._ended = False

    async def do(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.to_thread(self._do, partial(work, *args, **kwargs))

    def _do(self, work: Callable[[], R]) -> R:
        with self._at_work:
            if self._ended:
                raise asyncio.CancelledError
            return work()

    def end(self) -> None:
        """Wait for what is under way; from then on nothing is done."""
        with self._at_work:
            self._ended = True
