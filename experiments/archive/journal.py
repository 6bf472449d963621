"""Reading documents.jsonl, whatever happened to it.

It guarantees that every document that is whole is read, that nothing raises whatever bytes the file holds,
and that what is missing is said: lines that are none, events whose descriptor is gone, gaps in the numbers of
a stream.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.engine.documents import DOCUMENTS
from timetags.files.lines import objects_of


@dataclass(frozen=True)
class Event:
    """One event of a stream. `time` is its wall time (s since 1970), `data` its fields by name."""

    stream: str
    number: int
    """From 1, in its stream."""
    time: float
    data: Mapping[str, Any]

    @property
    def details(self) -> Mapping[str, Any]:
        """The details of something that happened; empty when they cannot be read."""
        try:
            details = json.loads(self.data.get("details", ""))
        except (ValueError, TypeError, RecursionError):
            return {}
        return details if isinstance(details, dict) else {}


@dataclass(frozen=True)
class StoredSegment:
    """A segment of tags that was acknowledged: its folder within the run's, its number, its rows."""

    folder: str
    number: int
    rows: int


@dataclass
class Journal:
    """Everything that was read, in its order."""

    start: Mapping[str, Any] = field(default_factory=dict)
    """The start document, empty when it is missing."""
    stop: Mapping[str, Any] | None = None
    """The stop document, None of a run that was cut short."""
    events: list[Event] = field(default_factory=list)
    configuration: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """By stream, what its last descriptor says besides the fields, such as the detectors of `rates`."""
    segments: list[StoredSegment] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What is missing or damaged, in words."""

    @property
    def streams(self) -> list[str]:
        """The streams that have events, in the order of their first."""
        return list(dict.fromkeys(event.stream for event in self.events))

    def of(self, stream: str) -> list[Event]:
        """The events of one stream."""
        return [event for event in self.events if event.stream == stream]

    def happened(self, name: str) -> list[Mapping[str, Any]]:
        """The details of everything that happened under a name."""
        return [event.details for event in self.of("happened") if event.data.get("event") == name]


def read_journal(run: Path) -> Journal:
    """The journal in a run's folder. OSError when it cannot be read at all."""
    with (run / DOCUMENTS).open("rb") as lines:
        return parse(lines)


def parse(lines: Iterable[bytes]) -> Journal:
    """The journal that these lines hold, such as those of an open file."""
    journal = Journal()
    reader = _Reader(journal)

    def torn(number: int, line: bytes) -> None:
        what = "damaged" if line.endswith(b"\n") else "cut short"
        journal.problems.append(f"line {number} is {what}, {len(line.rstrip())} bytes are lost")

    for line in objects_of(lines, torn):
        reader.take(line)
    reader.end()
    return journal


class _Reader:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._streams: dict[str, str] = {}
        self._folders: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._orphans = self._unknown = 0

    def take(self, line: Mapping[str, Any]) -> None:
        name, doc = line.get("name"), line.get("doc")
        if not isinstance(doc, dict) or not self._document(name, doc):
            self._unknown += 1

    def _document(self, name: object, doc: Mapping[str, Any]) -> bool:
        """Take a document; whether it is one."""
        match name:
            case "start":
                self._journal.start = doc
                return True
            case "stop":
                self._journal.stop = doc
                return True
            case "descriptor":
                return self._descriptor(doc)
            case "event":
                return self._event(doc)
            case "stream_resource":
                uid, uri = doc.get("uid"), doc.get("uri")
                if not (isinstance(uid, str) and isinstance(uri, str)):
                    return False
                self._folders[uid] = uri.rstrip("/")
                return True
            case "stream_datum":
                return self._datum(doc)
            case _:
                return False

    def _descriptor(self, doc: Mapping[str, Any]) -> bool:
        uid, stream = doc.get("uid"), doc.get("name")
        if not (isinstance(uid, str) and isinstance(stream, str)):
            return False
        self._streams[uid] = stream
        configuration = doc.get("configuration")
        part = configuration.get(stream) if isinstance(configuration, dict) else None
        data = part.get("data") if isinstance(part, dict) else None
        if isinstance(data, dict):
            self._journal.configuration[stream] = data
        return True

    def _event(self, doc: Mapping[str, Any]) -> bool:
        descriptor, number, time, data = (doc.get(k) for k in ("descriptor", "seq_num", "time", "data"))
        if not (
            isinstance(descriptor, str)
            and type(number) is int
            and isinstance(time, int | float)
            and isinstance(data, dict)
        ):
            return False
        stream = self._streams.get(descriptor)
        if stream is None:
            self._orphans += 1
            return True
        if (missing := number - self._numbers.get(stream, 0) - 1) > 0:
            self._journal.problems.append(f"{missing} events of stream {stream} before its number {number}")
        self._numbers[stream] = max(number, self._numbers.get(stream, 0))
        self._journal.events.append(Event(stream, number, float(time), data))
        return True

    def _datum(self, doc: Mapping[str, Any]) -> bool:
        resource, numbers, rows = doc.get("stream_resource"), _range(doc, "seq_nums"), _range(doc, "indices")
        folder = self._folders.get(resource) if isinstance(resource, str) else None
        if numbers is None or rows is None:
            return False
        if folder is None:
            self._orphans += 1
        else:
            self._journal.segments.append(StoredSegment(folder, numbers[0], rows[1] - rows[0]))
        return True

    def end(self) -> None:
        """Say what can be said only now."""
        problems = self._journal.problems
        if not self._journal.start:
            problems.append("the start document is missing")
        if self._orphans:
            problems.append(f"{self._orphans} documents belong to a descriptor or resource that is missing")
        if self._unknown:
            problems.append(f"{self._unknown} lines are JSON, but no documents")


def _range(doc: Mapping[str, Any], name: str) -> tuple[int, int] | None:
    found = doc.get(name)
    if not isinstance(found, dict):
        return None
    start, stop = found.get("start"), found.get("stop")
    return (start, stop) if type(start) is int and type(stop) is int else None
