"""Replay of measurements on pairs: the same windows give the same counts, others what numpy finds."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from experiments.archive.changes import Changes
from experiments.archive.continuation import read_books
from experiments.archive.counting import Counting, ReplayError, counting_of
from experiments.archive.delays import Followed
from experiments.archive.replay import replay
from experiments.archive.stored import StoredRun
from experiments.config.files import load_experiment
from experiments.config.plan import (
    CalibratePairDelays,
    CharacterizePair,
    MeasurePairs,
)
from experiments.engine.bench import Bench
from experiments.engine.findings import Calibrations
from experiments.engine.registry import make_step
from experiments.estimators.analyser import AnalyserOptics
from experiments.measurements import dwell as dwell_module
from tests.experiments import fakes
from tests.experiments.fakes import BRING_UP, DETECTORS, MEASURE, FakeMount, ToyBench, experiment
from tests.experiments.replaying import StoredClicks, pairs_within
from tests.recorded import documents, happened
from tests.stored import toy_run

PS = 10**12
CONFIGS = Path(__file__).parents[2] / "configs"
PAIRS = {
    "there": {
        "analysers": ["alice_analyser", "bob_analyser"],
        "window": "2 ns",
        "window_centre": "100 ps",
    },
    "back": {"analysers": ["bob_analyser", "alice_analyser"], "window": "3 ns"},
}
SOURCE = CharacterizePair.model_validate({"pair": "there", "dwell": "1100 ms"})
TABLE = MeasurePairs.model_validate({"pairs": ["there", "back"], "dwell": "300 ms", "duration": "500 ms"})
DELAYS = CalibratePairDelays.model_validate({"pair": "there", "duration": "500 ms"})
PLAN = (BRING_UP, DELAYS, SOURCE, TABLE)


class PairLight:
    """4000 pairs a second behind the analysers' present angles, their clicks 300 ps apart; 1000 other clicks
    a second at each detector."""

    def __init__(self, seed: int, mounts: dict[str, FakeMount]) -> None:
        self._rng, self._mounts = np.random.default_rng(seed), mounts

    def clicks(self, begin_ps: int, end_ps: int) -> dict[str, dict[int, np.ndarray]]:
        rng, seconds = self._rng, (end_ps - begin_ps) / PS
        n = rng.poisson(4000 * seconds)
        times, first = rng.integers(begin_ps, end_ps, n), rng.integers(0, 2, n)
        a, b = (self._mounts[f"{spoke}_qwp"].at for spoke in ("alice", "bob"))
        second = np.where(rng.random(n) < (1 + 0.9 * np.cos(2 * (a - b))) / 2, first, 1 - first)
        late = times + 5_000_000 + rng.normal(0, 300, n).astype(np.int64)
        pairs = {
            f"{spoke}_{outcome}": t[side == k]
            for spoke, t, side in (("alice", times, first), ("bob", late, second))
            for k, outcome in enumerate("hv")
        }
        clicks: dict[str, dict[int, np.ndarray]] = {}
        for name, wire in DETECTORS.items():
            tagger, input_ = wire.split(".")
            others = rng.integers(begin_ps, end_ps, rng.poisson(1000 * seconds))
            both = np.concatenate([others, pairs.get(name, others[:0])])
            clicks.setdefault(tagger, {})[int(input_)] = both
        return clicks


def pair_bench(seed: int = 1) -> ToyBench:
    bench = ToyBench(seed)
    bench.clock._light = PairLight(seed, bench.mounts)  # type: ignore[assignment]
    return bench


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run that kept all tags. In slices of a second, so that a dwell has several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dwell_module, "SLICE_PS", PS)
        made = toy_run(
            tmp_path_factory.mktemp("pairs"), pair_bench(), plan=PLAN, pairs=PAIRS, record={"tags": "raw"}
        )
        yield StoredRun(asyncio.run(made))


def test_the_same_windows_give_the_results_of_the_run(run: StoredRun) -> None:
    """All of results.json: of the source, of two pairs and their table."""
    again = replay(run)
    assert again.remarks == []
    assert again.results == run.results
    assert run.results["there.coincidences"] > 4000
    assert run.results["pairs_measured"]["value"] == 2
    assert {look.data["spoke"] for look in run.journal.of("delays")} == {"alice_analyser", "bob_analyser"}


def test_another_window_counts_what_numpy_finds(run: StoredRun) -> None:
    """-230 ps <= t2 - t1 < 470 ps; displaced windows are 286 to 1714 times 700 ps away, either way."""
    more = {"bob_v": 35, "alice_h": -12}
    again = replay(run, Changes(window_ps=700, centre_ps=120, pair="there", delays_ps=more)).results
    clicks = StoredClicks(
        run, "delays of alice_analyser and bob_analyser", {"bob_analyser": ["bob_h", "bob_v"]}, more
    )
    raw, beside = np.zeros((2, 2), int), np.zeros((2, 2), int)
    for window in clicks.slices("characterize_pair", PS):
        for k, one in enumerate(("alice_h", "alice_v")):
            first = clicks.of(one, window)
            for l, other in enumerate(("bob_h", "bob_v")):  # noqa: E741
                second = clicks.of(other, window, only_own=True)
                raw[k, l] += pairs_within(first, second, -230, 470)
                beside[k, l] += pairs_within(first, second, -230 - 1714 * 700, 470 - 286 * 700)
                beside[k, l] += pairs_within(first, second, -230 + 286 * 700, 470 + 1714 * 700)
    found = again["there.settings"]["ZZ"]
    assert found["coincidences"] == raw.tolist()
    assert again["there.displaced_windows"] == 2 * (1714 - 286 + 1)
    accidentals = np.array(found["accidentals"]) * again["there.displaced_windows"]
    assert np.round(accidentals).tolist() == beside.tolist()
    assert 0 < raw.sum() < run.results["there.coincidences"]
    # The window of the other pair stays as it was; what was added to a delay concerns it too, a little.
    assert again["back.coincidences"] > 0.99 * run.results["back.coincidences"]


def test_windows_of_a_pulsed_source_are_displaced_by_its_pulses(run: StoredRun, tmp_path: Path) -> None:
    """At 160 MHz a window of 20 ns takes up four pulses. It is displaced by 8 to 18 times as many, as a run
    with such a source would do it."""
    shutil.copytree(run.path, tmp_path / "copy")
    config = tmp_path / "copy/config.resolved.yaml"
    resolved = yaml.safe_load(config.read_text())
    source = {
        "node": "alice",
        "pump": "alice_pump",
        "signal": ["alice_analyser"],
        "idler": ["bob_analyser"],
        "signal_wavelength": 1.3e-6,
        "idler_wavelength": 1.3e-6,
        "repetition_rate": 160e6,
    }
    resolved["testbed"]["sources"] = {"source": source}
    config.write_text(yaml.safe_dump(resolved))
    changes = Changes(window_ps=20_000, centre_ps=100, pair="there")
    again = replay(StoredRun(tmp_path / "copy"), changes).results
    clicks = StoredClicks(
        run, "delays of alice_analyser and bob_analyser", {"bob_analyser": ["bob_h", "bob_v"]}, {}
    )
    beside = 0
    for window in clicks.slices("characterize_pair", PS):
        for one in ("alice_h", "alice_v"):
            for other in ("bob_h", "bob_v"):
                first, second = clicks.of(one, window), clicks.of(other, window, only_own=True)
                for steps in (*range(-18, -7), *range(8, 19)):
                    away = steps * 4 * 6250
                    beside += pairs_within(first, second, -9900 + away, 10_100 + away)
    assert again["there.displaced_windows"] == 22
    found = np.array(again["there.settings"]["ZZ"]["accidentals"])
    assert round(found.sum() * 22) == beside > 5


def test_without_a_name_the_windows_of_all_pairs_are_meant(run: StoredRun) -> None:
    """The peak is 300 ps wide: of a window of 300 ps about it 38 % are left."""
    again = replay(run, Changes(window_ps=300, centre_ps=0)).results
    for pair in PAIRS:
        name = f"{pair}.pair_rate_hz"
        assert again[name]["value"] / run.results[name]["value"] == pytest.approx(0.38, abs=0.06)
    assert again["pair_rate_hz_least"]["value"] == pytest.approx(4000 * 0.38, rel=0.2)
    assert again["there.displaced_windows"] == again["back.displaced_windows"]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (Changes(pair="carol", window_ps=500), "did not count on a pair carol; those are back, there"),
        (Changes(pair="there"), "give a window"),
        (Changes(bsm_window_ps=500), "bsm_window is nothing that .* characterize_pair counts with window, w"),
        (Changes(window_ps=51_000_000), "window of 51000000 ps is too large"),
        (Changes(delays_ps={"carol": 1}), "no detector carol"),
        (Changes(delays_ps={"bob_h": -(10**9)}), "the delay of bob_h of -1000000000 ps is too large"),
    ],
)
def test_what_does_not_fit_is_refused(run: StoredRun, changes: Changes, complaint: str) -> None:
    with pytest.raises(ReplayError, match=complaint):
        replay(run, changes)


@pytest.mark.parametrize("kept", ["heralds", "none"])
def test_a_run_that_did_not_keep_all_tags_is_refused(run: StoredRun, tmp_path: Path, kept: str) -> None:
    shutil.copytree(run.path, tmp_path / "copy")
    config = tmp_path / "copy/config.resolved.yaml"
    config.write_text(config.read_text().replace("tags: raw", f"tags: {kept}"))
    with pytest.raises(ReplayError, match=f"copy kept no tags of .* says {kept}"):
        replay(StoredRun(tmp_path / "copy"))


@pytest.mark.parametrize(
    ("changes", "spoke_ps", "pair_ps"),
    [
        (Changes(centre_ps=70, spoke_window_ps=900), 70, 100),
        (Changes(centre_ps=70, window_ps=900), 250, 70),
        (Changes(centre_ps=70, pair="there"), 250, 70),
        (Changes(centre_ps=70, pair="there", spoke_window_ps=900), 250, 70),
        (Changes(centre_ps=70), None, None),
        (Changes(centre_ps=70, window_ps=900, spoke_window_ps=900), None, None),
    ],
)
def test_the_centre_is_of_the_window_beside_it(
    changes: Changes, spoke_ps: int | None, pair_ps: int | None
) -> None:
    """Where a run has counted both on pairs and behind a Bell-state measurement."""
    steps = tuple(make_step(step) for step in (MEASURE, SOURCE))
    what = experiment((MEASURE, SOURCE), pairs=PAIRS).experiment
    known = {(step.kind, step.parameters.label): Calibrations() for step in steps}
    counting = Counting("mixed", what, Bench(fakes.testbed(), {}), steps, known=known)  # type: ignore[arg-type]
    if spoke_ps is None:
        with pytest.raises(ReplayError, match="of spokes and of pairs"):
            changes.of(counting)
        return
    found = changes.of(counting)
    assert found.swapping.spoke_window_centre == pytest.approx(spoke_ps / PS)
    assert found.pair("there").window_centre == pytest.approx((pair_ps or 0) / PS)


@pytest.mark.parametrize("name", ["chattanooga_loop", "nyc_swapping"])
def test_what_counting_goes_by_is_read_from_any_testbed(tmp_path: Path, name: str) -> None:
    """Lasers with settings of their own, sources, light paths: none of that is in the way."""
    loaded = load_experiment(CONFIGS / f"{name}.yaml")
    (tmp_path / "config.resolved.yaml").write_text(yaml.safe_dump(loaded.resolved))
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "documents.jsonl").write_text("")
    with pytest.raises(ReplayError, match="counted nothing"):
        replay(StoredRun(tmp_path))


@pytest.mark.parametrize(("before", "extinction"), [(True, 0.04), (False, None)])
def test_analysers_are_as_they_were_calibrated_when_counting_began(
    run: StoredRun, tmp_path: Path, before: bool, extinction: float | None
) -> None:
    """What is found later has no part in the results, of a tomography say. Mounts are turned by the zeros."""
    shutil.copytree(run.path, tmp_path / "copy")
    values = {"qwp_zero": 0.3, "hwp_zero": 0.0, "qwp_error": 0.0, "hwp_error": 0.0, "extinction": 0.04}
    record = {name: {"value": value} for name, value in values.items()}
    details = {"calibration": "optics of alice_analyser", **record}
    _put_in(tmp_path / "copy", "calibrated", details, before)
    known = counting_of(StoredRun(tmp_path / "copy")).known["characterize_pair", "there"]
    found = known.find("optics of alice_analyser", AnalyserOptics)
    assert found == (None if extinction is None else AnalyserOptics(extinction=extinction))


def test_a_delay_that_was_moved_on_purpose_is_followed(run: StoredRun, tmp_path: Path) -> None:
    """By 250 ps, half a second before the first stay: its tags are expected as much later."""
    shutil.copytree(run.path, tmp_path / "copy")
    begin_ps = happened(run.path, "dwell")[0]["begin_ps"]
    moved = {"spoke": "bob_analyser", "time_ps": begin_ps - PS // 2, "by_ps": 250.0}
    _put_in(tmp_path / "copy", "delay moved", moved, before=True)
    delays = []
    for path in (run.path, tmp_path / "copy"):
        counting = counting_of(StoredRun(path))
        followed = Followed(counting.dwells[0].calibrated, counting.bench, {})
        delays.append(followed.at(begin_ps - PS // 4, begin_ps).delays_at(begin_ps))
    change = {channel: delays[1][channel] - delays[0][channel] for channel in delays[0]}
    bench = fakes.testbed()
    channels = dict(zip(bench.detectors, range(8), strict=True))
    assert {name: change.get(channel, 0) for name, channel in channels.items()} == {
        name: -250 if name.startswith("bob") else 0 for name in channels
    }


def _put_in(folder: Path, event: str, details: dict[str, Any], before: bool) -> None:
    """Put something that happened into a record, before or after its first dwell."""
    found: list[dict[str, Any]] = []
    for kind, doc in documents(folder):
        found.append({"name": kind, "doc": doc})
        if kind == "event" and doc["data"].get("event") == "dwell" and details:
            data = {**doc["data"], "event": event, "details": json.dumps(details)}
            found.insert(len(found) - before, {"name": kind, "doc": {**doc, "data": data}})
            details = {}
    (folder / "documents.jsonl").write_text("".join(json.dumps(line) + "\n" for line in found))


async def test_what_was_taken_over_is_counted_in_the_tags_of_the_run_before(run: StoredRun) -> None:
    """Two rounds, of which the run before has made one."""
    twice = SOURCE.model_copy(update={"rounds": 2, "dwell": 0.6})
    folder = await toy_run(
        run.path.parent,
        pair_bench(2),
        plan=(BRING_UP, DELAYS, twice),
        pairs=PAIRS,
        record={"tags": "raw"},
        resume_from=read_books(run.path),
    )
    second = StoredRun(folder)
    assert len(happened(folder, "dwell")) == 1
    assert second.results["there.live_time_s"] == pytest.approx(1.1 + 0.6)
    assert replay(second).results == second.results
    narrow = replay(second, Changes(window_ps=700, centre_ps=120)).results
    before = replay(run, Changes(window_ps=700, centre_ps=120)).results["there.coincidences"]
    assert narrow["there.counted_in"]["earlier_runs"] == {
        run.name: {"live_time_s": 1.1, "coincidences": before}
    }


def test_a_stay_that_is_not_in_the_books_is_told_of(run: StoredRun, tmp_path: Path) -> None:
    """As when a run was killed in the middle of it."""
    shutil.copytree(run.path, tmp_path / "copy")
    lines = (run.path / "documents.jsonl").read_text().splitlines(keepends=True)
    entries = [n for n, line in enumerate(lines) if '"counted"' in line]
    (tmp_path / "copy/documents.jsonl").write_text("".join(lines[: entries[0]] + lines[entries[0] + 1 :]))
    again = replay(StoredRun(tmp_path / "copy"))
    assert again.remarks == [
        "a stay in ZZ is not in the books; it counts as far as its tags are stored, 1.100 s"
    ]
    assert again.results == run.results
