"""A run that goes on with an interrupted one measures the rest and adds what that one has counted."""

import asyncio
import itertools
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.archive.continuation import CannotGoOnError, all_books, continuation_of, read_books
from experiments.config.plan import MeasureSwapping
from experiments.engine.books import Books
from experiments.engine.control import RunControl
from experiments.engine.documents import DOCUMENTS
from experiments.engine.events import Happened, RunEvent, StepBegan
from experiments.engine.outcome import Exit, State
from experiments.engine.record import RunFolder
from experiments.engine.run import RunReport, execute
from experiments.measurements.tally import Counts
from experiments.measurements.visits import Visits
from tests.experiments.fakes import BRING_UP, CALIBRATE, ToyBench, experiment
from tests.recorded import happened

PLAN = (
    BRING_UP,
    CALIBRATE,
    MeasureSwapping.model_validate({"bases": ["ZZ", "XX"], "dwell": "1 s", "rounds": 2}),
)
CHANNELS, SEED = 8, 7


class StopIn:
    """Ends a run in its `nth` dwell by a word."""

    def __init__(self, bench: ToyBench, nth: int, word: str) -> None:
        self.control = RunControl()
        self._bench, self._nth, self._word = bench, nth, word

    def notify(self, event: RunEvent) -> None:
        if isinstance(event, Happened) and event.event == "dwell":
            self._nth -= 1
            if self._nth == 0:
                at = self._bench.clock.now() + 0.5
                self._bench.clock.at.append((at, lambda: getattr(self.control, self._word)("a test")))


async def run(
    runs: Path, *, seed: int = 1, books: Books | None = None, end: tuple[int, str] = (99, "stop"), **more: Any
) -> RunReport:
    bench = ToyBench(seed)
    stop = StopIn(bench, *end)
    return await execute(
        experiment(more.pop("plan", PLAN), **more), bench.instruments, bench.clock,
        RunFolder.create(runs, "toy_swapping"),
        seed=SEED, observers=[stop], control=stop.control, resume_from=books,
    )  # fmt: skip


def visited(report: RunReport) -> list[str]:
    return [dwell["setting"] for dwell in happened(report.folder, "dwell")]


def amount(results: dict[str, Any]) -> dict[str, float]:
    return {name: results[name] for name in ("live_time_s", "heralds", "fourfolds")}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def aborted(runs: Path) -> RunReport:
    """In the third dwell: two are whole, and the last tags of the second may still have been on their way."""
    return asyncio.run(run(runs, end=(3, "abort")))


@pytest.fixture(scope="module")
def continued(runs: Path, aborted: RunReport) -> RunReport:
    """The run that went on with it."""
    return asyncio.run(run(runs, seed=2, books=read_books(aborted.folder)))


def entries_of(report: RunReport) -> list[Mapping[str, Any]]:
    return list(next(iter(read_books(report.folder).entries.values()), []))


def test_the_rest_is_measured_in_the_same_order_and_the_sum_is_that_of_both(
    aborted: RunReport, continued: RunReport
) -> None:
    assert aborted.ending.state is State.ABORTED
    assert continued.ending.exit is Exit.DONE, continued.ending.message
    entries = entries_of(aborted)
    assert 1 <= len(entries) <= 2
    order = Visits(("ZZ", "XX"), 2, 1.0, SEED).order
    assert visited(aborted) == order[:3]
    assert visited(continued) == order[len(entries) :]

    found = json.loads((continued.folder / "results.json").read_text())
    assert found["complete"] is True
    assert found["live_time_s"] == 4.0
    assert {s["live_time_s"] for s in found["settings"].values()} == {2.0}
    here, there = found["counted_in"]["this_run"], found["counted_in"]["earlier_runs"]
    assert list(there) == [aborted.folder.name]
    assert there[aborted.folder.name]["live_time_s"] == len(entries)
    assert there[aborted.folder.name]["fourfolds"] == sum(np.sum(e["fourfolds"]) for e in entries)
    assert amount(found) == {k: here[k] + there[aborted.folder.name][k] for k in here}


async def test_a_third_run_needs_the_books_of_the_second_alone(
    runs: Path, aborted: RunReport, continued: RunReport
) -> None:
    entries = entries_of(continued)
    old, new = aborted.folder.name, continued.folder.name
    taken = len(entries_of(aborted))
    assert [e["run"] for e in entries] == [old] * taken + [new] * (4 - taken)
    third = await run(runs, seed=4, books=read_books(continued.folder))
    assert visited(third) == []
    found, before = (json.loads((r.folder / "results.json").read_text()) for r in (third, continued))
    assert amount(found) == amount(before)
    assert found["counted_in"]["this_run"] == {"live_time_s": 0.0, "heralds": 0, "fourfolds": 0}


def test_books_that_end_anywhere_hold_whole_stays_alone(continued: RunReport, tmp_path: Path) -> None:
    content = (continued.folder / DOCUMENTS).read_bytes()
    whole = entries_of(continued)
    assert len(whole) == 4
    seen = set()
    for length in (*range(0, len(content), 997), len(content)):
        (tmp_path / DOCUMENTS).write_bytes(content[:length])
        entries = list(next(iter(read_books(tmp_path).entries.values()), []))
        assert entries == whole[: len(entries)]
        for entry in entries:
            Counts.from_json(entry, CHANNELS)
        seen.add(len(entries))
    assert seen == {0, 1, 2, 3, 4}


async def test_books_of_another_plan_are_refused(tmp_path: Path, aborted: RunReport) -> None:
    other = MeasureSwapping.model_validate({"bases": ["YY"], "dwell": "1 s", "rounds": 9})
    new = await run(tmp_path, books=read_books(aborted.folder), plan=(BRING_UP, CALIBRATE, other))
    assert new.ending.state is State.FAILED
    assert "can only go on with one of the same plan" in new.ending.message


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"setting": "ZZ"},
        {"setting": "ZZ", "live_ps": 1, "singles": [1], "heralds": [1], "fourfolds": [1]},
    ],
)
def test_counts_that_are_none_are_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="counts"):
        Counts.from_json(entry, CHANNELS)


def test_counts_come_back_as_they_went() -> None:
    rng = np.random.default_rng(1)
    counts = Counts("ZZ", 10**13, *(rng.integers(0, 99, shape) for shape in (CHANNELS, 4, (4, 2, 2))))
    again = Counts.from_json(json.loads(json.dumps(counts.to_json())), CHANNELS)
    assert again.to_json() == counts.to_json()


async def test_until_so_many_are_counted(tmp_path: Path) -> None:
    # 400 four-folds per second: 2000 take five seconds, and what is decided lags by one stay of two.
    plan = (BRING_UP, CALIBRATE, MeasureSwapping.model_validate(
        {"bases": ["ZZ"], "dwell": {"counts": 2000, "at_most": "1 min", "each": "2 s"}}
    ))  # fmt: skip
    report = await run(tmp_path, plan=plan)
    found = json.loads((report.folder / "results.json").read_text())
    assert found["live_time_s"] == 8.0
    assert found["fourfolds"] > 2000


async def test_until_an_error_bar_is_small_enough(tmp_path: Path) -> None:
    # The error of a rate of R events per second after t seconds is sqrt(R / t): 10 per s of 400 after 4 s.
    plan = (BRING_UP, CALIBRATE, MeasureSwapping.model_validate(
        {"bases": ["ZZ", "XX"], "dwell": {"error": {"swap_rate_hz": 9.0}, "at_most": "1 min", "each": "2 s"}}
    ))  # fmt: skip
    report = await run(tmp_path, plan=plan)
    found = json.loads((report.folder / "results.json").read_text())
    assert found["live_time_s"] == 8.0  # two rounds of two settings
    assert found["swap_rate_hz"]["error"] < 9.0
    assert len({s["live_time_s"] for s in found["settings"].values()}) == 1


def test_what_nobody_can_go_on_with_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "2026-01-01T00-00-00Z-old-0000"
    folder.mkdir()
    for about, reason in (
        ({"state": "completed"}, "is complete; there is nothing left"),
        ({"state": "running", "process": {"pid": 1, "began": "x", "host": "elsewhere"}}, "Stop it first"),
        ({"state": "failed"}, "does not tell what was run"),
        ({}, "in a state that cannot be read"),
    ):
        (folder / "run.json").write_text(json.dumps(about))
        with pytest.raises(CannotGoOnError, match=reason):
            continuation_of(folder)


async def test_what_a_run_that_died_early_had_not_yet_taken_over_is_not_lost(
    runs: Path, aborted: RunReport
) -> None:
    """The power fails once more while the second run brings the bench up."""

    class Abort:
        control = RunControl()

        def notify(self, event: RunEvent) -> None:
            if isinstance(event, StepBegan):
                self.control.abort("power cut")

    bench, abort, about = ToyBench(2), Abort(), {"continues": aborted.folder.name, "generation": 1}
    second = await execute(
        experiment(PLAN), bench.instruments, bench.clock, RunFolder.create(runs, "toy_swapping"),
        seed=SEED, observers=[abort], control=abort.control, about=about,
        resume_from=read_books(aborted.folder),
    )  # fmt: skip
    assert entries_of(second) == []
    assert all_books(second.folder).entries == read_books(aborted.folder).entries


def test_all_books_of_a_chain_count_once(aborted: RunReport, continued: RunReport, tmp_path: Path) -> None:
    third = tmp_path / continued.folder.name
    shutil.copytree(continued.folder, third)
    about = json.loads((third / "run.json").read_text())
    (third / "run.json").write_text(json.dumps(about | {"continues": aborted.folder.name}))
    with pytest.raises(CannotGoOnError, match=f"went on with {aborted.folder.name}, which is not in"):
        all_books(third)
    shutil.copytree(aborted.folder, tmp_path / aborted.folder.name)
    assert all_books(third).entries == read_books(continued.folder).entries


def test_generations_see_other_light() -> None:
    from experiments.archive.continuation import Continuation

    seeds = {
        Continuation("r", experiment(), seed, Books(), generation, {}).light_seed
        for seed, generation in itertools.product((1, 2), (1, 2, 3))
    }
    assert len(seeds) == 6
