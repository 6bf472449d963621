"""The pages on the dashboard and on reports: every option that they name is one, every picture is there."""

import re

import click
import pytest

from bellbench.commands.dashboard import dashboard
from bellbench.commands.report import report
from bellbench.commands.run import run
from bellbench.commands.runs import runs
from tests.docs.pages import PAGES

COMMANDS: dict[str, list[click.Command]] = {
    "dashboard.md": [dashboard, run],
    "report.md": [report, run, *runs.commands.values()],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_options_and_pictures_of_the_page_are_there(name: str) -> None:
    text = (PAGES / name).read_text()
    known = {option for command in COMMANDS[name] for given in command.params for option in given.opts}
    named = set(re.findall(r"(?<![-\w])--[a-z][a-z-]+", text))
    assert len(named) >= 3
    assert named <= known
    pictures = re.findall(r"pictures/[\w-]+\.png", text)
    assert pictures
    assert all((PAGES / picture).is_file() for picture in pictures)
