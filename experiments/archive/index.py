"""An index in SQLite of what stands in files: made from them, and never more than that.

It guarantees that opening one never fails: missing, damaged or of another form it is made again, and where it
cannot be written it is kept in memory. Several processes may use it at once (write-ahead log).
"""

import sqlite3
from contextlib import suppress
from pathlib import Path

BUSY_S = 5.0
"""For how long to wait for another process that writes."""


def open_index(path: Path, tables: str, version: int, *, afresh: bool = False) -> sqlite3.Connection:
    """The index at a path with these `tables` (SQL that may be carried out again), whose form has this
    `version` (from 1); made again when `afresh`, or when it is damaged or of another form."""
    for anew in (afresh, True):
        with suppress(sqlite3.Error, OSError):
            if anew:
                for end in ("", "-wal", "-shm"):
                    path.with_name(path.name + end).unlink(missing_ok=True)
            return _connect(str(path), tables, version)
    return _connect(":memory:", tables, version)


def _connect(path: str, tables: str, version: int) -> sqlite3.Connection:
    index = sqlite3.connect(path, timeout=BUSY_S)
    try:
        index.execute("PRAGMA journal_mode = WAL")
        index.execute("PRAGMA synchronous = NORMAL")  # it can be made again
        (found,) = index.execute("PRAGMA user_version").fetchone()
        if found not in (0, version):
            raise sqlite3.DatabaseError(f"an index of form {found}")
        with index:
            index.executescript(f"{tables};PRAGMA user_version = {version};")
    except BaseException:
        index.close()
        raise
    return index
