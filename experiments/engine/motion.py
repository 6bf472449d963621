"""Waiting until instruments are where they were sent, and making sure that they are."""

import asyncio
from collections.abc import Mapping, Sequence

from drivers.capabilities import Instrument, RotationMount
from drivers.errors import DeadlineError
from experiments.engine.clock import RunClock
from experiments.engine.outcome import RunError

POLL_S = 0.1
"""How often motion is asked after, in seconds of run clock."""
TURNING_S = 60.0
"""Deadline for turning wave plates, in seconds of run clock."""
ANGLE_TOLERANCE_RAD = 1e-3
"""How far from its set-point a wave plate may come to rest. 1 mrad costs 2e-6 of a visibility; a
K10CR1's repeatability is some 0.1 mrad."""


class NotSettledError(DeadlineError):
    """Instruments answer but do not arrive."""


async def settle(
    instruments: Sequence[Instrument], clock: RunClock, deadline_s: float, poll_s: float = POLL_S
) -> None:
    """Wait until every instrument has reached its set-points, asking every `poll_s`.

    Raises NotSettledError, naming those that still move, after `deadline_s` seconds of run clock.
    """
    end = clock.now() + deadline_s
    moving = await _unsettled(instruments)
    while moving:
        if clock.now() >= end:
            names = ", ".join(i.name for i in moving)
            raise NotSettledError(
                moving[0].name,
                str(moving[0].address),
                f"not settled after {deadline_s:g} s: {names}",
                "See whether something blocks the movement, then home it and run again",
            )
        await clock.sleep(poll_s)
        moving = await _unsettled(moving)


async def turn(
    angles_rad: Mapping[RotationMount, float], clock: RunClock, deadline_s: float = TURNING_S
) -> None:
    """Turn mounts together to these angles in radians, wait until they stand there, and verify it."""
    await asyncio.gather(*(mount.set_angle(angle) for mount, angle in angles_rad.items()))
    await settle(list(angles_rad), clock, deadline_s)
    found = await asyncio.gather(*(mount.angle() for mount in angles_rad))
    for (mount, asked), angle in zip(angles_rad.items(), found, strict=True):
        verify(mount, "angle", asked, angle, ANGLE_TOLERANCE_RAD, "rad")


def verify(instrument: Instrument, what: str, asked: float, found: float, within: float, unit: str) -> None:
    """RunError unless a value read back is `within` of what was asked for."""
    if not abs(found - asked) <= within:  # NaN is a failure too
        raise RunError(
            f"{instrument.name} ({instrument.address}): {what} reads {found:g} {unit} after it was set to "
            f"{asked:g} {unit}. Check the instrument's own limits and whether somebody else controls it"
        )


async def _unsettled(instruments: Sequence[Instrument]) -> list[Instrument]:
    settled = await asyncio.gather(*(i.is_settled() for i in instruments))
    return [i for i, done in zip(instruments, settled, strict=True) if not done]
