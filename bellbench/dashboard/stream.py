"""The documents of a run as a stream: live as they are written, or replayed at a pace.

A reader has its own place in `documents.jsonl` and takes whole lines from it, so that a slow one delays
nobody, neither the run nor another reader. A document is known by the number of its line, from 1; a reader
that comes back names the last one that it got, and misses none and gets none twice. What is no document (a
line that a crash has torn) is left out.
"""

import asyncio
import json
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

TICK_S = 0.1
"""How often a stream looks for new documents: a page is told ten times a second, not once for each."""
BYTES_AT_ONCE = 1 << 20
_TAIL_BYTES = 1 << 18


@dataclass(frozen=True)
class Document:
    """One line of the journal: its number, from 1, the time in the run at which it was written in seconds,
    and its text as it stands in the file."""

    number: int
    time_s: float
    text: str
    is_last: bool
    """Whether it is the document with which a run's journal ends."""


class DocumentFile:
    """Reads a journal from a place on, while it grows or when it is done."""

    def __init__(self, path: Path, after: int = 0) -> None:
        self._path, self._after = path, after
        self._offset, self._number, self._time_s = 0, 0, 0.0
        self._rest = b""

    def read(self) -> list[Document]:
        """The next documents, about a megabyte of them at most; none when there are no more yet."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                new = file.read(BYTES_AT_ONCE)
        except FileNotFoundError:
            return []
        self._offset += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        documents = map(self._document, lines)
        return [document for document in documents if document and document.number > self._after]

    @property
    def behind(self) -> bool:
        """Whether there is more in the file than has been read."""
        try:
            return self._path.stat().st_size > self._offset
        except FileNotFoundError:
            return False

    def _document(self, line: bytes) -> Document | None:
        self._number += 1
        try:
            text = line.decode()
            found = json.loads(text, parse_constant=_no_number)
            name, doc = found["name"], found["doc"]
            # Times of one run never go back; what has no time of its own belongs to what came before it.
            self._time_s = max(self._time_s, float(doc.get("data", {}).get("t_s", 0.0)))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        return Document(self._number, self._time_s, text.strip(), name == "stop")


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not JSON, and a browser does not take it")


def end_of(path: Path) -> tuple[float, bool]:
    """The time in the run of the newest document, and whether the journal ends with its last one. Reads the
    end of the file alone."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return 0.0, False
    file = DocumentFile(path)
    file._offset = max(0, size - _TAIL_BYTES)
    time_s, ended = 0.0, False
    while file.behind:
        for document in file.read():
            time_s, ended = document.time_s, document.is_last
    return time_s, ended


class Pace(Protocol):
    """How far a stream may go."""

    def allowed_s(self) -> float:
        """The time in the run up to which documents may be sent now."""
        ...


class Live:
    """As far as there is anything."""

    def allowed_s(self) -> float:
        return math.inf


class Replay:
    """From a time in the run on, `speed` seconds of it per second of `clock`."""

    def __init__(self, at_s: float, speed: float, clock: Callable[[], float]) -> None:
        self._at_s, self._speed, self._clock = at_s, speed, clock
        self._began = clock()

    def allowed_s(self) -> float:
        return self._at_s + self._speed * (self._clock() - self._began)


async def batches(
    file: DocumentFile,
    pace: Pace,
    over: Callable[[], bool],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[list[Document]]:
    """Documents, those together that are due together, until the journal's last or until it is `over`.

    An empty batch stands for a tick in which nothing came.
    """
    waiting: deque[Document] = deque()
    while not over():
        if not waiting:
            waiting.extend(await asyncio.to_thread(file.read))
        allowed_s = pace.allowed_s()
        due = []
        while waiting and waiting[0].time_s <= allowed_s:
            due.append(waiting.popleft())
        yield due
        if due and due[-1].is_last:
            return
        if not (due and not waiting and file.behind):
            await sleep(TICK_S)
