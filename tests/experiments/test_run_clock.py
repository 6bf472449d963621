"""The run clock that somebody looks around on: also in a wait of many short pieces, and not after the run."""

from experiments.engine.clock import SETTLING_S, WatchedClock
from tests.experiments.fakes import FakeClock


async def watched() -> tuple[WatchedClock, list[float]]:
    clock = WatchedClock(FakeClock(), 0.5)
    seen: list[float] = []

    async def look() -> None:
        seen.append(round(clock.now(), 6))

    clock.look = look
    return clock, seen


async def test_a_long_wait_is_looked_at_in_pieces() -> None:
    clock, seen = await watched()
    await clock.sleep(1.2)
    assert seen == [0.5, 1.0, 1.2]


async def test_waits_that_are_shorter_than_a_piece_are_looked_at_too() -> None:
    """As homing polls its motors: else an interlock would not be known when the light is to go on."""
    clock, seen = await watched()
    for _ in range(3):
        await clock.sleep(0.1)
    assert seen == [0.1, 0.2, 0.3]


async def test_nobody_looks_while_a_bench_settles_at_the_end() -> None:
    clock, seen = await watched()
    await clock.settle()
    assert clock.now() == SETTLING_S
    assert seen == []
