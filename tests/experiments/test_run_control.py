"""The words of run control: what each does to a run, who may end a pause, and what is refused when."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.errors import DeadlineError
from experiments.config.plan import MeasureSwapping
from experiments.engine.control import RunControl, Word
from experiments.engine.events import Happened, RunEvent, StateChanged, StepBegan
from experiments.engine.outcome import Exit, State
from experiments.engine.record import RunFolder
from experiments.engine.run import RunReport, execute
from tests.experiments.fakes import BRING_UP, CALIBRATE, WAIT, ToyBench, experiment
from tests.recorded import events, happened

WAITED = (BRING_UP, WAIT.model_copy(update={"duration": 100.0}))
"""Nobody looks at the light."""
MEASURED = (
    BRING_UP,
    CALIBRATE,
    MeasureSwapping.model_validate({"bases": ["ZZ", "XX", "YY"], "dwell": "1 s"}),
)
"""Three dwells of one second."""


class Person:
    """Watches a run and acts: `at_s` seconds of run clock after the last step began, or in dwell `in_dwell`.

    `paused` is called in each pause; on the fake bench nothing moves meanwhile.
    """

    def __init__(
        self,
        bench: ToyBench,
        act: Callable[[RunControl], object],
        *,
        at_s: float = 20.0,
        in_dwell: int = 0,
        paused: Callable[[RunControl], object] | None = None,
    ) -> None:
        self.control = RunControl()
        self.events: list[RunEvent] = []
        self._bench, self._act, self._paused = bench, act, paused
        self._at_s, self._in_dwell, self._dwells = at_s, in_dwell, 0

    def notify(self, event: RunEvent) -> None:
        self.events.append(event)
        if isinstance(event, StepBegan) and event.number == event.count and not self._in_dwell:
            self.later(self._at_s, lambda: self._act(self.control))
        if isinstance(event, Happened) and event.event == "dwell":
            self._dwells += 1
            if self._dwells == self._in_dwell:
                self.later(0.5, lambda: self._act(self.control))
        if isinstance(event, StateChanged) and event.state is State.PAUSED and self._paused:
            # Once the run has come to rest.
            asyncio.get_running_loop().call_soon(
                lambda: asyncio.get_running_loop().call_soon(self._paused, self.control)
            )

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        self._bench.clock.at.append((self._bench.clock.now() + seconds, act))
        self._bench.clock.at.sort(key=lambda item: item[0])

    @property
    def states(self) -> list[str]:
        return [str(event.state) for event in self.events if isinstance(event, StateChanged)]

    @property
    def pauses(self) -> list[str]:
        return [e.message for e in self.events if isinstance(e, StateChanged) and e.state is State.PAUSED]


async def run(bench: ToyBench, runs: Path, person: Person, plan: tuple = WAITED, **more: object) -> RunReport:
    if plan[-1].kind == "wait":
        bench.clock._light = None
    folder = RunFolder.create(runs, "toy_swapping")
    return await execute(
        experiment(plan, **more), bench.instruments, bench.clock, folder,
        seed=7, observers=[person], control=person.control,
    )  # fmt: skip


def is_dark(bench: ToyBench) -> bool:
    return not any(laser.on for laser in bench.lasers.values())


# Pause and resume.


async def test_a_pause_holds_the_run_until_resume_and_changes_nothing_of_it(tmp_path: Path) -> None:
    bench, alone = ToyBench(), ToyBench()
    lit: list[bool] = []

    def look_and_resume(control: RunControl) -> None:
        assert control.state is State.PAUSED
        lit.append(is_dark(bench))
        assert control.resume("lunch is over").accepted

    person = Person(bench, lambda c: c.pause("lunch"), in_dwell=2, paused=look_and_resume)
    report = await run(bench, tmp_path, person, MEASURED)
    assert report.ending.exit is Exit.DONE, report.ending.message
    assert person.states == ["preparing", "running", "paused", "running", "completed"]
    assert person.pauses == ["lunch"]
    assert lit == [False]  # the light stays as it is
    assert [a["word"] for a in happened(report.folder, "asked")] == ["pause", "resume"]
    # A simulated bench stands still meanwhile: the same seed gives the same bytes.
    quiet = await run(alone, tmp_path, Person(alone, lambda c: None), MEASURED)
    assert (report.folder / "results.json").read_bytes() == (quiet.folder / "results.json").read_bytes()


async def test_time_in_a_pause_is_not_time_of_the_step(tmp_path: Path) -> None:
    bench = ToyBench()
    deadline_s = 3 * 100 + 120.0
    person = Person(
        bench,
        lambda c: c.pause("too warm", "room", goes_by_itself=True),
        paused=lambda c: person.later(2 * deadline_s, lambda: c.release("room")),
    )
    report = await run(bench, tmp_path, person)
    assert report.ending.exit is Exit.DONE, report.ending.message
    assert person.states == ["preparing", "running", "paused", "running", "completed"]
    assert bench.clock.now() > 2 * deadline_s
    assert person.pauses == ["room: too warm"]


async def test_dark_pauses_stay_dark_until_a_person_resumes(tmp_path: Path) -> None:
    bench = ToyBench()
    seen: list[tuple[bool, str]] = []

    def paused(control: RunControl) -> None:
        seen.append((is_dark(bench), control.why_held))
        if len(seen) == 1:
            control.release("door")  # an interlock that lets go does not switch light on
        else:
            assert control.resume("the door is shut").accepted

    person = Person(bench, lambda c: c.pause("open", "door", goes_by_itself=True), paused=paused)
    report = await run(bench, tmp_path, person, pause="dark")
    assert report.ending.exit is Exit.DONE, report.ending.message
    assert [dark for dark, _ in seen] == [True, True]
    assert seen[0][1].startswith("door: open")
    assert seen[1][1] == "dark: resume switches alice_pump, bob_pump on again"
    alice = [line for line in bench.log if line.startswith("alice_pump")]
    once = ["alice_pump power 0", "alice_pump emission True", "alice_pump power 0.02"]
    assert alice == [*once, "alice_pump emission False", *once]  # at its lowest power first, both times


async def test_a_laser_whose_answer_is_late_when_it_goes_dark_is_lit_again_like_the_others(
    tmp_path: Path,
) -> None:
    bench, late = ToyBench(), ["the first"]
    pump = bench.lasers["alice_pump"]
    switch = pump.set_emission

    async def set_emission(on: bool) -> None:
        await switch(on)
        if not on and late:
            late.clear()
            raise DeadlineError("alice_pump", str(pump.address), "no answer within 2 s", "Look at it")

    pump.set_emission = set_emission  # type: ignore[method-assign]
    seen: list[bool] = []

    def paused(control: RunControl) -> None:
        if control.why_held and is_dark(bench):
            seen.append(True)
            control.resume("the door is shut")

    person = Person(bench, lambda c: c.pause("open"), paused=paused)
    report = await run(bench, tmp_path, person, pause="dark")
    assert report.ending.exit is Exit.DONE, report.ending.message
    assert seen
    for name in bench.lasers:
        assert bench.log.count(f"{name} emission True") == 2
        assert bench.log.count(f"{name} power 0.02") == 2


async def test_a_run_that_lost_something_in_a_pause_does_not_just_go_on(tmp_path: Path) -> None:
    bench = ToyBench()

    def paused(control: RunControl) -> None:
        if "lunch" in control.why_held:
            bench.lasers["bob_pump"].lose_power()
            control.resume("back")
        else:
            bench.lasers["bob_pump"].on = True  # somebody turns the key

    person = Person(bench, lambda c: c.pause("lunch"), paused=paused)
    report = await run(bench, tmp_path, person)
    assert report.ending.exit is Exit.DONE, report.ending.message
    assert len(person.pauses) == 2
    assert "bob_pump" in person.pauses[1]


async def _mount_comes_back(tmp_path: Path, *, asked: bool) -> float:
    """When a run goes on whose mount is back 20 s after it was lost, and maybe a person says so."""
    bench = ToyBench()
    mount = bench.mounts["alice_qwp"]

    def unplug(control: RunControl) -> None:
        mount.lose_power()
        mount.unplugged = True
        # Tries come 0.5, 1.5, 3.5, 7.5, 15.5 and 25.5 s after the first.
        person.later(20.0, lambda: setattr(mount, "unplugged", False))
        if asked:
            person.later(20.1, lambda: control.resume("plugged in"))

    person = Person(bench, unplug)
    report = await run(bench, tmp_path, person)
    assert report.ending.exit is Exit.DONE, report.ending.message
    assert len(happened(report.folder, "asked")) == asked
    [resumed] = [e for e in events(report.folder, "state") if e["message"].endswith("safe point")]
    return resumed["t_s"]


async def test_resume_makes_a_run_try_at_once_to_get_its_instrument_back(tmp_path: Path) -> None:
    alone, asked = [await _mount_comes_back(tmp_path, asked=asked) for asked in (False, True)]
    assert 2.0 < alone - asked < 6.0


async def test_while_a_person_holds_the_run_nothing_is_touched_also_where_it_waits_for_an_instrument(
    tmp_path: Path,
) -> None:
    """Hands at the mounts: they neither home nor turn until the word."""
    bench = ToyBench()
    mount = bench.mounts["alice_qwp"]

    def unplug(control: RunControl) -> None:
        mount.lose_power()
        mount.unplugged = True

    def plug_in() -> None:
        mount.unplugged = False
        bench.log.append("plugged in")

    def paused(control: RunControl) -> None:
        if not control.holds:  # it waits for the mount
            assert control.pause("hands at the mounts").message == "the run is paused"
            plug_in()
            asyncio.get_running_loop().call_later(0.05, resume, control)

    def resume(control: RunControl) -> None:
        bench.log.append("resume")
        control.resume("done")

    person = Person(bench, unplug, paused=paused)
    report = await run(bench, tmp_path, person)
    assert report.ending.exit is Exit.DONE, report.ending.message
    since = bench.log[bench.log.index("plugged in") :]
    assert since[:2] == ["plugged in", "resume"]
    assert "alice_qwp home" in since


# Stop.


async def test_stop_finishes_well_at_the_next_safe_point_and_keeps_what_was_measured(tmp_path: Path) -> None:
    bench = ToyBench()
    person = Person(bench, lambda c: c.stop("enough"), in_dwell=2)
    report = await run(bench, tmp_path, person, MEASURED)
    assert report.ending.state is State.COMPLETED
    assert report.ending.exit is Exit.DONE
    assert report.ending.message == "stopped in step measure_swapping: enough"
    results = json.loads((report.folder / "results.json").read_text())
    assert results["complete"] is False
    assert results["live_time_s"] == 2.0  # two dwells, whole, and their last tags have come in
    assert len(happened(report.folder, "counted")) == 2
    about = json.loads((report.folder / "run.json").read_text())
    assert (about["state"], about["stopped"]) == ("completed", True)
    assert len(report.safe) == len(bench.instruments)
    assert all(outcome.verified for outcome in report.safe)


async def test_stop_ends_a_pause(tmp_path: Path) -> None:
    bench = ToyBench()
    person = Person(bench, lambda c: c.pause("lunch"), paused=lambda c: c.stop("home"))
    report = await run(bench, tmp_path, person, pause="dark")
    assert person.states == ["preparing", "running", "paused", "completed"]
    assert report.ending.stopped
    assert bench.log.count("alice_pump emission True") == 1  # stopping does not switch on


async def test_stop_ends_the_wait_for_an_instrument(tmp_path: Path) -> None:
    bench = ToyBench()

    def unplug(control: RunControl) -> None:
        bench.mounts["alice_qwp"].unplugged = True
        person.later(15.0, lambda: control.stop("home"))

    person = Person(bench, unplug)
    report = await run(bench, tmp_path, person)
    assert person.states == ["preparing", "running", "paused", "completed"]
    assert report.ending.stopped
    assert report.ending.exit is Exit.NOT_SAFE  # the mount did not answer


async def test_stays_that_were_whole_are_in_the_books_of_a_run_stopped_while_it_waits_for_an_instrument(
    tmp_path: Path,
) -> None:
    bench = ToyBench()

    def unplug(control: RunControl) -> None:
        bench.mounts["alice_qwp"].unplugged = True
        person.later(15.0, lambda: control.stop("home"))

    person = Person(bench, unplug, in_dwell=3)
    report = await run(bench, tmp_path, person, MEASURED)
    assert report.ending.stopped
    assert json.loads((report.folder / "results.json").read_text())["live_time_s"] == 2.0
    assert sum(entry["seconds"] for entry in happened(report.folder, "counted")) == 2.0
    assert [event["phase"] for event in events(report.folder, "step")][-1] == "ended"


async def test_a_run_that_is_stopped_before_its_first_step_does_none(tmp_path: Path) -> None:
    bench, person = ToyBench(), None

    class Early(Person):
        def notify(self, event: RunEvent) -> None:
            super().notify(event)
            if isinstance(event, StateChanged) and event.state is State.PREPARING:
                self.control.stop("a mistake")

    person = Early(bench, lambda c: None)
    report = await run(bench, tmp_path, person)
    assert report.ending.stopped
    assert not any(isinstance(event, StepBegan) for event in person.events)
    assert not [line for line in bench.log if "emission True" in line]


# Abort.


@pytest.mark.parametrize("while_paused", [False, True])
async def test_abort_makes_safe_at_once_and_says_why(tmp_path: Path, while_paused: bool) -> None:
    bench = ToyBench()
    if while_paused:
        person = Person(bench, lambda c: c.pause("lunch"), paused=lambda c: c.abort("smoke"))
    else:
        person = Person(bench, lambda c: c.abort("smoke"))
    report = await run(bench, tmp_path, person)
    assert report.ending.state is State.ABORTED
    assert report.ending.exit is Exit.ABORTED
    assert report.ending.message == "aborted in step wait: smoke"
    assert len(report.safe) == len(bench.instruments)
    assert all(outcome.verified for outcome in report.safe)
    assert person.states == ["preparing", "running", *["paused"] * while_paused, "aborted"]


# Who may hold, who may let go, and what is refused.


def test_a_run_is_held_as_long_as_anybody_holds_it() -> None:
    control = RunControl()
    control.take_charge(lambda: None)
    control.entered(State.RUNNING)
    assert control.pause("lunch").leads_to is State.PAUSED
    control.pause("35 C", "chiller", lambda: "chiller still reads 35 C", goes_by_itself=True)
    control.entered(State.PAUSED)
    assert control.why_held == "lunch; chiller: 35 C"
    refused = control.resume("back")
    assert not refused.accepted
    assert refused.message == "not yet: chiller still reads 35 C"
    assert refused.leads_to is State.PAUSED
    control.release("chiller")
    assert list(control.holds) == ["person"]
    assert not control.holds_pass
    assert control.resume("back").accepted
    assert not control.holds


def test_resume_before_the_pause_takes_it_back_and_else_there_is_nothing_to_resume() -> None:
    control = RunControl()
    control.take_charge(lambda: None)
    control.entered(State.RUNNING)
    assert not control.resume("why not").accepted
    control.pause("lunch")
    assert control.resume("not hungry").accepted
    assert not control.holds


def test_what_comes_too_late_is_refused_with_the_reason() -> None:
    control = RunControl()
    cancelled: list[str] = []
    control.take_charge(lambda: cancelled.append("cancelled"))
    control.entered(State.RUNNING)
    assert control.stop("enough").leads_to is State.COMPLETED
    for word in (Word.PAUSE, Word.RESUME):
        assert control.ask(word, "").message == "the run is finishing, since it was asked to stop"
    assert control.abort("now").accepted
    assert cancelled == ["cancelled"]
    assert control.abort("now").message == "the run is being aborted"
    control.let_go()
    control.entered(State.ABORTED)
    for word in Word:
        answer = control.ask(word, "")
        assert not answer.accepted
        assert answer.message == "the run is over: aborted"
        assert answer.leads_to is State.ABORTED


def test_an_abort_before_the_run_has_begun_holds() -> None:
    control, cancelled = RunControl(), []
    assert control.abort("no").accepted
    control.take_charge(lambda: cancelled.append("cancelled"))
    assert cancelled == ["cancelled"]
