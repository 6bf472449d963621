"""The page "One instrument at a time" does what it says."""

from pathlib import Path

from tests.docs.pages import Page, checkout

PAGE = Page.read("at-the-bench.md")


def test_every_command_prints_what_the_page_shows(tmp_path: Path) -> None:
    checkout(tmp_path)
    PAGE.write_files(tmp_path)
    for command in PAGE.commands:
        done = command.run(tmp_path)
        broken = "bad_day" in command.line
        assert done.returncode == (3 if broken else 0), f"$ {command.line}\n{done.stdout}"
        assert command.agrees(done.stdout), f"$ {command.line}\n{done.stdout}"
