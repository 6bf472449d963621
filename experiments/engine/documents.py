"""documents.jsonl, the journal of a run: event-model documents, one per line, as bluesky's tools read them.

A line is `{"name": "event", "doc": {...}}`. First comes `start`, with what was to be done where; then, for
each stream, a `descriptor` before its first `event` and again when its fields or their configuration change;
`stream_resource` and `stream_datum` for each segment of tags; `stop` at the end.

It guarantees that a line is in the operating system's hands when `write` returns, so that `kill -9` loses
none, and on disk when `sync` returns, so that a power cut does not lose it either. A thread syncs what was
written within a second, and at once where the event asks for it, so the event loop never waits for a disk. A
line that did not fit on the disk leaves nothing behind; what is written later is whole.
"""

import itertools
import json
import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, get_type_hints
from uuid import uuid4

from experiments.engine.events import StreamEvent, Value, finite
from experiments.engine.outcome import Ending, State, StorageError
from timetags.files.lines import append_line, objects_of, open_for_lines
from timetags.files.manifest import Segment

DOCUMENTS = "documents.jsonl"
SYNC_S = 1.0
"""For how long at most an event may be in the hands of the operating system alone, in wall time."""
UNITS = {"s": "s", "hz": "Hz", "ps": "ps", "w": "W", "a": "A"}
"""Units by the last word of a field's name."""
EXIT_STATUS = {State.COMPLETED: "success", State.ABORTED: "abort"}
"""What event-model calls the ending of a run; every other one is `fail`. The run's own word stands in `state`
of the stop document."""


class Documents:
    """The documents of one run being written, from any thread. Every writing method raises StorageError."""

    def __init__(self, path: Path) -> None:
        self.uid = str(uuid4())
        """Of the run."""
        self._author = ""
        self._began = time.time()
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._descriptors: dict[str, tuple[str, str]] = {}
        """By stream: what its present descriptor tells, as text, and the descriptor's uid."""
        self._resources: dict[str, tuple[str, str, int]] = {}
        """By folder of segments: the uids of its resource and descriptor, and its tags so far."""
        self._events: dict[str, int] = {}
        with StorageError.when(DOCUMENTS):
            self._file = open_for_lines(path)
        self._syncer = _Syncer(self._file)

    @classmethod
    def continued(cls, path: Path, author: str) -> "Documents":
        """The documents of a run whose process is gone, for somebody else, the `author`, to write to their
        end. Raises StorageError, and LookupError for a file without a start document."""
        with StorageError.when(DOCUMENTS), path.open("rb") as lines:
            found = [(line.get("name"), line.get("doc")) for line in objects_of(lines)]
        known = [(name, doc) for name, doc in found if isinstance(doc, dict)]
        start = next((doc for name, doc in known if name == "start"), None)
        if start is None:
            raise LookupError(f"{path} has no start document")
        documents = cls(path)
        documents.uid, documents._began, documents._author = start["uid"], start["time"], f"{author}/"
        streams = {doc.get("uid"): doc.get("name") for name, doc in known if name == "descriptor"}
        for name, doc in known:
            if name == "event" and (stream := streams.get(doc.get("descriptor"))):
                documents._events[stream] = doc["seq_num"]
        return documents

    def age_s(self) -> float:
        """Seconds of wall time since the run began."""
        return time.time() - self._began

    def start(self, facts: Mapping[str, object]) -> None:
        """The first document. `facts` says what the run is; event-model allows no key with a dot or slash."""
        with self._lock:
            self._write("start", {"uid": self.uid, "time": time.time(), **facts}, at_once=True)

    def event(self, event: StreamEvent, run_time_s: float) -> None:
        """One event of its stream; a new descriptor before it where one is needed."""
        data = {"t_s": round(run_time_s, 6), **event.data()}
        now = time.time()
        with self._lock:
            descriptor = self._described(event, data, now)
            number = self._events.get(event.stream, 0) + 1
            document = {
                "uid": self._uid(),
                "descriptor": descriptor,
                "seq_num": number,
                "time": now,
                "data": data,
                "timestamps": dict.fromkeys(data, now),
            }
            self._write("event", document, at_once=event.acknowledged)
            self._events[event.stream] = number

    def segment(self, folder: str, segment: Segment) -> None:
        """A segment of tags is whole and on disk. `folder` is its folder within the run's."""
        with self._lock:
            if folder not in self._resources:
                self._resources[folder] = self._tags_described(folder)
            resource, descriptor, tags = self._resources[folder]
            number = int(Path(segment.file).stem)
            datum = {
                "uid": f"{resource}/{number}",
                "stream_resource": resource,
                "descriptor": descriptor,
                "indices": {"start": tags, "stop": tags + segment.rows},
                "seq_nums": {"start": number, "stop": number + 1},
            }
            self._write("stream_datum", datum, at_once=True)
            self._resources[folder] = resource, descriptor, tags + segment.rows

    def stop(self, ending: Ending) -> None:
        """The last document."""
        with self._lock:
            document = {
                "uid": self._uid(),
                "run_start": self.uid,
                "time": time.time(),
                "exit_status": EXIT_STATUS.get(ending.state, "fail"),
                "reason": ending.message,
                "state": str(ending.state),
                "num_events": dict(self._events),
            }
            self._write("stop", document, at_once=True)

    def check(self) -> None:
        """Raise the StorageError of what could not be synced since the last time, when there is one."""
        with StorageError.when(DOCUMENTS):
            self._syncer.raise_failure()

    def sync(self) -> None:
        """Return when everything written so far is on disk. Waits for the disk: call it in a thread."""
        with StorageError.when(DOCUMENTS):
            os.fsync(self._file)

    def close(self) -> None:
        """End the syncing thread and close the file. Never raises; may be called twice."""
        self._syncer.end()
        if self._file >= 0:
            with suppress(OSError):
                os.fsync(self._file)
            os.close(self._file)
            self._file = -1

    def _uid(self) -> str:
        return f"{self.uid}/{self._author}{next(self._numbers)}"

    def _described(self, event: StreamEvent, data: Mapping[str, Value], now: float) -> str:
        """The uid of the descriptor that fits an event, written before it when there is none yet."""
        configuration = event.configuration()
        about = json.dumps([list(data), configuration])
        if event.stream not in self._descriptors or self._descriptors[event.stream][0] != about:
            descriptor = self._uid()
            document: dict[str, object] = {
                "uid": descriptor,
                "run_start": self.uid,
                "time": now,
                "name": event.stream,
                "data_keys": _data_keys(type(event), data),
            }
            if configuration:
                keys = {
                    name: {"dtype": "array", "shape": [len(v)], "source": "bellbench"}
                    for name, v in configuration.items()
                }
                document["configuration"] = {
                    event.stream: {
                        "data": dict(configuration),
                        "data_keys": keys,
                        "timestamps": dict.fromkeys(configuration, now),
                    }
                }
            self._write("descriptor", document)
            self._descriptors[event.stream] = about, descriptor
        return self._descriptors[event.stream][1]

    def _tags_described(self, folder: str) -> tuple[str, str, int]:
        stream = folder.replace("/", " ")
        resource, descriptor = str(uuid4()), self._uid()
        key = {"source": "bellbench", "dtype": "array", "shape": [None, 2], "external": "STREAM:"}
        self._write(
            "descriptor",
            {
                "uid": descriptor,
                "run_start": self.uid,
                "time": time.time(),
                "name": stream,
                "data_keys": {stream: key},
            },
        )
        document = {
            "uid": resource,
            "run_start": self.uid,
            "data_key": stream,
            "mimetype": "application/vnd.apache.parquet",
            # Relative to this file, since a run folder may be moved.
            "uri": f"{folder}/",
            "parameters": {"segments": "{:08d}.parquet", "columns": ["t", "c"]},
        }
        self._write("stream_resource", document)
        return resource, descriptor, 0

    def _write(self, name: str, document: Mapping[str, object], *, at_once: bool = False) -> None:
        text = json.dumps({"name": name, "doc": finite(document)}, ensure_ascii=False, separators=(",", ":"))
        with StorageError.when(DOCUMENTS):
            self._syncer.raise_failure()
            append_line(self._file, text.encode("utf-8", "replace"))
            self._syncer.written(at_once=at_once)


def _data_keys(kind: type[StreamEvent], data: Mapping[str, Value]) -> dict[str, dict[str, Any]]:
    """What each field of a stream's events is. A field without a value is a number: no other may miss one."""
    hints = get_type_hints(kind)
    keys: dict[str, dict[str, Any]] = {}
    for name, value in data.items():
        dtype = "number"
        if isinstance(value, list):
            dtype = "array"
        elif isinstance(value, str):
            dtype = "string"
        elif isinstance(value, bool):
            dtype = "boolean"
        elif hints.get(name) is int:
            dtype = "integer"
        keys[name] = {"source": "bellbench", "dtype": dtype, "shape": [None] if dtype == "array" else []}
        if dtype in ("number", "array") and (
            unit := UNITS.get(name.removesuffix("_error").rpartition("_")[2])
        ):
            keys[name]["units"] = unit
    return keys


class _Syncer:
    """A thread that syncs a file: soon after it was written to, or at once."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._news = threading.Condition()
        self._dirty = self._urgent = self._ended = False
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="sync documents", daemon=True)
        self._thread.start()

    def written(self, *, at_once: bool) -> None:
        with self._news:
            if at_once or not self._dirty:
                self._urgent |= at_once
                self._dirty = True
                self._news.notify()

    def raise_failure(self) -> None:
        """Raise what went wrong since the last time."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def end(self) -> None:
        with self._news:
            self._ended = True
            self._news.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._dirty or self._ended)
                self._news.wait_for(lambda: self._urgent or self._ended, SYNC_S)
                if self._ended:
                    return
                self._dirty = self._urgent = False
            try:
                os.fsync(self._file)
            except OSError as failure:
                self._failure = failure
