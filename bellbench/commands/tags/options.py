"""What options of the tag commands say: times with their unit, ranges, channels; as whole picoseconds.

Mistakes are reported by click, with the option's name and what would be right.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from drivers.units import TIME

F = TypeVar("F", bound=Callable[..., Any])


def picoseconds(text: str) -> int:
    """A time with its unit as whole ps: `600 ps`. ValueError says what would be right."""
    exact = TIME.parse(text) * 1e12
    if abs(exact - round(exact)) > 1e-6 * max(1.0, abs(exact) * 1e-9):
        raise ValueError(f"{text.strip()} is not a whole number of picoseconds")
    return round(exact)


def channel(text: str) -> int:
    """A channel number, 0 to 255."""
    if not re.fullmatch(r"\s*[0-9]{1,3}\s*", text) or int(text) > 255:
        raise ValueError(f"{text.strip()!r} is not a channel: a number from 0 to 255")
    return int(text)


class _Parsed(click.ParamType[object]):
    """A type of option: its name in the help, and how its text is read."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name, self._parse = name, parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> object:
        if not isinstance(value, str):
            return value  # a default
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _positive(text: str) -> int:
    time = picoseconds(text)
    if time <= 0:
        raise ValueError(f"{text.strip()} is not longer than nothing")
    return time


def _channels(text: str) -> tuple[int, ...]:
    found = tuple(channel(part) for part in text.split(","))
    if len(set(found)) != len(found):
        raise ValueError(f"{text.strip()} names a channel twice")
    return found


def _range(text: str) -> tuple[int, int]:
    if ".." not in text:
        half = _positive(text)
        return -half, half
    first, _, last = text.partition("..")
    start, stop = picoseconds(first), picoseconds(last)
    if stop <= start:
        raise ValueError(f"{text.strip()} ends before it begins")
    return start, stop


def _of_channel(text: str) -> tuple[int, int]:
    number, equals, time = text.partition("=")
    if not equals:
        raise ValueError(f"{text.strip()!r}: write a channel and its time, for example '2=-12.4 ns'")
    return channel(number), picoseconds(time)


def _window(text: str) -> tuple[int | None, int]:
    number, equals, time = text.rpartition("=")
    return (channel(number) if equals else None), _positive(time)


TIME_PS = _Parsed("time", picoseconds)
POSITIVE_PS = _Parsed("time", _positive)
CHANNELS = _Parsed("channels", _channels)
RANGE_PS = _Parsed("range", _range)
OF_CHANNEL = _Parsed("channel=time", _of_channel)
WINDOW = _Parsed("[channel=]time", _window)


def tag_file(command: F) -> F:
    """The argument FILE, and what all commands that read one can be told."""
    command = click.option(
        "--format", "format_", metavar="NAME", help="The file's format, if not recognised."
    )(command)
    return click.argument("file", type=click.Path(path_type=str))(command)


def delays(command: F) -> F:
    """The option --delay, as pairs of channel and time."""
    text = "Add this to the times of a channel, for example 2=-12.4ns. May be given for several channels."
    return click.option("--delay", "delays", type=OF_CHANNEL, multiple=True, help=text)(command)


as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def once_each(pairs: Iterable[tuple[int, int]], option: str) -> dict[int, int]:
    """The pairs as a mapping. click.UsageError if a channel is named twice."""
    found: dict[int, int] = {}
    for number, time in pairs:
        if number in found:
            raise click.UsageError(f"{option}: channel {number} is given twice")
        found[number] = time
    return found
