"""The run folder: everything about a run, readable with ordinary tools after a `kill -9` in mid-write.

    <runs>/2026-11-22T03-10-07Z-nyc_swapping-7f3a/
      run.json              state, process, exit code, times: written first and last
      config.resolved.yaml  the configuration as run, in SI units; secrets by reference only
      config.source/        the files as the technician wrote them
      env.json              versions, git commit, host, seed, clocks
      documents.jsonl       what happened, as event-model documents (see `documents`)
      calibrations.json     each with value, unit, uncertainty and time
      results.json          the figures; the same bytes for the same seed
      tags/heralds/*.parquet   tags around heralds, on the hub's time base
      tags/raw/<tagger>/*.parquet   tags as the tagger gave them, on its own time base
      tags/**/manifest.jsonl   a line for each segment of tags, with its SHA-256

Whole files are written beside their place, synced, then renamed. Every failure to write is a
StorageError that says what to do. A reserve file keeps room for the last words of a run that fills its disk.
"""

import json
import os
import secrets
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from experiments.engine.documents import DOCUMENTS, Documents
from experiments.engine.events import finite
from experiments.engine.outcome import Ending, StorageError

RESERVE_BYTES = 256 * 1024
TAGS = "tags"
"""The folder of all tag files within a run's."""


class RunFolder:
    """One run's folder. Made by `create`; `close` must be called at the end."""

    def __init__(self, path: Path, documents: Documents) -> None:
        self.path = path
        self.documents = documents
        self._states = threading.Lock()
        """After an abort a state that nobody waits for any more may still be on its way to disk."""
        self._over = False

    @classmethod
    def create(cls, runs: Path, experiment: str) -> "RunFolder":
        """Make a new folder in `runs` (made too when missing), named by UTC time and experiment."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
        with StorageError.when(f"a run folder in {runs}"):
            runs.mkdir(parents=True, exist_ok=True)
            path = runs / f"{now}-{experiment}-{secrets.token_hex(2)}"
            path.mkdir()
            (path / ".reserve").write_bytes(secrets.token_bytes(RESERVE_BYTES))
            return cls(path, Documents(path / DOCUMENTS))

    @property
    def name(self) -> str:
        """The run's identity: the name of its folder."""
        return self.path.name

    def write_json(self, name: str, data: object) -> None:
        """Replace a JSON file as a whole: keys in the order given, numbers in full precision."""
        self.write_text(name, json_file(data))

    def write_text(self, name: str, text: str) -> None:
        """Replace a text file as a whole; `name` may have folders in it."""
        with StorageError.when(name):
            replace_whole(self.path / name, text)

    def write_state(self, data: object) -> None:
        """Write run.json for a run that goes on; after its last words, nothing."""
        with self._states:
            if not self._over:
                self.write_json("run.json", data)

    def last_words(self, data: object) -> None:
        """Write run.json for the last time, into the room of the reserve when the disk is full."""
        with suppress(OSError):
            (self.path / ".reserve").unlink()
        with self._states:
            self._over = True
            self.write_json("run.json", data)

    def close(self, ending: Ending) -> None:
        """Write the last document, if there is room for it, and close. Never raises."""
        with suppress(StorageError):
            self.documents.stop(ending)
        self.documents.close()


def json_file(data: object) -> str:
    """A JSON file's text; null for every number that is not finite, which JSON does not know."""
    return json.dumps(finite(data), indent=2, ensure_ascii=False) + "\n"


def replace_whole(path: Path, text: str) -> None:
    """Write a file so that under its name there is the old one or the new one, whatever happens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def utc_now() -> str:
    """The wall clock in UTC to the millisecond, as records show it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
