"""What a run takes for granted: every value of its files that is marked as assumed or fitted, with what is
said of it there.

The files are read as text, comments and all, as the technician wrote them: `pair_rate: 6.5 MHz # [fitted] at
this pump power` is one such value, and a sentence above a key speaks of all below it. What a command line or
a file that includes them has set otherwise stands there all the same.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_MARK = re.compile(r"\[(assumed|fitted)\]")
_LEGEND = re.compile(r"Status of numbers|\[assumed\] no source")
"""How files begin that say what the marks mean."""
_COMMENT = re.compile(r"(?:^|\s)#\s?")
_KEY = re.compile(r"(?P<indent>\s*)(?:- )?(?P<key>[\w.]+):\s*(?:&\w+\s*)?(?P<value>.*)")
_SENTENCE = re.compile(r"(?<=\.)\s+")


class Assumption(NamedTuple):
    """`of` is where it stands, key by key; `stated` the value as written, empty where a sentence speaks of
    all below a key."""

    of: str
    stated: str
    remark: str


def assumptions(text: str) -> Iterator[Assumption]:
    """Those of one file, in its order. Whatever the text is, nothing is raised."""
    above: list[str] = []
    keys: list[tuple[int, str]] = []
    for line in text.splitlines():
        code, *comments = _COMMENT.split(line, maxsplit=1)
        if not code.strip():
            above += comments
            continue
        begins = not keys
        if found := _KEY.match(code):
            indent = len(found["indent"])
            keys = [*((i, key) for i, key in keys if i < indent), (indent, found["key"])]
        of = " ".join(key for _, key in keys)
        for remark in _marked(" ".join(above)):
            yield Assumption("the whole file" if begins else of, "", remark)
        above = []
        for comment in comments:
            if _MARK.search(comment):
                yield Assumption(of, (found["value"] if found else code).strip(), comment.strip())


def _marked(text: str) -> Iterator[str]:
    """The sentences with a mark, but for those that say what marks are."""
    if not _LEGEND.search(text):
        yield from (sentence for sentence in _SENTENCE.split(text) if _MARK.search(sentence))
