"""The run folder: whole files or none, errors that say what to do, room for last words."""

import errno
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from experiments.engine.events import Happened, Uptime
from experiments.engine.outcome import Ending, Exit, OpenError, RunError, State, StorageError, ending_of
from experiments.engine.record import RESERVE_BYTES, RunFolder
from tests.full_disk import full_disk
from tests.recorded import events, happened


def test_names_and_documents(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "runs", "swap")
    assert folder.name.split("-swap-")[0][:2] == "20"
    assert len(folder.name.rsplit("-", 1)[1]) == 4
    folder.documents.event(Happened("dwell", "ZZ for 2 s", {"setting": "ZZ"}), 1.5)
    # Read while the run goes on: the line is there at once.
    [event] = happened(folder.path, "dwell")
    assert (event["t_s"], event["message"], event["setting"]) == (1.5, "ZZ for 2 s", "ZZ")
    folder.close(DONE)


def test_runs_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="runs folder exists and is yours to write"):
        RunFolder.create(tmp_path / "file" / "runs", "swap")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder.create(tmp_path, "swap")
    folder.write_json("results.json", {"a": 1})

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match=r"no space left on the disk writing results\.json.*--runs"):
        folder.write_json("results.json", {"a": 2})
    assert json.loads((folder.path / "results.json").read_text()) == {"a": 1}
    folder.close(DONE)


def test_reserve_gives_way_to_the_last_words(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "swap")
    reserve = folder.path / ".reserve"
    assert reserve.stat().st_size == RESERVE_BYTES
    folder.last_words({"state": "failed"})
    assert not reserve.exists()
    assert json.loads((folder.path / "run.json").read_text()) == {"state": "failed"}
    folder.close(DONE)


def test_no_state_still_on_its_way_disturbs_the_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An aborted run does not wait for a slow disk: a thread writes on beside whoever ends the run."""
    folder = RunFolder.create(tmp_path, "swap")
    under_way, goes_on = threading.Event(), threading.Event()

    def slow(number: int) -> None:
        if threading.current_thread().name.startswith("aborted"):
            under_way.set()
            assert goes_on.wait(10)

    monkeypatch.setattr("os.fsync", slow)
    with ThreadPoolExecutor(1, "aborted") as aborted, ThreadPoolExecutor(1, "end") as end:
        state = aborted.submit(folder.write_state, {"state": "paused"})
        assert under_way.wait(10)
        last = end.submit(folder.last_words, {"state": "aborted"})
        goes_on.set()
        state.result(10)
        last.result(10)
        aborted.submit(folder.write_state, {"state": "running"}).result(10)
    assert json.loads((folder.path / "run.json").read_text()) == {"state": "aborted"}
    folder.close(DONE)


def test_what_is_not_finite_is_null_in_json(tmp_path: Path) -> None:
    """NaN and infinity are no JSON, and would make the file unreadable for others."""
    folder = RunFolder.create(tmp_path, "swap")
    folder.write_json("results.json", {"figures": [float("nan"), 1.5, {"error": float("inf")}]})
    folder.documents.event(Happened("look", "", {"offset_ps": float("nan")}), 1.0)
    folder.documents.event(Uptime("up"), float("inf"))
    folder.close(DONE)
    assert json.loads((folder.path / "results.json").read_text()) == {"figures": [None, 1.5, {"error": None}]}
    assert happened(folder.path, "look")[0]["offset_ps"] is None
    assert events(folder.path, "uptime")[0]["t_s"] is None


DONE = Ending(State.COMPLETED, Exit.DONE)
FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("failure", "exit_code"),
    [
        (ExceptionGroup("", [RunError("x"), ExceptionGroup("", [StorageError("full")])]), Exit.STORAGE),
        (FULL, Exit.STORAGE),
        (OpenError("2 instruments", ["a", "b"]), Exit.INSTRUMENT),
        (RunError("no peak"), Exit.FAILED),
        (ZeroDivisionError("ours"), Exit.FAILED),
    ],
)
def test_endings(failure: BaseException, exit_code: Exit) -> None:
    ending = ending_of(failure)
    assert isinstance(ending, Ending)
    assert (ending.state, ending.exit) == (State.FAILED, exit_code)
    assert ending.message


def test_exit_codes_are_those_of_the_command_line() -> None:
    from bellbench.exit_codes import ExitCode

    assert {int(code) for code in Exit} <= {int(code) for code in ExitCode}


def test_a_full_disk_at_any_write_of_a_run_costs_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Every writing call fails in its turn, after half of its bytes, and all that follow with it, but for the
    last words: the reserve makes room for them. What returned before can be read as it was written."""
    failed = 0
    for at in range(1000):
        folder = RunFolder.create(tmp_path / str(at), "swap")
        done: list[str] = []
        with full_disk(at) as disk:
            try:
                for number in range(3):
                    folder.write_json("results.json", {"number": number})
                    done.append(f"results {number}")
                    folder.documents.event(Happened("dwell", str(number)), float(number))
                    done.append(f"event {number}")
                    folder.documents.sync()
            except StorageError as error:
                assert "no space left" in str(error)  # noqa: PT017 - it need not come
            disk.room = True
            folder.last_words({"state": "failed"})
            folder.close(DONE)
        said = [int(e["message"]) for e in happened(folder.path, "dwell")]
        acknowledged = [int(d.split()[1]) for d in done if d.startswith("event")]
        assert said[: len(acknowledged)] == acknowledged
        results = [int(d.split()[1]) for d in done if d.startswith("results")]
        if results:
            assert json.loads((folder.path / "results.json").read_text())["number"] >= results[-1]
        assert json.loads((folder.path / "run.json").read_text()) == {"state": "failed"}
        if not disk.was_full:
            break
        failed += 1
    assert failed >= 3 * 4  # of each round at least: write, sync and rename a file, write a line
