"""A stored run for other programs: its tags and its events, a file for each tagger and each stream.

Tags go through `timetags.files.export`; a damaged segment is left out and said. A file appears under its name
once it is complete.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.archive.stored import StoredRun

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIX = {"csv": "csv", "hdf5": "h5", "parquet": "parquet", "ptu": "ptu"}
"""The formats, and how the names of their files end."""
CHANNELS = "detectors.json"
"""Which detector each channel of the tags is."""


@dataclass
class Exported:
    """What was written: files with their rows, and what people should know."""

    files: dict[Path, int] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def export_run(run: StoredRun, folder: Path, format: str) -> Exported:  # noqa: A002 - the word for it
    """Write everything of a run into `folder`, made if needed, in a format, a key of SUFFIX."""
    from timetags.files.export import export_tags
    from timetags.files.segments import read_segments

    exported = Exported()
    folder.mkdir(parents=True, exist_ok=True)
    for source in run.tag_sources:
        path = folder / f"tags-{source.replace('/', '-')}.{SUFFIX[format]}"

        def skipped(segment: Path, reason: str) -> None:
            exported.remarks.append(f"left out {segment.relative_to(run.path)}: {reason}")

        blocks = read_segments(run.path / "tags" / source, skipped)
        exported.files[path] = export_tags(blocks, path, SUFFIX[format])
    channels = dict(enumerate(run.detectors))
    (folder / CHANNELS).write_text(json.dumps(channels, indent=2) + "\n", encoding="utf-8")
    if format in TABLES:
        for stream in run.streams:
            path = folder / f"events-{stream}.{SUFFIX[format]}"
            table = run.events(stream)
            part = path.with_name(path.name + ".part")
            TABLES[format](table, part)
            part.replace(path)
            exported.files[path] = table.num_rows
    return exported


def _csv(table: "pa.Table", path: Path) -> None:
    from pyarrow import csv

    csv.write_csv(_flat(table), path)


def _parquet(table: "pa.Table", path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, path)


def _hdf5(table: "pa.Table", path: Path) -> None:
    """A data set for each column; lists that are all of one length are the rows of a matrix."""
    import h5py
    import numpy as np

    with h5py.File(path, "w") as file:
        for name, column in zip(table.column_names, table.columns, strict=True):
            values: list[Any] = column.to_pylist()
            if all(isinstance(value, bool) for value in values):
                file[name] = np.array(values, bool)
            elif all(value is None or isinstance(value, int | float) for value in values):
                file[name] = np.array([np.nan if value is None else value for value in values], float)
            elif _is_matrix(values):
                rows = [[np.nan if number is None else number for number in row] for row in values]
                file[name] = np.array(rows, float)
            else:
                file.create_dataset(name, data=[_text(value) for value in values], dtype=h5py.string_dtype())


def _is_matrix(values: list[Any]) -> bool:
    return all(isinstance(value, list) for value in values) and len({len(value) for value in values}) == 1


def _flat(table: "pa.Table") -> "pa.Table":
    """The same with lists as JSON text, since a CSV file has none."""
    import pyarrow as pa

    columns: Mapping[str, Any] = {
        name: column
        if not pa.types.is_list(column.type)
        else pa.array([_text(value) for value in column.to_pylist()])
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    return pa.table(columns)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


TABLES: dict[str, Callable[["pa.Table", Path], None]] = {"csv": _csv, "hdf5": _hdf5, "parquet": _parquet}
"""How each format writes a table of events; PTU has none."""
