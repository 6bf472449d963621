"""Write a tag stream in formats that other programs read: CSV, HDF5, numpy, Parquet, PTU, and the segments
of bellbench.

Blocks are written as they come, in bounded memory. A file appears under its name once it is complete; until
then it is beside it with ".part" at the end, and removed if the writing fails.
"""

import shutil
import zipfile
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from timetags.block import TagBlock
from timetags.files.ptu_writer import PtuWriter
from timetags.files.segments import SegmentWriter

Blocks = Iterable[TagBlock]

TAG: Final = np.dtype([("time_ps", "<i8"), ("channel", "u1")])
"""A tag in a .npy file, 9 bytes."""


def export_tags(blocks: Blocks, path: Path, format: str | None = None) -> int:  # noqa: A002 - the word for it
    """Write `blocks` to `path` in the format of this name, a key of EXPORTS, or else of the suffix of `path`.

    Returns the number of tags. ValueError if there is no such format, or the stream does not fit it (PTU:
    64 inputs); FileExistsError if `path` is a folder that is not empty, or that a file should replace. A file
    that is there is replaced.
    """
    name = format if format is not None else path.suffix.removeprefix(".").lower()
    write = EXPORTS.get(name)
    if write is None:
        raise ValueError(f"no format {name!r} to export to; there are {', '.join(EXPORTS)}")
    if path.is_dir() and (name != "segments" or any(path.iterdir())):
        raise FileExistsError(f"{path} is a folder that is there already")
    part = path.with_name(path.name + ".part")
    try:
        tags = write(blocks, part)
        part.replace(path)
    except BaseException:
        if part.is_dir():
            shutil.rmtree(part)
        part.unlink(missing_ok=True)
        raise
    return tags


def write_csv(blocks: Blocks, path: Path) -> int:
    """A line `time_ps,channel` for each tag, below one with these names. Lost tags and empty stretches do not
    show."""
    import pyarrow as pa
    from pyarrow import csv

    schema = pa.schema([("time_ps", pa.int64()), ("channel", pa.uint8())])
    options = csv.WriteOptions(quoting_style="none", quoting_header="none")
    tags = 0
    with csv.CSVWriter(path, schema, write_options=options) as writer:
        for block in blocks:
            writer.write_table(pa.table([block.times, block.channels], schema=schema))
            tags += len(block)
    return tags


def write_hdf5(blocks: Blocks, path: Path) -> int:
    """Data sets `time_ps` (int64) and `channel` (uint8) of equal length; `start_ps`, `end_ps` and `lost` of
    the whole stream are attributes of the file."""
    import h5py

    totals = _Totals()
    with h5py.File(path, "w") as file:
        columns = [
            file.create_dataset(name, shape=(0,), maxshape=(None,), dtype=kind, chunks=(1 << 18,))
            for name, kind in (("time_ps", "<i8"), ("channel", "u1"))
        ]
        for block in blocks:
            end = totals.tags + len(block)
            for column, values in zip(columns, (block.times, block.channels), strict=True):
                column.resize((end,))
                column[totals.tags :] = values
            totals.add(block)
        for name, value in totals.named().items():
            file.attrs[name] = value
    return totals.tags


def write_npy(blocks: Blocks, path: Path) -> int:
    """One array of TAG, which `numpy.load(path, mmap_mode="r")` opens whatever its size."""
    with _NpyWriter(path, TAG) as writer:
        for block in blocks:
            tags = np.empty(len(block), TAG)
            tags["time_ps"], tags["channel"] = block.times, block.channels
            writer.append(tags)
    return writer.count


def write_npz(blocks: Blocks, path: Path) -> int:
    """Arrays `time_ps` and `channel` of equal length, and the numbers `start_ps`, `end_ps` and `lost` of the
    whole stream. Needs twice the room on the disk while it is written."""
    totals = _Totals()
    parts = {name: path.with_name(f"{path.name}.{name}") for name in ("time_ps", "channel")}
    try:
        with (
            _NpyWriter(parts["time_ps"], np.dtype("<i8")) as times,
            _NpyWriter(parts["channel"], np.dtype("u1")) as channels,
        ):
            for block in blocks:
                times.append(block.times)
                channels.append(block.channels)
                totals.add(block)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for name, part in parts.items():
                archive.write(part, f"{name}.npy")
            for name, value in totals.named().items():
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, np.array(value, np.int64))
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    return totals.tags


def write_parquet(blocks: Blocks, path: Path) -> int:
    """One Parquet file with columns `time_ps` (int64, delta-encoded) and `channel` (uint8); lost tags and
    empty stretches do not show."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("time_ps", pa.int64()), ("channel", pa.uint8())])
    encoding = {"time_ps": "DELTA_BINARY_PACKED"}
    tags = 0
    with pq.ParquetWriter(
        path, schema, compression="none", use_dictionary=["channel"], column_encoding=encoding
    ) as writer:
        for block in blocks:
            writer.write_table(pa.table([block.times, block.channels], schema=schema))
            tags += len(block)
    return tags


def write_ptu(blocks: Blocks, path: Path) -> int:
    """A PTU file, see `timetags.files.ptu_writer`. Its time 0 is the start of the stream."""
    ahead = iter(blocks)
    first = next(ahead, None)
    tags = 0
    with PtuWriter(path, origin_ps=first.start_ps if first else 0) as writer:
        for block in chain([first] if first else [], ahead):
            writer.append(block)
            tags += len(block)
    return tags


def write_segments(blocks: Blocks, path: Path) -> int:
    """A folder of segments, see `timetags.files.segments`."""
    tags = 0
    with SegmentWriter(path) as writer:
        for block in blocks:
            writer.append(block)
            tags += len(block)
    return tags


EXPORTS: Final[Mapping[str, Callable[[Blocks, Path], int]]] = {
    "csv": write_csv,
    "h5": write_hdf5,
    "hdf5": write_hdf5,
    "npy": write_npy,
    "npz": write_npz,
    "parquet": write_parquet,
    "ptu": write_ptu,
    "segments": write_segments,
}
"""The formats by name. All but the last are also the suffix by which `export_tags` knows them."""


class _Totals:
    """What is known of a whole stream."""

    def __init__(self) -> None:
        self.tags = self.lost = 0
        self._start: int | None = None
        self._end = 0

    def add(self, block: TagBlock) -> None:
        self.tags += len(block)
        self.lost += block.lost
        self._start = block.start_ps if self._start is None else self._start
        self._end = block.end_ps

    def named(self) -> dict[str, int]:
        return {"start_ps": self._start or 0, "end_ps": self._end, "lost": self.lost}


class _NpyWriter:
    """A .npy file of one dimension that grows: its header is written again at the end, with the true length.
    numpy leaves room in it for any length."""

    def __init__(self, path: Path, kind: np.dtype[Any]) -> None:
        self._file = path.open("wb")
        self._kind = kind
        self.count = 0
        self._write_header()

    def __enter__(self) -> "_NpyWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            self._file.seek(0)
            self._write_header()

    def append(self, values: NDArray[Any]) -> None:
        self._file.write(np.ascontiguousarray(values, self._kind).data)
        self.count += len(values)

    def _write_header(self) -> None:
        about = {
            "descr": np.lib.format.dtype_to_descr(self._kind),
            "fortran_order": False,
            "shape": (self.count,),
        }
        np.lib.format.write_array_header_1_0(self._file, about)
