"""Deadlines in the tests of the drivers.

What shall succeed has five seconds, which no machine takes however busy it is; only what a test wants to see
end at a deadline is called `in_a_hurry`. A deadline that is short all the time also ends what was merely held
up, and the test fails now and then.
"""

import asyncio
from collections.abc import Awaitable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

PATIENT_S = 5.0


@contextmanager
def in_a_hurry(instrument: object, deadline: float = 0.2) -> Iterator[None]:
    """Within, an instrument and its lines wait for an answer no longer than `deadline`, in seconds."""
    usual = next(part[name] for part in _parts(instrument, []) for name in _NAMES if name in part)
    _scale(instrument, deadline / usual)
    try:
        yield
    finally:
        _scale(instrument, usual / deadline)


async def past_a_silence(instrument: object, call: Coroutine[Any, Any, T], silence: Awaitable[object]) -> T:
    """What a call returns that goes on after a question without an answer. That question alone is in a hurry:
    it has been asked when `silence` is over."""
    with in_a_hurry(instrument):
        calling = asyncio.create_task(call)
        await silence
    return await calling


_NAMES = ("deadline", "_deadline")


def _scale(instrument: object, factor: float) -> None:
    """In proportion, for an instrument may give its line a part of its own deadline; and what a line opens
    within is made with the short deadline, and has the usual one afterwards like all others."""
    for part in _parts(instrument, []):
        for name in _NAMES:
            if name in part:
                part[name] *= factor


def _parts(whole: object, seen: list[object]) -> Iterator[dict[str, Any]]:
    """The attributes of an object of ours, then of all those that it holds."""
    if type(whole).__module__.startswith("drivers.") and not any(whole is other for other in seen):
        seen.append(whole)
        attributes = getattr(whole, "__dict__", {})
        yield attributes
        for part in list(attributes.values()):
            yield from _parts(part, seen)
