"""Reading a journal: everything that is whole is read, and what is missing is said, whatever the bytes."""

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.archive.journal import Journal, parse
from experiments.engine.documents import Documents
from experiments.engine.events import Happened, Rates, StateChanged, StepBegan
from experiments.engine.outcome import Ending, Exit, State
from timetags.files.manifest import Segment


def parsed(content: bytes) -> Journal:
    return parse(io.BytesIO(content))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The journal of a short run that ended well: 5 events, 2 segments."""
    path = tmp_path_factory.mktemp("journal") / "documents.jsonl"
    journal = Documents(path)
    journal.start({"run": "a run", "title": "Über 8 km"})
    journal.event(StateChanged("a run", State.RUNNING), 0.0)
    journal.event(StepBegan(1, 1, "measure_swapping", 10.0), 0.1)
    journal.event(Rates({"alice_h": 1.0}), 1.0)
    journal.event(Happened("dwell", "XX for 2 s", {"setting": "XX", "begin_ps": 10**13}), 1.5)
    for number in (1, 2):
        journal.segment("tags/heralds", Segment(f"{number:08d}.parquet", 10, 0, 1, 0, ""))
    journal.event(StateChanged("a run", State.COMPLETED), 4.0)
    journal.stop(Ending(State.COMPLETED, Exit.DONE))
    journal.close()
    return path.read_bytes()


def test_a_whole_journal_says_everything(whole: bytes) -> None:
    journal = parsed(whole)
    assert journal.problems == []
    assert journal.start["title"] == "Über 8 km"
    assert journal.stop is not None
    assert journal.streams == ["state", "step", "rates", "happened"]
    assert journal.configuration == {"rates": {"detectors": ["alice_h"]}}
    assert journal.happened("dwell") == [{"setting": "XX", "begin_ps": 10**13}]
    assert [(s.folder, s.number, s.rows) for s in journal.segments] == [
        ("tags/heralds", 1, 10),
        ("tags/heralds", 2, 10),
    ]


def contents(journal: Journal) -> list[object]:
    """What was read, in the order of the file as far as it shows."""
    return [
        *filter(None, [journal.start]),
        *journal.events,
        *journal.segments,
        *filter(None, [journal.stop]),
    ]


def test_cut_at_every_byte_it_reads_all_lines_before(whole: bytes) -> None:
    """After `kill -9` or a power cut the file may end anywhere. The lines before are read as they were, and
    the one that was cut is said, unless nothing or only its end is missing."""
    lines = whole.splitlines(keepends=True)
    ends = [sum(map(len, lines[:n])) for n in range(len(lines) + 1)]
    upto = [contents(parsed(whole[:end])) for end in ends]
    assert [len(found) for found in upto] == sorted(len(found) for found in upto)
    for size in range(len(whole)):
        number = max(n for n, end in enumerate(ends) if end <= size)
        all_but_its_end = size + 1 in ends
        journal = parsed(whole[:size])
        assert contents(journal) == upto[number + all_but_its_end], size
        cut = [p for p in journal.problems if "is cut short" in p]
        assert len(cut) == (size not in ends and not all_but_its_end), size


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(at=st.integers(0, 10**6), gone=st.integers(0, 300), noise=st.binary(max_size=60))
def test_damage_in_the_middle_costs_the_lines_that_it_hits(
    whole: bytes, at: int, gone: int, noise: bytes
) -> None:
    """Every event that is read was written, and those on lines that were not touched are read."""
    at %= len(whole)
    damaged = whole[:at] + noise + whole[at + gone :]
    lines, before = damaged.split(b"\n"), whole.split(b"\n")
    written = {event.data["t_s"]: event for event in parsed(whole).events}
    journal = parsed(damaged)
    untouched = [json.loads(line) for line in before if line in lines and line]
    described = {d["doc"]["uid"] for d in untouched if d["name"] == "descriptor"}
    kept = [
        d["doc"]["data"]["t_s"]
        for d in untouched
        if d["name"] == "event" and d["doc"]["descriptor"] in described
    ]
    found = [event.data.get("t_s") for event in journal.events]
    assert set(kept) <= set(found)
    for event in journal.events:
        if event.data.get("t_s") in kept:
            assert event == written[event.data["t_s"]]


WRONG: list[object] = [None, True, -1, 1.5, "x", [], [[]], {}, {"start": "x", "stop": None}]


def test_a_wrong_value_anywhere_costs_its_document_at_most(whole: bytes) -> None:
    """Each field of each document in turn is something else, or not there."""
    lines = [json.loads(line) for line in whole.splitlines()]
    for number, line in enumerate(lines):
        for key in line["doc"]:
            for wrong in (*WRONG, ...):
                doc = {k: v for k, v in line["doc"].items() if k != key}
                doc |= {} if wrong is ... else {key: wrong}
                changed = [*lines[:number], {**line, "doc": doc}, *lines[number + 1 :]]
                journal = parsed("\n".join(map(json.dumps, changed)).encode())
                others = [x for x in lines if x is not line and x["name"] == "stop"]
                assert bool(journal.stop) >= len(others), (line, key, wrong)


def test_what_is_missing_is_said() -> None:
    def event(number: int, descriptor: str = "d") -> str:
        data = {"descriptor": descriptor, "seq_num": number, "time": 0.0, "data": {}}
        return json.dumps({"name": "event", "doc": data})

    descriptor = json.dumps({"name": "descriptor", "doc": {"uid": "d", "name": "rates"}})
    lines = [
        descriptor,
        event(1),
        "{",
        event(4),
        event(5, "other"),
        "[]",
        '{"name": "unheard of", "doc": {}}',
    ]
    journal = parsed("\n".join([*lines, ""]).encode())
    assert [e.number for e in journal.events] == [1, 4]
    assert journal.problems == [
        "line 3 is damaged, 1 bytes are lost",
        "2 events of stream rates before its number 4",
        "line 6 is damaged, 2 bytes are lost",
        "the start document is missing",
        "1 documents belong to a descriptor or resource that is missing",
        "1 lines are JSON, but no documents",
    ]


def test_an_empty_file_is_a_run_that_never_began() -> None:
    journal = parsed(b"")
    assert (journal.events, journal.stop) == ([], None)
    assert journal.problems == ["the start document is missing"]
