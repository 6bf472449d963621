"""Sweeps: one experiment with several values in the same places, every point of them checked before the first
runs.

    sweep:
      settings.bsm_window: {from: 200 ps, to: 1500 ps, steps: 5}
      plan.2.measure_swapping.dwell: [10 s, 20 s]

is ten points: every window with every dwell, the last path varying fastest. With `zip: true` among them the
lists go along with each other instead and are equally long. `steps` is how many values there are, both ends
included, at equal distances, or, with `scale: log`, at equal ratios; both ends have the same unit. On the
command line it is `--sweep "settings.bsm_window=200 ps:1500 ps:5"`, or a list, `--sweep "seed=[1, 2, 3]"`;
what is given there holds instead of the file's own sweep. Paths are those of `overrides`.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import product

from experiments.config.loader import Document, Place, parse_value
from experiments.config.overrides import Override, split_flag, words_of
from experiments.config.problems import ConfigError, Path, Problem, choices, show_value

KEY = "sweep"
FLAG = "--sweep"
MAX_POINTS = 1000
_ZIP = "zip"
_RANGE_KEYS = ("from", "to", "steps", "scale")
_SCALES = ("linear", "log")
_EXAMPLE = "{from: 200 ps, to: 1500 ps, steps: 5}"
_END = re.compile(r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)\s*(.*?)\s*", re.DOTALL)
_DIGITS = 12


@dataclass(frozen=True)
class Point:
    """One point of a sweep: `number` of `of`, from 1, and the value of each path, as it would be written.
    `sweep` is what all points of one have in common, empty until it is carried out."""

    number: int
    of: int
    values: dict[str, object] = field(default_factory=dict)
    sweep: str = ""

    def to_json(self) -> dict[str, object]:
        """As run.json of a point's run has it."""
        return {"id": self.sweep, "point": self.number, "of": self.of, "values": self.values}

    def __str__(self) -> str:
        values = ", ".join(
            f"{path} = {show_value(value).strip(chr(39))}" for path, value in self.values.items()
        )
        return f"point {self.number} of {self.of}: {values}"


Axis = Sequence[Override]
"""All values for one path."""


@dataclass(frozen=True)
class Sweep:
    """The values of each path. With `together` the first of each make the first point, and so on; else each
    value meets each."""

    axes: tuple[Axis, ...]
    together: bool = False

    @property
    def firsts(self) -> tuple[Override, ...]:
        """The first value of each path."""
        return tuple(axis[0] for axis in self.axes)

    def points(self) -> list[tuple[Point, tuple[Override, ...]]]:
        """All points in the order in which they will be run."""
        chosen = list(zip(*self.axes, strict=True) if self.together else product(*self.axes))
        return [
            (Point(number, len(chosen), {o.path: o.value for o in overrides}), overrides)
            for number, overrides in enumerate(chosen, 1)
        ]


def sweep_of(document: Document) -> Sweep | None:
    """The sweep that a file asks for. Raises ConfigError."""
    given = document.data.get(KEY)
    if given is None:
        return None
    problems: list[Problem] = []
    if not isinstance(given, dict) or not given:
        message = (
            f"{show_value(given)} is no sweep; write PATH: VALUES, like settings.bsm_window: [600 ps, 1 ns]"
        )
        raise ConfigError([document.at_value((KEY,), message)])
    axes: list[Axis] = []
    together = given.get(_ZIP, False)
    if not isinstance(together, bool):
        problems.append(document.at_value((KEY, _ZIP), f"{show_value(together)} is not true or false"))
    for path, values in given.items():
        if path == _ZIP:
            continue
        at: Path = (KEY, path)
        words = words_of(path)
        if words is None or words[0] == KEY:
            problems.append(
                document.at_key(at, f"{show_value(path)} is no path; write it like settings.bsm_window")
            )
            continue
        try:
            found = _values(values)
        except ValueError as error:
            problems.append(document.at_value(at, str(error)))
            continue
        listed = isinstance(values, list)
        axes.append(
            [
                Override(words, value, _place(document, (*at, number) if listed else at))
                for number, value in enumerate(found)
            ]
        )
    if not problems and (wrong := _wrong(axes, together is True)):
        problems.append(document.at_key((KEY,), wrong))
    if problems:
        raise ConfigError(problems)
    return Sweep(tuple(axes), together is True)


def read_sweep(flags: Sequence[str]) -> Sweep:
    """The sweep of one or more `--sweep PATH=...`. Raises ConfigError."""
    axes: list[Axis] = []
    for text in flags:
        words, values = split_flag(text, FLAG)
        place = Place(f"{FLAG} {'.'.join(words)}", 0, 0)
        try:
            found = _values(_written(values, place.file))
        except ValueError as error:
            raise ConfigError([Problem(*place, "", str(error))]) from error
        axes.append([Override(words, value, place) for value in found])
    if wrong := _wrong(axes, together=False):
        raise ConfigError([Problem(FLAG, 0, 0, "", wrong)])
    return Sweep(tuple(axes))


def _place(document: Document, path: Path) -> Place:
    return document.values.get(path) or document.values[()]


def _written(text: str, file: str) -> object:
    """What is written on a command line, as a file would have it: YAML, or `START:STOP:N`."""
    if text.lstrip().startswith(("[", "{")) or text.count(":") != 2:
        return parse_value(text, file)
    start, stop, steps = (parse_value(part, file) for part in text.split(":"))
    return {"from": start, "to": stop, "steps": steps}


def _wrong(axes: Sequence[Axis], together: bool) -> str:
    """What is wrong with all axes as a whole, or nothing."""
    paths = [axis[0].path for axis in axes]
    if not axes:
        return "no path to sweep; write PATH: [VALUE, VALUE]"
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        return f"{twice} is swept twice"
    lengths = [len(axis) for axis in axes]
    if together and len(set(lengths)) > 1:
        said = ", ".join(f"{path} has {length}" for path, length in zip(paths, lengths, strict=True))
        return f"with zip: true all have equally many values; {said}"
    points = lengths[0] if together else math.prod(lengths)
    return f"{points} points; allowed: up to {MAX_POINTS}" if points > MAX_POINTS else ""


def _values(given: object) -> list[object]:
    """The values of one path. Raises ValueError."""
    if isinstance(given, list):
        if not given:
            raise ValueError("an empty list; write at least one value")
        return given
    if not isinstance(given, dict):
        raise ValueError(f"{show_value(given)} is neither a list of values nor a range; write {_EXAMPLE}")
    for key in given:
        if key not in _RANGE_KEYS:
            raise ValueError(f"unknown key {show_value(key)}; {choices(key, _RANGE_KEYS)}")
    for key in _RANGE_KEYS[:3]:
        if given.get(key) is None:
            raise ValueError(f"{show_value(key)} is missing; a range is {_EXAMPLE}")
    steps, scale = given["steps"], given.get("scale", _SCALES[0])
    if not isinstance(steps, int) or isinstance(steps, bool) or not 2 <= steps <= MAX_POINTS:
        raise ValueError(f"steps is {show_value(steps)}; allowed: a whole number from 2 to {MAX_POINTS}")
    if scale not in _SCALES:
        raise ValueError(f"scale {show_value(scale)} is not known here; {choices(scale, _SCALES)}")
    return _between(given["from"], given["to"], steps, logarithmic=scale == "log")


def _between(first: object, last: object, steps: int, *, logarithmic: bool) -> list[object]:
    """So many values from the first to the last, both included, in their unit."""
    (low, unit), (high, other) = _end(first), _end(last)
    if unit != other:
        if (low and not unit) or (high and not other) or (unit and other):
            raise ValueError(f"{first} to {last}: write both ends in one unit")
        unit = unit or other
    if logarithmic:
        if low * high <= 0:
            raise ValueError(
                f"{first} to {last}: with scale: log both ends are on the same side of zero, not at it"
            )
        ratio = (high / low) ** (Decimal(1) / (steps - 1))
        values = [low * ratio**k for k in range(steps - 1)] + [high]
    else:
        values = [low + (high - low) * k / (steps - 1) for k in range(steps)]
    return [_shown(value, unit, text=isinstance(first, str) or isinstance(last, str)) for value in values]


def _end(value: object) -> tuple[Decimal, str]:
    """Number and unit of one end of a range."""
    match = None if isinstance(value, bool) else _END.fullmatch(str(value))
    if match is None:
        raise ValueError(f"{show_value(value)} is no number; write one, with its unit, like 200 ps")
    return Decimal(match[1]), match[2]


def _shown(value: Decimal, unit: str, *, text: bool) -> object:
    """A value as a file would have it, to twelve digits: `525 ps`, 3, 0.25."""
    rounded = Decimal(f"{value:.{_DIGITS}g}")
    if not text:
        return int(rounded) if rounded == rounded.to_integral_value() else float(rounded)
    plain = f"{rounded:f}" if abs(rounded.adjusted()) < _DIGITS else str(rounded)
    return f"{plain.rstrip('0').rstrip('.') if '.' in plain else plain} {unit}".strip()
