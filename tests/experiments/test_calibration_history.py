"""The history of calibrations: made of the run folders alone, one in force for each name and bench."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from experiments.calibrations.history import INDEX, ROLLBACKS, Calibration, Figure, History

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def record(utc: str, value: float = 1.0, **more: object) -> dict[str, Any]:
    return {
        "name": "delays",
        "testbed": "nyc",
        "simulated": False,
        "utc": utc,
        "detector_delays": {"alice_h": {"value": value, "unit": "ps", "uncertainty": 2.5}},
        "peaks": [{"value": 3.0, "unit": "ps", "uncertainty": 1.0, "spoke": "alice_h"}],
        **more,
    }


def store(runs: Path, run: str, **records: dict[str, Any]) -> None:
    (runs / run).mkdir(exist_ok=True)
    (runs / run / "calibrations.json").write_text(json.dumps(records))


def runs_of(history: History, name: str | None = None) -> list[str]:
    return [c.run for c in history.calibrations(name)]


def in_force(history: History, simulated: bool = False) -> str | None:
    current = history.current("delays", "nyc", simulated=simulated)
    return current.run if current else None


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    store(tmp_path, "run-1", delays=record("2026-11-22T08:00:00.000Z", 1.0))
    store(tmp_path, "run-2", delays=record("2026-11-22T09:00:00.000Z", 2.0))
    store(tmp_path, "run-3", delays=record("2026-11-22T10:00:00.000Z", 3.0, simulated=True))
    return tmp_path


def test_the_newest_of_a_name_holds_on_each_bench(runs: Path) -> None:
    with History(runs) as history:
        assert runs_of(history) == ["run-1", "run-2", "run-3"]
        assert (in_force(history), in_force(history, simulated=True)) == ("run-2", "run-3")
        assert history.current("delays", "local", simulated=False) is None
        store(runs, "run-4", delays=record("2026-11-22T11:00:00.000Z"))
        assert in_force(history) == "run-4"  # no need to open it anew


def test_numbers_have_a_quantity_and_what_they_are_of_and_evidence_is_left_out(runs: Path) -> None:
    with History(runs) as history:
        (figure,) = history.calibrations("delays")[0].figures()
    assert figure == Figure("detector_delays", "alice_h", 1.0, "ps", 2.5)
    stokes = {"value": 0.5, "unit": "1", "uncertainty": None}
    nested = Calibration("r", "k", "n", "t", False, "", {"stokes": {"probe": [stokes, stokes]}})
    assert [f.scope for f in nested.figures()] == ["probe.0", "probe.1"]


def test_a_rollback_holds_until_a_run_makes_a_newer_one(runs: Path) -> None:
    with History(runs) as history:
        done = history.roll_back(history.calibrations("delays")[0], "ada", "fibre back in place")
        assert in_force(history) == "run-1"
        assert in_force(history, simulated=True) == "run-3"  # another bench
        assert (done.who, done.why) == ("ada", "fibre back in place")
        later = (datetime.now(UTC) + timedelta(seconds=1)).isoformat().replace("+00:00", "Z")
        store(runs, "run-4", delays=record(later))
        assert in_force(history) == "run-4"
        assert [r.run for r in history.rollbacks()] == ["run-1"]
        assert runs_of(history, "delays") == ["run-1", "run-2", "run-3", "run-4"]  # nothing is taken away


def test_the_last_of_several_rollbacks_counts(runs: Path) -> None:
    with History(runs) as history:
        first, second, _ = history.calibrations()
        for chosen in (first, second, first):
            history.roll_back(chosen, "ada", "")
            assert in_force(history) == chosen.run
        assert len(history.rollbacks()) == 3


@pytest.mark.parametrize("damage", ["missing", "garbage", "another form", "torn"])
def test_the_index_is_made_again_of_the_folders_and_the_rollbacks(runs: Path, damage: str) -> None:
    with History(runs) as history:
        history.roll_back(history.calibrations()[0], "ada", "")
    for file in runs.glob(f"{INDEX}-*"):
        file.unlink()
    index = runs / INDEX
    match damage:
        case "missing":
            index.unlink()
        case "garbage":
            index.write_bytes(b"no database" * 1000)
        case "another form":
            with sqlite3.connect(index) as database:
                database.execute("PRAGMA user_version = 99")
            database.close()
        case "torn":
            content = index.read_bytes()
            index.write_bytes(content[: len(content) // 2])
    with History(runs) as history:
        assert runs_of(history) == ["run-1", "run-2", "run-3"]
        assert in_force(history) == "run-1"


def test_it_survives_what_other_people_leave_in_the_folder(runs: Path) -> None:
    (runs / "run-5").mkdir()
    (runs / "run-5" / "calibrations.json").write_text('{"delays": {"name": "del')
    store(runs, "run-6", odd={"name": "odd"}, list=[1], taken=record("2026-11-22T11:00:00Z", taken_over={}))
    (runs / ROLLBACKS).write_text('{"utc": "torn\n[1]\n{"strange": 1}\n')
    with History(runs) as history:
        assert runs_of(history) == ["run-1", "run-2", "run-3"]
        assert history.rollbacks() == []
        history.roll_back(history.calibrations()[0], "ada", "")
        assert in_force(history) == "run-1"
    with History(runs / "none") as history:
        assert history.calibrations() == []


def test_a_calibration_outlives_the_folder_of_its_run(runs: Path) -> None:
    with History(runs) as history:
        assert len(history.calibrations()) == 3
    (runs / "run-2" / "calibrations.json").unlink()
    (runs / "run-2").rmdir()
    with History(runs) as history:
        assert in_force(history) == "run-2"


@pytest.mark.parametrize(
    ("said_s", "asked_s", "fresh"),
    [(None, 3 * 3600, True), (None, 3600, False), (3600.0, 3 * 3600, False), (3 * 3600.0, 3 * 3600, True)],
)
def test_it_is_fresh_as_long_as_both_sides_say(said_s: float | None, asked_s: float, fresh: bool) -> None:
    said = {} if said_s is None else {"valid_for_s": said_s}
    two_hours = Calibration("r", "k", "n", "t", False, "2026-11-22T10:00:00.000Z", said)
    assert two_hours.age_s(NOW) == 7200.0
    assert two_hours.is_fresh(NOW, asked_s) is fresh


def test_one_from_the_future_or_without_a_time_is_never_fresh() -> None:
    for utc in ("2026-11-22T13:00:00Z", "yesterday", ""):
        assert not Calibration("r", "k", "n", "t", False, utc, {}).is_fresh(NOW, 1e9)
