"""Stored runs: found by name, listed, marked when they died, compared, verified, exported, opened."""

import fcntl
import json
import os
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from experiments.archive import index as index_module
from experiments.archive.catalogue import CATALOGUE, Catalogue
from experiments.archive.compare import compare_figures, compare_settings
from experiments.archive.export import export_run
from experiments.archive.finding import NoSuchRunError, find_run, read_about
from experiments.archive.recovery import recover, recover_all
from experiments.archive.stored import StoredRun, open_run
from experiments.archive.verify import verify
from experiments.engine.process import is_gone, this_process
from tests.stored import make_folder, process_that_is_killed
from timetags.files.segments import read_segments

ONE, TWO, THREE = (f"2026-11-2{day}T03-10-07Z-toy-7f3{day}" for day in (1, 2, 3))


@pytest.fixture(scope="module")
def dead() -> dict[str, Any]:
    """What run.json says of a process that is gone."""
    with process_that_is_killed() as said:
        assert not is_gone(said)
    return said


def test_a_process_is_gone_when_another_has_its_number(dead: dict[str, Any]) -> None:
    mine = this_process()
    assert not is_gone(mine)
    assert is_gone(dead)
    assert is_gone({**mine, "began": dead["began"]})
    assert not is_gone({**dead, "host": "another.example"})  # nothing can be told of it from here
    assert not is_gone({})


# Names.


def test_runs_are_found_by_beginning_end_path_and_last(tmp_path: Path) -> None:
    for name in (ONE, TWO):
        make_folder(tmp_path, name)
    third = make_folder(tmp_path, THREE)
    (tmp_path / "notes").mkdir()
    for name in (THREE, "2026-11-23", "7f33", "last", str(third)):
        assert find_run(name, tmp_path) == third
    with pytest.raises(NoSuchRunError, match=r"3 runs in .* are named 2026-11"):
        find_run("2026-11", tmp_path)
    with pytest.raises(NoSuchRunError, match=f"no run in .* is named 2027.*{THREE}"):
        find_run("2027", tmp_path)
    with pytest.raises(NoSuchRunError, match=r"there are no runs in .*nowhere.*--runs"):
        find_run("last", tmp_path / "nowhere")


def test_of_runs_of_one_second_the_last_is_that_which_began_last(tmp_path: Path) -> None:
    stamp = "2026-11-22T03-10-07Z"
    make_folder(tmp_path, f"{stamp}-a-0000", began_utc="2026-11-22T03:10:07.900Z")
    make_folder(tmp_path, f"{stamp}-b-0000", began_utc="2026-11-22T03:10:07.100Z")
    assert find_run("last", tmp_path).name == f"{stamp}-a-0000"


# Runs that died.


def test_a_run_whose_process_is_gone_is_interrupted(tmp_path: Path, dead: dict[str, Any]) -> None:
    folder = make_folder(tmp_path, ONE, "paused", dead)
    tags = folder / "tags/heralds"
    (tags / "00000003.parquet.tmp").write_bytes(b"PAR1")  # it was writing
    second = tags / "00000002.parquet"
    second.write_bytes(second.read_bytes()[:-7])
    [found] = recover_all(tmp_path)
    about = json.loads((folder / "run.json").read_text())
    assert (about["state"], about["interrupted_in"]) == ("interrupted", "paused")
    assert found.message == about["message"]
    assert "its process is gone" in about["message"]
    assert "It was paused; 5 tags in 1 segments are whole, 2 are not" in about["message"]
    assert about["tags"]["tags/heralds"] == {
        "segments": 1, "rows": 5, "lost": 0, "start_ps": 0, "end_ps": 10**12,
    }  # fmt: skip
    assert [line.partition(": ")[0] for line in about["damage"]] == [
        "tags/heralds/00000002.parquet",
        "tags/heralds/00000003.parquet.tmp",
    ]
    assert not (folder / ".reserve").exists()
    assert recover_all(tmp_path) == []


@pytest.mark.parametrize("state", ["preparing", "running", "paused", "completed", "failed", "interrupted"])
def test_runs_that_live_and_runs_that_ended_are_not_touched(
    tmp_path: Path, dead: dict[str, Any], state: str
) -> None:
    alive = make_folder(tmp_path, ONE, state)
    elsewhere = make_folder(tmp_path, TWO, state, {**dead, "host": "another.example"})
    ended = make_folder(tmp_path, THREE, "aborted", dead)
    before = [(f / "run.json").read_bytes() for f in (alive, elsewhere, ended)]
    assert recover_all(tmp_path) == []
    assert [(f / "run.json").read_bytes() for f in (alive, elsewhere, ended)] == before


def test_of_many_that_recover_at_once_one_does_it(tmp_path: Path, dead: dict[str, Any]) -> None:
    folder = make_folder(tmp_path, ONE, "running", dead)
    handle = os.open(folder, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)  # as another process that is at it
    assert recover([folder]) == []
    assert read_about(folder)["state"] == "running"
    os.close(handle)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.extend(recover([folder]))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1


def test_a_run_that_ended_well_just_before_its_process_went_is_left_so(
    tmp_path: Path, dead: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last words come between the first look at run.json and the second."""
    folder = make_folder(tmp_path, ONE, "running", dead)
    said = dict(read_about(folder))
    looks: list[Path] = []

    def look(path: Path) -> dict[str, Any]:
        looks.append(path)
        return said if len(looks) == 1 else {**said, "state": "completed"}

    monkeypatch.setattr("experiments.archive.recovery.read_about", look)
    assert recover([folder]) == []
    assert len(looks) == 2
    assert read_about(folder)["state"] == "running"  # nothing was written


def test_what_cannot_be_written_is_left(
    tmp_path: Path, dead: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder(tmp_path, ONE, "running", dead)

    def full(path: Path, text: str) -> None:
        raise PermissionError(path)

    monkeypatch.setattr("experiments.archive.recovery.replace_whole", full)
    assert recover_all(tmp_path) == []


# The catalogue.


class Counting:
    """Reads run.json and counts how often."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def __call__(self, folder: Path) -> Any:
        self.read.append(folder.name)
        return read_about(folder)


def names(runs: Path, **asked: str) -> list[str]:
    with Catalogue(runs) as catalogue:
        return [entry.name for entry in catalogue.entries(**asked)]


def test_only_what_has_changed_is_read(tmp_path: Path) -> None:
    """A list costs one `stat` for each run; its run.json is opened when it is another than before."""
    for number in range(30):
        folder = tmp_path / f"2026-11-22T03-10-{number:02}Z-toy-0000"
        folder.mkdir()
        (folder / "run.json").write_text('{"state": "completed"}')
    reading = Counting()
    with Catalogue(tmp_path, reading) as catalogue:
        assert len(catalogue.entries()) == 30
        assert len(reading.read) == 30
        assert len(catalogue.entries()) == 30
    assert len(reading.read) == 30
    changed = tmp_path / "2026-11-22T03-10-05Z-toy-0000"
    (changed / "part").write_text('{"state": "aborted__"}')  # as long as before
    (changed / "part").replace(changed / "run.json")
    shutil.rmtree(tmp_path / "2026-11-22T03-10-06Z-toy-0000")
    again = Counting()
    with Catalogue(tmp_path, again) as catalogue:
        entries = catalogue.entries()
    assert again.read == [changed.name]
    assert len(entries) == 29
    assert [entry.name for entry in entries if entry.state == "aborted__"] == [changed.name]


def test_runs_are_listed_by_experiment_state_and_time(tmp_path: Path) -> None:
    make_folder(tmp_path, ONE, began_utc="2026-11-21T03:10:07.000Z")
    make_folder(tmp_path, TWO, "failed", began_utc="2026-11-22T03:10:07.000Z")
    make_folder(tmp_path, THREE, experiment="other", began_utc="2026-11-23T03:10:07.000Z")
    assert names(tmp_path) == [ONE, TWO, THREE]
    assert names(tmp_path, experiment="toy") == [ONE, TWO]
    assert names(tmp_path, state="failed") == [TWO]
    assert names(tmp_path, since_utc="2026-11-22T03:10:07") == [TWO, THREE]
    assert names(tmp_path, experiment="toy", since_utc="2026-11-22T04") == []


def execute(path: Path, commands: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(commands)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b"no database at all, but long enough to be looked at" * 40),
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
        lambda path: path.write_bytes(path.read_bytes()[:4096] + bytes(len(path.read_bytes()) - 4096)),
        lambda path: execute(path, "DROP TABLE runs"),
        lambda path: execute(path, "DROP TABLE runs; CREATE TABLE runs (what)"),
        lambda path: execute(path, "PRAGMA user_version = 99"),
    ],
    ids=["missing", "foreign", "cut", "zeroed", "no table", "other table", "other version"],
)
def test_a_catalogue_that_is_missing_or_damaged_is_made_again(tmp_path: Path, damage: Any) -> None:
    for name in (ONE, TWO):
        make_folder(tmp_path, name)
    assert names(tmp_path) == [ONE, TWO]
    make_folder(tmp_path, THREE)
    damage(tmp_path / CATALOGUE)
    assert names(tmp_path) == [ONE, TWO, THREE]
    with closing(sqlite3.connect(tmp_path / CATALOGUE)) as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (3,)
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_cut_at_any_byte_a_catalogue_is_made_again(tmp_path: Path) -> None:
    make_folder(tmp_path, ONE)
    names(tmp_path)
    path = tmp_path / CATALOGUE
    whole = path.read_bytes()
    for size in range(0, len(whole), len(whole) // 16):
        path.write_bytes(whole[:size])
        assert names(tmp_path) == [ONE], size


def test_where_it_cannot_be_written_the_catalogue_is_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder(tmp_path, ONE)
    (tmp_path / CATALOGUE).mkdir()  # also root cannot write there
    assert names(tmp_path) == [ONE]
    assert names(tmp_path / "nowhere") == []
    assert not (tmp_path / "nowhere").exists()

    def locked(path: str, tables: str, version: int) -> sqlite3.Connection:
        if path != ":memory:":
            raise sqlite3.OperationalError("database is locked")
        return connect(path, tables, version)

    connect = index_module._connect
    monkeypatch.setattr(index_module, "_connect", locked)
    assert names(tmp_path) == [ONE]


def test_the_list_marks_runs_that_died_since(tmp_path: Path) -> None:
    """Also when run.json is the one that the catalogue knows: a run that is killed changes nothing in it."""
    make_folder(tmp_path, ONE, "running")
    with process_that_is_killed() as process:
        make_folder(tmp_path, TWO, "running", process)
        with Catalogue(tmp_path) as catalogue:
            assert [entry.state for entry in catalogue.entries()] == ["running", "running"]
            assert catalogue.recovered == []
    with Catalogue(tmp_path) as catalogue:
        assert [entry.state for entry in catalogue.entries()] == ["running", "interrupted"]
        assert [found.run for found in catalogue.recovered] == [TWO]


# What one run holds.


def test_a_run_is_opened_as_arrays_and_tables(tmp_path: Path) -> None:
    make_folder(tmp_path, ONE)
    run = open_run("last", tmp_path)
    assert (run.name, run.state, run.streams) == (ONE, "completed", ["state"])
    tags = run.tags()
    assert len(tags) == 10
    assert (tags.times_ps.dtype, tags.channels.dtype) == (np.int64, np.uint8)
    assert run.tags(0.2, 1.1).times_ps.tolist() == [2 * 10**11, 3 * 10**11, 4 * 10**11, 10**12]
    assert run.tags(5.0).times_ps.tolist() == []
    assert tags.of("b").tolist() == [10**12 + k * 10**11 for k in range(5)]
    with pytest.raises(KeyError, match="there are a, b"):
        tags.of("c")
    with pytest.raises(LookupError, match="tags of: heralds; none of them is 'raw/x'"):
        run.tags(source="raw/x")
    assert run.events("state").to_pydict()["state"] == ["running", "completed"]
    table = run.to_pandas("state")
    assert table["t_s"].tolist() == [0.0, 2.0]
    assert str(table["time"].dt.tz) == "UTC"
    with pytest.raises(LookupError, match="no events of stream 'rates'; streams: state"):
        run.events("rates")
    assert run.results == {}


def test_sources_of_tags_must_be_named_where_there_are_several(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, ONE)
    shutil.copytree(folder / "tags/heralds", folder / "tags/raw/alice_tagger")
    (folder / "tags/heralds").rename(folder / "tags/raw/hub_tagger")
    run = StoredRun(folder)
    assert run.tag_sources == ["raw/alice_tagger", "raw/hub_tagger"]
    with pytest.raises(LookupError, match="raw/alice_tagger, raw/hub_tagger; no source was named"):
        run.tags()
    assert len(run.tags(source="raw/hub_tagger")) == 10


def test_a_whole_run_is_verified(tmp_path: Path) -> None:
    verdict = verify(StoredRun(make_folder(tmp_path, ONE)))
    assert (verdict.problems, verdict.remarks) == ([], [])
    assert (verdict.segments, verdict.tags, verdict.events) == (2, 10, {"state": 2})


def without_stop(folder: Path) -> None:
    path = folder / "documents.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda f: flip(f / "tags/heralds/00000001.parquet"), "00000001.parquet: its SHA-256 is not"),
        (lambda f: (f / "tags/heralds/00000002.parquet").unlink(), "00000002.parquet: missing"),
        (lambda f: shutil.rmtree(f / "tags"), "00000001.parquet: documents.jsonl says 5 tags, but it is not"),
        (without_stop, "the stop document is missing, though the run completed"),
        (lambda f: (f / "documents.jsonl").unlink(), "documents.jsonl: No such file"),
        (lambda f: (f / "config.resolved.yaml").write_text("a: [1"), "config.resolved.yaml cannot be read"),
        (lambda f: (f / "results.json").write_text("{"), "results.json cannot be read"),
        (lambda f: (f / "env.json").write_text("[]"), "env.json holds no mapping"),
        (
            lambda f: (f / "run.json").write_text('{"state": "failed"}'),
            "documents.jsonl ends in completed, run.json says failed",
        ),
        (
            lambda f: (f / "documents.jsonl").write_text(
                (f / "documents.jsonl")
                .read_text()
                .replace('"num_events":{"state":2}', '"num_events":{"state":3}')
            ),
            "2 events of stream state, not 3",
        ),
    ],
)
def test_what_is_wrong_with_a_run_is_said(tmp_path: Path, damage: Any, problem: str) -> None:
    folder = make_folder(tmp_path, ONE)
    damage(folder)
    assert [found for found in verify(StoredRun(folder)).problems if problem in found]


def test_what_a_killed_run_leaves_behind_is_no_loss(tmp_path: Path, dead: dict[str, Any]) -> None:
    """A segment and a line that were being written were not acknowledged yet."""
    folder = make_folder(tmp_path, ONE, "running", dead)
    (folder / "tags/heralds/00000003.parquet.tmp").write_bytes(b"PAR1")
    with (folder / "documents.jsonl").open("a") as file:
        file.write('{"name": "event", "doc": {"uid"')
    recover_all(tmp_path)
    verdict = verify(StoredRun(folder))
    assert verdict.problems == []
    assert len(verdict.remarks) == 2


def with_results(runs: Path, name: str, value: float, dwell: float) -> StoredRun:
    folder = make_folder(runs, name, seed=7)
    figure = {"value": value, "error": 0.3}
    results = {"chsh_s": figure, "settings": {"ZZ": {"correlation": {"psi_plus": {"value": 1, "error": 0}}}}}
    (folder / "results.json").write_text(json.dumps({**results, "published": {"chsh_s": figure}, "seed": 7}))
    plan = [{"bring_up": {}}, {"measure_swapping": {"dwell": dwell}}]
    (folder / "config.resolved.yaml").write_text(json.dumps({"experiment": {"plan": plan}, "testbed": {}}))
    return StoredRun(folder)


def test_two_runs_are_compared_by_figures_and_settings(tmp_path: Path) -> None:
    one, other = with_results(tmp_path, ONE, 2.0, 100.0), with_results(tmp_path, TWO, 2.6, 200.0)
    chsh, correlation = compare_figures(one, other)
    assert (chsh.name, correlation.name) == ("chsh_s", "settings.ZZ.correlation.psi_plus")
    assert chsh.sigmas == pytest.approx(0.6 / (2 * 0.3**2) ** 0.5)
    assert correlation.sigmas is None  # no error, no sigmas
    [setting] = compare_settings(one, other)
    assert (setting.path, setting.one, setting.other) == (
        "experiment.plan.1.measure_swapping.dwell",
        100.0,
        200.0,
    )
    assert compare_settings(one, one) == []
    assert [f.sigmas for f in compare_figures(one, one)] == [0.0, None]


@pytest.mark.parametrize("format_", ["csv", "hdf5", "parquet", "ptu"])
def test_exported_tags_and_events_are_those_of_the_run(tmp_path: Path, format_: str) -> None:
    run = StoredRun(make_folder(tmp_path, ONE))
    exported = export_run(run, tmp_path / "out", format_)
    files = {path.name: rows for path, rows in exported.files.items()}
    times = run.tags().times_ps
    out = tmp_path / "out"
    assert json.loads((out / "detectors.json").read_text()) == {"0": "a", "1": "b"}
    if format_ == "csv":
        assert files == {"tags-heralds.csv": 10, "events-state.csv": 2}
        assert (
            np.loadtxt(out / "tags-heralds.csv", delimiter=",", skiprows=1)[:, 0].tolist() == times.tolist()
        )
        assert "completed" in (out / "events-state.csv").read_text().splitlines()[2]
    elif format_ == "parquet":
        assert pq.read_table(out / "tags-heralds.parquet")["time_ps"].to_pylist() == times.tolist()
        assert pq.read_table(out / "events-state.parquet").equals(run.events("state"))
    elif format_ == "hdf5":
        with h5py.File(out / "tags-heralds.h5") as file:
            assert file["time_ps"][:].tolist() == times.tolist()
        with h5py.File(out / "events-state.h5") as file:
            assert file["state"].asstr()[:].tolist() == ["running", "completed"]
            assert file["t_s"][:].tolist() == [0.0, 2.0]
    else:
        assert files == {"tags-heralds.ptu": 10}
    assert exported.remarks == []


def test_a_damaged_segment_is_left_out_of_an_export_and_said(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, ONE)
    flip(folder / "tags/heralds/00000001.parquet")
    exported = export_run(StoredRun(folder), tmp_path / "out", "csv")
    [remark] = exported.remarks
    assert remark.startswith("left out tags/heralds/00000001.parquet")
    assert exported.files[tmp_path / "out" / "tags-heralds.csv"] == 5
    assert len(list(read_segments(folder / "tags/heralds", lambda *_: None))) == 1
