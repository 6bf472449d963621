"""Emission and bias only under a lease, and no run that arms itself again: a real run under random fire.

A hypothesis state machine lets time pass, asks the run to pause, resume, stop and abort, keeps the lease up
or lets it go, trips and clears an interlock, cuts power and breaks lines, in any order. What it holds the run
to is a model of a few numbers: how often a laser may be switched on (once by the bring-up, and once more for
every time that a person resumed a run whose pause is dark), and when. The instruments are fakes that remember
under which circumstances they were switched on; the run is the real one, with its gate, interlocks,
reconnection and safe state.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from drivers.capabilities import Limits, PowerMeter
from drivers.errors import RefusedError
from experiments.config.files import LoadedExperiment
from experiments.config.inventory import Inventory
from experiments.config.plan import BringUp, Wait
from experiments.config.testbed import InstrumentEntry
from experiments.engine.control import RunControl
from experiments.engine.lease import Lease, LeaseError
from experiments.engine.outcome import Exit, State
from experiments.engine.record import RunFolder
from experiments.engine.run import execute
from tests.experiments.fakes import FakeInstrument, FakeLaser, FakeNanowires, ToyBench, experiment

TERM_S = 0.02
BROUGHT_UP_S = 8.0
"""When the lasers are on: homing takes 3 s, the ramp of the bias 0.9 s."""
COOL_W, TEPID_W, HOT_W = 0.5e-3, 0.9e-3, 2e-3
"""Below `clear`, between, and above `when` of the interlock."""
NOTICED_S = 1.0
"""After two looks, every 0.5 s of run clock, whatever is wrong has been noticed."""
PLAN = (
    BringUp.model_validate(
        {"power": {"alice_pump": "20 mW", "bob_pump": "20 mW"}, "bias": {"hub_nanowires": "17 uA"}}
    ),
    Wait.model_validate({"duration": "60 s"}),
)

INTERLOCKS: tuple[dict[str, Any], ...] = (
    {"action": "warn"},
    {"action": "pause"},
    {"action": "pause", "resume": True},
    {"action": "pause", "latch": True},
    {"action": "abort"},
)

Asked = Callable[[str], None]


class FakeMeter(FakeInstrument, PowerMeter):
    wavelength_limits = Limits(400e-9, 1700e-9, "m")
    watts = COOL_W

    async def set_wavelength(self, wavelength_m: float) -> None: ...

    async def wavelength(self) -> float:
        return 780e-9

    async def power(self) -> float:
        self._ask()
        return self.watts


class WatchedLaser(FakeLaser):
    """Says when somebody switches it on, and can be made safe."""

    def __init__(self, name: str, asked: Asked) -> None:
        super().__init__(name)
        self._asked = asked

    async def set_emission(self, on: bool) -> None:
        if on:
            self._asked(self.name)
        await super().set_emission(on)

    async def make_safe(self) -> None:
        await super().make_safe()
        self.on = False


class WatchedWires(FakeNanowires):
    """Says when a bias is set, other than in the ramp of its safe state, and can be made safe."""

    def __init__(self, name: str, asked: Asked) -> None:
        super().__init__(name)
        self._asked = asked

    async def set_bias(self, channel: int, current_a: float) -> None:
        if current_a > self.currents[channel]:
            self._asked(self.name)
        await super().set_bias(channel, current_a)

    async def make_safe(self) -> None:
        await super().make_safe()
        self.currents = dict.fromkeys(self.channels, 0.0)
        self.enabled = False


class SteppedClock:
    """A run clock that goes on as far as the test lets it."""

    def __init__(self) -> None:
        self.time = self.until = 0.0
        self.waits = False
        self._news = asyncio.Event()

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        end = self.time + seconds
        while self.time < end:
            if self.until > self.time:
                self.time = min(end, self.until)
                continue
            self.waits = True
            try:
                await self._news.wait()
            finally:
                self.waits = False
        await asyncio.sleep(0)

    def let_pass(self, seconds: float) -> None:
        self.until = self.time + seconds
        self._news.set()
        self._news = asyncio.Event()


def loaded_with(interlock: dict[str, Any], pause: str) -> LoadedExperiment:
    loaded = experiment(
        PLAN,
        interlocks={"hot": {"when": "meter.power > 1 mW", "clear": "< 0.8 mW", "fresh": "2 s", **interlock}},
        limits={"alice_pump.power": {"below": "20 mW"}},
        pause=pause,
        reconnection={"deadline": "5 s"},
    )
    meter = InstrumentEntry(node="hub", model="fake", address="tcp://127.0.0.1:9")
    stands = {**loaded.testbed.instruments, "meter": meter}
    testbed = loaded.testbed.model_copy(update={"instruments": stands})
    return replace(loaded, testbed=testbed, inventory=Inventory(testbed, {}, {}))


class Energy(RuleBasedStateMachine):
    @initialize(
        interlock=st.sampled_from(INTERLOCKS),
        pause=st.sampled_from(["lit", "dark"]),
        first_s=st.sampled_from([0.0, 2.0, BROUGHT_UP_S, BROUGHT_UP_S]),
    )
    def begin(self, interlock: dict[str, Any], pause: str, first_s: float) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = TemporaryDirectory()
        self.action, self.dark = interlock["action"], pause == "dark"
        self.loop.run_until_complete(self._begin(loaded_with(interlock, pause)))
        self.settle()
        self.time_passes(first_s)

    async def _begin(self, loaded: LoadedExperiment) -> None:
        self.clock, self.control = SteppedClock(), RunControl()
        self.seconds = 0.0
        self.lease = Lease(TERM_S, lambda: self.seconds)
        self.lease.begin()
        self.permits = 1
        self.switched: dict[str, int] = {}
        self.broken: list[str] = []
        self.hot_since: float | None = None
        self.lasers = {name: WatchedLaser(name, self.asked) for name in ("alice_pump", "bob_pump")}
        self.wires, self.meter = WatchedWires("hub_nanowires", self.asked), FakeMeter("meter")
        bench = ToyBench()
        self.mount = bench.mounts["alice_hwp"]
        instruments = {**bench.instruments, **self.lasers, "hub_nanowires": self.wires, "meter": self.meter}
        for instrument in instruments.values():
            instrument.clock = self.clock  # type: ignore[assignment]
        self.run = asyncio.create_task(
            execute(
                loaded,
                instruments,
                self.clock,
                RunFolder.create(Path(self.folder.name), "toy"),
                seed=1,
                control=self.control,
                lease=self.lease,
            )
        )

    def asked(self, name: str) -> None:
        """Somebody passed the gate and switches this on or up."""
        self.switched[name] = self.switched.get(name, 0) + 1
        if not self.lease.held:
            self.broken.append(f"{name} on without a lease")
        hot_s = 0.0 if self.hot_since is None else self.clock.time - self.hot_since
        if self.action != "warn" and hot_s > NOTICED_S:
            self.broken.append(f"{name} on {hot_s} s after its interlock tripped")
        if name in self.lasers and self.switched[name] > self.permits:
            self.broken.append(f"{name} on for the {self.switched[name]}th time, {self.permits} were allowed")

    def settle(self) -> None:
        """Let the run go as far as it can without time, and to its end when it has no lease."""
        self.loop.run_until_complete(self._settle())

    async def _settle(self) -> None:
        quiet = 0
        for _ in range(20_000):
            if self.run.done():
                return
            idle = self.clock.waits or (self.control.state is State.PAUSED and bool(self.control.holds))
            quiet = quiet + 1 if idle and self.lease.held and self.control.abort_why is None else 0
            if quiet > 10:
                return
            await asyncio.sleep(0.0003)
        raise AssertionError(f"the run neither waits nor ends: {self.control.state}")

    # What may happen, in any order. Whether a run is over depends on the machine's pace, so it is no
    # precondition: hypothesis wants to draw the same rules again.

    @rule(seconds=st.sampled_from([0.2, 0.6, 3.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        if self.run.done():
            return
        self.clock.let_pass(seconds)
        self.settle()

    @rule()
    def a_heartbeat_comes(self) -> None:
        if self.run.done():
            return
        self.seconds += TERM_S / 2
        self.lease.renew()

    @rule()
    def no_heartbeat_comes_and_then_one_too_late(self) -> None:
        if self.run.done():
            return
        self.seconds += 1.5 * TERM_S
        self.lease.renew()
        self.settle()

    @rule()
    def somebody_pauses(self) -> None:
        if self.run.done():
            return
        self.control.pause("a person asks")
        self.settle()

    @rule()
    def somebody_resumes(self) -> None:
        if self.run.done():
            return
        if self.control.resume("a person asks").accepted and self.dark:
            self.permits += 1
        self.settle()

    @rule()
    def somebody_stops(self) -> None:
        if self.run.done():
            return
        self.control.stop("a person asks")
        self.settle()

    @rule()
    def somebody_aborts(self) -> None:
        if self.run.done():
            return
        self.control.abort("a person asks")
        self.settle()

    @rule(watts=st.sampled_from([COOL_W, TEPID_W, HOT_W]))
    def the_meter_reads(self, watts: float) -> None:
        if self.run.done():
            return
        self.meter.watts = watts
        if watts != HOT_W:
            self.hot_since = None
        elif self.hot_since is None:
            self.hot_since = self.clock.time

    @rule(seconds=st.sampled_from([0.6, 12.0]))
    def it_gets_hot_and_cools_down_again(self, seconds: float) -> None:
        if self.run.done():
            return
        for watts in (HOT_W, COOL_W):
            self.the_meter_reads(watts)
            self.time_passes(seconds)

    @rule()
    def no_heartbeat_comes_while_much_happens_at_once(self) -> None:
        if self.run.done():
            return
        self.seconds += 1.5 * TERM_S
        self.time_passes(10.0)

    @rule(silent=st.booleans())
    def the_meter_is_silent(self, silent: bool) -> None:
        if self.run.done():
            return
        self.meter.silent = silent

    @rule(which=st.sampled_from(["alice_pump", "bob_pump"]), back=st.booleans())
    def a_laser_loses_power(self, which: str, back: bool) -> None:
        if self.run.done():
            return
        laser = self.lasers[which]
        was_on = laser.on
        laser.lose_power()
        if back and was_on and self.lease.held:
            laser.on = True  # somebody turns the key again
        else:
            self.time_passes(10.0)  # the run notices

    @rule(unplugged=st.booleans())
    def a_line_breaks(self, unplugged: bool) -> None:
        if self.run.done():
            return
        self.mount.unplugged = unplugged

    @rule()
    def somebody_tries_to_go_on_after_the_end(self) -> None:
        if not self.run.done():
            return
        assert not self.control.resume("a person asks").accepted
        self.lease.begin()
        self.lease.renew()
        for attempt in (self.lasers["bob_pump"].set_emission(True), self.wires.set_bias(1, 1e-6)):
            with pytest.raises(RefusedError):
                self.loop.run_until_complete(attempt)

    # What must be.

    @invariant()
    def nothing_was_switched_on_that_must_not(self) -> None:
        assert self.broken == []

    @invariant()
    def nothing_emits_without_a_lease_or_after_the_run(self) -> None:
        if not self.lease.held or self.run.done():
            assert self.run.done()
            assert not any(laser.on for laser in self.lasers.values())
            assert set(self.wires.currents.values()) == {0.0}

    def teardown(self) -> None:
        if not hasattr(self, "run"):
            return
        if not self.run.done():
            self.control.abort("the test is over")
            self.settle()
        report = self.run.result()
        assert not any(laser.on for laser in self.lasers.values())
        assert report.ending.exit in (Exit.DONE, Exit.NOT_SAFE, Exit.INSTRUMENT, Exit.ABORTED)
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.folder.cleanup()


CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of a run nobody lets these clocks go on, and a run need not wait for that."""
    monkeypatch.setattr("experiments.engine.clock.PATIENCE_S", 0.0)


def test_no_order_of_events_makes_light_that_must_not_be() -> None:
    run_state_machine_as_test(
        Energy,
        settings=settings(
            max_examples=60,
            stateful_step_count=12,
            phases=[Phase.generate],  # a failure is shown as it is found: to shrink it takes minutes
            deadline=None,
            derandomize=True,
            suppress_health_check=CHECKS,
        ),
    )


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_no_order_of_events_makes_light_that_must_not_be_at_length() -> None:
    run_state_machine_as_test(
        Energy,
        settings=settings(
            max_examples=2000, stateful_step_count=40, deadline=None, suppress_health_check=CHECKS
        ),
    )


def test_an_interlock_that_lets_go_does_not_light_a_dark_pause_and_a_person_does() -> None:
    run = Energy()
    run.begin({"action": "pause", "resume": True}, "dark", BROUGHT_UP_S)
    lasers = run.lasers.values()
    assert all(laser.on for laser in lasers)
    run.the_meter_reads(HOT_W)
    run.time_passes(12.0)
    assert not any(laser.on for laser in lasers)
    run.the_meter_reads(COOL_W)
    run.time_passes(12.0)
    assert (run.control.state, any(laser.on for laser in lasers)) == (State.PAUSED, False)
    run.somebody_resumes()
    run.time_passes(3.0)
    assert (run.control.state, all(laser.on for laser in lasers)) == (State.RUNNING, True)
    assert run.broken == []
    run.teardown()


async def test_a_lease_that_has_run_out_is_over_for_good() -> None:
    times = [0.0]
    lease = Lease(1.0, lambda: times[-1])
    assert not lease.held
    lease.renew()
    assert not lease.held  # nobody has taken it
    lease.begin()
    for now in (0.9, 1.8, 2.7):
        times.append(now)
        assert lease.held
        lease.renew()
    times.append(3.71)
    lease.renew()
    lease.begin()
    assert lease.why_not == "it was not renewed for 1 s"
    with pytest.raises(LeaseError, match="was not renewed for 1 s"):
        await lease.lost()


async def test_the_first_reason_for_the_end_of_a_lease_counts_and_whoever_waits_is_told_at_once() -> None:
    lease = Lease()
    lease.begin()
    waiting = asyncio.create_task(lease.lost())
    await asyncio.sleep(0)
    lease.end("the guardian is gone")
    lease.end("the run is over")
    with pytest.raises(LeaseError, match="the guardian is gone"):
        await waiting
