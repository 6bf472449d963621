"""Files of lines that survive a crash: a line is appended whole or not at all, and a torn one is skipped.

For journals and manifests: each line is a JSON object; a power cut may have torn the last.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any


def append_line(file: int, line: bytes) -> None:
    """Append a line (without its end) to a file opened for that: all of it, or after an OSError nothing.

    A line before it that was torn is ended first, so that it takes this one not along.
    """
    size = os.fstat(file).st_size
    torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
    rest = (b"\n" if torn else b"") + line + b"\n"
    try:
        while rest:
            rest = rest[os.write(file, rest) :]
    except OSError:
        with suppress(OSError):  # a full disk can still do that
            os.ftruncate(file, size)
        raise


def open_for_lines(path: str | os.PathLike[str]) -> int:
    """A descriptor for `append_line`; the file is made when there is none."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)


def objects_of(
    lines: Iterable[bytes], on_skip: Callable[[int, bytes], None] | None = None
) -> Iterator[dict[str, Any]]:
    """The JSON objects of these lines, such as those of an open file, in order. Of a line that is none
    `on_skip(number, line)` is told, with its number from 1; empty lines are nothing."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            data = None
        if isinstance(data, dict):
            yield data
        elif on_skip is not None:
            on_skip(number, line)
