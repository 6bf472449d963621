"""What single watchdogs go by: the chances that they state, and the turns and clocks that they judge."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from experiments.calibrations.pair_delays import CalibratePairDelaysStep, tracked_delays
from experiments.calibrations.polarization.search import Found, Look
from experiments.calibrations.tracking import DelayTracker
from experiments.config.experiment import Experiment
from experiments.config.plan import CalibratePairDelays, MeasurePairs
from experiments.config.settings import PairSettings
from experiments.config.watchdogs import (
    ClockUnlocked,
    CompensationTimeout,
    FibreJump,
    IndistinguishabilityLost,
    Watchdogs,
)
from experiments.engine.events import Happened
from experiments.engine.findings import Calibrations
from experiments.watchdogs import clock_unlocked, compensation_timeout, fibre_jump
from experiments.watchdogs.indistinguishability_lost import IndistinguishabilityLostWatchdog
from experiments.watchdogs.rates import Reference, chance_of_so_few, chance_of_so_many
from experiments.watchdogs.remedies import calibrate_pair_delays_anew
from experiments.watchdogs.subject import Line, Subject
from experiments.watchdogs.watch import Watch
from experiments.watchdogs.watchdog import Seen


async def _anew(context: Any) -> dict[str, object]:
    del context
    return {"found": True}


SUBJECT = Subject(("hub_h",), (Line("alice", ("alice_h",), "", {}),), 1e-9, 0.0, "tracked", _anew, False)


def test_the_chance_of_so_few_is_that_of_a_sum_over_the_binomial() -> None:
    """Brute force: after 40 in 2 s, at most 3 in 1 s at half the rate: share 0.5 / 2.5 of 43 counts."""
    share = 0.5 * 1.0 / (0.5 * 1.0 + 2.0)
    expected = sum(stats.binom.pmf(k, 43, share) for k in range(4))
    assert chance_of_so_few(3, 1.0, 40, 2.0, 0.5) == pytest.approx(expected, rel=1e-9)
    assert chance_of_so_few(0, 1.0, 0, 0.0, 0.5) == 1.0
    assert chance_of_so_many(5, 10, 0.1) == pytest.approx(stats.binom.sf(4, 10, 0.1), rel=1e-9)


@pytest.mark.parametrize("earlier", [10**9, 3 * 10**9, 5 * 10**9, 10**12])
def test_more_clicks_than_a_c_integer_holds_are_judged_like_fewer(earlier: int) -> None:
    """10 s after 600 s. Five standard deviations below 0.7 of the rate, against the normal approximation,
    whose error is of the order of 5^3 / (6 sqrt(counts)), less than 1 %; and far below it."""
    share = 0.7 * 10 / (0.7 * 10 + 600)
    expected = 0.7 * earlier / 60
    few = round(expected - 5 * np.sqrt(expected / (1 - share)))
    mean, sigma = (few + earlier) * share, np.sqrt((few + earlier) * share * (1 - share))
    normal = stats.norm.cdf((few + 0.5 - mean) / sigma)
    assert chance_of_so_few(few, 10.0, earlier, 600.0, 0.7) == pytest.approx(normal, rel=0.01)
    reference = Reference(earlier, 600.0)
    assert reference.fell(earlier // 600, 10.0, 0.7)
    assert not reference.fell(earlier // 60, 10.0, 0.7)


def test_few_counts_after_very_many_are_those_of_poisson() -> None:
    """A rate of 1 per second that is known from 5e9 s: at most 3 in 1 s."""
    assert chance_of_so_few(3, 1.0, 5 * 10**9, 5e9, 1.0) == pytest.approx(stats.poisson.cdf(3, 1.0), rel=1e-6)
    assert chance_of_so_many(4, 5 * 10**9, 1 / 5e9) == pytest.approx(stats.poisson.sf(3, 1.0), rel=1e-6)


def test_chance_alone_barks_no_more_often_than_it_says() -> None:
    """At the limit itself, with a level of 1e-2 in place of 1e-9: 20,000 draws have 200 expected or fewer;
    more than 290 would be 6 standard errors."""
    rng = np.random.default_rng(5)
    earlier, now = rng.poisson(1000, 20_000), rng.poisson(70, 20_000)
    chances = [chance_of_so_few(int(n), 1.0, int(m), 10.0, 0.7) for n, m in zip(now, earlier, strict=True)]
    assert sum(chance < 1e-2 for chance in chances) < 290


def test_a_reference_follows_the_latest_ten_minutes() -> None:
    reference = Reference()
    for rate in [100] * 20 + [50] * 60:
        reference.add(rate * 60, 60.0)
    assert reference.rate_hz() == pytest.approx(50, rel=0.05)
    assert reference.fell(10 * 60, 60.0, 0.5)
    assert not reference.fell(30 * 60, 60.0, 0.5)


def test_drift_turns_a_link_by_more_than_the_limit_once_in_1e9() -> None:
    """Brute force at a level that can be drawn: the limit of 1e-9 in units of sigma is sqrt(chi2.isf)."""
    assert fibre_jump.most_rad(1e-5, 60.0) == pytest.approx(np.sqrt(1.2e-3 * stats.chi2.isf(1e-9, 3)))
    turns = np.linalg.norm(np.random.default_rng(1).normal(0, np.sqrt(1.2e-3), (100_000, 3)), axis=1)
    assert turns.max() < fibre_jump.most_rad(1e-5, 60.0)


@dataclass
class Books:
    looks: int = 1
    last: Found | None = None


@dataclass
class Bench:
    """What of a context the rules see."""

    link: Any
    seconds: float = 0.0
    calibrations: Any = field(default_factory=lambda: SimpleNamespace(find=lambda *_: None))
    maintenance: tuple[()] = ()

    @property
    def clock(self) -> Any:
        return SimpleNamespace(now=lambda: self.seconds)


def found(before: np.ndarray, after: np.ndarray, reason: str = "compensated") -> Found:
    looks = [Look(0.0, 1, 1.0, 1.0, images) for images in (before, after)]
    return Found(reason, looks[0], looks[1], np.zeros(3), 2)  # type: ignore[arg-type]


def turned(angle: float) -> np.ndarray:
    """H and D behind a turn about S3."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, s, 0.0], [-s, c, 0.0]])


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    link = SimpleNamespace(name="alice", books=Books(1, found(turned(0), turned(0))), changes={"paddles"})
    link.settings = SimpleNamespace(cadence=20.0, stop=0.99)
    bench = Bench(link)
    for module in (fibre_jump, compensation_timeout):
        monkeypatch.setattr(module, "links", lambda context: [context.link])
    return bench


@pytest.mark.parametrize(("angle", "jumped"), [(0.2, False), (0.35, True), (2.5, True)])
async def test_a_turn_beyond_drift_is_a_jump(bench: Bench, angle: float, jumped: bool) -> None:
    """60 s at 1e-5 rad^2/s turn by 0.23 rad at most, 0.05 for the noise."""
    dog = fibre_jump.FibreJumpWatchdog(FibreJump(), SUBJECT)
    assert await dog.look([], 1, bench) is None  # type: ignore[arg-type]
    dog.all_well([], 1, bench)  # type: ignore[arg-type]
    bench.seconds = 60.0
    bench.link.books = Books(2, found(turned(angle), turned(0)))
    alarm = await dog.look([], 2, bench)  # type: ignore[arg-type]
    assert (alarm is not None) is jumped
    if alarm:
        assert alarm.figures["turned_rad"] == pytest.approx(angle)
        assert dog.fine_until_ps == 1
        # It is set right, and not found again.
        assert await dog.look([], 3, bench) is None  # type: ignore[arg-type]


async def test_a_search_that_timed_out_is_told_until_one_succeeds(bench: Bench) -> None:
    dog = compensation_timeout.CompensationTimeoutWatchdog(CompensationTimeout(), SUBJECT)
    assert await dog.look([], 1, bench) is None  # type: ignore[arg-type]
    bench.link.books = Books(2, found(turned(1), turned(1), "time-out"))
    alarm = await dog.look([], 2, bench)  # type: ignore[arg-type]
    assert alarm is not None
    assert alarm.device == "alice"
    assert dog.changes(alarm, bench) == {"paddles"}  # type: ignore[arg-type]

    async def keep(context: Any, trigger: float) -> Found:
        del context, trigger
        return found(turned(1), turned(0))

    bench.link.keep = keep
    assert await dog.remedy(alarm, bench) == {"fidelity_of_alice": 1.0}  # type: ignore[arg-type]


async def test_a_clock_is_waited_for_and_the_delays_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = [("lab_clock", "switch")] * 3
    slept: list[float] = []

    async def unlocked(context: Any) -> tuple[str, str] | None:
        del context
        return waits.pop() if waits else None

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(clock_unlocked, "_unlocked", unlocked)
    clock = SimpleNamespace(now=lambda: sum(slept), sleep=sleep)
    dog = clock_unlocked.ClockUnlockedWatchdog(ClockUnlocked(), SUBJECT)
    context: Any = SimpleNamespace(clock=clock)
    alarm = await dog.look([], 1, context)
    assert alarm is not None
    assert alarm.device == "lab_clock"
    after = await dog.remedy(alarm, context)
    assert after == {"waited_s": 4.0, "found": True}


async def test_a_track_that_runs_away_is_a_clock_without_reference() -> None:
    """1e-9 is 1000 ps/s; 6.2 standard errors of 50 ps/s come on top."""
    rates = [1000.0, 1400.0]
    alarms = []
    for rate in rates:
        track = SimpleNamespace(points=[SimpleNamespace(rate_ps_per_s=rate)])
        tracker = SimpleNamespace(tracks=[track])
        context: Any = SimpleNamespace(
            bench=SimpleNamespace(testbed=SimpleNamespace(clocks={})),
            calibrations=SimpleNamespace(find=lambda *_, tracker=tracker: tracker),
        )
        dog = clock_unlocked.ClockUnlockedWatchdog(ClockUnlocked(), SUBJECT)
        alarms.append(await dog.look([], 1, context))
    assert alarms[0] is None
    assert alarms[1] is not None


async def test_a_clock_that_loses_its_reference_is_told_by_its_track() -> None:
    """It runs by 0.6 ns/s from one moment to the next, and is looked at every ten seconds: at the second look
    its rate is known, and with a `drift` of 0.2 ns/s (and 0.31 ns/s to spare) the watchdog says so."""
    tracker = DelayTracker((0,), [(1,)], {}, time_ps=0, error_ps=10.0)
    context: Any = SimpleNamespace(
        bench=SimpleNamespace(testbed=SimpleNamespace(clocks={})),
        calibrations=SimpleNamespace(find=lambda *_: tracker),
    )
    dog = clock_unlocked.ClockUnlockedWatchdog(ClockUnlocked(drift=2e-10), SUBJECT)
    barked = []
    for second in range(10, 100, 10):
        tracker.tracks[0].update(second * 10**12, max(0.0, 600.0 * (second - 50)), 10.0)
        barked.append(await dog.look([], 1, context))
    assert [alarm is not None for alarm in barked] == [False] * 6 + [True] * 3
    assert barked[-1] is not None
    assert barked[-1].reason == "the clock of alice runs away by +0.60 ns/s"


async def test_delays_of_a_pair_are_found_anew_as_its_plan_does_and_those_of_others_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs = {
        name: PairSettings.model_validate({"analysers": analysers, "window": "1 ns"})
        for name, analysers in {"one": ("a", "b"), "two": ("a", "c"), "three": ("b", "c")}.items()
    }
    one = CalibratePairDelays.model_validate({"pair": "one", "duration": "3 s"})
    many = MeasurePairs.model_validate({"pairs": ["two"], "duration": "7 s", "dwell": "1 s"})
    experiment = Experiment.model_construct(experiment="e", testbed="t", pairs=pairs, plan=(one, many))
    calibrations = Calibrations()
    context: Any = SimpleNamespace(experiment=experiment, calibrations=calibrations)
    durations = {}

    async def run(step: CalibratePairDelaysStep, context: Any) -> None:
        name = str(step.parameters.pair)
        durations[name] = step.parameters.duration
        context.calibrations.put(tracked_delays(pairs[name].analysers), name)

    monkeypatch.setattr(CalibratePairDelaysStep, "run", run)
    for name in pairs:
        assert await calibrate_pair_delays_anew(name, context) == {"delays of": [*pairs[name].analysers]}
    assert durations == {"one": 3.0, "two": 7.0, "three": 2.0}  # that no step of the plan finds: the default
    left = [name for name, pair in pairs.items() if calibrations.find(tracked_delays(pair.analysers), str)]
    assert left == ["three"]


STAY_S = 10
IN_TURN = ("ZZ", "XX", "A0B0", "A0B1", "A1B0", "A1B1")


def stay(number: int, wrong: int) -> Seen:
    """Ten seconds, the bases in turn; 16 four-folds, `wrong` of them against what the states say
    (`physics.md` 5): outcomes are unlike, but in XX with Psi+ alike."""
    fourfolds = np.zeros((4, 2, 2), np.int64)
    setting = IN_TURN[number % 6]
    unlike, alike = (0, 1), (0, 0)
    right = (unlike, unlike if setting == "ZZ" else alike)
    for state, outcome in enumerate(right):
        fourfolds[2 * state][outcome] = 8 - wrong // 2
        fourfolds[2 * state][alike if outcome == unlike else unlike] = wrong // 2
    begin_ps = number * STAY_S * 10**12
    end_ps = begin_ps + STAY_S * 10**12
    return Seen(setting, begin_ps, end_ps, STAY_S, np.zeros(1, np.int64), (), 1.0, fourfolds)


@pytest.fixture
def slow_dog() -> IndistinguishabilityLostWatchdog:
    """One that finds 200 four-folds in XX, which 13 stays in XX have, in 13 minutes."""
    subject = Subject((), (), 1e-9, 0.0, "tracked", _anew, shows_overlap=True)
    return IndistinguishabilityLostWatchdog(IndistinguishabilityLost(), subject)


async def test_alarms_of_others_take_no_evidence_away_but_that_of_forgotten_stays(
    slow_dog: IndistinguishabilityLostWatchdog,
) -> None:
    """Every ten minutes for three hours another one barks, and what was counted in the last minute goes."""
    context: Any = None
    kept: list[Seen] = []
    for number in range(3 * 360):
        kept.append(stay(number, wrong=2))
        assert await slow_dog.look(kept[-1:], kept[-1].end_ps, context) is None
        slow_dog.all_well(kept[-1:], kept[-1].end_ps, context)
        if number % 60 == 59:
            since_ps = kept[-1].end_ps - 60 * 10**12
            kept = [each for each in kept if each.end_ps <= since_ps]
            slow_dog.forget(since_ps)
    # A block is 14 to 15 minutes with what is forgotten; the present one is not over.
    assert kept[-1].end_ps - slow_dog.fine_until_ps <= 2 * 16 * 60 * 10**12
    assert slow_dog.fine_until_ps in {each.begin_ps for each in kept}


async def test_a_loss_shows_although_others_bark(slow_dog: IndistinguishabilityLostWatchdog) -> None:
    """No correlation in XX: 8 of 16 against it. The limit of 0.5 has 4 expected. By the binomial distribution
    100 of 200 where 50 are expected have a chance of 3e-14, 56 of 112 one of 2e-8."""
    context: Any = None
    for number in range(100):
        seen = stay(number, wrong=8 if number % 6 == 1 else 2)
        alarm = await slow_dog.look([seen], seen.end_ps, context)
        if alarm:
            break
        slow_dog.all_well([seen], seen.end_ps, context)
        if number % 12 == 11:
            slow_dog.forget(seen.end_ps - 10 * 10**12)  # the latest, which is in none of the bases
    assert alarm is not None
    assert alarm.figures["visibility_xx"] == 0.0
    assert 112 < int(str(alarm.figures["events"])) <= 200


async def test_a_block_begins_with_the_first_stay_that_is_kept(
    slow_dog: IndistinguishabilityLostWatchdog,
) -> None:
    context: Any = None

    def all_well(first: int, last: int) -> int:
        seen = [stay(number, wrong=2) for number in range(first, last)]
        slow_dog.all_well(seen, seen[-1].end_ps, context)
        return slow_dog.fine_until_ps // (STAY_S * 10**12)

    assert all_well(60, 120) == 0
    slow_dog.forget(stay(89, wrong=2).end_ps)
    assert all_well(150, 180) == 0  # five stays in XX, and five before: 160 four-folds
    assert all_well(180, 210) == 60
    assert all_well(210, 300) == 210
    slow_dog.forget(stay(239, wrong=2).end_ps)  # of a block that was fine: no evidence for the next
    assert all_well(300, 390) == 300


@dataclass
class Counted:
    """A stay for a watch, all of it in."""

    begin_ps: int
    end_ps: int
    setting = "ZZ"
    is_in = True
    live_ps = 10 * 10**12
    singles = np.zeros(1, np.int64)


async def test_what_counts_although_nobody_has_judged_it_is_told() -> None:
    """Ten stays of ten seconds that were looked at, and three that were not, when the run is stopped."""
    said: list[Happened] = []
    clocks = SimpleNamespace(testbed=SimpleNamespace(clocks={}))
    tracker = SimpleNamespace(spokes=(), tracks=[SimpleNamespace(points=[])])
    settings = Watchdogs.model_validate({"clock_unlocked": {}, "indistinguishability_lost": {}})
    context: Any = SimpleNamespace(
        experiment=SimpleNamespace(watchdogs=settings),
        recordings=1,
        clock=SimpleNamespace(now=lambda: 0.0),
        maintenance=[],
        bench=clocks,
        announce=said.append,
        calibrations=SimpleNamespace(get=lambda *_: tracker, find=lambda *_: tracker),
        tags=SimpleNamespace(
            open_gate=lambda *_: SimpleNamespace(finished=True), window=lambda _: (10**15, 10**15)
        ),
    )

    async def veto(since_ps: int) -> float:
        raise AssertionError(since_ps)

    subject = replace(SUBJECT, shows_overlap=True)
    watch = Watch.begin(context, subject, veto)
    assert watch is not None
    for number in range(13):
        if number == 10:
            await watch.carry_out(context)
        watch.follow(Counted(number * 10**13, (number + 1) * 10**13))  # type: ignore[arg-type]
    said.clear()
    watch.end()
    assert context.maintenance == []
    both = ["clock_unlocked", "indistinguishability_lost"]
    assert [(one.event, one.level, one.details) for one in said] == [
        ("not judged", "warning", {"watchdogs": both, "seconds": 30.0}),
        ("not judged", "info", {"watchdogs": both[1:], "seconds": 100.0}),
    ]


def test_a_watch_waits_while_another_recording_is_calibrated() -> None:
    context: Any = SimpleNamespace(
        experiment=SimpleNamespace(watchdogs=Watchdogs.model_validate({"clock_unlocked": {}})),
        recordings=1, clock=SimpleNamespace(now=lambda: 7.0), maintenance=[], announce=lambda _: None,
    )  # fmt: skip
    watch = Watch.begin(context, SUBJECT, None)  # type: ignore[arg-type]
    assert watch is not None
    assert watch.due_at == 7.0
    context.recordings = 2
    assert watch.due_at == np.inf
    context.maintenance.clear()  # as between two pairs of nodes
    watch.go_on()
    assert (context.maintenance, watch.due_at) == ([watch], 7.0)
