"""Replay: the same windows give the same counts, others give what the tags say, and the rest is refused."""

import asyncio
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.archive.changes import Changes
from experiments.archive.continuation import read_books
from experiments.archive.counting import ReplayError
from experiments.archive.replay import replay
from experiments.archive.stored import StoredRun
from experiments.config.plan import MeasureSwapping
from experiments.measurements import dwell as dwell_module
from tests.experiments.fakes import BRING_UP, CALIBRATE, WAIT, ToyBench
from tests.experiments.replaying import InDwell, aborted
from tests.recorded import assert_valid, happened
from tests.stored import toy_run

PS = 10**12
MEASURE = MeasureSwapping.model_validate({"bases": ["ZZ", "XX"], "dwell": "1500 ms", "rounds": 2})
PLAN = (BRING_UP, CALIBRATE, MEASURE)


PATTERNS = {"cH&dV": (0, 3), "cV&dH": (1, 2), "cH&cV": (0, 1), "dH&dV": (2, 3)}


@pytest.fixture(scope="module", autouse=True)
def _slices_of_a_second(module_patch: pytest.MonkeyPatch) -> None:
    """So that each dwell has several, and a look at the delays before each."""
    module_patch.setattr(dwell_module, "SLICE_PS", PS)


@pytest.fixture(scope="module")
def module_patch() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def heralds(tmp_path_factory: pytest.TempPathFactory, _slices_of_a_second: None) -> StoredRun:
    """A run that kept the tags around heralds. A mount lost its power in the second dwell, which is vetoed:
    it was measured again, and its tags are there all the same."""
    bench = ToyBench()
    hand = InDwell(bench, 2, 0.7, bench.mounts["alice_hwp"].lose_power)
    made = toy_run(tmp_path_factory.mktemp("heralds"), bench, plan=PLAN, observers=[hand])
    run = StoredRun(asyncio.run(made))
    assert len(happened(run.path, "vetoed")) == 1
    assert len(happened(run.path, "dwell")) == 4 + 1
    return run


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory, _slices_of_a_second: None) -> StoredRun:
    """A run that kept all tags."""
    runs = tmp_path_factory.mktemp("raw")
    return StoredRun(asyncio.run(toy_run(runs, plan=PLAN, record={"tags": "raw"})))


def counts(results: Any) -> dict[str, Any]:
    return {name: (setting["heralds"], setting["fourfolds"]) for name, setting in results["settings"].items()}


def fingerprint(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("kept", ["heralds", "raw"])
def test_the_same_windows_give_the_results_of_the_run(kept: str, request: pytest.FixtureRequest) -> None:
    """All of results.json, and nothing in the folder is other than before."""
    run: StoredRun = request.getfixturevalue(kept)
    assert len(run.journal.of("delays")) >= 2 * 2 * 2  # of both spokes, in each dwell more than once
    before = fingerprint(run.path)
    told: list[float] = []
    again = replay(run, progress=told.append)
    assert again.remarks == []
    assert again.results == run.results
    assert again.results["fourfolds"] > 1000
    assert told == [0.25, 0.5, 0.75, 1.0]
    assert fingerprint(run.path) == before


def brute_force_heralds(run: StoredRun, window_ps: int) -> dict[str, dict[str, int]]:
    """Pairs of hub clicks with -w/2 <= t1 - t2 < w/2 and their mean in the dwell, by numpy alone."""
    delays = run.calibrations["delays"]["detector_delays"]
    tags, hub = run.tags(), ("hub_ch", "hub_cv", "hub_dh", "hub_dv")
    times = [tags.of(name) + round(delays[name]["value"]) for name in hub]
    found: dict[str, dict[str, int]] = {}
    vetoed = [dwell["begin_ps"] for dwell in happened(run.path, "vetoed")]
    for dwell in happened(run.path, "dwell"):
        if dwell["begin_ps"] in vetoed:
            continue
        of_setting = found.setdefault(dwell["setting"], dict.fromkeys(PATTERNS, 0))
        for pattern, (one, other) in PATTERNS.items():
            for t in times[one]:
                near = times[other][np.abs(times[other] - t) < window_ps]
                inside = (-window_ps <= 2 * (t - near)) & (2 * (t - near) < window_ps)
                gated = (2 * dwell["begin_ps"] <= t + near) & (t + near < 2 * dwell["end_ps"])
                of_setting[pattern] += int((inside & gated).sum())
    return found


def test_a_narrower_bsm_window_counts_what_a_plain_search_finds(heralds: StoredRun) -> None:
    narrow = replay(heralds, Changes(bsm_window_ps=41)).results
    expected = brute_force_heralds(heralds, 41)
    assert {name: setting["heralds"] for name, setting in narrow["settings"].items()} == expected
    assert 0 < narrow["heralds"] < heralds.results["heralds"]


def test_moving_all_spokes_and_their_window_alike_changes_nothing(heralds: StoredRun) -> None:
    spokes = ("alice_h", "alice_v", "bob_h", "bob_v")
    moved = Changes(centre_ps=250 + 7000, delays_ps=dict.fromkeys(spokes, 7000))
    assert counts(replay(heralds, moved).results) == counts(heralds.results)


def test_a_window_beside_the_four_folds_finds_none_but_accidentals(heralds: StoredRun) -> None:
    """A spoke clicks by chance 22,000 times a second, both within 1 ns of a herald 5e-10 of the time."""
    beside = replay(heralds, Changes(spoke_window_ps=1000, centre_ps=10_000)).results
    assert beside["heralds"] == heralds.results["heralds"]
    assert beside["fourfolds"] <= 3
    assert beside["singles_hz"] == heralds.results["singles_hz"]


def test_raw_tags_tell_also_of_wider_windows(raw: StoredRun) -> None:
    """Two clicks of one pattern within 40 ns by chance: some 22,000^2 x 4 patterns x 40 ns = 77 a second."""
    wide = replay(raw, Changes(bsm_window_ps=40_000)).results
    more_hz = (wide["heralds"] - raw.results["heralds"]) / raw.results["live_time_s"]
    assert 30 < more_hz < 150
    assert replay(raw, Changes(spoke_window_ps=100_000)).results["fourfolds"] > raw.results["fourfolds"]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (Changes(bsm_window_ps=801), "kept around heralds of a window of 800 ps; 801 ps"),
        (Changes(bsm_window_ps=790, delays_ps={"hub_ch": -6}), "790 ps, shifted by up to 6 ps"),
        (Changes(spoke_window_ps=99_600), "kept within 50000 ps of a herald; these windows and delays reach"),
        (Changes(centre_ps=-49_500), "kept within 50000 ps of a herald"),
        (Changes(delays_ps={"bob_v": 49_000}), "kept within 50000 ps of a herald"),
        (Changes(delays_ps={"carol": 1}), "no detector carol; there are alice_h, alice_v"),
    ],
)
def test_what_the_tags_cannot_tell_is_refused(heralds: StoredRun, changes: Changes, complaint: str) -> None:
    with pytest.raises(ReplayError, match=complaint):
        replay(heralds, changes)


@pytest.mark.parametrize("where", ["tags", "documents.jsonl", "config.resolved.yaml"])
def test_a_run_without_what_it_takes_is_refused(heralds: StoredRun, tmp_path: Path, where: str) -> None:
    shutil.copytree(heralds.path, tmp_path / "copy")
    path = tmp_path / "copy" / where
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(ReplayError, match=r"copy"):
        replay(StoredRun(tmp_path / "copy"))


async def test_a_run_that_measured_no_swapping_is_refused(tmp_path: Path) -> None:
    bench = ToyBench()
    bench.clock._light = None
    folder = await toy_run(tmp_path, bench, plan=(WAIT,))
    with pytest.raises(ReplayError, match="counted nothing"):
        replay(StoredRun(folder))


@pytest.mark.parametrize("kept", ["heralds", "raw"])
def test_time_of_damaged_tags_does_not_count(
    kept: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    run: StoredRun = request.getfixturevalue(kept)
    shutil.copytree(run.path, tmp_path / "copy")
    copy = StoredRun(tmp_path / "copy")
    begin = happened(run.path, "dwell")[1]["begin_ps"]
    folder = copy.path / ("tags/heralds" if kept == "heralds" else "tags/raw/bob_tagger")
    names = sorted(folder.glob("*.parquet"))
    # Of the heralds the segment of the last dwell; of the raw ones, a second each, one in the second dwell.
    shift = run.calibrations["delays"]["tagger_shifts"]["bob_tagger"]["value"]
    victim = names[-1] if kept == "heralds" else names[(begin - shift) // PS + 1]
    victim.write_bytes(b"")
    again = replay(copy)
    [remark] = again.remarks
    assert victim.name in remark
    lost_s = run.results["live_time_s"] - again.results["live_time_s"]
    assert lost_s == pytest.approx(1.5 if kept == "heralds" else 1.0)
    assert again.results["fourfolds"] < run.results["fourfolds"]
    assert again.results["swap_rate_hz"]["value"] == pytest.approx(400, rel=0.2)


async def test_what_was_aborted_and_what_went_on_with_it_give_their_counts_again(tmp_path: Path) -> None:
    first = await aborted(tmp_path, ToyBench(), 3, 1.4, plan=PLAN)
    assert first.state == "aborted"
    assert 3.0 < first.results["live_time_s"] < 4.5  # two dwells, and a part of the third
    assert replay(first).results == first.results

    books = read_books(first.path)
    second = StoredRun(await toy_run(tmp_path, ToyBench(seed=2), plan=PLAN, resume_from=books))
    assert len(happened(second.path, "dwell")) < 4
    assert second.results["live_time_s"] == 6.0
    assert replay(second).results == second.results
    first.path.rename(tmp_path / "elsewhere")
    with pytest.raises(ReplayError, match=f"goes on with {first.name}, which is not beside it"):
        replay(second)


def test_every_document_of_a_run_fits_event_model(heralds: StoredRun) -> None:
    assert_valid(heralds.path)
    assert heralds.journal.problems == []
    assert heralds.journal.stop is not None


def test_results_are_json(heralds: StoredRun) -> None:
    assert json.loads(json.dumps(replay(heralds).results)) == heralds.results
