"""Tag files that survive a crash: a folder of numbered Parquet segments, each written whole or not at all.

A segment is written beside its place, forced to disk and then renamed into it, so 00000001.parquet
either is complete or does not exist, also after `kill -9` or a power cut (`ecosystem.md` 5.1: an open HDF5 or
Parquet file is lost). Columns: `t`, int64 ps, delta-encoded (about 2.9 bytes per tag), and `c`, uint8. The
block's start, end and lost tags are in the file's metadata. `manifest.jsonl` has a line per segment
(`manifest.Segment`), with the SHA-256 of the file. Any Parquet reader reads a segment.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from timetags.block import TagBlock
from timetags.files.manifest import MANIFEST, Segment, append_segment, read_manifest, sum_of
from timetags.files.tag_file import Damage, TagFile, TagFileError, TagFileInfo

_log = logging.getLogger(__name__)

_METADATA = b"bellbench.block"


class SegmentWriter:
    """Appends blocks to the segments in `folder`, which is made if needed; earlier segments are kept.

    Blocks are collected and written as one segment when they hold `rows` tags or span `span_ps`, at
    `flush()` and at `close()` (also as a context manager). So a crash costs at most that much. Not safe
    for two writers on one folder. An OSError (disk full) comes through unchanged; the segments written before
    stay readable, and what was collected is kept, so that a later `flush()` can still succeed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        rows: int = 4_000_000,
        span_ps: int = 4 * 10**12,
        on_segment: Callable[[Segment], None] | None = None,
    ) -> None:
        """`on_segment` is told of each segment when it and its line are on disk."""
        self._folder, self._rows, self._span, self._on_segment = folder, rows, span_ps, on_segment
        self._pending: list[TagBlock] = []
        folder.mkdir(parents=True, exist_ok=True)
        self._next = 1 + max((int(path.stem) for path in _segments(folder)), default=0)

    def __enter__(self) -> "SegmentWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, block: TagBlock) -> None:
        """Take the next block of the stream; perhaps write a segment. ValueError if it starts before the
        end of the one before."""
        if self._pending and block.start_ps < self._pending[-1].end_ps:
            raise ValueError(
                f"a block from {block.start_ps} ps follows one that ended at {self._pending[-1].end_ps} ps"
            )
        self._pending.append(block)
        if (
            sum(map(len, self._pending)) >= self._rows
            or block.end_ps - self._pending[0].start_ps >= self._span
        ):
            self.flush()

    def flush(self) -> None:
        """Write what was collected as a segment; nothing if nothing was."""
        if not self._pending:
            return
        block = _joined(self._pending)
        path = self._folder / f"{self._next:08d}.parquet"
        content = _encode(block)
        _write_whole(path, content)
        # Whole under its name, it is read with or without its line, and must not be written again.
        self._pending = []
        self._next += 1
        segment = Segment(path.name, len(block), block.start_ps, block.end_ps, block.lost, sum_of(content))
        append_segment(self._folder, segment)
        if self._on_segment is not None:
            self._on_segment(segment)

    def close(self) -> None:
        """Write what was collected. The writer can go on after it."""
        self.flush()


def read_segments(
    folder: Path,
    on_skip: Callable[[Path, str], None] | None = None,
    within_ps: tuple[int, int] | None = None,
) -> Iterator[TagBlock]:
    """The segments of `folder` in order, one block each; of a stretch of time, only those that touch it.

    A file that is not a whole segment (truncated, altered, or something else) is skipped:
    `on_skip(path, reason)` is told, or else a warning logged. A segment that a crash left without its line
    in the manifest is whole and is read. FileNotFoundError if there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder of tag segments at {folder}")
    skip = on_skip or (lambda path, reason: _log.warning("skipped %s: %s", path, reason))
    for _, block in _read(folder, skip, within_ps):
        yield block


def verify_segments(folder: Path) -> tuple[list[Segment], list[str]]:
    """The segments of `folder` that are whole, each read and compared with the manifest, and what is wrong,
    in words: segments damaged or missing, files that are none. FileNotFoundError if there is no such
    folder."""
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder of tag segments at {folder}")
    listed = read_manifest(folder)
    whole: list[Segment] = []
    wrong: list[str] = []
    for path in sorted(folder.glob("*.parquet*")):
        try:
            whole.append(_verified(path, listed.get(path.name)))
        except ValueError as error:
            wrong.append(f"{path.name}: {error}")
    there = {path.name for path in _segments(folder)}
    wrong += [f"{name}: missing, although {MANIFEST} lists it" for name in listed if name not in there]
    return whole, wrong


def _verified(path: Path, listed: Segment | None) -> Segment:
    """A segment that is whole; ValueError says why it is not."""
    content = _content(path, listed)
    if listed is not None:
        return listed
    block = _decode(content)
    return Segment(path.name, len(block), block.start_ps, block.end_ps, block.lost, sum_of(content))


def _read(
    folder: Path, skip: Callable[[Path, str], None], within_ps: tuple[int, int] | None = None
) -> Iterator[tuple[Path, TagBlock]]:
    listed = read_manifest(folder)
    for path in sorted(folder.glob("*.parquet*")):
        segment = listed.get(path.name)
        if within_ps is not None and segment is not None and not _touches(segment, within_ps):
            continue
        try:
            block = _decode(_content(path, segment))
        except ValueError as error:
            skip(path, str(error))
            continue
        yield path, block


def _touches(segment: Segment, within_ps: tuple[int, int]) -> bool:
    return segment.start_ps < within_ps[1] and within_ps[0] < segment.end_ps


def _content(path: Path, listed: Segment | None) -> bytes:
    """The bytes of a segment; ValueError when its name is not that of one, or the manifest knows others."""
    if not (path.suffix == ".parquet" and path.stem.isdigit()):
        raise ValueError("not the name of a segment (left by a crash, or foreign)")
    content = path.read_bytes()
    if listed is not None and sum_of(content) != listed.sha256:
        raise ValueError(f"its SHA-256 is not the one in {MANIFEST}: truncated or altered")
    return content


class SegmentFolder(TagFile):
    """A folder of segments as a tag file: a block for each segment.

    A segment that starts before the end of the one before it (a folder two writers wrote to) is damage
    and left out whole. FileNotFoundError if there is no such folder, TagFileError if it holds no segment.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise FileNotFoundError(f"no folder of tag segments at {folder}")
        paths = sorted(_segments(folder))
        if not paths:
            raise TagFileError(folder, "a folder without tag segments (00000001.parquet, ...)")
        about = [known for known in map(_about, paths) if known is not None]
        super().__init__(
            TagFileInfo(
                path=folder,
                format=f"bellbench segments ({len(paths)})",
                size_bytes=sum(path.stat().st_size for path in paths),
                resolution_ps=1.0,
                records=sum(rows for rows, _, _ in about),
                tags=sum(rows for rows, _, _ in about),
                duration_ps=about[-1][2] - about[0][1] if about else None,
            )
        )

    def __iter__(self) -> Iterator[TagBlock]:
        self.position, self.damage, self.reordered = 0, [], 0
        sizes = {path: path.stat().st_size for path in sorted(_segments(self.info.path))}
        starts = dict(zip(sizes, np.cumsum([0, *sizes.values()]).tolist(), strict=False))
        end_ps: int | None = None

        def skip(path: Path, reason: str) -> None:
            self.damage.append(Damage(starts.get(path, 0), sizes.get(path, 0), 0, f"{path.name}: {reason}"))

        for path, block in _read(self.info.path, skip):
            self.position = starts.get(path, 0) + sizes.get(path, 0)
            if end_ps is not None and block.start_ps < end_ps:
                skip(
                    path, f"starts at {block.start_ps} ps, before the end of the one before it ({end_ps} ps)"
                )
                continue
            end_ps = block.end_ps
            yield block
        self.position = self.info.size_bytes


def _segments(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.parquet") if path.stem.isdigit()]


def _joined(blocks: list[TagBlock]) -> TagBlock:
    return TagBlock(
        np.concatenate([block.times for block in blocks]),
        np.concatenate([block.channels for block in blocks]),
        blocks[0].start_ps,
        blocks[-1].end_ps,
        sum(block.lost for block in blocks),
    )


def _encode(block: TagBlock) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    about = {"start_ps": block.start_ps, "end_ps": block.end_ps, "lost": block.lost}
    table = pa.table(
        {"t": pa.array(block.times, pa.int64()), "c": pa.array(block.channels, pa.uint8())},
        metadata={_METADATA: json.dumps(about).encode()},
    )
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="none",
        use_dictionary=["c"],
        column_encoding={"t": "DELTA_BINARY_PACKED"},
    )
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _decode(content: bytes) -> TagBlock:
    """The block in a segment's bytes. ValueError says why there is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Without Arrow's threads: a process that ends soon after aborts over one that has not ended
        # (apache/arrow#39862), and two columns of one segment are read faster by one.
        table: Any = pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
        # Copies: pyarrow's arrays are read-only, and kernels would be compiled anew for such.
        times = np.array(table["t"].cast(pa.int64()).to_numpy(), np.int64)
        channels = np.array(table["c"].cast(pa.uint8()).to_numpy(), np.uint8)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise ValueError(f"not a Parquet file of tags: {error}") from error
    about = (table.schema.metadata or {}).get(_METADATA)
    if about is not None:
        known = json.loads(about)
        return TagBlock(times, channels, known["start_ps"], known["end_ps"], known["lost"])
    # Written by another program: the tags themselves are all that is known of the range.
    if len(times) == 0:
        return TagBlock(times, channels, 0, 0)
    return TagBlock(times, channels, int(times[0]), int(times[-1]) + 1)


def _about(path: Path) -> tuple[int, int, int] | None:
    """Rows, start and end (ps) of a segment from its footer alone; None where that cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata: Any = pq.read_metadata(path)
        known = json.loads((metadata.metadata or {})[_METADATA])
        return metadata.num_rows, known["start_ps"], known["end_ps"]
    except (pa.ArrowException, OSError, KeyError, ValueError):
        return None


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is complete under its name or does not exist, whatever happens."""
    unfinished = path.with_suffix(".parquet.tmp")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)  # gives the space back; a full disk can still do that
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    # Without it, the new name may be lost in a power cut although the content is not.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
