"""Tag files: what was written comes back, whatever happens to the last file."""

import hashlib
import json
import os
import resource

import numpy as np
import pyarrow.parquet as pq
import pytest

from timetags.block import TagBlock
from timetags.files.segments import SegmentWriter, read_segments


def block(start, count, *, lost=0, seed=0):
    """`count` tags from `start` (ps), 1 ns apart, in a block that ends 1 ns after the last."""
    times = start + 1000 * np.arange(count, dtype=np.int64)
    channels = np.random.default_rng(seed).integers(0, 256, count).astype(np.uint8)
    return TagBlock(times, channels, start, start + 1000 * count + 1000, lost)


def write(folder, blocks):
    with SegmentWriter(folder) as writer:
        for one in blocks:
            writer.append(one)
            writer.flush()


def read(folder):
    skipped = []
    found = list(read_segments(folder, lambda path, reason: skipped.append((path.name, reason))))
    return found, skipped


def assert_same(one, other):
    np.testing.assert_array_equal(one.times, other.times)
    np.testing.assert_array_equal(one.channels, other.channels)
    assert (one.start_ps, one.end_ps, one.lost) == (other.start_ps, other.end_ps, other.lost)
    assert one.times.dtype == np.int64
    assert one.channels.dtype == np.uint8


def test_blocks_come_back_as_they_were(tmp_path):
    blocks = [block(-(2**61), 1000), block(0, 0), block(5_000_000, 3, lost=7), block(2**61, 10)]
    write(tmp_path / "a" / "tags", blocks)
    found, skipped = read(tmp_path / "a" / "tags")
    assert skipped == []
    for one, other in zip(found, blocks, strict=True):
        assert_same(one, other)
    found[0].times[0] = 1  # kernels are compiled for writable arrays
    found[0].channels[0] = 1


def test_other_programs_find_delta_encoded_times_and_the_manifest(tmp_path):
    write(tmp_path, [block(0, 1000), block(2_000_000, 0)])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "00000001.parquet",
        "00000002.parquet",
        "manifest.jsonl",
    ]
    file = pq.ParquetFile(tmp_path / "00000001.parquet")
    assert file.schema_arrow.names == ["t", "c"]
    assert [str(kind) for kind in file.schema_arrow.types] == ["int64", "uint8"]
    assert "DELTA_BINARY_PACKED" in file.metadata.row_group(0).column(0).encodings
    assert file.metadata.row_group(0).column(0).compression == "UNCOMPRESSED"
    lines = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert [(e["file"], e["rows"], e["start_ps"], e["end_ps"], e["lost"]) for e in lines] == [
        ("00000001.parquet", 1000, 0, 1_001_000, 0),
        ("00000002.parquet", 0, 2_000_000, 2_001_000, 0),
    ]
    assert lines[0]["sha256"] == hashlib.sha256((tmp_path / "00000001.parquet").read_bytes()).hexdigest()


def test_blocks_are_collected_up_to_the_rows_or_the_span(tmp_path):
    with SegmentWriter(tmp_path / "rows", rows=2500, span_ps=10**15) as writer:
        for k in range(6):
            writer.append(block(k * 2_000_000, 1000, lost=1))
    found, _ = read(tmp_path / "rows")
    assert [(len(one), one.start_ps, one.end_ps, one.lost) for one in found] == [
        (3000, 0, 5_001_000, 3),
        (3000, 6_000_000, 11_001_000, 3),
    ]
    with SegmentWriter(tmp_path / "span", rows=10**6, span_ps=3_000_000) as writer:
        for k in range(4):
            writer.append(block(k * 2_000_000, 10))
    found, _ = read(tmp_path / "span")
    # The second block ends at 2.011 us, short of the span, the third at 4.011 us.
    assert [one.start_ps for one in found] == [0, 6_000_000]


def test_a_second_writer_goes_on_after_the_first(tmp_path):
    write(tmp_path, [block(0, 10)])
    write(tmp_path, [block(10**6, 20)])
    found, skipped = read(tmp_path)
    assert [len(one) for one in found] == [10, 20]
    assert skipped == []


@pytest.mark.parametrize("with_manifest", [True, False])
@pytest.mark.parametrize("length", [0, 3, 100, -1])
def test_a_truncated_last_file_is_skipped_and_named(tmp_path, length, with_manifest):
    write(tmp_path, [block(0, 500), block(10**6, 500)])
    last = tmp_path / "00000002.parquet"
    last.write_bytes(last.read_bytes()[:length])
    if not with_manifest:
        (tmp_path / "manifest.jsonl").unlink()
    found, skipped = read(tmp_path)
    assert_same(found[0], block(0, 500))
    assert len(found) == 1
    ((name, reason),) = skipped
    assert name == "00000002.parquet"
    assert ("SHA-256" in reason) == with_manifest
    assert ("not a Parquet file of tags" in reason) != with_manifest


def test_one_flipped_bit_is_noticed(tmp_path):
    write(tmp_path, [block(0, 500), block(10**6, 500)])
    first = tmp_path / "00000001.parquet"
    content = bytearray(first.read_bytes())
    content[200] ^= 1
    first.write_bytes(content)
    found, skipped = read(tmp_path)
    assert [one.start_ps for one in found] == [10**6]
    assert "altered" in skipped[0][1]


def test_foreign_files_are_skipped_and_other_parquet_of_tags_is_read(tmp_path):
    write(tmp_path, [block(0, 5)])
    (tmp_path / "notes.parquet").write_text("hello")
    (tmp_path / "00000002.parquet.tmp").write_bytes(b"PAR1")
    pq.write_table(pq.read_table(tmp_path / "00000001.parquet", columns=["c"]), tmp_path / "00000003.parquet")
    plain = pq.read_table(tmp_path / "00000001.parquet").replace_schema_metadata(None)
    pq.write_table(plain, tmp_path / "00000004.parquet")
    found, skipped = read(tmp_path)
    assert [(one.start_ps, one.end_ps) for one in found] == [(0, 6000), (0, 4001)]
    assert {name for name, _ in skipped} == {"notes.parquet", "00000002.parquet.tmp", "00000003.parquet"}


def test_what_is_skipped_is_logged_if_nobody_listens(tmp_path, caplog):
    write(tmp_path, [block(0, 5)])
    (tmp_path / "00000001.parquet").write_bytes(b"")
    assert list(read_segments(tmp_path)) == []
    assert "00000001.parquet" in caplog.text


def test_a_torn_manifest_line_harms_neither_reading_nor_writing(tmp_path):
    write(tmp_path, [block(0, 5), block(10**6, 6)])
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-30])  # the crash came within the last line
    write(tmp_path, [block(10**7, 7)])
    found, skipped = read(tmp_path)
    assert [len(one) for one in found] == [5, 6, 7]
    assert skipped == []
    assert json.loads(manifest.read_text().splitlines()[-1])["rows"] == 7


def test_a_full_disk_is_reported_and_leaves_the_earlier_segments_readable(tmp_path):
    # A limit on the size of files makes the kernel itself refuse, in the middle of the write.
    writer = SegmentWriter(tmp_path)
    writer.append(block(0, 100))
    writer.flush()
    writer.append(block(10**9, 50_000))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            writer.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    found, skipped = read(tmp_path)
    assert [len(one) for one in found] == [100]
    assert skipped == []
    writer.close()  # there is room again: nothing was lost
    found, _ = read(tmp_path)
    assert_same(found[1], block(10**9, 50_000))


def test_a_segment_has_its_name_only_once_it_is_on_disk(tmp_path, monkeypatch):
    seen = []
    fsync = os.fsync

    def spy(handle):
        seen.append(sorted(path.name for path in tmp_path.iterdir()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", spy)
    write(tmp_path, [block(0, 5)])
    assert seen[0] == ["00000001.parquet.tmp"]
    assert seen[1] == ["00000001.parquet"]


def test_blocks_out_of_order_and_missing_folders_are_refused(tmp_path):
    writer = SegmentWriter(tmp_path)
    writer.append(block(0, 5))
    with pytest.raises(ValueError, match="follows one that ended at 6000 ps"):
        writer.append(block(5999, 1))
    with pytest.raises(FileNotFoundError, match="no folder of tag segments"):
        next(read_segments(tmp_path / "nowhere"))
