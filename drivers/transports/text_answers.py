"""Answers of several lines that end in a way of their own (a prompt, the word `Done`), as frames of a serial
line: `SerialFrameLine` takes `TextAnswers` for its decoder. An answer is then known as a whole, with its end,
so that success and refusal of a command that has nothing to say can be told apart.
"""

import re
from collections.abc import Sequence

Answer = tuple[str, ...]
"""The lines of an answer, stripped and without empty ones; the last is or contains its end."""

MAX_ANSWER = 65536
"""Bytes without an end after which the beginning is dropped."""


class TextAnswers:
    """Cuts received bytes behind whatever the regular expression `end` matches."""

    def __init__(self, end: bytes) -> None:
        self._end = re.compile(end)
        self._pending = b""

    def feed(self, data: bytes) -> Sequence[Answer]:
        self._pending += data
        answers: list[Answer] = []
        while match := self._end.search(self._pending):
            text, self._pending = self._pending[: match.end()], self._pending[match.end() :]
            lines = re.split(r"[\r\n]+", text.decode("latin-1"))
            answers.append(tuple(line.strip() for line in lines if line.strip()))
        self._pending = self._pending[-MAX_ANSWER:]
        return answers

    def reset(self) -> None:
        self._pending = b""
