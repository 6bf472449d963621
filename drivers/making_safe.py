"""Making an instrument safe from whatever state it and its line are in."""

import logging
from collections.abc import Awaitable, Callable

from drivers.capabilities import Instrument
from drivers.errors import DeadlineError, LineError, ProtocolError

log = logging.getLogger(__name__)


async def insist(instrument: Instrument, action: Callable[[], Awaitable[None]], *, was_open: bool) -> None:
    """Carry out `action`, which makes the instrument safe and verifies it by reading back, and opens the line
    when there is none. A line that was not open before is closed again.

    Raises InstrumentError when the instrument could not be seen to be safe.
    """
    try:
        try:
            await action()
        except (DeadlineError, LineError, ProtocolError) as error:
            # The line may have died unseen, with the instrument well: once more on a fresh one.
            log.warning("%s; trying once more to make it safe", error)
            await action()
    finally:
        if not was_open:
            await instrument.close()
