"""The page "While a run goes on" does what it says: every command of it to one run, in their order."""

import json
import subprocess
from pathlib import Path

from tests.docs.pages import Page, checkout

PAGE = Page.read("run-control.md")
RUN = "bellbench run night.yaml"


def test_every_word_does_to_a_run_what_the_page_says(tmp_path: Path) -> None:
    checkout(tmp_path)
    PAGE.write_files(tmp_path)
    first, *words = PAGE.commands
    assert first.line == RUN
    bellbench = tmp_path / ".venv/bin/bellbench"
    with subprocess.Popen(
        [bellbench, "run", "night.yaml", "--no-report"], cwd=tmp_path,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as run:  # fmt: skip
        assert run.stdout is not None
        try:
            next(line for line in run.stdout if "waiting" in line)
            for command in words:
                done = command.run(tmp_path)
                over = command.printed.endswith("the run is over: completed\n")
                assert command.agrees(done.stdout), f"$ {command.line}\n{done.stdout}"
                assert done.returncode == (1 if over else 0), f"$ {command.line}\n{done.stdout}"
            said, _ = run.communicate(timeout=60)
        finally:
            run.terminate()
    assert run.returncode == 0, said
    assert "stopped in step wait: enough for today" in said
    (folder,) = (tmp_path / "runs").iterdir()
    about = json.loads((folder / "run.json").read_text())
    assert (about["state"], about["stopped"]) == ("completed", True)
    assert [outcome["problem"] for outcome in about["safe_state"]] == [""] * 11


def test_the_page_names_every_word_and_state() -> None:
    from experiments.engine.control import Word
    from experiments.engine.outcome import State

    for name in (*Word, *State):
        assert str(name) in PAGE.text
