"""The page "Your first run" does what it says: every command, in its order, in a copy of a fresh checkout."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from bellbench.exit_codes import ExitCode
from tests.docs.pages import Command, Page, checkout

PAGE = Page.read("first-run.md")
RUN = ".venv/bin/bellbench run first.yaml --seed 7"
WATCH = ".venv/bin/bellbench watch"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    checkout(tmp_path)
    PAGE.write_files(tmp_path)
    return tmp_path


@pytest.mark.timeout(300)
def test_every_command_of_the_page_works(folder: Path) -> None:
    lines = [command.line for command in PAGE.commands]
    at = lines.index(RUN)
    assert lines[at + 1] == WATCH  # in another terminal, while the run goes on
    for command in (*PAGE.commands[:at], *PAGE.commands[at + 2 :]):
        if command is PAGE.commands[-1]:
            _run_and_watch(folder)
        done = command.run(folder)
        assert done.returncode == 0, f"$ {command.line}\n{done.stdout}"
    (run,) = (folder / "runs").iterdir()
    rate = json.loads((run / "results.json").read_text())["swap_rate_hz"]
    assert str(rate["value"]) in done.stdout
    assert "tags kept around" in done.stdout


def _run_and_watch(folder: Path) -> None:
    """Both of the page's long commands, side by side; the watcher ends when the run does."""
    outside_pytest = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    with subprocess.Popen(
        RUN.split(), cwd=folder, env=outside_pytest, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "running" in line:
                break
        watched = next(c for c in PAGE.commands if c.line == WATCH).run(folder, timeout_s=200)
        rest = process.stdout.read()
    assert process.returncode == 0
    assert "swap rate" in rest
    assert watched.returncode == 0, watched.stdout
    assert "completed" in watched.stdout


def test_the_page_s_table_of_exit_codes_is_the_program_s() -> None:
    for code in ExitCode:
        assert f"\n| {code.value} | " in PAGE.text, code


def test_the_page_s_mistake_is_found_as_it_says(folder: Path) -> None:
    file = folder / "first.yaml"
    file.write_text(file.read_text().replace("dwell: 10 s", "dwell: 10 m"))
    done = Command(".venv/bin/bellbench check first.yaml", "").run(folder)
    assert done.returncode == ExitCode.CONFIG
    assert "'m' is a unit of length, not of time" in done.stdout
