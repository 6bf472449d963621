"""What is wrong with a configuration: every problem with its place, all of them at once.

A problem reads `file:line:column: path: what was found; what is allowed; did you mean 'x'?`, with lines
and columns counted from 1. Imports nothing heavy, so that the command line can catch `ConfigError`
without loading the models.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

Path = tuple[str | int, ...]
"""The way to a value from the top of a document: `("plan", 2, "measure_swapping", "dwell")`."""


class Fault(NamedTuple):
    """Something wrong with the thing at `path`, before its place in the file is looked up.

    `at_key` points to the key that ends the path, for names that are wrong and for whole mappings;
    otherwise the place is that of the value, or the letter of a text there, counted from 0.
    """

    path: Path
    message: str
    at_key: bool = False
    letter: int = 0


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong, and where. `line` and `column` count from 1; they are 0 for what stands on the
    command line, and `file` is its flag then."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        dotted = self.path.replace("[", ".").replace("]", "")  # as on a command line
        said = not self.path or (not self.line and self.file.endswith((self.path, dotted)))
        return f"{where}: {self.message}" if said else f"{where}: {self.path}: {self.message}"


class ConfigError(Exception):
    """A configuration that cannot be used. `problems` is everything found, sorted by position.

    What an alias brings in twice is said once: problems at one place with one message count as one.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        unique: dict[tuple[str, int, int, str], Problem] = {}
        for problem in problems:
            unique.setdefault((problem.file, problem.line, problem.column, problem.message), problem)
        self.problems: tuple[Problem, ...] = tuple(sorted(unique.values()))
        super().__init__("\n".join(map(str, self.problems)))


def show_path(path: Path) -> str:
    """A path as people read it: `plan[2].measure_swapping.dwell`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def show_value(value: object) -> str:
    """A value as it was found, short enough for a message."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return repr(value) if len(value) <= 40 else repr(value[:37] + "...")
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case _:
            return str(value)


def one(noun: str) -> str:
    """A noun with its article: `a Laser`, `an OpticalSwitch`."""
    return f"{'an' if noun[0].lower() in 'aeio' else 'a'} {noun}"


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """The allowed word most like `word`, or None when none is like it; letter case counts little."""
    from difflib import get_close_matches

    by_fold = {candidate.casefold(): candidate for candidate in allowed}
    matches = get_close_matches(word.casefold(), by_fold, n=1, cutoff=0.6)
    return by_fold[matches[0]] if matches else None


def choices(word: object, allowed: Iterable[str]) -> str:
    """The end of a message: `allowed: a, b, c; did you mean 'b'?`; says when nothing is allowed."""
    words = list(allowed)
    text = f"allowed: {', '.join(words) if words else 'nothing here'}"
    near = nearest(word, words) if isinstance(word, str) else None
    return f"{text}; did you mean '{near}'?" if near else text
