"""Visits of a measurement: their order, their length, and when there is enough."""

from collections import Counter
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest

from experiments.config.dwell import Until
from experiments.engine.tags import PS, TAIL_S
from experiments.measurements.dwell import MARGIN_PS, SlicedDwell
from experiments.measurements.visits import Stay, Visits
from timetags.analyses.rates import Singles

LETTERS = ("A", "B", "C", "D")


def never() -> bool:
    raise AssertionError("nobody asked for error bars")


def until(**what: object) -> Until:
    return Until.model_validate(what)


def all_of(visits: Visits[str], longest_s: float = inf) -> list[Stay[str]]:
    stays = []
    while stay := visits.next(longest_s, never):
        stays.append(stay)
        visits.took(stay.visit, stay.seconds)
    return stays


@pytest.mark.parametrize("seed", range(5))
def test_each_round_visits_every_setting_once_in_an_order_of_its_own(seed: int) -> None:
    visits = Visits(LETTERS, 6, 10.0, seed)
    stays = all_of(visits)
    assert [stay.seconds for stay in stays] == [10.0] * 24
    rounds = [tuple(stay.setting for stay in stays[k : k + 4]) for k in range(0, 24, 4)]
    assert all(sorted(one) == list(LETTERS) for one in rounds)
    assert len(set(rounds)) > 1
    assert visits.order == Visits(LETTERS, 6, 10.0, seed).order
    assert visits.order != Visits(LETTERS, 6, 10.0, seed + 100).order


def test_a_visit_may_be_made_in_several_stays() -> None:
    stays = all_of(Visits(LETTERS, 1, 10.0, 0), longest_s=4.0)
    assert [stay.seconds for stay in stays] == [4.0, 4.0, 2.0] * 4
    assert [stay.visit for stay in stays] == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3


def test_a_stay_that_did_not_count_is_made_again() -> None:
    visits = Visits(LETTERS, 1, 10.0, 0)
    assert visits.next(inf, never) == visits.next(inf, never)


def test_until_so_many_are_counted_decides_without_the_latest_stay() -> None:
    visits = Visits(LETTERS, 2, until(counts=100, at_most="1 h", each="10 s"), 3)
    counted: list[tuple[int, int]] = []
    while stay := visits.next(inf, never):
        assert stay.seconds == 10.0
        if len(counted) > 1:  # the latest one's tags are still on their way
            visits.counted(*counted[-1])
        visits.took(stay.visit, stay.seconds)
        counted.append((stay.visit, 40))
    # The counts of a stay are known when the next one has begun: 40, 80, 120 after the fourth.
    by_visit = Counter(visit for visit, _ in counted)
    assert set(by_visit) == set(range(8))
    assert set(by_visit.values()) <= {4, 5}


def test_until_so_many_are_counted_ends_at_most_then() -> None:
    visits = Visits(("A", "B"), 1, until(counts=100, at_most="25 s", each="10 s"), 3)
    stays = all_of(visits)
    assert [(stay.visit, stay.seconds) for stay in stays] == [
        (0, 10.0), (0, 10.0), (0, 5.0), (1, 10.0), (1, 10.0), (1, 5.0),
    ]  # fmt: skip


@pytest.mark.parametrize(("precise_after", "rounds"), [(1, 1), (3, 3), (99, 5)])
def test_until_an_error_bar_is_reached_ends_after_a_whole_round(precise_after: int, rounds: int) -> None:
    # Two hours of 6 min per setting are five rounds of four.
    visits = Visits(LETTERS, 1, until(error={"chsh_s": 0.05}, at_most="2 h", each="6 min"), 0)
    made: list[str] = []
    while stay := visits.next(inf, lambda: len(made) / 4 >= precise_after):
        assert not visits.may_end
        visits.took(stay.visit, stay.seconds)
        made.append(stay.setting)
        assert visits.may_end is (len(made) % 4 == 0)
    assert Counter(made) == dict.fromkeys(LETTERS, rounds)


@pytest.mark.parametrize("done", [0, 1, 5, 8])
def test_goes_on_where_books_end(done: int) -> None:
    whole = all_of(Visits(LETTERS, 2, 10.0, 7))
    rest = Visits(LETTERS, 2, 10.0, 7)
    for stay in whole[:done]:
        rest.took(stay.visit, stay.seconds)
        rest.counted(stay.visit, 5)
    assert all_of(rest) == whole[done:]


def test_goes_on_within_a_visit() -> None:
    rest = Visits(LETTERS, 1, 10.0, 7)
    rest.took(0, 10.0)
    rest.took(1, 4.0)
    stay = rest.next(inf, never)
    assert stay is not None
    assert (stay.visit, stay.seconds) == (1, 6.0)


@pytest.mark.parametrize("since_s", [0.05, 0.2, 0.999, 1.0, 60.0])
async def test_the_bench_runs_on_for_the_tags_of_a_stay_however_short_the_next_one_was(
    since_s: float,
) -> None:
    """A tagger's block may end half a second after the stay: to wait while no time passes takes for ever."""
    now_s, awaited = 100.0 + since_s, []

    async def sleep(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    async def reached(hub_ps: int) -> None:
        awaited.append((now_s, hub_ps))

    tags = SimpleNamespace(now_ps=round(now_s * PS), reached=reached)
    clock = SimpleNamespace(sleep=sleep)
    context: Any = SimpleNamespace(clock=clock, progress=lambda doing: None, tags=tags)
    dwell = SlicedDwell[Any]("ZZ", (0, round(100 * PS)), 0, Singles(), [], [])
    await dwell.all_in(context)
    [(at_s, hub_ps)] = awaited
    assert at_s == pytest.approx(max(100.0 + TAIL_S, 100.0 + since_s), abs=1e-6)
    assert hub_ps == dwell.end_ps + MARGIN_PS
