"""Compile the kernels that read and write tag files, before anybody waits for a file."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from timetags.block import TagBlock
from timetags.files.export import write_ptu
from timetags.files.idq import open_idq
from timetags.files.ptu import open_ptu
from timetags.files.ptu_header import HeaderTag, build
from timetags.files.sfifteen import open_a1, open_a2
from timetags.files.swabian import open_swabian
from timetags.files.tag_file import TagFile

_LAYOUTS: Final = (0x00010203, 0x00010303, 0x00010207, 0x00010307)
"""A record type of PTU files for each kernel."""


def compile_kernels() -> None:
    """Compile them all, which takes some seconds, or load them from the cache: a file of three records in
    every format is read, out of order so that it is also sorted, and a PTU file is written."""
    three = np.array([3 << 40, 1 << 40, 2 << 40], "<u8").tobytes()
    files: list[tuple[Callable[[Path], TagFile], bytes]] = [
        *((open_ptu, _ptu(code)) for code in _LAYOUTS),
        (open_a1, three),
        (open_a2, b"0000000000000001\n"),
        (open_swabian, three + three),
        (open_idq, three),
    ]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tags"
        for open_file, content in files:
            path.write_bytes(content)
            for _ in open_file(path):
                pass
        write_ptu([TagBlock(np.array([1], np.int64), np.array([1], np.uint8), 0, 2)], path)


def _ptu(record_type: int) -> bytes:
    # A unit that is no whole number of picoseconds, so that T2 times are scaled as well.
    header = build(
        (
            HeaderTag("MeasDesc_GlobalResolution", 2.5e-12),
            HeaderTag("MeasDesc_Resolution", 2.5e-12),
            HeaderTag("TTResultFormat_TTTRRecType", record_type),
        )
    )
    return header + np.array([3, 1, 2], "<u4").tobytes()
