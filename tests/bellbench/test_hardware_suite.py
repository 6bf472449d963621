"""`tests/hardware` as people meet it: never by accident, never without a yes; then it does what it says."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCH = """
testbed: stand_in
nodes: {lab: {title: Laboratory}}
instruments: {generator: {node: lab, model: srs_dg645, address: sim}}
simulation: {}
"""
MODEL = ("--model", "srs_dg645", "--address")
NOWHERE = "tcp://127.0.0.1:9"


def hardware(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`pytest` with these arguments, in a folder with this repository's options."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout whose tests are one other test, and the folder."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(
        ROOT / "tests/hardware", tmp_path / "tests/hardware", ignore=shutil.ignore_patterns("__pycache__")
    )
    (tmp_path / "tests/test_other.py").write_text("def test_other() -> None:\n    pass\n")
    return tmp_path


def test_a_run_of_all_tests_does_not_find_it(tree: Path) -> None:
    done = hardware(tree, "--collect-only", "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_other.py::test_other" in done.stdout
    assert "1 test collected" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "--model MODEL --address ADDRESS"),
        ((*MODEL, "serial:/dev/null"), "srs_dg645 is not at serial: but at tcp, visa"),
        ((*MODEL, NOWHERE, "--settings", "{max_rate: 5 V}"), "'V' is a unit of voltage, not of frequency"),
        ((*MODEL, NOWHERE, "--yes", "-n", "1"), "leave -n out"),
    ],
)
def test_what_cannot_be_is_refused_at_the_start(
    tree: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    done = hardware(tree, "tests/hardware", *arguments)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert complaint in done.stderr


@contextmanager
def bench(folder: Path) -> Iterator[str]:
    """The address of a simulated DG645 in a process of its own, as stand-in for a real one."""
    (folder / "stand_in.yaml").write_text(BENCH)
    command = [str(Path(sys.executable).with_name("bellbench")), "sim", "stand_in.yaml", "--json"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        try:
            yield json.loads(serving.stdout.readline())["instruments"][0]["address"]
        finally:
            serving.send_signal(signal.SIGINT)


def ask(address: str, text: str) -> str:
    """What the instrument says to somebody else."""
    host, port = address.removeprefix("tcp://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as line:
        line.sendall(text.encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            answer += line.recv(4096)
        return answer.decode().strip()


def test_it_says_what_it_will_do_and_does_it_only_if_told_to(tree: Path) -> None:
    """Commands and answers are those of srs_dg645.md: trigger source 5 is single shot, 0 internal."""
    with bench(tree) as address:
        ask(address, "TRAT 1234;DLAY 2,0,1.5e-6;DLAY 3,2,1e-6;TSRC 0;TSRC?")
        asked = hardware(tree, "tests/hardware", *MODEL, address)
        assert asked.returncode == pytest.ExitCode.USAGE_ERROR
        assert "rate is set (0.0001 Hz to 10 MHz), to both ends" in asked.stdout
        assert "running is switched on and off: EMISSION OR BIAS" in asked.stdout
        assert "say --yes" in asked.stderr
        assert ask(address, "TSRC?") == "0"  # nothing has been made safe, so nothing has been touched

        done = hardware(tree, "tests/hardware", *MODEL, address, "--yes")
        assert done.returncode == 0, done.stdout
        assert re.search(r"\b7 passed", done.stdout)
        assert ask(address, "TSRC?") == "5"
        assert float(ask(address, "TRAT?")) == 1234
        assert ask(address, "DLAY? 2") == "0,+0.000001500000"
