"""Interlocks while a run goes on: when they trip and are over, what they do, and what the gate refuses."""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drivers.capabilities import Laser
from drivers.errors import LimitError, RefusedError
from experiments.config.interlocks import Interlock, Limit, condition_of
from experiments.config.inventory import Inventory
from experiments.config.testbed import InstrumentEntry
from experiments.engine import events
from experiments.engine.bring_up import WaitStep
from experiments.engine.control import RunControl
from experiments.engine.interlocks import Interlocks, Status, Watched
from experiments.engine.lease import Lease
from experiments.engine.outcome import Exit, State
from experiments.engine.record import RunFolder
from experiments.engine.run import RunReport, execute
from experiments.engine.run_gate import RunGate
from experiments.engine.step import Context
from tests.experiments.fakes import BRING_UP, WAIT, FakeLaser, FakeNanowires, ToyBench, experiment
from tests.experiments.test_energy import FakeMeter
from tests.recorded import events as recorded
from tests.recorded import happened

HOT = {"when": "meter.power > 250 uW", "clear": "< 240 uW", "action": "pause"}


def watched(**keys: object) -> Watched:
    interlock = Interlock.model_validate({**HOT, **keys})
    return Watched("hot", interlock, condition_of(interlock, lambda signal: "W"), {"meter.power": "W"})


def told(lock: Watched, *readings: tuple[float, float | None]) -> list[str]:
    """The status after each look, (when, microwatts or nothing)."""
    statuses = []
    for at, microwatts in readings:
        lock.update({} if microwatts is None else {"meter.power": microwatts * 1e-6}, at)
        statuses.append(str(lock.status))
    return statuses


def test_it_is_over_below_clear_and_not_before() -> None:
    assert told(watched(), (0, 245), (1, 251), (2, 245), (3, 241), (4, 239), (5, 245)) == [
        "ok", "tripped", "tripped", "tripped", "ok", "ok",
    ]  # fmt: skip


def test_it_trips_when_it_has_been_so_for_as_long_as_it_has_to_hold() -> None:
    lock = watched(hold="2 s")
    assert told(lock, (0, 251), (1.9, 260), (2.0, 251)) == ["ok", "ok", "tripped"]
    lock = watched(hold="2 s")
    assert told(lock, (0, 251), (1.9, 249), (2.0, 251), (3.9, 251), (4.0, 251)) == ["ok"] * 4 + ["tripped"]


def test_what_is_not_known_counts_as_tripped_at_once() -> None:
    assert told(watched(hold="2 s"), (0, 100), (1, None), (2, 245), (3, 100)) == [
        "ok",
        "stale",
        "tripped",
        "ok",
    ]


def test_a_latched_one_waits_for_a_person_and_trips_again_meanwhile() -> None:
    lock = watched(latch=True)
    assert told(lock, (0, 251), (1, 100), (2, 100), (3, 251), (4, 100)) == [
        "tripped", "latched", "latched", "tripped", "latched",
    ]  # fmt: skip
    assert lock.blocks
    assert lock.reset()
    assert not lock.reset()
    assert lock.status is Status.OK


class Clock:
    time = 0.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Rig:
    """Interlocks on a meter and a laser, without a run."""

    def __init__(self, **interlocks: dict[str, Any]) -> None:
        self.meter, self.laser, self.wires = FakeMeter("meter"), FakeLaser("laser"), FakeNanowires("wires")
        self.clock, self.control = Clock(), RunControl()
        self.told: list[events.Interlock] = []
        self.singles: Mapping[str, float] | None = None
        parsed = {name: Interlock.model_validate(keys) for name, keys in interlocks.items()}
        everything = {i.name: i for i in (self.meter, self.laser, self.wires)}
        self.interlocks = Interlocks(
            parsed, everything, {"alice_h": None}, self.clock, lambda: self.singles,
            self.told.append, self.control,
        )  # fmt: skip
        self.lease = Lease()
        self.lease.begin()
        limits = {"laser.power": Limit(below="25 mW", above="1 mW"), "wires.bias": Limit(below="15 uA")}
        gate = RunGate(self.lease, self.interlocks, ({}, limits))
        for instrument in everything.values():
            instrument.gate = gate

    async def look(self, seconds: float = 1.0) -> None:
        self.clock.time += seconds
        await self.interlocks.look()


async def test_nothing_is_switched_on_before_they_were_looked_at_nor_while_one_is_tripped() -> None:
    rig = Rig(hot=HOT)
    with pytest.raises(RefusedError, match="hot has not been looked at"):
        await rig.laser.set_emission(True)
    rig.meter.watts = 200e-6
    await rig.interlocks.begin()
    await rig.laser.set_emission(True)
    rig.meter.watts = 300e-6
    await rig.look()
    for attempt in (rig.laser.set_emission(True), rig.laser.set_power(5e-3), rig.wires.set_bias(1, 1e-6)):
        with pytest.raises(
            RefusedError, match=r"interlock hot has tripped: meter.power > 250 uW \(meter.power 300 µW\)"
        ):
            await attempt
    await rig.laser.set_emission(False)
    await rig.laser.set_power(0.0)
    await rig.wires.set_bias(1, 0.0)


async def test_one_that_warns_forbids_nothing() -> None:
    rig = Rig(hot={**HOT, "action": "warn"})
    rig.meter.watts = 300e-6
    await rig.interlocks.begin()
    await rig.laser.set_emission(True)
    assert [(seen.name, seen.state, seen.value) for seen in rig.told] == [("hot", "tripped", 300e-6)]
    assert not rig.control.holds


async def test_a_silent_meter_is_as_bad_as_a_high_one_and_so_is_one_that_reads_no_number() -> None:
    for silent in (True, False):
        rig = Rig(hot={**HOT, "fresh": "3 s"})
        rig.meter.watts = 200e-6
        await rig.interlocks.begin()
        rig.meter.silent, rig.meter.watts = silent, math.nan
        await rig.look(2.9)
        assert not rig.interlocks.why_not
        rig.clock.time += 0.2  # nobody has looked since, and what was read is too old
        assert "hot has not been looked at" in rig.interlocks.why_not
        await rig.look(0.4)
        assert "not known for 3 s" in rig.interlocks.why_not
        assert rig.control.holds.keys() == {"hot"}


async def test_a_slow_instrument_does_not_keep_the_others_from_being_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("experiments.engine.interlocks.READING_S", 0.01)
    rig = Rig(hot=HOT, lit={"when": "laser.emission", "action": "warn"})
    rig.meter.watts = 200e-6
    await rig.interlocks.begin()
    hangs = asyncio.Event()
    monkeypatch.setattr(rig.meter, "power", hangs.wait)
    rig.laser.on = True
    await rig.look()
    assert [seen.name for seen in rig.told] == ["lit"]
    hangs.set()


async def test_rates_are_watched_while_tags_are_recorded() -> None:
    rig = Rig(dim={"when": "singles.alice_h < 1 kHz", "action": "pause"})
    await rig.interlocks.begin()
    await rig.laser.set_emission(True)  # nobody counts yet
    rig.singles = {"alice_h": 1200.0}
    await rig.look()
    assert not rig.told
    rig.singles = {"alice_h": 900.0}
    await rig.look()
    assert rig.told[-1].value == 900.0
    assert rig.control.holds.keys() == {"dim"}


async def test_limits_hold_in_the_driver_s_path_for_every_channel_and_zero_always_passes() -> None:
    rig = Rig()
    with pytest.raises(
        LimitError, match=r"laser .*power 26 mW is outside the limit laser.power.*at most 25 mW"
    ):
        await rig.laser.set_power(26e-3)
    with pytest.raises(LimitError, match="at least 1 mW"):
        await rig.laser.set_power(0.5e-3)
    for channel in rig.wires.channels:
        with pytest.raises(LimitError, match=r"wires\.bias"):
            await rig.wires.set_bias(channel, 15.1e-6)
        await rig.wires.set_bias(channel, 15e-6)
    await rig.laser.set_power(25e-3)
    await rig.laser.set_power(0.0)


async def run(
    tmp_path: Path, hot_at: float, *, cool_at: float | None = None, **keys: Any
) -> tuple[RunReport, ToyBench]:
    """A run that waits, and whose meter gets hot at a time."""
    bench = ToyBench()
    bench.clock._light = None
    meter = FakeMeter("meter", bench.log)
    meter.watts = 200e-6
    loaded = experiment(
        (BRING_UP, WAIT.model_copy(update={"duration": 60.0})), interlocks={"hot": {**HOT, **keys}}
    )
    stands = {
        **loaded.testbed.instruments,
        "meter": InstrumentEntry(node="hub", model="fake", address="tcp://127.0.0.1:9"),
    }
    testbed = loaded.testbed.model_copy(update={"instruments": stands})
    bench.clock.at.append((hot_at, lambda: setattr(meter, "watts", 300e-6)))
    if cool_at is not None:
        bench.clock.at.append((cool_at, lambda: setattr(meter, "watts", 200e-6)))
    report = await execute(
        replace(loaded, testbed=testbed, inventory=Inventory(testbed, {}, {})),
        {**bench.instruments, "meter": meter},
        bench.clock,
        RunFolder.create(tmp_path, "toy"),
        seed=1,
    )
    return report, bench


async def test_one_that_pauses_holds_a_bring_up_before_bias_and_light(tmp_path: Path) -> None:
    """It trips while motors go home."""
    report, bench = await run(tmp_path, 1.0, cool_at=30.0, resume=True)
    assert report.ending.exit is Exit.DONE, report.ending.message
    states = [event["state"] for event in recorded(report.folder, "state")]
    assert states[:4] == ["preparing", "running", "paused", "running"]
    assert bench.log.count("alice_pump emission True") == 1
    assert bench.clock.now() > 30.0 + 60.0


async def test_one_that_pauses_holds_a_step_that_it_refuses_to_let_set_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no safe point between its tripping and the set-point; from the last one the step goes on."""
    tries: list[float] = []

    async def turn_up(self: WaitStep, context: Context) -> None:
        tries.append(context.clock.now())
        await context.clock.sleep(20.0)
        await context.bench.get("alice_pump", Laser).set_power(25e-3)

    monkeypatch.setattr(WaitStep, "run", turn_up)
    monkeypatch.setattr(WaitStep, "changes", lambda *_: {"alice_pump"})
    report, bench = await run(tmp_path, 10.0, cool_at=60.0, resume=True)
    assert report.ending.exit is Exit.DONE, report.ending.message
    assert len(tries) == 2
    assert tries[1] > 60.0
    assert len(happened(report.folder, "interlocked")) == 1
    assert bench.lasers["alice_pump"].set_point == 25e-3


async def test_one_that_aborts_ends_the_run_in_the_safe_state_with_exit_code_4(tmp_path: Path) -> None:
    report, bench = await run(tmp_path, 20.0, action="abort", message="close the lid")
    assert report.ending.state is State.ABORTED
    assert report.ending.exit is Exit.NOT_SAFE
    assert "meter.power 300 µW" in report.ending.message
    assert report.ending.message.endswith("close the lid")
    assert bench.clock.now() < 20.0 + 2.0
    assert all(outcome.verified for outcome in report.safe)


async def test_one_that_is_tripped_from_the_start_lets_nothing_be_switched_on(tmp_path: Path) -> None:
    report, bench = await run(tmp_path, -1.0, action="abort", when="not alice_pump.emission", clear="")
    assert report.ending.exit is Exit.NOT_SAFE
    assert not [line for line in bench.log if "emission True" in line or "bias" in line]


async def test_a_run_goes_on_by_itself_where_the_file_says_so_and_switches_nothing(tmp_path: Path) -> None:
    report, bench = await run(tmp_path, 20.0, cool_at=40.0, resume=True)
    assert report.ending.exit is Exit.DONE, report.ending.message
    assert bench.clock.now() > 60.0 + 15.0  # brought up in 4 s, held for some 20 s
    assert bench.log.count("alice_pump emission True") == 1
