"""Replay: the same windows give the same counts, others give what the tags say, and the rest is refused."""

import asyncio
import hashlib
import json
import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from experiments.archive.changes import Changes
from experiments.archive.continuation import read_books
from experiments.archive.counting import ReplayError, counting_of
from experiments.archive.replay import replay
from experiments.archive.stored import StoredRun
from experiments.config.plan import MeasureHom, MeasureSwapping, ScanBsmWindow
from experiments.measurements import dwell as dwell_module
from tests.experiments.fakes import BRING_UP, CALIBRATE, WAIT, ToyBench
from tests.experiments.replaying import InDwell, StoredClicks, aborted
from tests.recorded import assert_valid, happened
from tests.stored import toy_run

PS = 10**12
MEASURE = MeasureSwapping.model_validate({"bases": ["ZZ", "XX"], "dwell": "1500 ms", "rounds": 2})
PLAN = (BRING_UP, CALIBRATE, MEASURE)
DIP = MeasureHom.model_validate({"dwell": "500 ms", "bin": "1 ns", "reach": "25 ns"})
SCAN = ScanBsmWindow.model_validate({"dwell": "500 ms", "windows": ["40 ps", "2 ns"], "bases": ["ZZ"]})


HUB = ("hub_ch", "hub_cv", "hub_dh", "hub_dv")
SPOKES = ("alice_h", "alice_v", "bob_h", "bob_v")
HERALDS = ("hub_ch hub_dv", "hub_cv hub_dh", "hub_ch hub_cv", "hub_dh hub_dv")
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
    """A run that kept all tags, and looked at the dip and at other windows too."""
    runs = tmp_path_factory.mktemp("raw")
    made = toy_run(runs, plan=(*PLAN, DIP, SCAN), record={"tags": "raw"})
    return StoredRun(asyncio.run(made))


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
    stays = 4 if kept == "heralds" else 6
    assert told == [number / stays for number in range(1, stays + 1)]
    assert fingerprint(run.path) == before


def test_names_are_those_of_the_run(heralds: StoredRun, tmp_path: Path) -> None:
    """Where a step that is not counted again had a result of the same name, as a scan of a delay line has."""
    shutil.copytree(heralds.path, tmp_path / "copy")
    results = {**heralds.results, "measure_swapping.live_time_s": heralds.results["live_time_s"]}
    results["live_time_s"] = 99.0
    (tmp_path / "copy/results.json").write_text(json.dumps(results))
    assert replay(StoredRun(tmp_path / "copy")).results == results


def brute_force_heralds(run: StoredRun, window_ps: int) -> dict[str, dict[str, int]]:
    """Pairs of hub clicks with -w/2 <= t1 - t2 < w/2 and their mean in the dwell, by numpy alone."""
    delays = run.calibrations["delays"]["detector_delays"]
    tags = run.tags()
    times = [tags.of(name) + round(delays[name]["value"]) for name in HUB]
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
    moved = Changes(centre_ps=250 + 7000, delays_ps=dict.fromkeys(SPOKES, 7000))
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


def fourfolds_by_hand(
    clicks: StoredClicks, window_ps: tuple[int, int], spoke_window_ps: int, centre_ps: int, reach_ps: int
) -> list[tuple[str, float, float, NDArray[np.int64]]]:
    """For each two clicks at different hub detectors less than `reach_ps` apart: which, t1 - t2, their mean
    without delays, and how many clicks of alice's and bob's H and V lie in the window about their mean."""
    found = []
    begin_ps, end_ps = window_ps[0] - PS // 1000, window_ps[1] + PS // 1000
    hub = {name: (t := clicks.of(name, window_ps))[(begin_ps <= t) & (t < end_ps)] for name in HUB}
    spokes = [clicks.of(name, window_ps) for name in SPOKES]
    for one, other in combinations(HUB, 2):
        first, last = (np.searchsorted(hub[other], hub[one] + reach) for reach in (-reach_ps, reach_ps))
        for k in np.flatnonzero(last > first):
            for t2 in hub[other][first[k] : last[k]]:
                middle = (hub[one][k] + t2) / 2
                edges = middle + centre_ps - spoke_window_ps / 2, middle + centre_ps + spoke_window_ps / 2
                inside = [np.diff(np.searchsorted(t, edges))[0] for t in spokes]
                both = np.outer(inside[:2], inside[2:])
                found.append((f"{one} {other}", float(hub[one][k] - t2), middle, both))
    return found


def test_dip_and_windows_count_what_a_plain_search_finds(raw: StoredRun) -> None:
    """With another window of the spokes and other delays, of both measurements at once."""
    more = {"hub_dv": 35, "alice_v": -120}
    again = replay(raw, Changes(spoke_window_ps=1500, centre_ps=400, delays_ps=more)).results
    spokes = {f"{spoke}_analyser": [f"{spoke}_h", f"{spoke}_v"] for spoke in ("alice", "bob")}
    clicks = StoredClicks(raw, "delays", spokes, more)

    histogram = {"parallel": np.zeros(50, int), "crossed": np.zeros(50, int)}
    for window in clicks.slices("measure_hom", PS):
        for ports, apart, _, n in fourfolds_by_hand(clicks, window, 1500, 400, 25_000):
            same = {"hub_ch hub_dh": n[0, 0], "hub_cv hub_dv": n[1, 1]}.get(ports, 0)
            unlike = n[0, 1] + n[1, 0] if ports in ("hub_ch hub_dv", "hub_cv hub_dh") else 0
            place = int((apart + 25_000) // 1000)
            histogram["parallel"][place] += same
            histogram["crossed"][place] += unlike
    assert again["hom_histogram"]["parallel"] == histogram["parallel"].tolist()
    assert again["hom_histogram"]["crossed"] == histogram["crossed"].tolist()
    assert histogram["crossed"].sum() > 50

    expected = dict.fromkeys((40, 2000), 0)
    for window in clicks.slices("scan_bsm_window", PS):
        for ports, apart, middle, n in fourfolds_by_hand(clicks, window, 1500, 400, 1001):
            for width in expected:
                heralds = ports in HERALDS and -width <= 2 * apart < width
                if heralds and window[0] <= middle < window[1]:
                    expected[width] += int(n.sum())
    for point, count in zip(again["against_window"], expected.values(), strict=True):
        seconds = again["scan_bsm_window.live_time_s"]
        assert round(point["swap_rate_hz"]["value"] * seconds) == count
    assert 20 < expected[40] < expected[2000] - 20


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (Changes(bsm_window_ps=50_001), "measure_hom: bsm_window reaches further"),
        (
            Changes(window_ps=900),
            "window is nothing that .* counted with; measure_swapping counts with b",
        ),
        (Changes(window_ps=900, pair="there"), "did not count on a pair there; it counted on none"),
        (Changes(spoke_window_ps=10**9), "spoke_window of 1000000000 ps is too large"),
    ],
)
def test_what_does_not_fit_is_refused(raw: StoredRun, changes: Changes, complaint: str) -> None:
    with pytest.raises(ReplayError, match=complaint):
        replay(raw, changes)


def test_a_scan_of_windows_has_them_from_its_plan(raw: StoredRun) -> None:
    counting = counting_of(raw)
    alone = replace(counting, known={key: k for key, k in counting.known.items() if key[0] == SCAN.kind})
    with pytest.raises(ReplayError, match="scan_bsm_window counts with spoke_window, spoke_window_centre"):
        Changes(bsm_window_ps=600).of(alone)


def test_tags_around_heralds_do_not_tell_the_dip(raw: StoredRun, tmp_path: Path) -> None:
    shutil.copytree(raw.path, tmp_path / "copy")
    config = tmp_path / "copy/config.resolved.yaml"
    config.write_text(config.read_text().replace("tags: raw", "tags: heralds"))
    copy = StoredRun(tmp_path / "copy")
    with pytest.raises(ReplayError, match="no tags of measure_hom: its record says heralds"):
        replay(copy)


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


async def test_a_run_that_measured_nothing_is_refused(tmp_path: Path) -> None:
    bench = ToyBench()
    bench.clock._light = None
    folder = await toy_run(tmp_path, bench, plan=(WAIT,))
    with pytest.raises(ReplayError, match="has no measurement that can be counted"):
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
