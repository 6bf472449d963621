"""The lease: emission and bias exist only while somebody keeps saying that the run is alive and well.

A lease is taken once, renewed a few times per second by the run's event loop, and over for good when that
stops, when whoever watches over it is gone, or when the run ends: nothing revives it, so nothing can be armed
again by a run that was away. To switch off what it covered is the guardian's work (`bellbench.guardian`), or
the run's own where it still can. On a simulated bench inside the run's own process there is nothing that
could go on without the run, so its lease has no term.
"""

import asyncio
import math
import time
from collections.abc import Callable

from experiments.engine.outcome import SafetyError


class LeaseError(SafetyError):
    """Nobody vouches for the run any more: it has to end in the safe state."""


class Lease:
    """A lease that runs out `term_s` seconds after it was last renewed, by a clock that never goes back."""

    def __init__(self, term_s: float = math.inf, now: Callable[[], float] = time.monotonic) -> None:
        self.term_s = term_s
        self._now = now
        self._until: float | None = None
        self._why = "it has not begun"
        self._over = asyncio.Event()

    @property
    def held(self) -> bool:
        """Whether emission and bias may exist now."""
        return not self.why_not

    @property
    def why_not(self) -> str:
        """Why there is no lease; empty while there is."""
        if self._until is not None and not self._over.is_set() and self._now() > self._until:
            self.end(f"it was not renewed for {self.term_s:g} s")
        return self._why

    def begin(self) -> None:
        """Take it, unless it is over already."""
        if not self._over.is_set():
            self._until, self._why = self._now() + self.term_s, ""

    def renew(self) -> None:
        """Put its end off. Does nothing once it is over, and before it has begun."""
        if self.held:
            self._until = self._now() + self.term_s

    def end(self, why: str) -> None:
        """End it for good; the first reason counts."""
        if not self._over.is_set():
            self._why = why
            self._over.set()

    async def lost(self) -> None:
        """Wait until it is over, then raise LeaseError."""
        while self.held:
            # Nobody else may look: whoever renews it may be the one that hangs.
            timeout = None if math.isinf(self.term_s) else self.term_s / 4
            try:
                async with asyncio.timeout(timeout):
                    await self._over.wait()
            except TimeoutError:
                continue
        raise LeaseError(f"the lease on emission and bias is lost: {self._why}")
