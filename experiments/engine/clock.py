"""The run clock: the only way in which an experiment waits.

On hardware it is the wall clock. On the simulated bench in the same process it is the world's clock:
`sleep` advances the world, and nothing else does. Hence two rules that make a seeded run repeatable bit
for bit: only the run's one step task sleeps on it, and for times that do not depend on the wall clock.
While nobody sleeps the bench's time stands still, yet every instrument still answers.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from drivers.errors import DeadlineError

SETTLING_S = 0.5
"""For how long instruments settle before they are read for the last time."""
PATIENCE_S = 2.0
"""Wall time for that."""


class RunClock(Protocol):
    """Seconds since the run began."""

    def now(self) -> float:
        """Seconds since the run began; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait until `now()` has grown by `seconds` (>= 0)."""
        ...


class WallClock:
    """The run clock of a bench of glass and steel."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def now(self) -> float:
        return time.monotonic() - self._began

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class WatchedClock:
    """A run clock on which somebody looks around every `every_s` while the run waits. On the simulated bench
    that is the only way to see what happens during a wait, since all of it may pass at once."""

    def __init__(self, clock: RunClock, every_s: float) -> None:
        self._clock, self._every_s = clock, every_s
        self.look: Callable[[], Awaitable[None]] | None = None
        """Called after each piece of a wait and after each short one; knows itself whether it is time."""

    def now(self) -> float:
        return self._clock.now()

    async def sleep(self, seconds: float) -> None:
        # In pieces of a length that ends where slices of the bench do, so that looking changes nothing.
        while self.look is not None and seconds > self._every_s:
            await self._clock.sleep(self._every_s)
            await self.look()
            seconds -= self._every_s
        await self._clock.sleep(seconds)
        if self.look is not None:
            await self.look()

    async def settle(self) -> None:
        """Let so much time pass at the end of a run, when nobody looks around any more, that meters show what
        was done last. Never raises: a bench that is held back shows what it showed before."""
        self.look = None
        with suppress(Exception):
            async with asyncio.timeout(PATIENCE_S):
                await self._clock.sleep(SETTLING_S)


class GuardedClock:
    """A run clock that cannot stand still unnoticed: a sleep that takes `grace_s` of wall time longer than
    it should raises DeadlineError. On the simulated bench a tagger whose tags nobody can read any more
    holds the world back for ever; this ends the wait."""

    def __init__(self, clock: RunClock, grace_s: float = 120.0) -> None:
        self._clock, self._grace_s = clock, grace_s

    def now(self) -> float:
        return self._clock.now()

    async def sleep(self, seconds: float) -> None:
        limit = seconds + self._grace_s
        try:
            async with asyncio.timeout(limit) as timer:
                await self._clock.sleep(seconds)
        except TimeoutError:
            if not timer.expired():
                raise
            raise DeadlineError(
                "run clock",
                "bench",
                f"did not advance by {seconds:g} s within {limit:g} s of wall time",
                "The bench is held back: look for an instrument that has gone silent",
            ) from None
