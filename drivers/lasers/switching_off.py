"""Switching a laser off from whatever state it and its line are in."""

import logging
from collections.abc import Awaitable, Callable

from drivers.capabilities import Laser
from drivers.errors import DeadlineError, LineError, ProtocolError

log = logging.getLogger(__name__)


async def switch_off(laser: Laser, how: Callable[[], Awaitable[None]], *, was_open: bool) -> None:
    """Do what makes the laser dark and verifies it. A line that was not open before is closed again.
    Raises InstrumentError when the laser could not be seen to go dark."""
    try:
        try:
            await how()
        except (DeadlineError, LineError, ProtocolError) as error:
            # The line may have died unseen, with the laser well: once more on a fresh one.
            log.warning("%s; trying once more to switch the emission off", error)
            await how()
    finally:
        if not was_open:
            await laser.close()
