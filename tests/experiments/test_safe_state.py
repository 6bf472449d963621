"""The safe state: order, completeness, deadlines, cancellation."""

import asyncio

import pytest

from experiments.engine.safe_state import make_safe
from tests.experiments.fakes import FakeInstrument


def instruments(names: str) -> tuple[list[str], list[FakeInstrument]]:
    log: list[str] = []
    return log, [FakeInstrument(name, log) for name in names.split()]


async def test_first_in_order_then_the_rest() -> None:
    log, (laser, bias, mount, tagger) = instruments("laser bias mount tagger")
    outcomes = await make_safe([laser, bias], [mount, tagger])
    assert log[:4] == ["safe laser", "is safe laser", "safe bias", "is safe bias"]
    assert sorted(log[4:]) == ["is safe mount", "is safe tagger", "safe mount", "safe tagger"]
    assert [(o.name, o.verified) for o in outcomes] == [
        (n, True) for n in ("laser", "bias", "mount", "tagger")
    ]


async def test_failing_and_silent_instruments_do_not_keep_the_others_from_being_asked() -> None:
    log, (laser, bias, mount, tagger) = instruments("laser bias mount tagger")
    laser.safe_fails, bias.safe_hangs, mount.safe_hangs = True, True, True
    outcomes = {o.name: o.problem for o in await make_safe([laser, bias], [mount, tagger], deadline_s=0.05)}
    assert "no answer to OFF" in outcomes["laser"]
    assert "within 0.05 s" in outcomes["bias"]
    assert "within 0.05 s" in outcomes["mount"]
    assert outcomes["tagger"] == ""
    assert "is safe tagger" in log


async def test_cancellation_does_not_cut_it_short() -> None:
    log, (laser, bias) = instruments("laser bias")
    task = asyncio.create_task(make_safe([laser, bias], []))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    outcomes = await task
    assert all(o.verified for o in outcomes)
    assert log == ["safe laser", "is safe laser", "safe bias", "is safe bias"]


async def test_a_driver_that_swallows_cancellation_does_not_hold_it_up() -> None:
    _, (stubborn, other) = instruments("stubborn other")
    release = asyncio.Event()

    async def never() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    stubborn.make_safe = never  # type: ignore[method-assign]
    outcomes = await make_safe([stubborn, other], [], deadline_s=0.05)
    assert [o.verified for o in outcomes] == [False, True]
    release.set()
    await asyncio.sleep(0)


@pytest.mark.parametrize("error", [ValueError("bad reply"), OSError("line broke"), asyncio.CancelledError()])
async def test_whatever_a_driver_raises_counts_as_unsafe(error: BaseException) -> None:
    _, (one, other) = instruments("one other")

    async def fail() -> None:
        raise error

    one.make_safe = fail  # type: ignore[method-assign]
    outcomes = await make_safe([one, other], [])
    assert [o.verified for o in outcomes] == [False, True]
