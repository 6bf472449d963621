"""Parts that several files share: what a file lists under `include:` is read first, and the file itself goes
on top.

Guarantees:

* Mappings are merged key by key, at every depth. Everything else (a value, a list, a plan) is taken as a
  whole from whoever says it last: of the files in the list the later one, and before all of them the file
  itself.
* Names of included files are relative to the file that includes them; nothing is fetched from a network.
* A value keeps the place where it is written, so that a problem names the file that has to be mended.
* Files that include each other in a circle, or more than `MAX_DEPTH` deep, are refused. Anchors and aliases
  do not reach into another file.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path as FilePath
from typing import TypeVar

from experiments.config.loader import MAX_NODES, Document, read_document
from experiments.config.problems import ConfigError, Path, Problem, show_value

KEY = "include"
MAX_DEPTH = 8
"""Files that include one another, one below the other."""
MAX_FILES = 64
"""Files in one configuration, counted as often as they are included."""

V = TypeVar("V")


def read_whole(path: FilePath) -> Document:
    """Read a file with all that it includes. Raises ConfigError when a part of it cannot be read at all."""
    return _Reading().read(path, ())


class _Reading:
    def __init__(self) -> None:
        self._files = 0

    def read(self, path: FilePath, around: tuple[FilePath, ...]) -> Document:
        """Read one file and what it includes; `around` are the files that include it, the outermost first."""
        self._files += 1
        document = read_document(path)
        around = (*around, _whole(path))
        names, problems = _names(document)
        below: Document | None = None
        for number, name in names.items():
            place: Path = (KEY, number)
            part = FilePath(document.file).parent / name
            if wrong := self._refused(part, around):
                problems.append(document.at_value(place, wrong))
                continue
            try:
                found = self.read(part, around)
            except ConfigError as error:
                # One that is not there is a mistake of the file that names it.
                problems += [
                    document.at_value(place, str(p))
                    if "cannot be read" in p.message and p.file == str(part)
                    else p
                    for p in error.problems
                ]
            else:
                below = found if below is None else merged(below, found)
        if problems:
            raise ConfigError([*document.problems, *problems])
        whole = without(document, KEY)
        if below is not None:
            whole = merged(below, whole)
            if len(whole.values) > MAX_NODES:
                raise ConfigError(
                    [document.at_key((KEY,), f"more than {MAX_NODES} values with what is included")]
                )
        return whole

    def _refused(self, part: FilePath, around: tuple[FilePath, ...]) -> str:
        """Why this file must not be included here, or nothing."""
        if _whole(part) in around:
            names = [file.name for file in around[around.index(_whole(part)) :]]
            return f"a circle: {' includes '.join([*names, names[0]])}"
        if len(around) > MAX_DEPTH:
            return f"files that include each other more than {MAX_DEPTH} deep"
        return f"more than {MAX_FILES} files" if self._files >= MAX_FILES else ""


def _whole(path: FilePath) -> FilePath:
    """The one name of a file, whichever way it is written."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):  # links in a circle, a null character; reading it says so
        return path.absolute()


def _names(document: Document) -> tuple[dict[int, str], list[Problem]]:
    """What a file includes, by its number in the list."""
    if KEY not in document.data:
        return {}, []
    listed = document.data[KEY]
    if not isinstance(listed, list):
        message = f"{show_value(listed)} is not a list; write include: [FILE, FILE], relative to this file"
        return {}, [document.at_value((KEY,), message)]
    names: dict[int, str] = {}
    problems = []
    for number, name in enumerate(listed):
        if isinstance(name, str) and name and "://" not in name and not FilePath(name).is_absolute():
            names[number] = name
        else:
            message = f"{show_value(name)} is no file to include; allowed: a path relative to this file"
            problems.append(document.at_value((KEY, number), message))
    return names, problems


def without(document: Document, key: str) -> Document:
    """The document without one key of its top, which is used up."""
    data = {other: value for other, value in document.data.items() if other != key}
    values = {path: place for path, place in document.values.items() if path[:1] != (key,)}
    keys = {path: place for path, place in document.keys.items() if path[:1] != (key,)}
    return replace(document, data=data, values=values, keys=keys)


def merged(below: Document, above: Document) -> Document:
    """Two documents as one, which has the name of `above`; what `above` says holds."""
    covered: set[Path] = set()
    data = _merged(below.data, above.data, (), covered)

    def places(one: Mapping[Path, V], other: Mapping[Path, V]) -> dict[Path, V]:
        kept = {
            path: place
            for path, place in one.items()
            if not any(path[:length] in covered for length in range(1, len(path) + 1))
        }
        return {**kept, **other}

    return Document(
        above.file,
        {**above.sources, **below.sources},
        data,
        places(below.values, above.values),
        places(below.keys, above.keys),
        (*below.problems, *above.problems),
    )


def _merged(
    below: Mapping[str, object], above: Mapping[str, object], path: Path, covered: set[Path]
) -> dict[str, object]:
    """The merged data; the paths at which something of `below` is hidden go to `covered`."""
    data = dict(below)
    for key, value in above.items():
        inner: Path = (*path, key)
        hidden = below.get(key)
        if isinstance(hidden, dict) and isinstance(value, dict):
            data[key] = _merged(hidden, value, inner, covered)
        else:
            data[key] = value
            covered.add(inner)
    return data
