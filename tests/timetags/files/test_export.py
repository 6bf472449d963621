"""Exported files, opened by the programs that they are for."""

import csv
import tracemalloc

import h5py
import numpy as np
import pytest

from tests.timetags.files.packed import random_block, read
from timetags.block import TagBlock
from timetags.files.export import EXPORTS, export_tags
from timetags.files.opening import open_tags

ONE = random_block(3000, seed=1, channels=range(60), lost=2)
EMPTY = TagBlock(np.empty(0, np.int64), np.empty(0, np.uint8), ONE.end_ps, ONE.end_ps + 500)
TWO = random_block(2000, seed=2, channels=range(60), start=EMPTY.end_ps, lost=3)
BLOCKS = [ONE, EMPTY, TWO]
TIMES = np.concatenate([ONE.times, TWO.times])
CHANNELS = np.concatenate([ONE.channels, TWO.channels])


def exported(folder, name):
    path = folder / f"tags.{name}"
    assert export_tags(BLOCKS, path) == 5000
    assert [entry.name for entry in folder.iterdir()] == [path.name]
    return path


def test_csv(tmp_path):
    with exported(tmp_path, "csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["time_ps", "channel"]
    assert [(int(time), int(channel)) for time, channel in rows[1:]] == list(
        zip(TIMES.tolist(), CHANNELS.tolist(), strict=True)
    )


@pytest.mark.parametrize("suffix", ["h5", "hdf5"])
def test_hdf5(tmp_path, suffix):
    with h5py.File(exported(tmp_path, suffix)) as file:
        np.testing.assert_array_equal(file["time_ps"][:], TIMES)
        np.testing.assert_array_equal(file["channel"][:], CHANNELS)
        assert file["time_ps"].dtype == np.int64
        assert file["channel"].dtype == np.uint8
        assert dict(file.attrs) == {"start_ps": 0, "end_ps": TWO.end_ps, "lost": 5}


def test_npy(tmp_path):
    tags = np.load(exported(tmp_path, "npy"), mmap_mode="r")
    assert tags.dtype.itemsize == 9
    np.testing.assert_array_equal(tags["time_ps"], TIMES)
    np.testing.assert_array_equal(tags["channel"], CHANNELS)


def test_npz(tmp_path):
    with np.load(exported(tmp_path, "npz")) as arrays:
        np.testing.assert_array_equal(arrays["time_ps"], TIMES)
        np.testing.assert_array_equal(arrays["channel"], CHANNELS)
        assert {name: int(arrays[name]) for name in ("start_ps", "end_ps", "lost")} == {
            "start_ps": 0,
            "end_ps": TWO.end_ps,
            "lost": 5,
        }


def test_ptu_and_segments_come_back(tmp_path):
    tags = list(zip(TIMES.tolist(), CHANNELS.tolist(), strict=True))
    ptu = open_tags(exported(tmp_path, "ptu"))
    assert read(ptu) == tags
    assert ptu.info.header["Bellbench_LostTags"] == 5
    export_tags(BLOCKS, tmp_path / "folder", "segments")
    folder = open_tags(tmp_path / "folder")
    assert read(folder) == tags
    assert sum(block.lost for block in folder) == 5


@pytest.mark.parametrize("start", [-(10**17), 10**18])
def test_a_stream_that_begins_anywhere_comes_back_from_ptu(tmp_path, start):
    block = random_block(500, seed=3, channels=[1, 2], start=start)
    path = tmp_path / "a.ptu"
    export_tags([block], path)
    assert path.stat().st_size < 10_000
    file = open_tags(path)
    assert read(file) == list(zip(block.times.tolist(), block.channels.tolist(), strict=True))
    assert next(iter(file)).start_ps == start


@pytest.mark.parametrize("name", EXPORTS)
def test_an_empty_stream(tmp_path, name):
    assert export_tags([], tmp_path / "empty", name) == 0
    if name.startswith("np"):
        arrays = np.load(tmp_path / "empty")
        assert len(arrays["time_ps"]) == 0
    if name == "csv":
        assert (tmp_path / "empty").read_text() == "time_ps,channel\n"


@pytest.mark.parametrize("name", EXPORTS)
def test_a_stream_that_breaks_off_leaves_what_was_there_before(tmp_path, name):
    def breaks_off():
        yield ONE
        raise RuntimeError("the source has failed")

    path = tmp_path / "tags"
    if name != "segments":
        path.write_text("older")
    with pytest.raises(RuntimeError, match="the source has failed"):
        export_tags(breaks_off(), path, name)
    assert [entry.name for entry in tmp_path.iterdir()] == ([] if name == "segments" else ["tags"])
    assert name == "segments" or path.read_text() == "older"


def test_what_cannot_be_done_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no format 'txt' to export to; there are csv, h5"):
        export_tags(BLOCKS, tmp_path / "a.txt")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for name in EXPORTS:
        with pytest.raises(FileExistsError):
            export_tags(BLOCKS, tmp_path / "full", name)


@pytest.mark.parametrize("name", ["csv", "h5", "npy", "npz", "parquet", "ptu"])
def test_memory_does_not_grow_with_the_stream(tmp_path, name):
    def stream(count):
        for k in range(count):
            yield TagBlock(k * 10**9 + times, channels, k * 10**9, (k + 1) * 10**9)

    times = np.sort(np.random.default_rng(4).integers(0, 10**9, 20_000))
    channels = np.zeros(20_000, np.uint8)
    export_tags(stream(2), tmp_path / "warm", name)
    tracemalloc.start()
    export_tags(stream(100), tmp_path / "big", name)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # All tags would be 18 MB in memory.
    assert peak < 5_000_000
