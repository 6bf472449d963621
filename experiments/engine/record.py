"""The run folder: everything about a run, readable with ordinary tools after a `kill -9` in mid-write.

    <runs>/2026-11-22T03-10-07Z-nyc_swapping-7f3a/
      run.json              state, exit code, times: written first and last
      config.resolved.yaml  the configuration as run, in SI units
      config.source/        the files as the technician wrote them
      env.json              versions, git commit, host, seed
      journal.jsonl         one event per line, with run time and UTC, flushed one by one
      calibrations.json     each with value, unit, uncertainty and time
      results.json          the figures; the same bytes for the same seed
      tags/heralds/*.parquet   tags around heralds, on the hub's time base
      tags/raw/<tagger>/*.parquet   tags as the tagger gave them, on its own time base

Whole files are written beside their place, synced, then renamed. Every failure to write is a
StorageError that says what to do. A reserve file keeps room for the last words of a run that fills its disk.
"""

import json
import math
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from experiments.engine.outcome import StorageError

RESERVE_BYTES = 256 * 1024


class RunFolder:
    """One run's folder. Made by `create`; `close` must be called at the end."""

    def __init__(self, path: Path, journal: TextIO) -> None:
        self.path = path
        self._journal = journal

    @classmethod
    def create(cls, runs: Path, experiment: str) -> "RunFolder":
        """Make a new folder in `runs` (made too when missing), named by UTC time and experiment."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
        with StorageError.when(f"a run folder in {runs}"):
            runs.mkdir(parents=True, exist_ok=True)
            path = runs / f"{now}-{experiment}-{secrets.token_hex(2)}"
            path.mkdir()
            (path / ".reserve").write_bytes(secrets.token_bytes(RESERVE_BYTES))
            return cls(path, (path / "journal.jsonl").open("a", encoding="utf-8"))

    @property
    def name(self) -> str:
        """The run's identity: the name of its folder."""
        return self.path.name

    def write_json(self, name: str, data: object) -> None:
        """Replace a JSON file as a whole: keys in the order given, numbers in full precision."""
        self.write_text(name, json.dumps(_finite(data), indent=2, ensure_ascii=False) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Replace a text file as a whole; `name` may have folders in it."""
        path = self.path / name
        with StorageError.when(name):
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(path.name + ".part")
            with part.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)

    def journal(self, run_time_s: float, event: str, details: Mapping[str, object]) -> None:
        """Append one event; it is in the operating system's hands when this returns."""
        line = {"t_s": round(run_time_s, 6), "utc": utc_now(), "event": event, **details}
        with StorageError.when("journal.jsonl"):
            self._journal.write(json.dumps(_finite(line), ensure_ascii=False) + "\n")
            self._journal.flush()

    def last_words(self, data: object) -> None:
        """Write run.json for the last time, into the room of the reserve when the disk is full."""
        with suppress(OSError):
            (self.path / ".reserve").unlink()
        self.write_json("run.json", data)

    def close(self) -> None:
        """Close the journal. Never raises."""
        with suppress(OSError):
            self._journal.close()


def _finite(data: object) -> object:
    """The same with null for every number that is not finite, which JSON does not know."""
    if isinstance(data, float) and not math.isfinite(data):
        return None
    if isinstance(data, Mapping):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return data


def utc_now() -> str:
    """The wall clock in UTC to the millisecond, as records show it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
