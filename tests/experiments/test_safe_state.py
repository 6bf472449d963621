"""The safe state: order, completeness, deadlines, cancellation, the bias ramp, the gate meanwhile."""

import asyncio

import pytest

from drivers.errors import RefusedError
from experiments.engine.safe_state import make_safe, safe_groups
from tests.experiments.fakes import FakeInstrument, FakeLaser, FakeMount, FakeNanowires, FakeTagger


def instruments(names: str) -> tuple[list[str], list[FakeInstrument]]:
    log: list[str] = []
    return log, [FakeInstrument(name, log) for name in names.split()]


async def test_first_in_order_then_the_rest() -> None:
    log, (laser, bias, mount, tagger) = instruments("laser bias mount tagger")
    outcomes = await make_safe([[laser], [bias], [mount, tagger]])
    assert log[:4] == ["safe laser", "is safe laser", "safe bias", "is safe bias"]
    assert sorted(log[4:]) == ["is safe mount", "is safe tagger", "safe mount", "safe tagger"]
    assert [(o.name, o.verified) for o in outcomes] == [
        (n, True) for n in ("laser", "bias", "mount", "tagger")
    ]


async def test_failing_and_silent_instruments_do_not_keep_the_others_from_being_asked() -> None:
    log, (laser, bias, mount, tagger) = instruments("laser bias mount tagger")
    laser.safe_fails, bias.safe_hangs, mount.safe_hangs = True, True, True
    groups = [[laser], [bias], [mount, tagger]]
    outcomes = {o.name: o.problem for o in await make_safe(groups, deadline_s=0.5)}
    assert "no answer to OFF" in outcomes["laser"]
    assert "within 0.5 s" in outcomes["bias"]
    assert "within 0.5 s" in outcomes["mount"]
    assert outcomes["tagger"] == ""
    assert "is safe tagger" in log


async def test_cancellation_does_not_cut_it_short() -> None:
    log, (laser, bias) = instruments("laser bias")
    task = asyncio.create_task(make_safe([[laser], [bias]]))
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
    outcomes = await make_safe([[stubborn], [other]], deadline_s=0.5)
    assert [o.verified for o in outcomes] == [False, True]
    release.set()
    await asyncio.sleep(0)


@pytest.mark.parametrize("error", [ValueError("bad reply"), OSError("line broke"), asyncio.CancelledError()])
async def test_whatever_a_driver_raises_counts_as_unsafe(error: BaseException) -> None:
    _, (one, other) = instruments("one other")

    async def fail() -> None:
        raise error

    one.make_safe = fail  # type: ignore[method-assign]
    outcomes = await make_safe([[one], [other]])
    assert [o.verified for o in outcomes] == [False, True]


def test_emission_comes_before_bias_and_bias_before_the_rest_unless_the_testbed_says_more() -> None:
    every = [
        FakeTagger("tagger", 2),
        FakeMount("mount"),
        FakeNanowires("wires"),
        *map(FakeLaser, ("one", "two")),
    ]

    def names(first: tuple[str, ...] = ()) -> list[list[str]]:
        return [[instrument.name for instrument in group] for group in safe_groups(every, first)]

    assert names() == [["one", "two"], ["wires"], ["tagger", "mount"]]
    assert names(("mount", "two")) == [["mount"], ["two"], ["one"], ["wires"], ["tagger"]]
    assert names(("gone",)) == names()  # named in the testbed, and not opened


async def test_bias_goes_down_in_a_ramp_and_never_up() -> None:
    wires = FakeNanowires("wires")
    wires.currents = dict.fromkeys(wires.channels, 16e-6)
    [outcome] = await make_safe([[wires]])
    assert outcome.verified
    ramp = [current for _, current in wires.history]
    assert ramp == pytest.approx([12e-6, 8e-6, 4e-6])
    assert wires.log[-2:] == ["safe wires", "is safe wires"]


async def test_nothing_is_switched_on_or_up_while_it_is_made_safe_and_after() -> None:
    laser, wires = FakeLaser("laser"), FakeNanowires("wires")
    wires.currents[1] = 10e-6
    task = asyncio.create_task(make_safe([[laser], [wires]]))
    await laser.safe_asked.wait()
    with pytest.raises(RefusedError, match="being made safe"):
        await laser.set_emission(True)
    await task
    for bias in (11e-6, 9e-6, 1e-9):
        with pytest.raises(RefusedError, match="being made safe"):
            await wires.set_bias(1, bias)
    with pytest.raises(RefusedError, match="being made safe"):
        await wires.set_bias(2, 1e-9)
    await laser.set_emission(False)
    await wires.set_bias(1, 0.0)


async def test_two_silent_lasers_do_not_keep_the_bias_up_for_a_second() -> None:
    _, (one, two) = instruments("one two")
    wires = FakeNanowires("wires")
    one.safe_hangs = two.safe_hangs = True
    loop = asyncio.get_running_loop()
    began = loop.time()
    task = asyncio.create_task(make_safe([[one], [two], [wires]], deadline_s=2.0))
    await wires.safe_asked.wait()
    assert 0.7 < loop.time() - began < 2.0  # twice the patience of 0.4 s; and a slow machine
    outcomes = await task
    assert [outcome.verified for outcome in outcomes] == [False, False, True]
