"""An instrument at the far end of a pseudo-terminal that answers by a table, for the tests of serial drivers.

It knows nothing of a protocol but where a request ends; requests and answers are bytes of the protocol notes.
"""

import asyncio
from collections.abc import Callable

from tests.drivers.pty_peer import PtyPeer

Cut = Callable[[bytes], tuple[list[bytes], bytes]]
"""Takes what has come; returns the whole requests and what is left."""


def at_end(end: bytes) -> Cut:
    """Requests that end with these bytes."""

    def cut(data: bytes) -> tuple[list[bytes], bytes]:
        *whole, rest = data.split(end)
        return [request + end for request in whole], rest

    return cut


def of_size(size: int) -> Cut:
    """Requests of so many bytes."""

    def cut(data: bytes) -> tuple[list[bytes], bytes]:
        whole = len(data) // size * size
        return [data[i : i + size] for i in range(0, whole, size)], data[whole:]

    return cut


class TablePeer(PtyPeer):
    """Answers by `answers`, before that by what stands in `next` for a request, one at a time; an empty
    answer is silence. Keeps what it `heard`."""

    def __init__(self, cut: Cut, answers: dict[bytes, bytes]) -> None:
        super().__init__()
        self.answers, self.next = dict(answers), dict[bytes, list[bytes]]()
        self.heard: list[bytes] = []
        self.asked = asyncio.Event()
        self._cut, self._pending = cut, b""

    def received(self, data: bytes) -> None:
        requests, self._pending = self._cut(self._pending + data)
        for request in requests:
            self.heard.append(request)
            waiting = self.next.get(request)
            answer = waiting.pop(0) if waiting else self.answers.get(request, b"")
            if answer:
                self.say(answer)
            else:
                self.asked.set()
