"""YAML text to plain data that knows where each value stands.

Guarantees:

* Scalars mean what YAML 1.2's core schema says: `1e-9`, `1.0e9` and `1E6` are numbers, `on`, `yes` and
  `12:30` are strings, `010` is ten. (PyYAML alone follows YAML 1.1, where they are not.)
* The data are dicts with string keys, lists, strings, numbers, booleans and None, and nothing else. A key
  that is a whole number, such as the output of a switch, is taken as its text.
  Anchors, aliases and merge keys (`<<`) are resolved; a value keeps the place where it is written,
  so an alias has the place of its anchor.
* Whatever bytes come in, the outcome is a `Document` or a `ConfigError`. Repeated keys, unknown tags and
  the like are collected in `Document.problems`, so that they are reported together with what the models
  find; only a text that cannot be read at all ends at once.

This is one file; what it includes, and what a command line changes of it, are the business of `include` and
`overrides`, which put documents together and keep the place of each value.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any, NamedTuple, TypeVar

import yaml

from experiments.config.problems import ConfigError, Fault, Path, Problem, show_path, show_value

N = TypeVar("N", bound=yaml.Node)
V = TypeVar("V")

MAX_NODES = 100_000
"""Values in one document after aliases are followed; a few lines of aliases can ask for billions."""
MAX_DEPTH = 50

_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_KEY_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
# YAML 1.2.2, 10.3.2 "Tag Resolution" of the core schema, in its order; the merge key is YAML 1.1's.
_CORE = (
    ("null", r"(?:null|Null|NULL|~|)", [*"nN~", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)", [*"tTfF"]),
    ("int", f"(?:{_INT.pattern})", [*"-+0123456789"]),
    ("float", f"(?:{_FLOAT.pattern})", [*"-+.0123456789"]),
    ("merge", "<<", ["<"]),
)


class _CoreLoader(yaml.CSafeLoader):
    """The C parser with the resolvers of YAML 1.2's core schema in place of YAML 1.1's."""

    yaml_implicit_resolvers = {}  # noqa: RUF012


for _name, _pattern, _first in _CORE:
    _CoreLoader.add_implicit_resolver(_TAG + _name, re.compile(rf"{_pattern}\Z"), _first)


class Place(NamedTuple):
    """Where something is written. `line` and `column` count from 1; they are 0 for what stands in no file but
    on the command line, and `file` is its flag then."""

    file: str
    line: int
    column: int


@dataclass(frozen=True)
class Document:
    """A configuration, read: its data, and for each path the place of the value and of its key.

    `file` is the one that was asked for, `sources` the text of each file that is part of it, by its name.
    """

    file: str
    sources: Mapping[str, str]
    data: dict[str, object]
    values: Mapping[Path, Place]
    keys: Mapping[Path, Place]
    problems: tuple[Problem, ...]

    def at_value(self, path: Path, message: str) -> Problem:
        """A problem with the value at `path`, or with the nearest thing around it that exists."""
        for length in range(len(path), -1, -1):
            if place := self.values.get(path[:length]):
                return Problem(*place, show_path(path), message)
        return Problem(self.file, 1, 1, show_path(path), message)

    def at_key(self, path: Path, message: str) -> Problem:
        """A problem with the key at the end of `path` (or with the item, where the parent is a list)."""
        if place := self.keys.get(path):
            return Problem(*place, show_path(path), message)
        return self.at_value(path, message)

    def problem(self, fault: Fault, start: Path = ()) -> Problem:
        """The place of a fault; its path goes on from `start`."""
        path = (*start, *fault.path)
        if fault.at_key:
            return self.at_key(path, fault.message)
        problem = self.at_value(path, fault.message)
        return replace(problem, column=self._column(path, problem, fault.letter)) if fault.letter else problem

    def _column(self, path: Path, problem: Problem, letter: int) -> int:
        """Where a letter of the text at `path` stands, when all of that is on the line of the problem."""
        value: Any = self.data
        for step in path:
            value = value[step]
        lines = self.sources.get(problem.file, "").splitlines()[problem.line - 1 : problem.line]
        for line in lines if isinstance(value, str) and problem.line else ():
            begin = problem.column - 1
            begin += line[begin : begin + 1] in ("'", '"')
            if line.startswith(value, begin):
                return begin + letter + 1
        return problem.column


def read_document(path: FilePath) -> Document:
    """Read one file. Raises ConfigError when it cannot be read or is no YAML mapping."""
    file = str(path)
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError([Problem(file, 1, 1, "", f"cannot be read: {reason}")]) from error
    return parse_bytes(content, file)


def parse_bytes(content: bytes, file: str) -> Document:
    """Read what stands in a file; `file` is the name that problems carry. Raises ConfigError."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        place = _place_of_byte(content, error.start)
        raise ConfigError([Problem(file, *place, "", "not text in UTF-8; save the file as UTF-8")]) from error
    return parse_document(text, file)


def parse_document(text: str, file: str) -> Document:
    """Read YAML from a string; `file` is the name that problems carry. Raises ConfigError."""
    node = _compose(text, file)
    if node is None:
        message = "the file is empty; allowed: a mapping that begins with experiment: or testbed:"
        raise ConfigError([Problem(file, 1, 1, "", message)])
    if not isinstance(node, yaml.MappingNode):
        message = "the top of the file is not a mapping of keys to values"
        raise ConfigError([Problem(file, *_place(node), "", message)])
    walk = _Walk(file)
    data = walk.document(node, walk.mapping)
    return Document(file, {file: text}, data, walk.values, walk.keys, tuple(walk.problems))


def parse_value(text: str, file: str) -> object:
    """The value of a piece of YAML, such as one from a command line; nothing is None. Raises ConfigError."""
    node = _compose(text, file)
    if node is None:
        return None
    walk = _Walk(file)
    value = walk.document(node, walk.value)
    if walk.problems:
        raise ConfigError(walk.problems)
    return value


def _compose(text: str, file: str) -> yaml.Node | None:
    """The nodes of a text, None of an empty one. Raises ConfigError."""

    def refuse(place: tuple[int, int], message: str) -> ConfigError:
        return ConfigError([Problem(file, *place, "", message)])

    content = b""
    try:
        content = text.encode("utf-8")
        node: yaml.Node | None = _CoreLoader(content).get_single_node()
        return node
    except UnicodeEncodeError as error:
        place = _place_of_byte(text[: error.start].encode("utf-8"), -1)
        raise refuse(place, "not text: half of a surrogate pair") from error
    except yaml.reader.ReaderError as error:
        place = _place_of_byte(content, error.position)
        raise refuse(place, f"not YAML: {error.reason}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise refuse(place, _syntax_message(error, text, place)) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise refuse((1, 1), f"not YAML: {error}") from error


def _place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _place_of_byte(content: bytes, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of a byte in UTF-8 text; -1 means the place after the last."""
    before = (content if offset < 0 else content[:offset]).decode("utf-8", "replace")
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _syntax_message(error: yaml.MarkedYAMLError, text: str, place: tuple[int, int]) -> str:
    lines = text.split("\n")
    line = lines[place[0] - 1] if place[0] <= len(lines) else ""
    if line[place[1] - 1 : place[1]] == "\t":
        return "not YAML: a tab; indent with spaces"
    return "not YAML: " + ", ".join(part for part in (error.context, error.problem) if part)


def _is_key(node: yaml.ScalarNode) -> bool:
    return node.tag == _TAG + "str" or (node.tag == _TAG + "int" and bool(_KEY_NUMBER.fullmatch(node.value)))


class _TooLargeError(Exception):
    """The document, aliases followed, is larger or deeper than anybody would write by hand."""

    def __init__(self, node: yaml.Node, message: str) -> None:
        super().__init__(message)
        self.node = node


class _Walk:
    """From nodes to plain data, with places and problems on the way."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.values: dict[Path, Place] = {}
        self.keys: dict[Path, Place] = {}
        self.problems: list[Problem] = []
        self._count = 0
        self._open: set[int] = set()  # nodes around the present one, to see an alias of itself

    def document(self, node: N, read: Callable[[N, Path], V]) -> V:
        """Everything below a node, with `read`, one of the methods below. Raises ConfigError."""
        self.values[()] = Place(self.file, *_place(node))
        try:
            return read(node, ())
        except _TooLargeError as error:
            raise ConfigError([Problem(self.file, *_place(error.node), "", str(error))]) from error

    def _problem(self, node: yaml.Node, path: Path, message: str) -> None:
        self.problems.append(Problem(self.file, *_place(node), show_path(path), message))

    def _enter(self, node: yaml.Node, depth: int) -> None:
        self._count += 1
        if self._count > MAX_NODES:
            raise _TooLargeError(node, f"more than {MAX_NODES} values once aliases are followed")
        if depth > MAX_DEPTH:
            raise _TooLargeError(node, f"nested more than {MAX_DEPTH} deep")

    def value(self, node: yaml.Node, path: Path) -> object:
        self._enter(node, len(path))
        self.values[path] = Place(self.file, *_place(node))
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            self._problem(node, path, "an alias that contains itself")
            return None
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        return self._sequence(node, path)

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        if node.tag != _TAG + "map":
            self._unknown_tag(node, path)
        self._open.add(id(node))
        data = {}
        for key, (key_node, value_node) in self._pairs(node, path).items():
            self.keys[(*path, key)] = Place(self.file, *_place(key_node))
            data[key] = self.value(value_node, (*path, key))
        self._open.discard(id(node))
        return data

    def _sequence(self, node: yaml.Node, path: Path) -> list[object]:
        if node.tag != _TAG + "seq":
            self._unknown_tag(node, path)
        self._open.add(id(node))
        items = [self.value(item, (*path, number)) for number, item in enumerate(node.value)]
        self._open.discard(id(node))
        return items

    def _pairs(self, node: yaml.MappingNode, path: Path) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """The keys and values of a mapping; its own win over those that `<<` merges in, and of several
        that are merged the first wins (https://yaml.org/type/merge.html)."""
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, value_node in node.value:
            self._enter(key_node, len(path))
            if key_node.tag == _TAG + "merge":
                for name, pair in self._merged(value_node, path):
                    merged.setdefault(name, pair)
            elif not isinstance(key_node, yaml.ScalarNode) or not _is_key(key_node):
                found = key_node.value if isinstance(key_node, yaml.ScalarNode) else "a list or mapping"
                self._problem(key_node, path, f"key {found or 'that is empty'}; a key must be a word")
            elif key_node.value in own:
                first = _place(own[key_node.value][0])
                message = (
                    f"key {show_value(key_node.value)} is repeated; it stands in line {first[0]} already"
                )
                self._problem(key_node, (*path, key_node.value), message)
            else:
                own[key_node.value] = (key_node, value_node)
        return own | {name: pair for name, pair in merged.items() if name not in own}

    def _merged(self, node: yaml.Node, path: Path) -> Iterator[tuple[str, tuple[yaml.Node, yaml.Node]]]:
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(source, yaml.MappingNode):
                self._problem(source, path, "'<<' merges a mapping or a list of mappings, this is neither")
            elif id(source) in self._open:
                self._problem(source, path, "an alias that contains itself")
            else:
                self._open.add(id(source))
                yield from self._pairs(source, path).items()
                self._open.discard(id(source))

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> object:
        text: str = node.value
        match node.tag.removeprefix(_TAG):
            case "str":
                return text
            case "null" if text in ("", "~", "null", "Null", "NULL"):
                return None
            case "bool" if text.lower() in ("true", "false"):
                return text.lower() == "true"
            case "int" if _INT.fullmatch(text):
                return self._integer(node, path)
            case "float" if _FLOAT.fullmatch(text):
                return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
            case "merge":
                return text  # `<<` as a value is only a word
            case "null" | "bool" | "int" | "float" as kind:
                self._problem(node, path, f"{show_value(text)} is no {kind}, which its tag says it is")
            case _:
                self._unknown_tag(node, path)
        return None

    def _integer(self, node: yaml.ScalarNode, path: Path) -> int | None:
        text: str = node.value
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        if len(text) <= 24:  # 2**63 in octal has 23 digits and letters
            number = int(text[2:] if base != 10 else text, base)
            if -(2**63) <= number < 2**63:
                return number
        self._problem(node, path, f"a number of {len(text)} digits; integers go to 2^63")
        return None

    def _unknown_tag(self, node: yaml.Node, path: Path) -> None:
        tag = node.tag.replace(_TAG, "!!", 1)
        self._problem(node, path, f"unknown tag {show_value(tag)}; write the plain value without a tag")
