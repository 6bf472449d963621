"""Open a tag file of any format that bellbench reads, recognised by its content and its name."""

from pathlib import Path

from timetags.files.ptu import open_ptu
from timetags.files.segments import SegmentFolder
from timetags.files.tag_file import TagFile

FORMATS = ("segments", "ptu", "a0", "a1", "a2", "swabian", "idq")


def open_tags(path: Path, format: str | None = None) -> TagFile:  # noqa: A002 - the word for it
    """The tags in `path`, whose format is one of FORMATS or else recognised.

    FileNotFoundError if there is nothing at `path`; TagFileError if it is of none of the formats, or not
    of the one that was named; ValueError if there is no format of that name.
    """
    if format is not None and format not in FORMATS:
        raise ValueError(f"no format {format!r} of tag files; there are {', '.join(FORMATS)}")
    if path.is_dir():
        return SegmentFolder(path)
    return open_ptu(path)
