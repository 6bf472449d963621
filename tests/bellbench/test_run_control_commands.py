"""`bellbench runs pause|resume|stop|abort` and `bellbench resume`: what they say when all is well, and when
not; and what signals mean to a run."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bellbench.cli import call
from bellbench.commands.run import obey_signals
from bellbench.session import Session
from experiments.archive.continuation import continuation_of
from experiments.config.files import load_experiment
from experiments.config.overrides import read_override
from experiments.engine.books import enter
from experiments.engine.control import RunControl
from experiments.engine.control_socket import ControlServer
from experiments.engine.documents import DOCUMENTS, Documents
from experiments.engine.outcome import State
from experiments.engine.process import this_process
from experiments.measurements.tally import Counts
from tests.recorded import happened

CONFIGS = Path(__file__).parents[2] / "configs"
Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """What a command line returns and prints, on stdout and on stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = call([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


def folder_of(runs: Path, name: str, **about: Any) -> Path:
    folder = runs / f"2026-01-01T00-00-00Z-{name}"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"run": folder.name, **about}))
    return folder


async def test_a_run_is_asked_by_its_name(tmp_path: Path, said: Said) -> None:
    folder = folder_of(tmp_path, "night-00aa", state="running", process=this_process())
    control = RunControl()
    control.take_charge(lambda: None)
    control.entered(State.RUNNING)
    server = ControlServer(folder, control)
    await server.open()
    try:
        for name in ("last", "00aa", "2026-01", folder.name):
            code, out, _ = await asyncio.to_thread(said, "runs", "pause", name, "--runs", tmp_path)
            assert (code, out) == (0, f"{folder.name}: the run pauses at its next safe point\n")
        code, out, _ = await asyncio.to_thread(said, "runs", "stop", "last", "--runs", tmp_path, "--json")
        assert code == 0
        assert json.loads(out) == {
            "run": folder.name,
            "accepted": True,
            "state": "running",
            "leads_to": "completed",
            "message": "the run finishes at its next safe point",
        }
        assert control.stop_why == "bellbench runs stop"
        code, out, err = await asyncio.to_thread(said, "runs", "resume", "last", "--runs", tmp_path)
        assert (code, out) == (1, "")
        assert err == f"{folder.name}: the run is finishing, since it was asked to stop\n"
    finally:
        await server.close()


def test_a_run_that_cannot_be_asked_is_told_apart(tmp_path: Path, said: Said) -> None:
    code, _, err = said("runs", "pause", "last", "--runs", tmp_path)
    assert code == 2
    assert f"there are no runs in {tmp_path}; --runs names another folder" in err
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    gone = {"pid": int(dead.stdout), "began": "long ago", "host": this_process()["host"]}
    elsewhere = {"pid": 1, "began": "x", "host": "elsewhere"}
    folder_of(tmp_path, "over-0001", state="aborted")
    folder_of(tmp_path, "gone-0002", state="running", process=gone)
    folder_of(tmp_path, "away-0003", state="running", process=elsewhere)
    for name, state, why in (
        ("0001", "aborted", "the run is over: aborted"),
        ("0002", "interrupted", "its process is gone, the run was interrupted. `bellbench resume "),
        ("0003", "running", "its process 1 on elsewhere does not answer"),
    ):
        code, _, err = said("runs", "abort", name, "--runs", tmp_path)
        assert code == 1
        assert why in err
        code, out, _ = said("runs", "abort", name, "--runs", tmp_path, "--json")
        answer = json.loads(out)
        assert (code, answer["accepted"], answer["state"], answer["leads_to"]) == (1, False, state, state)
    code, _, err = said("runs", "abort", "2026", "--runs", tmp_path)
    assert code == 2
    assert "3 runs in" in err


def test_what_cannot_go_on_says_why(tmp_path: Path, said: Said) -> None:
    folder_of(tmp_path, "done-0001", state="completed", stopped=False)
    code, _, err = said("resume", "last", "--runs", tmp_path)
    assert code == 2
    assert "is complete; there is nothing left to measure" in err
    code, out, _ = said("resume", "nothing", "--runs", tmp_path, "--json")
    assert code == 2
    assert json.loads(out)["state"] == "refused"


@pytest.mark.parametrize(
    ("signals", "stop", "abort"),
    [
        ([signal.SIGINT], "Ctrl-C; once more aborts", None),
        ([signal.SIGINT, signal.SIGINT], "Ctrl-C; once more aborts", "Ctrl-C twice"),
        ([signal.SIGTERM], None, "SIGTERM"),
        ([signal.SIGHUP], None, "SIGHUP"),
        ([signal.SIGINT, signal.SIGTERM], "Ctrl-C; once more aborts", "SIGTERM"),
    ],
)
async def test_signals_are_wishes_to_a_run(
    signals: list[signal.Signals], stop: str | None, abort: str | None
) -> None:
    control, cancelled = RunControl(), []

    async def a_run() -> None:
        obey_signals(control)
        control.take_charge(lambda: cancelled.append(True))
        for number in signals:
            heard, control.heard = asyncio.Event(), None
            control.heard = lambda word, why, heard=heard: heard.set()
            os.kill(os.getpid(), number)
            await heard.wait()

    try:
        await asyncio.create_task(a_run())
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().remove_signal_handler(number)
    assert (control.stop_why, control.abort_why) == (stop, abort)
    assert bool(cancelled) is (abort is not None)


async def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    control = RunControl()

    async def a_run() -> None:
        obey_signals(control)
        control.take_charge(lambda: None)
        for number in (signal.SIGHUP, signal.SIGINT):
            os.kill(os.getpid(), number)
        await control.until(lambda: control.stopping)

    try:
        await asyncio.create_task(a_run())
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(signal.SIGHUP, before)
    assert control.abort_why is None


async def test_before_there_is_a_run_a_signal_ends_the_command() -> None:
    async def not_yet() -> None:
        obey_signals(RunControl())
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

    task = asyncio.create_task(not_yet())
    try:
        with pytest.raises(asyncio.CancelledError):
            await task
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().remove_signal_handler(number)


async def test_an_interrupted_run_is_gone_on_with_from_its_folder_alone(tmp_path: Path) -> None:
    loaded = load_experiment(
        CONFIGS / "nyc_swapping.yaml",
        [
            read_override(text)
            for text in (
                "plan.1.calibrate_delays.duration=500 ms",
                "plan.2.measure_swapping={bases: [ZZ], dwell: 500 ms, rounds: 2}",
                "record={tags: none}",
            )
        ],
    )
    old = folder_of(tmp_path, "nyc-0001", state="interrupted", seed=3)
    (old / "config.resolved.yaml").write_text(yaml.safe_dump(dict(loaded.resolved)))
    counted = Counts.none("ZZ", len(loaded.testbed.detectors))
    counted.live_ps, counted.fourfolds[0, 0, 1] = 5 * 10**11, 7
    entry = {"visit": 0, "seconds": 0.5, "begin_ps": 0, "end_ps": 5 * 10**11, **counted.to_json()}
    documents = Documents(old / DOCUMENTS)
    enter(lambda event: documents.event(event, 1.0), loaded.experiment.plan[2], old.name, "ZZ", entry)
    documents.close()

    continuation = continuation_of(old)
    report = await Session(continuation.loaded, tmp_path, continuation.seed, continuation).carry_out()
    assert report.ending.exit == 0, report.ending.message
    about = json.loads((report.folder / "run.json").read_text())
    assert (about["continues"], about["generation"], about["seed"]) == (old.name, 1, 3)
    assert [dwell["setting"] for dwell in happened(report.folder, "dwell")] == ["ZZ"]
    found = json.loads((report.folder / "results.json").read_text())
    assert found["live_time_s"] == 1.0
    assert found["counted_in"]["earlier_runs"] == {
        old.name: {"live_time_s": 0.5, "heralds": 0, "fourfolds": 7}
    }
    assert found["counted_in"]["this_run"]["live_time_s"] == 0.5
