"""The terminal that commands print to. Titles, names and what instruments say are somebody's own words: a
bracket in them is a bracket, and no markup of rich's."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console(*, stderr: bool = False, highlight: bool = True) -> "Console":
    """A console that takes words as they are; with `highlight`, numbers in them stand out."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=highlight, markup=False)
