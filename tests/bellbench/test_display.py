"""The picture of a run in the terminal."""

import io

import pytest
from rich.console import Console

from bellbench.display import LiveDisplay


@pytest.mark.parametrize("title", ["Bell test [night shift]", "Bell test [/run 3]", "a\\[bold]b"])
def test_brackets_of_a_title_are_brackets(title: str) -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    with LiveDisplay(console, title):
        pass
    assert isinstance(console.file, io.StringIO)
    assert f"─ {title} ─" in console.file.getvalue()
