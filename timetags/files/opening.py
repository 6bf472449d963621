"""Open a tag file of any format that bellbench reads, recognised by its content and its name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from timetags.files.idq import looks_like_idq, open_idq
from timetags.files.ptu import looks_like_ptu, open_ptu
from timetags.files.segments import SegmentFolder
from timetags.files.sfifteen import looks_like_a1, looks_like_a2, open_a1, open_a2
from timetags.files.swabian import looks_like_swabian, open_swabian
from timetags.files.tag_file import TagFile, TagFileError

_HEAD_BYTES: Final = 1 << 16


@dataclass(frozen=True)
class _Format:
    open: Callable[[Path], TagFile]
    looks_right: Callable[[bytes], bool]
    """Whether the first bytes of a file, of which there is at least one, can be of this format."""
    suffixes: tuple[str, ...]


# In the order in which they are tried on a file whose name says nothing: the stricter ones first.
_FORMATS: Final = {
    "ptu": _Format(open_ptu, looks_like_ptu, (".ptu",)),
    "a2": _Format(open_a2, looks_like_a2, (".a2",)),
    "swabian": _Format(open_swabian, looks_like_swabian, (".dump",)),
    "a1": _Format(open_a1, looks_like_a1, (".a1",)),
    "idq": _Format(open_idq, looks_like_idq, (".bin",)),
}

_EXPORT: Final = (
    "numpy or HDF5, which is written for other programs and not read here: open what it was made of"
)
_NOT_READ: Final = {
    # This magic word is of low confidence (swabian_timetagger.md).
    b"SITT": "a .ttbin of Swabian Instruments, which cannot be read here: write a Dump",
    # Rows of times in such a file could be taken for those of another.
    b"PK\x03\x04": _EXPORT,
    b"\x93NUMPY": _EXPORT,
    b"\x89HDF\r\n": _EXPORT,
}
"""What files begin with that are not of our formats, and what to say of them."""

FORMATS: Final = ("segments", *_FORMATS)
"""The names of the formats, for `open_tags`."""


def open_tags(path: Path, format: str | None = None) -> TagFile:  # noqa: A002 - the word for it
    """The tags in `path`, whose format is one of FORMATS or else recognised.

    FileNotFoundError if there is nothing at `path`; TagFileError if it is of none of the formats, or not of
    the one that was named; ValueError if there is no format of that name. What else there is to say when
    opening a file (the period of an ID900's sub-acquisitions, the channels of a Dump) is for the format's own
    function.
    """
    if format is not None and format not in FORMATS:
        raise ValueError(f"no format {format!r} of tag files; there are {', '.join(FORMATS)}")
    if format == "segments" or (format is None and path.is_dir()):
        return SegmentFolder(path)
    if format is not None:
        return _FORMATS[format].open(path)
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        raise TagFileError(path, "the file is empty")
    for magic, reason in _NOT_READ.items():
        if head.startswith(magic):
            raise TagFileError(path, reason)
    by_name = sorted(_FORMATS.values(), key=lambda known: path.suffix.lower() not in known.suffixes)
    for known in by_name:
        if known.looks_right(head):
            return known.open(path)
    raise TagFileError(path, f"in none of the formats known here ({', '.join(FORMATS)})")
