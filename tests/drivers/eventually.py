"""Waiting in tests for what comes by itself, such as bytes that are on their way over a pseudo-terminal."""

import asyncio
from collections.abc import Awaitable, Callable

PATIENCE_S = 5.0


async def eventually(holds: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    """Return as soon as `holds`; TimeoutError when it does not within `PATIENCE_S`."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            outcome = holds()
            if outcome if isinstance(outcome, bool) else await outcome:
                return
            await asyncio.sleep(0.001)
