"""The manifest and its segments: nothing acknowledged is lost, wherever a crash or a full disk cuts."""

import json

import numpy as np
import pytest

from tests.full_disk import full_disk
from timetags.block import TagBlock
from timetags.files.manifest import MANIFEST, Segment, read_manifest
from timetags.files.segments import SegmentWriter, read_segments, verify_segments


def block(number):
    """A block of a microsecond with `number` + 1 tags."""
    times = np.arange(number * 10**6, number * 10**6 + number + 1, dtype=np.int64)
    return TagBlock(
        times, np.full(len(times), number, np.uint8), number * 10**6, (number + 1) * 10**6, number
    )


def write(folder, numbers, on_segment=None):
    with SegmentWriter(folder, span_ps=1, on_segment=on_segment) as writer:
        for number in numbers:
            writer.append(block(number))


def numbers_in(folder, **more):
    return [int(one.start_ps // 10**6) for one in read_segments(folder, **more)]


def test_a_segment_is_told_of_when_it_and_its_line_are_there(tmp_path):
    told = []

    def on_segment(segment):
        assert read_manifest(tmp_path)[segment.file] == segment
        assert (tmp_path / segment.file).exists()
        told.append(segment)

    write(tmp_path, range(3), on_segment)
    assert [(s.rows, s.start_ps, s.end_ps, s.lost) for s in told] == [
        (1, 0, 10**6, 0),
        (2, 10**6, 2 * 10**6, 1),
        (3, 2 * 10**6, 3 * 10**6, 2),
    ]
    assert verify_segments(tmp_path) == (told, [])


def test_cut_at_every_byte_the_manifest_costs_no_segment(tmp_path):
    """Reading, verifying and writing on; a line is known once all but its end is there."""
    write(tmp_path, range(3))
    manifest = tmp_path / MANIFEST
    whole = manifest.read_bytes()
    listed = list(read_manifest(tmp_path).values())
    lines = whole.splitlines(keepends=True)
    ends = [sum(map(len, lines[: n + 1])) - 1 for n in range(len(lines))]
    for size in range(len(whole)):
        manifest.write_bytes(whole[:size])
        assert list(read_manifest(tmp_path).values()) == listed[: sum(end <= size for end in ends)], size
    for size in range(0, len(whole), 41):
        manifest.write_bytes(whole[:size])
        assert numbers_in(tmp_path) == [0, 1, 2]
        assert verify_segments(tmp_path) == (listed, [])
    write(tmp_path, [3])  # behind a line that was torn
    assert numbers_in(tmp_path) == [0, 1, 2, 3]
    assert len(verify_segments(tmp_path)[0]) == 4
    assert "00000004.parquet" in read_manifest(tmp_path)


def test_a_full_disk_at_any_write_costs_nothing_that_was_acknowledged(tmp_path):
    """Every call that writes fails once, after half of its bytes, with all that follow; then there is room
    again. A segment is acknowledged when `on_segment` has been told."""
    tried = 0
    for at in range(100):
        folder, told = tmp_path / str(at), []
        writer = SegmentWriter(folder, span_ps=1, on_segment=told.append)
        with full_disk(at) as disk:
            for number in range(3):
                try:
                    writer.append(block(number))
                except OSError:
                    break
            acknowledged = len(told)
            found = numbers_in(folder)
            assert found[:acknowledged] == list(range(acknowledged))
            whole, wrong = verify_segments(folder)
            assert whole[:acknowledged] == told
            assert wrong == []
            disk.room = True
            for later in range(number + 1, 3):
                writer.append(block(later))
            writer.close()
        assert sum(map(len, read_segments(folder))) == 1 + 2 + 3
        if not disk.was_full:
            break
        tried += 1
    assert tried >= 3 * 5  # of each segment at least: file, sync, name, sync of the folder, line, sync


def test_what_is_damaged_missing_or_foreign_is_said(tmp_path):
    write(tmp_path, range(4))
    (tmp_path / "00000002.parquet").unlink()
    third = tmp_path / "00000003.parquet"
    third.write_bytes(third.read_bytes()[:-1] + b"?")
    (tmp_path / "00000009.parquet.tmp").write_bytes(b"PAR1")
    whole, wrong = verify_segments(tmp_path)
    assert [segment.rows for segment in whole] == [1, 4]
    assert [line.partition(":")[0] for line in wrong] == [
        "00000003.parquet",
        "00000009.parquet.tmp",
        "00000002.parquet",
    ]
    assert "SHA-256" in wrong[0]
    assert "missing" in wrong[2]
    with pytest.raises(FileNotFoundError):
        verify_segments(tmp_path / "nowhere")


def test_only_segments_of_the_stretch_are_read(tmp_path):
    write(tmp_path, range(5))
    touched = []
    (tmp_path / "00000001.parquet").write_bytes(b"")  # is not even looked at
    within = (2 * 10**6, 3 * 10**6 + 1)
    assert numbers_in(tmp_path, on_skip=lambda path, _: touched.append(path), within_ps=within) == [2, 3]
    assert touched == []
    (tmp_path / MANIFEST).unlink()  # without it all are read, and who wants a stretch cuts it out
    assert numbers_in(tmp_path, on_skip=lambda path, _: touched.append(path), within_ps=within)[-3:] == [
        2,
        3,
        4,
    ]


@pytest.mark.parametrize("wrong", [None, 1, "x", [], {"file": "a", "sha256": 3}])
def test_a_line_that_is_none_is_passed_over(tmp_path, wrong):
    write(tmp_path, [0])
    known = read_manifest(tmp_path)
    with (tmp_path / MANIFEST).open("a") as file:
        file.write(json.dumps(wrong) + "\n")
    assert read_manifest(tmp_path) == known
    assert isinstance(known["00000001.parquet"], Segment)
