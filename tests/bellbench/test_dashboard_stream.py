"""The documents of a run as a stream: nothing missed, nothing doubled, at the pace that was asked for; and a
server that answers this machine alone."""

import asyncio
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bellbench.commands.dashboard import dashboard, newest
from bellbench.dashboard.server import DashboardServer, listen
from bellbench.dashboard.stream import Document, DocumentFile, Live, Replay, batches, end_of
from tests.bellbench.dashboard_stream import RUN, MadeUpRun

Event = tuple[str, str, Any]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[MadeUpRun]:
    made = MadeUpRun(tmp_path)
    made.begin()
    made.measure(5)
    yield made
    made.close()


class Site:
    """A server that runs, and the questions that a test asks it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connections: list[http.client.HTTPConnection] = []

    def ask(self, path: str = "/", method: str = "GET", **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        self._connections.append(connection)
        connection.request(method, path, headers={"Host": "127.0.0.1", **headers})
        return connection.getresponse()

    def events(self, path: str, until: str, **headers: str) -> list[Event]:
        return list(events(self.ask(path, **headers), until))

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


@contextmanager
def serving(source: Callable[[], Path | None], speed: float | None = None) -> Iterator[Site]:
    """A server in a thread of its own."""
    listening = listen()
    server = DashboardServer(source, speed)
    thread = threading.Thread(target=server.serve, args=(listening,))
    thread.start()
    try:
        with closing(Site(listening.getsockname()[1])) as site:
            yield site
    finally:
        server.stop()
        thread.join(10)
        listening.close()
    assert not thread.is_alive()


def events(answer: http.client.HTTPResponse, until: str) -> Iterator[Event]:
    """Name, id and data of each event up to the first of that name; a message has no name."""
    fields: dict[str, str] = {}
    name = None
    while name != until:
        line = answer.readline().decode().rstrip("\n")
        if line:
            key, _, value = line.partition(": ")
            fields[key] = value
        elif "data" in fields:
            name = fields.get("event", "")
            yield name, fields.get("id", ""), json.loads(fields["data"])
            fields = {}


def lines_of(run: MadeUpRun) -> list[str]:
    return (run.folder / "documents.jsonl").read_text().splitlines()


def read_all(file: DocumentFile) -> list[Document]:
    documents: list[Document] = []
    while new := file.read():
        documents += new
    return documents


# The file.


def test_documents_are_numbered_by_their_lines_and_know_their_time(run: MadeUpRun) -> None:
    documents = read_all(DocumentFile(run.folder / "documents.jsonl"))
    assert [document.text for document in documents] == lines_of(run)
    assert [document.number for document in documents] == list(range(1, len(documents) + 1))
    assert documents[-1].time_s == 29.0  # 24 s to begin and 5 s measured
    assert [d.time_s for d in documents] == sorted(d.time_s for d in documents)


@pytest.mark.parametrize("cut", [1, 7, 64])
def test_a_file_that_grows_gives_each_line_once_wherever_it_was_cut(
    run: MadeUpRun, tmp_path: Path, cut: int
) -> None:
    whole = (run.folder / "documents.jsonl").read_bytes()[:6000]
    grown = tmp_path / "grown.jsonl"
    file = DocumentFile(grown)
    assert file.read() == []  # it is not there yet
    seen: list[str] = []
    for begin in range(0, len(whole), cut):
        with grown.open("ab") as growing:
            growing.write(whole[begin : begin + cut])
        seen += [document.text for document in file.read()]
    assert seen == whole.decode().split("\n")[:-1]


def test_what_is_no_document_is_left_out_and_keeps_its_number(tmp_path: Path) -> None:
    event = '{"name":"event","doc":{"data":{"t_s":1.5}}}'
    bad = ['{"name":"eve', "\x00\x00\x00", "[1,2]", "{}", event.replace("1.5", "NaN"), '{"name":"a","doc":3}']
    path = tmp_path / "documents.jsonl"
    path.write_text(
        "\n".join([event, *bad, event, '{"name":"event","doc":{}}'])
    )  # the last one without an end
    documents = read_all(DocumentFile(path))
    assert [document.number for document in documents] == [1, 8]


def test_a_reader_that_comes_back_gets_what_is_after_its_place(run: MadeUpRun) -> None:
    path = run.folder / "documents.jsonl"
    assert [d.number for d in read_all(DocumentFile(path, after=20))] == list(
        range(21, len(lines_of(run)) + 1)
    )


def test_the_end_is_known_from_the_end_of_the_file_alone(run: MadeUpRun) -> None:
    path = run.folder / "documents.jsonl"
    assert end_of(path) == (29.0, False)
    run.measure(700)  # longer than what is looked at
    run.end()
    assert end_of(path) == (729.0, True)
    assert end_of(path.with_name("none")) == (0.0, False)


# The pace.


class Hand:
    """A clock that goes on by what is slept."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


async def test_a_replay_sends_each_document_when_it_is_due(run: MadeUpRun) -> None:
    run.measure(20)
    run.end()
    hand = Hand()
    sent: list[tuple[float, Document]] = []
    replay = Replay(26.0, 10.0, hand)
    async for batch in batches(
        DocumentFile(run.folder / "documents.jsonl"), replay, lambda: False, hand.sleep
    ):
        sent += [(hand.now_s - 100.0, document) for document in batch]
    assert [document.text for _, document in sent] == lines_of(run)
    for at_s, document in sent:
        due_s = max(0.0, (document.time_s - 26.0) / 10.0)
        assert due_s - 1e-9 <= at_s <= due_s + 0.1 + 1e-9  # within one tick of 0.1 s


async def test_at_speed_0_a_replay_stays_where_it_is(run: MadeUpRun) -> None:
    hand = Hand()
    ticks = 0

    def over() -> bool:
        nonlocal ticks
        ticks += 1
        return ticks > 50

    file = DocumentFile(run.folder / "documents.jsonl")
    sent = [d async for batch in batches(file, Replay(26.0, 0.0, hand), over, hand.sleep) for d in batch]
    assert sent[-1].time_s == 26.0


async def test_live_is_told_ten_times_a_second_and_ends_with_the_run(run: MadeUpRun) -> None:
    hand = Hand()
    told = []
    file = DocumentFile(run.folder / "documents.jsonl")
    async for batch in batches(file, Live(), lambda: False, hand.sleep):
        told.append(len(batch))
        if len(told) == 3:
            run.measure(40)
        if len(told) == 6:
            run.end()
    assert [bool(n) for n in told] == [True, False, False, True, False, False, True]
    assert sum(told) == len(lines_of(run))
    assert hand.now_s - 100.0 == pytest.approx(0.6)  # one tick after each but the last


# The server.


def test_the_stream_says_where_it_is_and_goes_on_from_there(run: MadeUpRun) -> None:
    run.end()
    with serving(lambda: run.folder) as site:
        first, *messages, _ = site.events("/documents", "end")
        lines = lines_of(run)
        assert first == ("run", "", {"run": RUN, "after": 0, "end_s": 29.0, "ended": True, "speed": None})
        assert [line for _, _, data in messages for line in data] == [json.loads(line) for line in lines]
        assert messages[-1][1] == f"{RUN}:{len(lines)}:29"
        place = {"Last-Event-ID": f"{RUN}:{len(lines) - 3}:28"}
        again, *messages, _ = site.events("/documents", "end", **place)
        assert again[2]["after"] == len(lines) - 3
        assert [line for _, _, data in messages for line in data] == [json.loads(line) for line in lines[-3:]]
        # The place of another run is none in this one.
        other = {"Last-Event-ID": f"another:{len(lines) - 3}:28"}
        assert site.events("/documents", "run", **other)[0][2]["after"] == 0


def test_a_run_that_is_over_is_replayed_when_a_speed_was_given(run: MadeUpRun) -> None:
    run.end()
    with serving(lambda: run.folder, speed=1e6) as site:
        first, *_ = site.events("/documents", "end")
        assert first[2]["speed"] == 1e6


def test_without_a_run_the_stream_waits_for_one(run: MadeUpRun) -> None:
    there: list[Path] = []
    with serving(lambda: there[0] if there else None) as site:
        answer = site.ask("/documents")
        assert [name for name, _, _ in events(answer, "none")] == ["none"]
        there.append(run.folder)
        assert [data["run"] for _, _, data in events(answer, "run")] == [RUN]


def test_a_run_whose_process_is_gone_is_said_to_have_died(run: MadeUpRun) -> None:
    import socket

    about = {"state": "running", "process": {"pid": 1, "began": "another time", "host": socket.gethostname()}}
    (run.folder / "run.json").write_text(json.dumps(about))
    with serving(lambda: run.folder) as site:
        assert site.events("/documents", "died")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::2]:80"]
)
def test_who_asks_by_another_name_is_refused(run: MadeUpRun, host: str) -> None:
    """DNS rebinding: a page from elsewhere whose name now leads here."""
    with serving(lambda: run.folder) as site:
        for path in ("/", "/documents", "/static/main.js"):
            assert site.ask(path, Host=host).status == 421
        for ours in ("127.0.0.1:1", "localhost:8080", "[::1]:8080", "localhost"):
            assert site.ask(Host=ours).status == 200


def test_nothing_but_reading_is_answered_and_the_page_may_load_nothing_from_elsewhere(run: MadeUpRun) -> None:
    with serving(lambda: run.folder) as site:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            for path in ("/", "/documents", "/static/main.js"):
                assert site.ask(path, method).status == 405
        policy = site.ask().headers["content-security-policy"].split("; ")
        assert "default-src 'none'" in policy
        assert {part.split()[1] for part in policy} == {"'none'", "'self'"}
        for path in (
            "/../pyproject.toml",
            "/static/../server.py",
            "/static/%2e%2e/server.py",
            "/documents.jsonl",
        ):
            assert site.ask(path).status == 404
        for query in ("speed=fast", "speed=-1", "at=nan", "speed=inf"):
            assert site.ask(f"/documents?{query}").status == 400


# The command.


def test_what_is_not_there_is_said_before_anything_is_served(tmp_path: Path) -> None:
    done = CliRunner().invoke(dashboard, ["nothing", "--runs", str(tmp_path)])
    assert done.exit_code == 2
    assert f"there are no runs in {tmp_path}" in done.output


def test_a_port_that_is_taken_is_named(run: MadeUpRun, tmp_path: Path) -> None:
    with listen() as busy:
        port = busy.getsockname()[1]
        done = CliRunner().invoke(dashboard, ["--runs", str(tmp_path), "--port", str(port)])
    assert done.exit_code == 2
    assert f"port {port} cannot be had" in done.output


def test_the_newest_run_is_that_which_began_last(tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    began = {"2026-11-22T03-10-07Z-b-0000": "03:10:07.2", "2026-11-22T03-10-07Z-a-ffff": "03:10:07.9",
             "2026-11-21T23-00-00Z-z-0000": "23:00:00.0"}  # fmt: skip
    for name, time in began.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(json.dumps({"began_utc": f"{name[:11]}{time}Z"}))
    (tmp_path / "2027-no-run").mkdir()
    assert newest(tmp_path) == tmp_path / "2026-11-22T03-10-07Z-a-ffff"


async def test_two_readers_do_not_know_of_each_other(run: MadeUpRun) -> None:
    path = run.folder / "documents.jsonl"
    run.end()

    async def reader(after: int) -> int:
        return sum([len(b) async for b in batches(DocumentFile(path, after), Live(), lambda: False)])

    assert await asyncio.gather(reader(0), reader(10)) == [len(lines_of(run)), len(lines_of(run)) - 10]
