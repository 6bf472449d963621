"""Every tag file from outside, whatever its format: what it is, its tags in blocks, its damage.

Reading never takes more memory than a few blocks, however large the file. Blocks come in time order, the next
begins where the one before ended, and no tag is invented: what cannot be read is left out and told in
`damage`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from timetags.block import TagBlock


class TagFileError(ValueError):
    """A file that cannot be read as tags at all: not of the format, or its header is damaged."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason


@dataclass(frozen=True)
class Damage:
    """A place in a file whose content did not become tags, though it should have.

    `offset` is the place of its first byte and `size` how many bytes it reaches from there; within it,
    `records` records were left out (0 where none can be counted). Between them whole ones may stand.
    """

    offset: int
    size: int
    records: int
    reason: str

    def __str__(self) -> str:
        count = f"{self.records:,} record{'s' * (self.records != 1)} in " if self.records else ""
        return f"{count}{self.size:,} bytes from byte {self.offset:,}: {self.reason}"


@dataclass(frozen=True)
class TagFileInfo:
    """What is known of a tag file before its tags are read; None where the file does not say."""

    path: Path
    format: str
    """The format in words, such as "PicoQuant PTU, MultiHarp T2"."""
    size_bytes: int
    """The length of the file, or of all files of a folder: reading is done when `position` reaches it."""
    channels: Mapping[int, str] = field(default_factory=dict)
    """Meaning of each channel number that may occur in the blocks, such as 0: "sync", 1: "input 1"."""
    resolution_ps: float | None = None
    """The step of the file's times, ps."""
    records: int | None = None
    """How many records it holds; records that are no tags (overflows) count too."""
    tags: int | None = None
    """How many tags it holds, where that is known without reading them."""
    duration_ps: int | None = None
    """How long the recording lasted, ps."""
    header: Mapping[str, object] = field(default_factory=dict)
    """Everything else that the file says of itself, under its own names."""


class TagFile(ABC):
    """A file of tags, or a folder of such, that has been recognised. Iterate it for its blocks.

    Each iteration reads anew from the start and resets `position`, `damage` and `reordered`, so there
    must be one at a time. Blocks are the reader's to keep: nothing else refers to their arrays. An OSError
    comes through unchanged; no other error is raised in reading, whatever the content.
    """

    def __init__(self, info: TagFileInfo) -> None:
        self.info = info
        self.position = 0
        """Bytes read so far, of `info.size_bytes`."""
        self.damage: list[Damage] = []
        """What the iteration so far could not read, in the order found; complete when it has ended."""
        self.reordered = 0
        """Tags so far that stood behind a later one, by no more than the format allows, and were put
        right."""

    @abstractmethod
    def __iter__(self) -> Iterator[TagBlock]:
        """The blocks, about a million tags each. A block may be empty, when nothing came for long."""
