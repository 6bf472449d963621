"""Instruments that lose power in mid-run: what the run restores, what it never does, and what it says."""

import asyncio
import itertools
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from drivers.capabilities import Control, Identity, Limits, PolarizationController
from drivers.errors import LimitError, RefusedError
from experiments.config.plan import MeasureSwapping
from experiments.engine.clock import SETTLING_S
from experiments.engine.control import RunControl
from experiments.engine.events import Happened, RunEvent, StateChanged, StepBegan
from experiments.engine.outcome import Exit, State
from experiments.engine.reconnection import LostError, Reconnection
from experiments.engine.record import RunFolder
from experiments.engine.run import RunReport, execute
from experiments.engine.standing import ChangedError, Loss, Standing, differs
from tests.experiments.fakes import (
    BRING_UP,
    CALIBRATE,
    WAIT,
    FakeClock,
    FakeInstrument,
    FakeLaser,
    FakeMount,
    ToyBench,
    V,
    experiment,
)
from tests.recorded import events, happened
from timetags.files.segments import read_segments

MEASURED = (
    BRING_UP,
    CALIBRATE,
    MeasureSwapping.model_validate({"bases": ["ZZ", "XX"], "dwell": "1 s"}),
)
"""Two dwells."""
WAITED = (BRING_UP, WAIT.model_copy(update={"duration": 100.0}))
"""Brought up after some 5 s. Nobody looks at the light."""


class Hand:
    """Watches a run and does `act` once: half a second into the `nth` dwell or, when nothing is measured,
    after 20 s of waiting."""

    def __init__(self, bench: ToyBench, act: Callable[[], None], nth: int = 2) -> None:
        self.events: list[RunEvent] = []
        self._bench, self._act, self._nth, self._dwells = bench, act, nth, 0

    def notify(self, event: RunEvent) -> None:
        self.events.append(event)
        if isinstance(event, Happened) and event.event == "dwell":
            self._dwells += 1
            if self._dwells == self._nth:
                self.later(0.5, self._act)
        if isinstance(event, StepBegan) and event.kind == "wait":
            self.later(20.0, self._act)

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        self._bench.clock.at.append((self._bench.clock.now() + seconds, act))
        self._bench.clock.at.sort(key=lambda item: item[0])

    @property
    def states(self) -> list[str]:
        return [str(event.state) for event in self.events if isinstance(event, StateChanged)]

    @property
    def reasons(self) -> list[str]:
        return [e.message for e in self.events if isinstance(e, StateChanged) and e.state is State.PAUSED]


async def run(bench: ToyBench, runs: Path, hand: Hand, plan: tuple = WAITED, **more: object) -> RunReport:
    if plan[-1].kind == "wait":
        bench.clock._light = None
    loaded, folder = experiment(plan, **more), RunFolder.create(runs, "toy_swapping")
    return await execute(loaded, bench.instruments, bench.clock, folder, seed=7, observers=[hand])


def stays_away(instrument: FakeInstrument, hand: Hand, seconds: float) -> None:
    """Without power for so long, then in its start-up state."""
    instrument.lose_power()
    instrument.unplugged = True
    hand.later(seconds, lambda: setattr(instrument, "unplugged", False))


def switched_on(log: Sequence[str]) -> list[str]:
    return [line for line in log if "emission True" in line or "enabled True" in line]


async def test_a_mount_comes_back_homed_and_turned_and_its_dwell_is_measured_again(tmp_path: Path) -> None:
    bench = ToyBench()
    mount = bench.mounts["alice_hwp"]
    hand = Hand(bench, lambda: stays_away(mount, hand, 2.0), nth=1)  # in XX, where it does not stand at zero
    report = await run(bench, tmp_path, hand, MEASURED)

    assert report.ending.exit is Exit.DONE, report.ending.message
    assert hand.states == ["preparing", "running", "paused", "running", "completed"]
    assert "alice_hwp" in hand.reasons[0]
    assert bench.log.count("alice_hwp home") == 2
    [back] = happened(report.folder, "reconnected")
    assert back["instrument"] == "alice_hwp"
    assert back["homed"] is True
    assert back["restored"] == {"angle": pytest.approx(math.radians(22.5))}
    assert back["not_restored"] == []
    dwells, [vetoed] = happened(report.folder, "dwell"), happened(report.folder, "vetoed")
    assert vetoed["begin_ps"] == dwells[0]["begin_ps"]
    assert [d["setting"] for d in dwells[:2]] == ["XX", "XX"]
    assert len(dwells) == 2 + 1
    # Emission and bias were there all the time and were not touched.
    assert len(switched_on(bench.log)) == 3


async def test_what_was_counted_without_light_does_not_count(tmp_path: Path) -> None:
    bench = ToyBench()
    light = bench.clock._light
    assert light

    def dark() -> None:
        bench.lasers["alice_pump"].lose_power()
        light._fourfolds_hz = 0.0
        hand.later(3.0, somebody_turns_the_key)

    def somebody_turns_the_key() -> None:
        bench.lasers["alice_pump"].on = True
        light._fourfolds_hz = 2000.0

    hand = Hand(bench, dark)
    light._fourfolds_hz = 2000.0
    report = await run(bench, tmp_path, hand, MEASURED)
    assert report.ending.exit is Exit.DONE, report.ending.message
    assert hand.states == ["preparing", "running", "paused", "running", "completed"]
    assert report.folder
    results = json.loads((report.folder / "results.json").read_text())
    # 2000 four-folds/s for 2 s, known to 5 standard deviations (6e-7) and a few per cent of accidental ones;
    # half a second in the dark would take away 25 % of them.
    assert results["swap_rate_hz"]["value"] == pytest.approx(2000, abs=5 * (2000 / 2) ** 0.5 + 0.03 * 2000)
    assert {s["live_time_s"] for s in results["settings"].values()} == {1.0}
    # A person did it, not the run.
    assert bench.log.count("alice_pump emission True") == 1
    [said] = happened(report.folder, "reconnected")
    dark_now = "power reads 0 W after 20 mW, emission reads off after on"
    assert f"NOT switched on again: {dark_now}" in said["message"]
    assert said["not_restored"] == dark_now.split(", ")


@pytest.mark.parametrize(
    ("victim", "says"),
    [("alice_pump", "emission reads off after on"), ("hub_nanowires", "bias.1 reads 0 A after 17 µA")],
)
async def test_emission_and_bias_are_never_switched_on_by_the_run(
    tmp_path: Path, victim: str, says: str
) -> None:
    bench = ToyBench()
    hand = Hand(bench, lambda: bench.instruments[victim].lose_power())
    report = await run(bench, tmp_path, hand, reconnection={"deadline": "30 s"})
    assert hand.states == ["preparing", "running", "paused", "failed"]
    assert report.ending.exit is Exit.INSTRUMENT
    for words in (victim, says, "paused for 30 s", "nobody switched it on again", "then run again"):
        assert words in report.ending.message
    # Nothing but the bring-up has set them, and then came the safe state.
    touched = [line for line in bench.log if line.startswith(("alice_pump", "bob_pump", "hub_nanowires"))]
    safe_from = bench.log.index("safe alice_pump")
    before = [line for line in bench.log[:safe_from] if line in touched]
    assert touched[: len(before)] == before
    assert set(touched[len(before) :]) <= {"hub_nanowires bias"}  # the ramp down
    assert len(switched_on(bench.log)) == 3
    assert [outcome.problem for outcome in report.safe] == [""] * len(bench.instruments)
    [paused] = [e for e in events(report.folder, "state") if e["state"] == "paused"]
    last = events(report.folder, "state")[-1]
    assert last["t_s"] - paused["t_s"] == pytest.approx(30 + SETTLING_S, abs=0.1)


async def test_a_tagger_comes_back_with_a_new_recording_and_new_delays(tmp_path: Path) -> None:
    bench = ToyBench()
    tagger = bench.taggers["bob_tagger"]

    def cycle() -> None:
        stays_away(tagger, hand, 2.0)
        tagger.latency_s = 0.0021

    hand = Hand(bench, cycle)
    report = await run(bench, tmp_path, hand, MEASURED)
    assert report.ending.exit is Exit.DONE, report.ending.message
    assert hand.states == ["preparing", "running", "paused", "running", "completed"]
    assert [e.kind for e in hand.events if isinstance(e, StepBegan)] == [
        "bring_up", "calibrate_delays", "measure_swapping", "calibrate_delays", "measure_swapping",
    ]  # fmt: skip
    assert tagger.volts == {1: 0.1, 2: 0.1}
    assert report.folder
    results = json.loads((report.folder / "results.json").read_text())
    zz = results["visibility_zz"]
    assert zz["value"] == pytest.approx(V, abs=5 * zz["error"] + 0.03)
    assert {s["live_time_s"] for s in results["settings"].values()} == {1.0}
    delays = json.loads((report.folder / "calibrations.json").read_text())
    shifts = [delays[f"delays{n}"]["tagger_shifts"]["bob_tagger"]["value"] for n in ("", " of recording 2")]
    # The hub's 43.1 us of fibre, and how much later bob's recording began than the hub's: 7 - 1 ms, 2.1 - 1.
    assert shifts == pytest.approx([43_100_000 + 6e9, 43_100_000 + 1.1e9], abs=5000)
    # Times have one meaning in the whole run.
    kept = list(read_segments(report.folder / "tags" / "heralds"))
    assert all(a.end_ps <= b.start_ps for a, b in itertools.pairwise(kept))
    windows = [(d["begin_ps"], d["end_ps"]) for d in happened(report.folder, "dwell")]
    assert all(a[1] < b[0] for a, b in itertools.pairwise(windows))


async def test_a_power_cut_takes_several_at_once(tmp_path: Path) -> None:
    bench = ToyBench()
    victims = [bench.mounts["bob_qwp"], bench.mounts["bob_hwp"], bench.taggers["bob_tagger"]]

    def cut() -> None:
        for seconds, victim in enumerate(victims, 1):
            stays_away(victim, hand, 3.0 * seconds)

    hand = Hand(bench, cut)
    report = await run(bench, tmp_path, hand)
    assert report.ending.exit is Exit.DONE, report.ending.message
    assert {e["instrument"] for e in happened(report.folder, "reconnected")} == {v.name for v in victims}
    assert hand.states.count("paused") == 1


async def test_what_does_not_come_back_ends_the_run_by_the_deadline(tmp_path: Path) -> None:
    bench = ToyBench()
    hand = Hand(bench, lambda: stays_away(bench.mounts["alice_qwp"], hand, 1e6))
    report = await run(bench, tmp_path, hand, MEASURED, reconnection={"deadline": "3 s"})
    assert hand.states == ["preparing", "running", "paused", "failed"]
    gone = (
        "alice_qwp (tcp://127.0.0.1:9): connection refused; the run was paused for 3 s, and it did not come"
    )
    assert gone in report.ending.message
    assert report.ending.exit is Exit.NOT_SAFE  # nor can it say that it is safe
    # Of the dwell that was under way nothing counts, also in a run that failed.
    assert report.folder
    assert json.loads((report.folder / "results.json").read_text())["live_time_s"] == 1.0


async def test_another_instrument_at_the_address_ends_the_run_at_once(tmp_path: Path) -> None:
    bench = ToyBench()
    mount = bench.mounts["alice_qwp"]

    def swap() -> None:
        mount.lose_power()
        mount.serial_number = "55000002"

    hand = Hand(bench, swap)
    report = await run(bench, tmp_path, hand)
    assert hand.states[-1] == "failed"
    other = "fake with serial number 55000002 answers, where fake with serial number alice_qwp was"
    assert other in report.ending.message
    assert bench.log.count("alice_qwp home") == 1


async def test_a_setting_that_cannot_be_restored_is_named(tmp_path: Path) -> None:
    bench = ToyBench()
    tagger = bench.taggers["alice_tagger"]

    async def refuse(input_: int, volts: float) -> None:
        raise RefusedError(tagger.name, str(tagger.address), f"threshold {volts:g} V of input {input_}")

    def cycle() -> None:
        tagger.lose_power()
        tagger.set_threshold = refuse  # type: ignore[method-assign]

    hand = Hand(bench, cycle)
    report = await run(bench, tmp_path, hand, reconnection={"deadline": "5 s"})
    assert report.ending.exit is Exit.INSTRUMENT
    assert "alice_tagger (tcp://127.0.0.1:9): threshold 0.1 V of input 1" in report.ending.message


async def test_an_instrument_that_fails_again_and_again_ends_the_run(tmp_path: Path) -> None:
    bench = ToyBench()
    mount = bench.mounts["alice_qwp"]

    def cycle() -> None:
        mount.lose_power()
        hand.later(30.0, cycle)  # never a whole minute, from one safe point to the next

    hand = Hand(bench, cycle)
    report = await run(bench, tmp_path, hand)
    assert report.ending.exit is Exit.INSTRUMENT
    assert hand.states.count("paused") == 3
    assert "alice_qwp (tcp://127.0.0.1:9): does not stand as the run left it" in report.ending.message
    assert "interrupted 4 times at the same point" in report.ending.message


async def test_no_pause_while_the_bench_is_brought_up(tmp_path: Path) -> None:
    bench = ToyBench()
    hand = Hand(bench, lambda: None)
    bench.clock.at.append((1.0, lambda: stays_away(bench.mounts["alice_qwp"], hand, 2.0)))
    await run(bench, tmp_path, hand)
    assert hand.states == ["preparing", "running", "failed"]
    assert not switched_on(bench.log)


async def test_a_wait_goes_on_where_it_was(tmp_path: Path) -> None:
    bench = ToyBench()
    mount = bench.mounts["alice_qwp"]
    hand = Hand(bench, lambda: None)
    bench.clock.at.append((90.0, lambda: stays_away(mount, hand, 5.0)))
    report = await run(bench, tmp_path, hand)
    assert report.ending.exit is Exit.DONE, report.ending.message
    states = events(report.folder, "state")
    [paused] = [e for e in states if e["state"] == "paused"]
    assert 90 < paused["t_s"] < 101  # a look every ten seconds finds it
    # One minute was behind it, and the other 40 s are waited again.
    resumed = states[states.index(paused) + 1]
    assert resumed["state"] == "running"
    assert states[-1]["t_s"] - resumed["t_s"] == pytest.approx(40 + SETTLING_S, abs=0.1)


async def test_an_abort_in_a_pause_makes_safe(tmp_path: Path) -> None:
    bench = ToyBench()

    def cut() -> None:
        bench.lasers["bob_pump"].lose_power()
        hand.later(25.0, task.cancel)

    hand = Hand(bench, cut)
    task = asyncio.create_task(run(bench, tmp_path, hand))
    report = await task
    assert hand.states == ["preparing", "running", "paused", "aborted"]
    assert report.ending.exit is Exit.ABORTED
    assert all(outcome.verified for outcome in report.safe)


# What the run remembers of the instruments.


async def nothing() -> float:
    return 0.0


@pytest.mark.parametrize(
    ("unit", "limits", "was", "reads", "expected"),
    [
        ("rad", (-6.3, 6.3), 0.0, 0.005, False),  # wavers
        ("rad", (-6.3, 6.3), 0.785, 0.0, True),
        ("Hz", (1.9e14 - 5e10, 1.9e14 + 5e10), 1.9e14, 1.9e14 + 5e8, False),
        ("Hz", (1.9e14 - 5e10, 1.9e14 + 5e10), 1.9e14, 1.9e14 + 5e9, True),  # far less than 1 % of its value
        ("Hz", (0.0, 1e7), 1000.0, 10_000.0, True),  # far less than 1 % of its range
        ("1", (0.0, 8.0), 3.0, 0.0, True),
        ("", None, True, False, True),
        ("", None, False, False, False),
        ("V", (-2.0, 2.0), 0.1, float("nan"), True),
    ],
)
def test_when_a_setting_differs(
    unit: str, limits: tuple[float, float] | None, was: float, reads: float, expected: bool
) -> None:
    control = Control("it", unit, nothing, limits=Limits(*limits, unit) if limits else None)
    assert differs(control, was, reads) is expected


async def test_what_a_step_sets_is_how_it_shall_stand() -> None:
    mount, laser = FakeMount("qwp"), FakeLaser("pump")
    standing = Standing({"qwp": mount, "pump": laser})
    await mount.home()
    await laser.set_power(0.02)
    await laser.set_emission(True)
    await standing.note(["qwp", "pump"])
    await mount.set_angle(0.5)
    assert await standing.survey() == {"qwp": Loss(("angle reads 500 mrad after 0 rad",))}
    assert await standing.survey(in_flux=["qwp"]) == {}
    await standing.note(["qwp"])
    await standing.look()
    laser.set_point = 0.015  # a laser that fades is no laser that lost its power
    await standing.look()
    laser.set_point = 0.005
    with pytest.raises(ChangedError, match=r"pump.*power reads 5 mW after 20 mW"):
        await standing.look()
    mount.homed = False
    with pytest.raises(ChangedError, match=r"qwp.*has lost its zero"):
        await standing.note(["qwp"])


async def test_an_instrument_that_was_dark_has_nothing_to_lose() -> None:
    laser = FakeLaser("pump")
    standing = Standing({"pump": laser})
    laser.on, laser.set_point = False, 0.0
    await standing.note(["pump"])
    laser.on = True  # somebody tries it
    laser.set_point = 1e-5  # noise of a reading
    await standing.note(["pump"])
    laser.set_point = 1e-7
    assert await standing.survey() == {}


class SlowPaddles(FakeInstrument, PolarizationController):
    """Paddles that take time: a command for one of them carries the present angles of the others."""

    actuators = 3
    angle_limits = Limits(0.0, 3.0, "rad")

    def __init__(self, clock: FakeClock) -> None:
        FakeInstrument.__init__(self, "paddles")
        self.clock, self.homed = clock, True
        self.origin, self.targets, self.began = (0.0,) * 3, (0.0,) * 3, 0.0

    def lose_power(self) -> None:
        self.homed, self.targets = False, (1.5,) * 3

    async def home(self) -> None:
        self.homed = True
        await self.set_angles((0.0,) * 3)

    async def is_homed(self) -> bool:
        return self.homed

    async def set_angles(self, angles_rad: Sequence[float]) -> None:
        self.check_angles(angles_rad)
        assert self.clock
        self.origin, self.targets, self.began = await self.angles(), tuple(angles_rad), self.clock.now()
        self._move(1.0)

    async def angles(self) -> tuple[float, ...]:
        assert self.clock
        done = min(1.0, self.clock.now() - self.began)
        return tuple(a + done * (b - a) for a, b in zip(self.origin, self.targets, strict=True))


async def test_settings_that_share_a_command_are_restored_one_after_another() -> None:
    clock = FakeClock()
    paddles = SlowPaddles(clock)
    await paddles.set_angles((0.4, 0.8, 3.0))
    await clock.sleep(1.0)
    standing = Standing({"paddles": paddles})
    await standing.note(["paddles"])
    said: list[Happened] = []
    identities = {"paddles": await paddles.identity()}
    reconnection = Reconnection({"paddles": paddles}, standing, clock, said.append, 120.0, identities)
    paddles.lose_power()
    await reconnection.bring_back(await standing.survey(), (), RunControl())
    assert await paddles.angles() == pytest.approx((0.4, 0.8, 3.0))
    [back] = said
    assert (
        back.message == "paddles is back: homed, restored angle.1 400 mrad, angle.2 800 mrad, angle.3 3 rad"
    )


async def test_one_late_answer_is_no_reason_to_pause() -> None:
    class Late(FakeMount):
        asked = 0

        async def angle(self) -> float:
            self.asked += 1
            self.silent = self.asked == 2
            return await super().angle()

    mount = Late("qwp")
    standing = Standing({"qwp": mount})
    await standing.note(["qwp"])
    await standing.look()
    assert mount.asked == 3


@pytest.mark.parametrize("final", [LimitError("a", "b", "c"), LostError("a", "b", "c"), ZeroDivisionError()])
async def test_what_no_instrument_can_undo_is_no_reason_to_pause(final: Exception) -> None:
    mount = FakeMount("qwp")
    standing = Standing({"qwp": mount})
    await standing.note(["qwp"])
    mount.unplugged = True
    identities = {"qwp": Identity("tests", "fake", "qwp", "1")}
    reconnection = Reconnection({"qwp": mount}, standing, FakeClock(), lambda _: None, 120.0, identities)
    assert await reconnection.diagnose(ExceptionGroup("", [final]), ()) == {}
    assert (await reconnection.diagnose(RefusedError("qwp", "b", "c"), ())).keys() == {"qwp"}
