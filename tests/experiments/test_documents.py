"""The journal of a run: documents that bluesky's schemas accept, on disk before they are relied on."""

import errno
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from experiments.archive.journal import read_journal
from experiments.engine import documents as documents_module
from experiments.engine.documents import Documents
from experiments.engine.events import (
    Baseline,
    DelaySeen,
    Finished,
    Happened,
    Interlock,
    Live,
    Peaks,
    PolarizationSeen,
    Progress,
    Rates,
    Readings,
    RunEvent,
    SafeSeen,
    Scan,
    StateChanged,
    StepBegan,
    StepEnded,
    StreamEvent,
    Uptime,
)
from experiments.engine.outcome import Ending, Exit, State, StorageError
from experiments.estimators.estimate import Estimate
from tests.recorded import assert_valid, documents, events
from timetags.files.manifest import Segment

DONE = Ending(State.COMPLETED, Exit.DONE)
EVENTS: list[StreamEvent] = [
    StateChanged("a run", State.RUNNING),
    StepBegan(1, 2, "bring_up", 60.0),
    StepEnded(1, 2, "bring_up", 41.5),
    Progress("XX, 2 of 6", 10.0, 20.5),
    Rates({"alice_h": 1.2e5, "hub_ch": float("nan")}),
    Live(heralds=120, fourfolds=3, live_s=2.0, figures={"chsh_s": Estimate(2.4, 0.1), "fidelity": None}),
    Happened("dwell", "XX for 2 s", {"begin_ps": 10**13}, "warning"),
    Baseline("before", "alice_pump", {"power": 0.02, "emission": False}),
    Readings("alice_pump", {"power": 0.0199, "emission": True}),
    Peaks("alice to hub", -500.0, 20.0, (1.0, 5.0, 2.0), -300.0, 300.0, -2.5, 1.0),
    DelaySeen("alice_analyser", 10**13, 12.5, 3.0, 0.1, 0.4, False),
    PolarizationSeen("alice_fibre", 0.0, 0.6, -0.8, 0.97, "after", "gradient"),
    Scan("dip", (0.0, 1.0), (100.0, 50.0), (10.0, 7.0), (99.0, 51.0), "delay (ps)", "counts", {"depth": 0.5}),
    SafeSeen("alice_pump", True),
    Interlock("room", "tripped", 31.0, "31 degC, not below 30"),
    Uptime("down", "no light"),
]
"""One of every kind."""


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Documents]:
    made = Documents(tmp_path / "documents.jsonl")
    made.start({"run": "a run", "plan": ["bring_up"]})
    yield made
    made.close()


def segment(number: int, rows: int = 10) -> Segment:
    return Segment(f"{number:08d}.parquet", rows, 0, 100, 0, "00")


def test_there_is_an_example_of_every_kind() -> None:
    kinds = {kind for kind in get_args(RunEvent) if kind is not Finished}
    assert {type(event) for event in EVENTS} == kinds


def test_every_document_fits_the_schemas_of_event_model(journal: Documents, tmp_path: Path) -> None:
    for number, event in enumerate([*EVENTS, *EVENTS]):
        journal.event(event, float(number))
    for number in (1, 2):
        journal.segment("tags/heralds", segment(number))
    journal.stop(Ending(State.ABORTED, Exit.ABORTED, "aborted in step 2"))
    assert_valid(tmp_path)
    names = [name for name, _ in documents(tmp_path)]
    assert (names[0], names[-1]) == ("start", "stop")
    stop = documents(tmp_path)[-1][1]
    assert (stop["exit_status"], stop["reason"], stop["state"]) == ("abort", "aborted in step 2", "aborted")
    assert stop["num_events"]["step"] == 4


def test_streams_and_their_fields_are_as_agreed(journal: Documents, tmp_path: Path) -> None:
    """These names are an interface: the dashboard's script and the report read them."""
    agreed = {
        "state": "state message",
        "step": "number count kind phase estimated_s took_s",
        "progress": "doing elapsed_s left_s",
        "rates": "singles_hz interval_s",
        "live": "heralds fourfolds live_s chsh_s chsh_s_error fidelity fidelity_error",
        "happened": "event message level details",
        "baseline": "phase instrument values problem",
        "readings": "instrument values",
        "peaks": "name from_ps bin_ps counts window_begin_ps window_end_ps centre_ps error_ps",
        "delays": "spoke time_ps offset_ps error_ps rate_ps_per_s surprise jumped",
        "polarization": "link s1 s2 s3 fidelity phase strategy",
        "scan": "name x y error fit x_label y_label summary",
        "safe": "instrument verified problem",
        "interlock": "name state value message",
        "uptime": "state reason",
    }
    for event in EVENTS:
        journal.event(event, 1.5)
    found = {e["stream"]: set(e) - {"stream"} for e in events(tmp_path, *agreed)}
    assert found == {stream: {"t_s", *fields.split()} for stream, fields in agreed.items()}
    [rates] = events(tmp_path, "rates")
    assert rates["singles_hz"] == [1.2e5, None]  # what is not finite is no JSON
    [descriptor] = [d for n, d in documents(tmp_path) if n == "descriptor" and d["name"] == "rates"]
    assert descriptor["configuration"]["rates"]["data"] == {"detectors": ["alice_h", "hub_ch"]}
    assert descriptor["data_keys"]["singles_hz"] == {
        "source": "bellbench", "dtype": "array", "shape": [None], "units": "Hz",
    }  # fmt: skip
    [live] = events(tmp_path, "live")
    assert (live["chsh_s"], live["chsh_s_error"], live["fidelity"]) == (2.4, 0.1, None)
    assert [e["took_s"] for e in events(tmp_path, "step")] == [None, 41.5]


def test_new_fields_have_a_new_descriptor_of_the_same_stream(journal: Documents, tmp_path: Path) -> None:
    for figures in ({"chsh_s": None}, {"chsh_s": Estimate(2.0, 0.1)}, {"qber": None}):
        journal.event(Live(0, 0, 0.0, figures), 0.0)
    described = [set(doc["data_keys"]) for name, doc in documents(tmp_path) if name == "descriptor"]
    assert len(described) == 2
    assert described[1] - described[0] == {"qber", "qber_error"}
    assert [doc["seq_num"] for name, doc in documents(tmp_path) if name == "event"] == [1, 2, 3]
    assert_valid(tmp_path)


def test_segments_are_numbered_as_their_files(journal: Documents, tmp_path: Path) -> None:
    journal.segment("tags/raw/hub_tagger", segment(7, 100))
    journal.segment("tags/heralds", segment(1, 3))
    journal.segment("tags/raw/hub_tagger", segment(8, 50))
    data = [doc for name, doc in documents(tmp_path) if name == "stream_datum"]
    assert [(d["seq_nums"]["start"], d["indices"]["start"], d["indices"]["stop"]) for d in data] == [
        (7, 0, 100),
        (1, 0, 3),
        (8, 100, 150),
    ]
    found = read_journal(tmp_path).segments
    assert [(s.folder, s.number, s.rows) for s in found] == [
        ("tags/raw/hub_tagger", 7, 100),
        ("tags/heralds", 1, 3),
        ("tags/raw/hub_tagger", 8, 50),
    ]


class Disk:
    """Counts what is synced, and can be made to fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.synced = threading.Event()
        self.failure: OSError | None = None
        real = os.fsync

        def fsync(file: int) -> None:
            if self.failure is not None:
                raise self.failure
            real(file)
            self.synced.set()

        monkeypatch.setattr(os, "fsync", fsync)


def test_what_counts_is_synced_at_once_and_figures_soon(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    disk = Disk(monkeypatch)
    monkeypatch.setattr(documents_module, "SYNC_S", 1e6)
    journal = Documents(tmp_path / "documents.jsonl")
    journal.event(EVENTS[3], 0.0)  # progress waits for the next second
    journal.event(EVENTS[0], 0.0)  # a state does not, and takes it along
    assert disk.synced.wait(30)
    disk.synced.clear()
    journal.sync()
    assert disk.synced.is_set()
    journal.close()

    monkeypatch.setattr(documents_module, "SYNC_S", 0.0)
    journal = Documents(tmp_path / "soon.jsonl")
    disk.synced.clear()
    journal.event(EVENTS[3], 0.0)
    assert disk.synced.wait(30)
    journal.close()
    journal.close()


def until_it_fails(journal: Documents) -> None:
    """The thread that syncs takes its time to find out."""
    while True:
        journal.event(EVENTS[3], 0.0)


def test_a_disk_that_does_not_take_it_is_told_with_the_next_event(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    disk = Disk(monkeypatch)
    journal = Documents(tmp_path / "documents.jsonl")
    disk.failure = OSError(errno.EIO, "Input/output error")
    journal.event(EVENTS[0], 0.0)
    with pytest.raises(StorageError, match="Input/output error"):
        journal.sync()
    with pytest.raises(StorageError, match="Input/output error"):
        until_it_fails(journal)
    disk.failure = None
    journal.close()


def test_a_line_that_does_not_fit_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, journal: Documents
) -> None:
    """A disk that fills up in the middle of a line, as write(2) says: fewer bytes first, then ENOSPC."""
    journal.event(EVENTS[0], 0.0)
    whole = (tmp_path / "documents.jsonl").read_bytes()
    real, room = os.write, [25]

    def write(file: int, data: Any) -> int:
        if room[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(file, bytes(data)[: room[0]])
        room[0] -= written
        return written

    with monkeypatch.context() as full:
        full.setattr(os, "write", write)
        with pytest.raises(StorageError, match="no space left"):
            journal.event(EVENTS[1], 1.0)
    assert (tmp_path / "documents.jsonl").read_bytes() == whole
    journal.event(EVENTS[2], 2.0)  # there is room again
    assert [e["phase"] for e in events(tmp_path, "step")] == ["ended"]
    assert read_journal(tmp_path).problems == []


def test_the_guardian_writes_on_where_a_run_ended(tmp_path: Path) -> None:
    """Also behind a line that the death of the run cut short."""
    path = tmp_path / "documents.jsonl"
    journal = Documents(path)
    journal.start({"run": "a run"})
    for event in EVENTS[:2]:
        journal.event(event, 0.0)
    journal.close()
    path.write_bytes(path.read_bytes()[:-20])
    guardian = Documents.continued(path, author="guardian")
    guardian.event(SafeSeen("alice_pump", True), guardian.age_s())
    guardian.event(StateChanged("a run", State.INTERRUPTED, "killed"), guardian.age_s())
    guardian.stop(Ending(State.INTERRUPTED, Exit.FAILED, "killed"))
    guardian.close()
    found = read_journal(tmp_path)
    assert [e.data["state"] for e in found.of("state")] == ["running", "interrupted"]
    assert [e.number for e in found.of("state")] == [1, 2]
    assert found.stop is not None
    assert found.stop["exit_status"] == "fail"
    assert len([p for p in found.problems if "damaged" in p]) == 1
    path.write_bytes(b"")
    with pytest.raises(LookupError):
        Documents.continued(path, author="guardian")


def test_events_can_be_written_from_many_threads(journal: Documents, tmp_path: Path) -> None:
    def write() -> None:
        for number in range(50):
            journal.event(EVENTS[number % len(EVENTS)], 0.0)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read_journal(tmp_path)
    assert len(found.events) == 200
    assert found.problems == []
    assert json.loads((tmp_path / "documents.jsonl").read_text().splitlines()[0])["name"] == "start"
