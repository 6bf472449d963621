"""The page "Safety" does what it says."""

import json
from pathlib import Path
from typing import get_args

from bellbench.exit_codes import ExitCode
from bellbench.guarding import BEATS_PER_LEASE, LEASE_S
from experiments.config.interlocks import Interlock
from tests.docs.pages import PAGES, Page, checkout

PAGE = Page.read("safety.md")
TEXT = (PAGES / "safety.md").read_text()
CODES = (ExitCode.UNSAFE, ExitCode.CONFIG, ExitCode.DONE)


def test_every_command_prints_what_the_page_shows(tmp_path: Path) -> None:
    checkout(tmp_path)
    PAGE.write_files(tmp_path)
    for command, code in zip(PAGE.commands, CODES, strict=True):
        done = command.run(tmp_path)
        assert done.returncode == code, f"$ {command.line}\n{done.stdout}"
        assert command.agrees(done.stdout), f"$ {command.line}\n{done.stdout}"
    (folder,) = (tmp_path / "runs").iterdir()
    about = json.loads((folder / "run.json").read_text())
    assert [outcome["problem"] for outcome in about["safe_state"]] == [""] * 11


def test_the_page_names_every_key_of_an_interlock_and_the_term_of_the_lease() -> None:
    for key in Interlock.model_fields:
        assert f"| `{key}` |" in TEXT
    for action in get_args(Interlock.model_fields["action"].annotation):
        assert f"`{action}`" in TEXT
    times = {6: "six times"}[BEATS_PER_LEASE]
    assert f"{times} in {LEASE_S:g} s" in TEXT
