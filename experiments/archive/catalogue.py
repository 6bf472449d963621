"""The catalogue of runs: an index of a folder of runs, made from it and never more than that.

`catalogue.sqlite` beside the run folders keeps what each run.json said, with that file's time, size and
place on the disk. Every look compares these with the folders and reads anew what has changed, so it shows
what is in the folders, whatever happened to it: missing, behind or damaged, it is made again. Where it cannot
be written it is kept in memory. Several processes may use it at once (SQLite's write-ahead log).
"""

import json
import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.archive.finding import read_about
from experiments.archive.index import open_index
from experiments.archive.recovery import FINAL, Recovered, is_dead, recover

CATALOGUE = "catalogue.sqlite"
VERSION = 1
"""Of the table's form; a catalogue of another one is made again."""
TABLE = """
CREATE TABLE IF NOT EXISTS runs (
    name TEXT PRIMARY KEY, stamp TEXT, experiment TEXT, state TEXT, began_utc TEXT, final INTEGER, about TEXT
)
"""
SHOWN = (
    "experiment", "title", "testbed", "state", "exit_code", "message", "began_utc", "ended_utc", "run_time_s",
    "seed", "figures",
)  # fmt: skip
"""What of run.json a list of runs shows."""
KEPT = (*SHOWN, "process")
"""What of run.json the catalogue keeps."""


@dataclass(frozen=True)
class Entry:
    """One run of the catalogue: the name of its folder, and what of its run.json is KEPT."""

    name: str
    about: Mapping[str, Any]

    @property
    def state(self) -> str:
        return str(self.about.get("state", "unknown"))

    def to_json(self) -> dict[str, Any]:
        return {"run": self.name, **{name: self.about.get(name) for name in SHOWN}}


class Catalogue:
    """The catalogue of the runs in a folder; a context manager. `read` reads the run.json of a folder."""

    def __init__(self, runs: Path, read: Callable[[Path], Mapping[str, Any]] = read_about) -> None:
        self._runs, self._read = runs, read
        self.recovered: list[Recovered] = []
        """Runs that were found dead by the looks so far."""
        self._database = open_index(runs / CATALOGUE, TABLE, VERSION)

    def __enter__(self) -> "Catalogue":
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def entries(
        self, experiment: str | None = None, state: str | None = None, since_utc: str | None = None
    ) -> list[Entry]:
        """The runs, oldest first, after a look at the folders: those of an experiment, in a state, begun at
        or after a time in UTC as run.json writes it. Runs found dead are marked as interrupted."""
        try:
            self._refresh()
        except sqlite3.Error:
            # Damaged behind its first pages, or held by another process that does not let go.
            self._database.close()
            self._database = open_index(self._runs / CATALOGUE, TABLE, VERSION, afresh=True)
            self._refresh()
        asked = {"experiment = ?": experiment, "state = ?": state, "began_utc >= ?": since_utc}
        given = {condition: value for condition, value in asked.items() if value is not None}
        where = " AND ".join(given) or "TRUE"
        rows = self._database.execute(
            f"SELECT name, about FROM runs WHERE {where} ORDER BY substr(name, 1, 20), began_utc, name",
            tuple(given.values()),
        )
        return [Entry(name, json.loads(about)) for name, about in rows]

    def _refresh(self) -> None:
        """Bring the catalogue up to date with the folders, and mark runs that died."""
        self._take(self._changed())
        living = self._database.execute("SELECT name, about FROM runs WHERE NOT final")
        if dead := [self._runs / name for name, about in living if is_dead(json.loads(about))]:
            self.recovered += recover(dead)
            self._take(self._changed())

    def _changed(self) -> dict[str, str | None]:
        """Runs whose run.json is not the one that the catalogue knows, with its stamp; None: it is gone."""
        known = dict(self._database.execute("SELECT name, stamp FROM runs"))
        there: dict[str, str] = {}
        with suppress(FileNotFoundError), os.scandir(self._runs) as entries:
            for entry in entries:
                with suppress(FileNotFoundError, NotADirectoryError):
                    status = os.stat(f"{entry.path}/run.json")  # noqa: PTH116 - a Path costs as much again
                    there[entry.name] = f"{status.st_mtime_ns} {status.st_size} {status.st_ino}"
        changed = {name: stamp for name, stamp in there.items() if known.get(name) != stamp}
        return {**changed, **dict.fromkeys(known.keys() - there.keys())}

    def _take(self, changed: Mapping[str, str | None]) -> None:
        if not changed:
            return
        with self._database:
            for name, stamp in changed.items():
                if stamp is None:
                    self._database.execute("DELETE FROM runs WHERE name = ?", (name,))
                    continue
                said = self._read(self._runs / name)
                about = {key: said[key] for key in KEPT if key in said}
                experiment, state, began = (
                    str(about.get(k, "")) for k in ("experiment", "state", "began_utc")
                )
                self._database.execute(
                    "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (name, stamp, experiment, state, began, state in FINAL, json.dumps(about)),
                )
