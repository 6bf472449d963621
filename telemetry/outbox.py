"""Messages that wait for the broker: bounded, in memory, and never in the way of the run.

Of a retained topic only the newest message waits. When the outbox is full the least important goes first,
oldest first: figures (`tele`), then events. States and results are never dropped; there are as few of them
as there are topics. What is dropped is counted.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Outgoing:
    """A message ready to be sent. `seq` orders the outbox and is the one in the payload."""

    seq: int
    topic: str
    payload: bytes
    kind: Literal["tele", "event", "retained"]


class Outbox:
    """Waiting messages in the order of their `seq`; at most `limit`, and at most one per retained topic."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.dropped = 0
        self._waiting: dict[int, Outgoing] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, *messages: Outgoing) -> None:
        """Add new messages, or put back ones that were taken and could not be sent."""
        newest = {m.topic: m.seq for m in self._waiting.values() if m.kind == "retained"}
        for message in messages:
            if message.kind == "retained":
                other = newest.get(message.topic, 0)
                if other > message.seq:
                    continue
                self._waiting.pop(other, None)
                newest[message.topic] = message.seq
            self._waiting[message.seq] = message
        self._waiting = dict(sorted(self._waiting.items()))
        self._drop_what_is_too_much()

    def take(self, count: int) -> list[Outgoing]:
        """Remove and return up to `count` of the oldest messages."""
        taken = list(self._waiting.values())[:count]
        for message in taken:
            del self._waiting[message.seq]
        return taken

    def _drop_what_is_too_much(self) -> None:
        excess = len(self._waiting) - self.limit
        if excess <= 0:
            return
        for message in self._by_importance()[:excess]:
            del self._waiting[message.seq]
            self.dropped += 1

    def _by_importance(self) -> list[Outgoing]:
        def of_kind(kind: str) -> Iterable[Outgoing]:
            return (m for m in self._waiting.values() if m.kind == kind)

        return [*of_kind("tele"), *of_kind("event")]
