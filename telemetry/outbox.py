"""Messages that wait for the broker, on disk: what was stored here is sent one day, by this process or by a
later one.

Guaranteed: a stored message outlives the process (`kill -9` included) and stays until it is said to be
delivered; of a retained topic only the newest waits. The outbox is bounded, in messages and in bytes. When
it is full, the least important goes first and the oldest of those: figures, then events, then warnings;
states and results are never dropped, there are as few of them as there are topics. What is dropped is
counted, on disk too. When the disk fails, the outbox goes on in memory.

SQLite in WAL mode, held exclusively: a second process that opens it gets `OutboxBusyError`. After a power cut
the last fraction of a second may be missing (`synchronous=NORMAL`), never more, and the file stays sound.
All methods block; the publisher calls them in a thread.
"""

import contextlib
import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from telemetry.contract import Importance

FILE = "outbox.sqlite"
"""Its name in a run folder; it is there as long as something waits."""
MAX_MESSAGES = 200_000
MAX_BYTES = 64 * 2**20

_TABLES = """
CREATE TABLE IF NOT EXISTS message (
    seq INTEGER PRIMARY KEY, topic TEXT NOT NULL, retain INTEGER NOT NULL, importance INTEGER NOT NULL,
    payload BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS by_topic ON message (topic) WHERE retain;
CREATE INDEX IF NOT EXISTS by_importance ON message (importance, seq);
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class OutboxBusyError(Exception):
    """Another process holds this outbox."""


@dataclass(frozen=True)
class Outgoing:
    """A message ready to be sent. `seq` orders the outbox and is the one in the payload."""

    seq: int
    topic: str
    payload: bytes
    importance: Importance
    retain: bool = False


class Outbox:
    """Waiting messages in the order of their `seq`. `path` None: in memory alone."""

    def __init__(
        self,
        path: Path | None = None,
        *,
        max_messages: int = MAX_MESSAGES,
        max_bytes: int = MAX_BYTES,
        about: Mapping[str, object] | None = None,
    ) -> None:
        """Open or make it. `about` is kept beside the messages: what a later process must know to send them.

        Raises OutboxBusyError when another process has it, sqlite3.Error when the file is not one of ours.
        """
        self.path = path
        self.dropped: dict[Importance, int] = {}
        self.trouble: str | None = None  # why it is in memory, when it should be on disk
        self._max_messages, self._max_bytes = max_messages, max_bytes
        self._taken: set[int] = set()
        self._count, self._bytes = 0, 0
        try:
            self._db = _opened(path)
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise OutboxBusyError(f"{path} is in use by another process") from error
            raise
        if about is not None:
            self._set("line", json.dumps(dict(about)))
        self._measure()

    @classmethod
    def for_run(cls, path: Path, about: Mapping[str, object]) -> Self:
        """The outbox of a new run: on disk, or in memory where that cannot be. Never raises."""
        try:
            return cls(path, about=about)
        except (sqlite3.Error, OutboxBusyError) as error:
            box = cls(about=about)
            box.trouble = f"{path}: {error}; messages wait in memory"
            return box

    def __len__(self) -> int:
        return self._count

    @property
    def about(self) -> dict[str, Any]:
        """What was kept with it; empty when nothing was."""
        row = self._db.execute("SELECT value FROM about WHERE name = 'line'").fetchone()
        return dict(json.loads(row[0])) if row else {}

    @property
    def last_seq(self) -> int:
        """The highest number of a message that waits; 0 when none does."""
        row = self._db.execute("SELECT max(seq) FROM message").fetchone()
        return int(row[0] or 0)

    def put(self, messages: Iterable[Outgoing]) -> None:
        """Store messages, in one transaction; those that are there already stay once."""
        messages = list(messages)
        try:
            with self._transaction():
                self._put(messages)
        except sqlite3.Error as error:
            self._go_on_in_memory(error)
            with self._transaction():
                self._put(messages)

    def take(self, count: int, without: Collection[str] = ()) -> list[Outgoing]:
        """Up to `count` of the oldest messages, except of these topics. They stay until `delivered`."""
        marks = ",".join("?" * len(without))
        batch = self._select(f"topic NOT IN ({marks}) ORDER BY seq LIMIT ?", (*without, count))
        self._taken = {message.seq for message in batch}
        return batch

    def delivered(self, messages: Iterable[Outgoing]) -> None:
        """Forget these: the broker has them."""
        messages = list(messages)
        try:
            self._forget(messages)
        except sqlite3.Error as error:
            self._go_on_in_memory(error)
            self._forget(messages)

    def drop(self, message: Outgoing) -> None:
        """Give a message up and count it: it cannot be delivered, whatever is tried."""
        with self._transaction():
            self._drop([message.seq])

    def close(self) -> None:
        """Close it; an empty one leaves no file."""
        empty = not self._count
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        if empty and self.path is not None:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    def _put(self, messages: list[Outgoing]) -> None:
        for message in messages:
            if message.retain:
                newer = "SELECT 1 FROM message WHERE retain AND topic = ? AND seq >= ?"
                if self._db.execute(newer, (message.topic, message.seq)).fetchone():
                    continue
                self._delete("retain AND topic = ?", (message.topic,))
            done = self._db.execute(
                "INSERT OR IGNORE INTO message VALUES (?, ?, ?, ?, ?)",
                (message.seq, message.topic, message.retain, message.importance, message.payload),
            )
            self._count += done.rowcount
            self._bytes += done.rowcount * len(message.payload)
        while (excess := max(self._count - self._max_messages, 0)) or self._bytes > self._max_bytes:
            least = self._db.execute(
                "SELECT seq FROM message WHERE importance < ? ORDER BY importance, seq LIMIT ?",
                (Importance.KEPT, max(excess, 1) + len(self._taken)),
            )
            # What is on its way to the broker is not dropped: it may have arrived.
            victims = [seq for (seq,) in least if seq not in self._taken][: max(excess, 1)]
            if not victims:
                return
            self._drop(victims)

    def _drop(self, numbers: Iterable[int]) -> None:
        for seq in numbers:
            row = self._db.execute("SELECT importance FROM message WHERE seq = ?", (seq,)).fetchone()
            if row is None:
                continue
            importance = Importance(row[0])
            self._delete("seq = ?", (seq,))
            self.dropped[importance] += 1
            self._set(f"dropped {importance.name}", str(self.dropped[importance]))

    def _forget(self, messages: Iterable[Outgoing]) -> None:
        with self._transaction():
            for message in messages:
                self._delete("seq = ?", (message.seq,))
        self._taken = set()

    def _select(self, which: str, values: tuple[object, ...]) -> list[Outgoing]:
        rows = self._db.execute(
            f"SELECT seq, topic, payload, importance, retain FROM message WHERE {which}", values
        )
        return [Outgoing(seq, topic, data, Importance(i), bool(r)) for seq, topic, data, i, r in rows]

    def _delete(self, which: str, values: tuple[object, ...]) -> None:
        size = self._db.execute(f"SELECT count(*), sum(length(payload)) FROM message WHERE {which}", values)
        count, length = size.fetchone()
        if count:
            self._db.execute(f"DELETE FROM message WHERE {which}", values)
            self._count, self._bytes = self._count - count, self._bytes - length

    def _set(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, value))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            self._measure()
            raise
        self._db.execute("COMMIT")

    def _measure(self) -> None:
        """What is there, as the file has it."""
        count, length = self._db.execute("SELECT count(*), sum(length(payload)) FROM message").fetchone()
        self._count, self._bytes = count, length or 0
        dropped = dict(self._db.execute("SELECT name, value FROM about WHERE name LIKE 'dropped %'"))
        self.dropped = {kind: int(dropped.get(f"dropped {kind.name}", 0)) for kind in Importance}

    def _go_on_in_memory(self, error: sqlite3.Error) -> None:
        """A disk that is full or gone stops neither the run nor its telemetry. What is on the disk stays
        there, and is sent from here as well: subscribers know it by its number."""
        if self.path is None:
            raise error
        self.trouble = f"{self.path}: {error}; messages wait in memory"
        memory = _opened(None)
        with contextlib.suppress(sqlite3.Error):
            self._db.backup(memory)
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        self._db, self.path = memory, None
        self._measure()


def _opened(path: Path | None) -> sqlite3.Connection:
    database = sqlite3.connect(
        path if path is not None else ":memory:", timeout=0.0, isolation_level=None, check_same_thread=False
    )
    try:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.executescript(f"BEGIN EXCLUSIVE;{_TABLES}COMMIT;")
    except sqlite3.Error:
        database.close()
        raise
    return database
