"""The history of calibrations: every calibration of every run in a folder of runs, and which of them holds
now.

    runs/calibrations.sqlite            an index of the runs' calibrations.json, up to date after every look
    runs/calibrations.rollbacks.jsonl   who set an older one in force, when and why; only ever added to

Guarantees:

* The index holds nothing that is not in these files: missing, of another form or damaged, it is made again.
  Where it cannot be written it is kept in memory. A calibration stays in it when its run's folder is deleted.
* Of a name there is one calibration in force for each testbed, real and simulated apart: the newest, or,
  after a rollback, the one that was put in its place, until a run makes a newer one.
* Nothing is ever changed: a rollback is another line, and a calibration that no longer holds is still listed.
"""

import json
import math
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experiments.archive.index import open_index

INDEX = "calibrations.sqlite"
ROLLBACKS = "calibrations.rollbacks.jsonl"
RECORDS = "calibrations.json"
VERSION = 1
TABLES = """
CREATE TABLE IF NOT EXISTS files (run TEXT PRIMARY KEY, stamp TEXT);
CREATE TABLE IF NOT EXISTS calibrations (
    run TEXT, key TEXT, name TEXT, testbed TEXT, simulated INTEGER, utc TEXT, record TEXT,
    PRIMARY KEY (run, key)
);
"""
_FIGURE = {"value", "unit", "uncertainty"}


@dataclass(frozen=True)
class Figure:
    """One number of a calibration. `scope` is what it is of: an instrument, a link, a detector."""

    quantity: str
    scope: str
    value: float
    unit: str
    uncertainty: float | None


@dataclass(frozen=True)
class Calibration:
    """One calibration. `key` is its key in the run's calibrations.json; `record` what stands there."""

    run: str
    key: str
    name: str
    testbed: str
    simulated: bool
    utc: str
    record: Mapping[str, Any] = field(repr=False)

    @property
    def valid_for_s(self) -> float | None:
        """How long it was said to hold by the run that made it, in seconds; None: it did not say."""
        valid = self.record.get("valid_for_s")
        return float(valid) if isinstance(valid, int | float) else None

    @property
    def note(self) -> str:
        return str(self.record.get("note", ""))

    def age_s(self, now: datetime) -> float:
        """Seconds since it was made; infinite where it does not say when that was."""
        try:
            made = datetime.fromisoformat(self.utc)
        except ValueError:
            return math.inf
        return (now - (made if made.tzinfo else made.replace(tzinfo=UTC))).total_seconds()

    def is_fresh(self, now: datetime, valid_for_s: float) -> bool:
        """Whether it is younger than this, and than the run that made it allows."""
        return 0 <= self.age_s(now) <= min(valid_for_s, self.valid_for_s or math.inf)

    def figures(self) -> list[Figure]:
        """Its numbers, in the order of the record; what is only evidence for them is left out."""
        return list(_figures(self.record, ()))

    def to_json(self, now: datetime) -> dict[str, object]:
        age = self.age_s(now)
        return {
            "name": self.name,
            "testbed": self.testbed,
            "simulated": self.simulated,
            "run": self.run,
            "key": self.key,
            "utc": self.utc,
            "age_s": age if math.isfinite(age) else None,
            "valid_for_s": self.valid_for_s,
            "note": self.note,
            "figures": [vars(figure) for figure in self.figures()],
        }


@dataclass(frozen=True)
class Rollback:
    """A decision that from `utc` on the calibration of `run` under `key` holds again."""

    utc: str
    who: str
    why: str
    name: str
    testbed: str
    simulated: bool
    run: str
    key: str


class History:
    """The calibrations of the runs in a folder; a context manager."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._index = open_index(runs / INDEX, TABLES, VERSION)

    def __enter__(self) -> "History":
        return self

    def __exit__(self, *_: object) -> None:
        self._index.close()

    def calibrations(
        self, name: str | None = None, testbed: str | None = None, simulated: bool | None = None
    ) -> list[Calibration]:
        """Those with a name, of a testbed, of real or simulated benches; oldest first, after a look at the
        folders."""
        try:
            self._refresh()
        except sqlite3.Error:
            # Damaged behind its first pages, or held by another process that does not let go.
            self._index.close()
            self._index = open_index(self._runs / INDEX, TABLES, VERSION, afresh=True)
            self._refresh()
        asked = {"name = ?": name, "testbed = ?": testbed, "simulated = ?": simulated}
        given = {condition: value for condition, value in asked.items() if value is not None}
        rows = self._index.execute(
            "SELECT run, key, name, testbed, simulated, utc, record FROM calibrations "
            f"WHERE {' AND '.join(given) or 'TRUE'} ORDER BY utc, run, key",
            tuple(given.values()),
        )
        return [
            Calibration(run, key, called, bed, bool(sim), utc, json.loads(record))
            for run, key, called, bed, sim, utc, record in rows
        ]

    def current(self, name: str, testbed: str, *, simulated: bool) -> Calibration | None:
        """The calibration in force, or None where there has never been one."""
        found = self.calibrations(name, testbed, simulated)
        if not found:
            return None
        for rollback in reversed(self.rollbacks()):
            if (rollback.name, rollback.testbed, rollback.simulated) != (name, testbed, simulated):
                continue
            chosen = next((c for c in found if (c.run, c.key) == (rollback.run, rollback.key)), None)
            return chosen if chosen and found[-1].utc <= rollback.utc else found[-1]
        return found[-1]

    def rollbacks(self) -> list[Rollback]:
        """Every rollback, oldest first. A line that was torn by a crash is passed over."""
        found = []
        with suppress(FileNotFoundError):
            for line in (self._runs / ROLLBACKS).read_text(encoding="utf-8", errors="replace").splitlines():
                with suppress(ValueError, TypeError):
                    found.append(Rollback(**json.loads(line)))
        return found

    def roll_back(self, to: Calibration, who: str, why: str) -> Rollback:
        """Put an older calibration in force. Raises OSError when that cannot be written down."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        rollback = Rollback(now, who, why, to.name, to.testbed, to.simulated, to.run, to.key)
        # With its line end before it: whatever tore the line before, this one is whole.
        line = "\n" + json.dumps(vars(rollback), ensure_ascii=False) + "\n"
        descriptor = os.open(self._runs / ROLLBACKS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return rollback

    def _refresh(self) -> None:
        """Take in the calibrations of runs whose file is not the one that the index knows."""
        known = dict(self._index.execute("SELECT run, stamp FROM files"))
        changed: dict[str, str] = {}
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self._runs) as entries:
            for entry in entries:
                with suppress(FileNotFoundError, NotADirectoryError):
                    status = os.stat(f"{entry.path}/{RECORDS}")  # noqa: PTH116 - a Path costs as much again
                    stamp = f"{status.st_mtime_ns} {status.st_size} {status.st_ino}"
                    if known.get(entry.name) != stamp:
                        changed[entry.name] = stamp
        if not changed:
            return
        with self._index:
            for run, stamp in changed.items():
                self._index.execute("DELETE FROM calibrations WHERE run = ?", (run,))
                self._index.executemany(
                    "INSERT OR REPLACE INTO calibrations VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        (c.run, c.key, c.name, c.testbed, c.simulated, c.utc, json.dumps(c.record))
                        for c in _read(self._runs / run)
                    ),
                )
                self._index.execute("INSERT OR REPLACE INTO files VALUES (?, ?)", (run, stamp))


def _read(folder: Path) -> Iterator[Calibration]:
    """The calibrations that a run made; those that it took over from another are that one's."""
    try:
        records = json.loads((folder / RECORDS).read_bytes())
    except (OSError, ValueError, RecursionError):
        return
    for key, record in records.items() if isinstance(records, dict) else ():
        if isinstance(record, dict) and {"name", "utc"} <= record.keys() and "taken_over" not in record:
            yield Calibration(
                folder.name,
                str(key),
                str(record["name"]),
                str(record.get("testbed", "")),
                bool(record.get("simulated")),
                str(record.get("utc", "")),
                record,
            )


def _figures(part: object, path: tuple[str, ...]) -> Iterator[Figure]:
    if isinstance(part, Mapping):
        if {"value", "unit"} <= part.keys() <= _FIGURE:
            uncertainty, value = part.get("uncertainty"), part["value"]
            if isinstance(value, int | float):
                wrong = float(uncertainty) if isinstance(uncertainty, int | float) else None
                yield Figure(
                    path[0] if path else "", ".".join(path[1:]), float(value), str(part["unit"]), wrong
                )
            return
        for key, inner in part.items():
            yield from _figures(inner, (*path, str(key)))
    elif isinstance(part, list):
        for number, inner in enumerate(part):
            yield from _figures(inner, (*path, str(number)))
