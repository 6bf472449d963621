"""Values put over those of a file: `--set PATH=VALUE`, and one point of a sweep.

A path is written with dots, `settings.bsm_window`, as in messages; items of a list are counted from 0, as
`plan.2.measure_swapping.dwell` or `plan[2].measure_swapping.dwell`. In an experiment, what follows `testbed.`
leads into the testbed file: `testbed.instruments.alice_pump.address`. `testbed` alone names another testbed
file.

The value is read by the loader of the files, so it has the same units and the same errors, and takes the
place of whatever stood there as a whole. Keys that the file leaves out are added where the models know them.
Problems with it name the flag, or the place in the file where the sweep is written.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import get_args, get_origin

from pydantic import BaseModel

from experiments.config.loader import Document, Place, parse_value
from experiments.config.problems import ConfigError, Path, Problem, choices, show_path, show_value
from experiments.config.validate import annotation_at, model_of

TESTBED = "testbed"
_WORD = re.compile(r"[^.\[\]]+")
_PATH = re.compile(r"[^.\[\]]+(?:\.[^.\[\]]+|\[\d+\])*")


@dataclass(frozen=True)
class Override:
    """A value for a path, and where it is said. `words` are the steps of the path as they are written."""

    words: tuple[str, ...]
    value: object
    place: Place

    @property
    def path(self) -> str:
        """The path as people write it."""
        return ".".join(self.words)

    def problem(self, message: str) -> Problem:
        return Problem(*self.place, self.path, message)


def read_override(text: str, flag: str = "--set") -> Override:
    """What `PATH=VALUE` after a flag means. Raises ConfigError."""
    words, value = split_flag(text, flag)
    place = Place(f"{flag} {'.'.join(words)}", 0, 0)
    # The value is never in the name of its place: it may be a password, which is refused only later.
    return Override(words, parse_value(value, place.file), place)


def split_flag(text: str, flag: str) -> tuple[tuple[str, ...], str]:
    """The words of the path and the text of the value in `PATH=VALUE`. Raises ConfigError."""
    path, equals, value = text.partition("=")
    words = words_of(path.strip())
    if not equals or words is None:
        example = f"{flag} settings.bsm_window={'200 ps:1500 ps:5' if flag == '--sweep' else '600 ps'}"
        found = f"{show_value(path)} is no path" if equals else "there is no ="
        raise ConfigError([Problem(flag, 0, 0, "", f"{found}; write PATH=VALUE, like {example!r}")])
    return words, value


def words_of(path: str) -> tuple[str, ...] | None:
    """The steps of a path, or None of what is no path."""
    return tuple(_WORD.findall(path)) if _PATH.fullmatch(path) else None


def parted(overrides: Iterable[Override]) -> tuple[list[Override], list[Override]]:
    """Those for an experiment file, and those for its testbed file with their paths in it."""
    own, testbed = [], []
    for override in overrides:
        if override.words[0] == TESTBED and len(override.words) > 1:
            testbed.append(replace(override, words=override.words[1:]))
        else:
            own.append(override)
    return own, testbed


def overridden(document: Document, overrides: Sequence[Override], model: type[BaseModel]) -> Document:
    """The document with these values in place; of two for one path the later holds.

    `model` says where keys are names of things, which must be there before a part of them is set. Raises
    ConfigError with everything that leads nowhere.
    """
    problems: list[Problem] = []
    for override in overrides:
        try:
            document = _put(document, override, model)
        except _NowhereError as error:
            problems.append(override.problem(str(error)))
    if problems:
        raise ConfigError([*document.problems, *problems])
    return document


class _NowhereError(Exception):
    """A path leads nowhere; the message says how far it leads."""


def _put(document: Document, override: Override, model: type[BaseModel]) -> Document:
    path: Path = ()
    made: list[Path] = []
    here: object = document.data

    def rebuilt(container: object, words: tuple[str, ...]) -> object:
        """A copy of `container` with the value in place, as far as the path goes; the rest is shared."""
        nonlocal path
        if not words:
            return override.value
        word, around = words[0], path
        if isinstance(container, list):
            number = _item(container, word, around)
            path = (*around, number)
            return [*container[:number], rebuilt(container[number], words[1:]), *container[number + 1 :]]
        if container == word and _is_step(around):
            container = {word: None}  # a step without parameters is a bare word
        if container is None and around:
            container = {}
        if not isinstance(container, dict):
            raise _NowhereError(f"{show_path(around)} is {show_value(container)}, nothing is inside")
        path = (*around, word)
        if word not in container:
            if _is_step(around) or (len(words) > 1 and _holds_whole_things(model, around)):
                raise _NowhereError(f"there is no {show_value(word)} in {show_path(around)}; "
                                    f"{choices(word, container)}")  # fmt: skip
            made.append(path)
        return {**container, word: rebuilt(container.get(word), words[1:])}

    data = rebuilt(here, override.words)
    assert isinstance(data, dict)
    values = {at: place for at, place in document.values.items() if at[: len(path)] != path}
    keys = {at: place for at, place in document.keys.items() if at[: len(path)] != path}
    new = dict.fromkeys([*made, path], override.place)
    return replace(document, data=data, values={**values, **new}, keys={**keys, **new})


def _item(items: list[object], word: str, path: Path) -> int:
    """The number of an item that a word means."""
    if not word.isascii() or not word.isdigit() or int(word) >= len(items):
        known = [f"{number} ({_title(item)})" for number, item in enumerate(items)]
        raise _NowhereError(
            f"{show_path(path)} is a list, {show_value(word)} is none of its items; "
            f"allowed: {', '.join(known) if known else 'nothing, it is empty'}"
        )
    return int(word)


def _title(item: object) -> str:
    return next(iter(item), "") if isinstance(item, dict) else show_value(item).strip("'")


def _is_step(path: Path) -> bool:
    """Whether a step of the plan stands there, whose only key is its kind."""
    return len(path) == 2 and path[0] == "plan"


def _holds_whole_things(model: type[BaseModel], path: Path) -> bool:
    """Whether the keys there are names that the file gives, of things that one value alone cannot make."""
    kind = annotation_at(model, path)
    thing = model_of(get_args(kind)[1]) if get_origin(kind) is dict else None
    return thing is not None and any(field.is_required() for field in thing.model_fields.values())
