"""Whether a laser's emission follows its switch, which may take a moment: some have a delay of their own."""

import asyncio
import time
from collections.abc import Awaitable, Callable

POLL_S = 0.05
"""How often to look; our choice."""


async def held_up(
    emission: Callable[[], Awaitable[bool]],
    on: bool,
    deadline_s: float,
    what_forbids_it: Callable[[], Awaitable[list[str]]],
) -> list[str] | None:
    """None as soon as `emission` is as it was switched. Otherwise, what is known to forbid that it is on, as
    soon as something does; after `deadline_s` seconds of wall time perhaps nothing.

    Whoever switched it on in vain has to switch it off again: it might come on by itself later.
    """
    end = time.monotonic() + deadline_s
    while await emission() is not on:
        reasons = await what_forbids_it() if on else []
        if reasons or time.monotonic() > end:
            return reasons
        await asyncio.sleep(POLL_S)
    return None
