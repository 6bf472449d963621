"""Whole runs through every layer: repeatable, abortable, and clear about what went wrong."""

import asyncio
import errno
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bellbench.session import Session
from experiments.config.files import load_experiment
from experiments.engine.events import RunEvent, StepBegan
from experiments.engine.run import RunReport
from tests.recorded import documents, events
from timetags.files import segments
from timetags.files.segments import read_segments

CONFIGS = Path(__file__).parents[2] / "configs"
BELLBENCH = Path(sys.executable).with_name("bellbench")
PLAN = "  - measure_swapping: {bases: [ZZ, XX, CHSH], dwell: 100 s}"


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """The deployed experiment with 2 s in one setting, on a copy of its testbed."""
    (tmp_path / "testbeds").mkdir()
    (tmp_path / "testbeds/nyc.yaml").write_text((CONFIGS / "testbeds/nyc.yaml").read_text())
    text = (CONFIGS / "nyc_swapping.yaml").read_text()
    assert PLAN in text
    text = text.replace(PLAN, "  - measure_swapping: {bases: [ZZ], dwell: 2 s}")
    text = text.replace("raw: 1 s", "raw: 0.2 s").replace("{duration: 2 s}", "{duration: 500 ms}")
    text = text.replace("20 mW", "5 mW")  # a quarter of the pairs: a quarter of the work
    (tmp_path / "short.yaml").write_text(text)
    return tmp_path / "short.yaml"


def bellbench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BELLBENCH, *arguments], capture_output=True, text=True, timeout=110, check=False)


def add(file: Path, text: str) -> None:
    file.write_text(file.read_text() + text)


def fingerprint(folder: Path) -> dict[str, str]:
    """What must be the same for the same seed: the results and all tags."""
    files = [folder / "results.json", *sorted(folder.rglob("*.parquet"))]
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


async def carry_out(file: Path, runs: Path, on_event: Callable[[Session, RunEvent], None]) -> RunReport:
    """A run in this process, with a test's hand on the bench's instruments."""
    session = Session(load_experiment(file), runs, seed=3)

    class Hand:
        def notify(self, event: RunEvent) -> None:
            on_event(session, event)

    report = await session.carry_out([Hand()])
    assert session.bench is not None
    assert all(port.power_w == 0.0 for port in session.bench.ports.lasers.values())
    assert all(port.bias_a == 0.0 for port in session.bench.ports.nanowires.values())
    return report


@pytest.mark.timeout(240)
async def test_the_same_seed_gives_the_same_bytes_twice_in_one_process_and_in_another(
    short: Path, tmp_path: Path
) -> None:
    folders = []
    for _ in range(2):
        report = await carry_out(short, tmp_path / "runs", lambda session, event: None)
        assert report.ending.exit == 0, report.ending.message
        folders.append(report.folder)
    done = await asyncio.to_thread(
        bellbench, "run", short, "--runs", tmp_path / "runs", "--seed", "3", "--json"
    )
    assert done.returncode == 0, done.stderr
    folders.append(Path(json.loads(done.stdout)["folder"]))
    prints = [fingerprint(folder) for folder in folders if folder is not None]
    assert len(prints[0]) == 5  # results, tags around heralds, raw tags of three taggers
    assert prints[0] == prints[1] == prints[2]
    other = await asyncio.to_thread(
        bellbench, "run", short, "--runs", tmp_path / "runs", "--seed", "4", "--json"
    )
    assert fingerprint(Path(json.loads(other.stdout)["folder"])) != prints[0]


def test_a_run_s_folder_holds_everything_and_json_says_where(short: Path, tmp_path: Path) -> None:
    done = bellbench("run", short, "--runs", tmp_path / "runs", "--seed", "3", "--json")
    assert done.returncode == 0, done.stderr
    about = json.loads(done.stdout)
    folder = Path(about["folder"])
    assert about["state"] == "completed"
    results = json.loads((folder / "results.json").read_text())
    assert about["results"] == results
    for name in ("swap_rate_hz", "chsh_s", "fidelity", "visibility_zz", "visibility_xx"):
        assert set(results[name]) >= {"value", "error"}
    assert results["visibility_xx"]["value"] is None  # the plan did not measure it
    assert (folder / "config.source/short.yaml").read_text() == short.read_text()
    assert "20" in (folder / "config.resolved.yaml").read_text()
    assert json.loads((folder / "env.json").read_text())["seed"] == 3
    run = json.loads((folder / "run.json").read_text())
    assert run["state"] == "completed"
    assert run["exit_code"] == 0
    assert [outcome["problem"] for outcome in run["safe_state"]] == [""] * 14
    raw = list(read_segments(folder / "tags/raw/hub_tagger"))
    rate = sum(map(len, raw)) / 0.2
    assert rate == pytest.approx(4 * 2.856e5 / 4, rel=0.02)  # physics.md 5, of a quarter of the pump
    assert sum(map(len, read_segments(folder / "tags/heralds"))) > 2 * results["heralds"]


def test_an_address_that_refuses_is_named_with_the_remedy(short: Path, tmp_path: Path) -> None:
    with socket.socket() as busy:  # bound but not listening: it refuses
        busy.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{busy.getsockname()[1]}"
        testbed = short.with_name("testbeds") / "nyc.yaml"
        text = testbed.read_text().replace(
            "model: toptica_dlcpro, address: sim", f"model: toptica_dlcpro, address: '{address}'", 1
        )
        others = iter(range(10, 99))
        text = re.sub(
            r"model: (\w+), address: sim",
            lambda m: f"model: {m[1]}, address: '{_nowhere(m[1], next(others))}'",
            text,
        )
        testbed.write_text(text)
        done = bellbench("run", short, "--runs", tmp_path / "runs", "--seed", "3")
    assert done.returncode == 3
    assert f"alice_pump ({address})" in done.stderr
    assert "See that the instrument is on" in done.stderr
    assert "bob_qwp" in done.stderr  # all failures at once
    (folder,) = (tmp_path / "runs").iterdir()
    assert json.loads((folder / "run.json").read_text())["state"] == "failed"


def _nowhere(model: str, number: int) -> str:
    """An address of the right kind where nothing answers."""
    if model.startswith("thorlabs_pm"):
        return f"visa:TCPIP0::127.0.0.1::{number}::SOCKET"
    if model.startswith("thorlabs"):
        return f"serial:/dev/no_such_{number}"
    scheme = "zmq" if model == "idq_id900" else "tcp"
    return f"{scheme}://127.0.0.1:{number}"


@pytest.mark.parametrize("silent", ["alice_hwp", "hub_tagger", "hub_nanowires"])
async def test_an_instrument_that_goes_silent_in_mid_run_and_stays_so_ends_it_with_the_others_safe(
    short: Path, tmp_path: Path, silent: str
) -> None:
    add(short, "reconnection: {deadline: 3 s}\n")

    def fall_silent(session: Session, event: RunEvent) -> None:
        if isinstance(event, StepBegan) and event.kind == "measure_swapping":
            assert session.bench is not None
            session.bench.instruments[silent].faults.silent = True

    if silent == "hub_nanowires":  # its bias cannot be brought down any more: that has to be said
        session = Session(load_experiment(short), tmp_path / "runs", seed=3)

        class Hand:
            def notify(self, event: RunEvent) -> None:
                fall_silent(session, event)

        report = await session.carry_out([Hand()])
    else:
        report = await carry_out(short, tmp_path / "runs", fall_silent)
    assert report.folder is not None
    unsafe = [outcome.name for outcome in report.safe if not outcome.verified]
    assert unsafe == [silent]
    assert silent in report.ending.message
    assert report.ending.exit == 4  # an unverified safe state outranks the cause
    assert "go and look" in report.ending.message
    run = json.loads((report.folder / "run.json").read_text())
    assert run["state"] == "failed"
    assert [e["state"] for e in events(report.folder, "state")][-2:] == ["paused", "failed"]
    assert documents(report.folder)[-1][0] == "stop"
    assert sum(map(len, read_segments(report.folder / "tags/raw/alice_tagger"))) > 0


async def test_a_full_disk_fails_the_run_and_leaves_what_was_written_readable(
    short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = os.fsync, []

    def full(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.parent.name == "heralds" or written:
            written.append(path)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        real(descriptor)

    monkeypatch.setattr(segments.os, "fsync", full)
    report = await carry_out(short, tmp_path / "runs", lambda session, event: None)
    assert written
    assert report.ending.exit == 6
    assert "no space left" in report.ending.message
    assert "Free some space" in report.ending.message
    assert report.folder is not None
    assert sum(map(len, read_segments(report.folder / "tags/raw/hub_tagger"))) > 25_000
    assert "ended" in [step["phase"] for step in events(report.folder, "step")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_twice_and_any_other_signal_abort_into_the_safe_state_and_more_of_them_do_not_skip_it(
    short: Path, tmp_path: Path, number: signal.Signals
) -> None:
    text = short.read_text().replace("dwell: 2 s", "dwell: 500 s")
    short.write_text(text)
    with subprocess.Popen(
        [BELLBENCH, "run", short, "--runs", tmp_path / "runs", "--seed", "3"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        next(line for line in process.stdout if "heralds" in line)  # it is taking data
        process.send_signal(number)
        if number is signal.SIGINT:
            next(line for line in process.stdout if "stop: Ctrl-C; once more aborts" in line)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "aborted" in err
    said = [entry["event"] for entry in events(next((tmp_path / "runs").iterdir()), "happened")]
    assert said.index("making safe") < said.index("safe state")
    assert "Traceback" not in err
    (folder,) = (tmp_path / "runs").iterdir()
    run = json.loads((folder / "run.json").read_text())
    assert run["state"] == "aborted"
    assert [outcome["problem"] for outcome in run["safe_state"]] == [""] * 14
    results = json.loads((folder / "results.json").read_text())
    assert results["complete"] is False
    # Two tags for each herald at least: what was counted until then was kept as well.
    assert sum(map(len, read_segments(folder / "tags/heralds"))) > 2 * results["heralds"] > 0


def test_bad_input_exits_2_with_its_place_and_starts_nothing(short: Path, tmp_path: Path) -> None:
    short.write_text(short.read_text().replace("bsm_window: 800 ps", "bsm_window: 800 nm"))
    done = bellbench("run", short, "--runs", tmp_path / "runs")
    assert done.returncode == 2
    assert re.search(r"short\.yaml:\d+:\d+: .*'nm' is a unit of length, not of time", done.stderr)
    assert not (tmp_path / "runs").exists()
    refused = json.loads(bellbench("run", short, "--runs", tmp_path / "runs", "--json").stdout)
    assert refused["exit_code"] == 2
    assert "'nm' is a unit of length" in refused["problems"][0]["message"]


def test_a_figure_outside_acceptance_is_named_and_shows_in_the_exit_code(short: Path, tmp_path: Path) -> None:
    add(short, "accept:\n  swap_rate_hz: {above: 100}\n")
    done = bellbench("run", short, "--runs", tmp_path / "runs", "--seed", "3", "--json")
    assert done.returncode == 5
    assert re.search(r"swap_rate_hz is [\d.]+, not above 100", done.stderr)
    assert json.loads(done.stdout)["state"] == "completed"


def test_a_secret_that_is_not_there_is_asked_for_before_anything_starts(short: Path, tmp_path: Path) -> None:
    telemetry = "telemetry: {broker: 'mqtt://127.0.0.1:1', password: '${env:NO_SUCH_SECRET}'}\n"
    add(short, telemetry)
    done = bellbench("run", short, "--runs", tmp_path / "runs")
    assert done.returncode == 2
    assert "NO_SUCH_SECRET" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_run_does_not_mind_a_broker_that_is_not_there(short: Path, tmp_path: Path) -> None:
    add(short, "telemetry: {broker: 'mqtt://127.0.0.1:1'}\n")
    done = bellbench("run", short, "--runs", tmp_path / "runs", "--seed", "3", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "telemetry did not get through: broker at 127.0.0.1:1: connection refused" in done.stderr
    assert "bellbench telemetry flush" in done.stderr
