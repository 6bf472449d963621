"""Files are recognised by content, by name where that leaves a doubt, or refused with a reason."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.timetags.files.packed import a1_event, hydra_t2, ptu_file, random_block, read, swabian
from timetags.files.opening import FORMATS, open_tags
from timetags.files.segments import SegmentWriter
from timetags.files.tag_file import TagFileError

A1 = b"".join(struct.pack("<Q", a1_event(10**6 + 999 * k, 1 << k % 4)) for k in range(200))
IDQ = b"".join(struct.pack("<Q", 1234 + 13_013 * k) for k in range(200))
SWABIAN = b"".join(swabian(0, k % 8 + 1, 5 * 10**15 + 777 * k) for k in range(200))
A2 = b"".join(b"%016x\n" % a1_event(10**6 + 999 * k, 1 << k % 4) for k in range(200))


@pytest.mark.parametrize("name", ["x", "x.dat", "x.bin", "x.a1", "x.ptu"])
@pytest.mark.parametrize(
    ("content", "format_name"),
    [
        (A1, "S-Fifteen a1"),
        (A2, "S-Fifteen a2"),
        (SWABIAN, "Swabian Dump"),
        (IDQ, "ID Quantique DataLink .bin"),
    ],
)
def test_content_is_recognised_under_any_name(tmp_path, name, content, format_name):
    path = tmp_path / name
    path.write_bytes(content)
    # An a1 file is also a row of ascending numbers, which under this name are taken for an ID900's.
    expected = "ID Quantique DataLink .bin" if content == A1 and name == "x.bin" else format_name
    file = open_tags(path)
    assert file.info.format == expected
    assert len(read(file)) == 200
    assert file.info.size_bytes == len(content)
    assert file.info.path == path


def test_a_ptu_file_is_recognised_under_any_name(tmp_path):
    ptu_file(tmp_path / "x.bin", 0x00010207, [hydra_t2(0, 0, 5)])
    assert read(open_tags(tmp_path / "x.bin")) == [(5, 1)]


def test_a_folder_of_segments(tmp_path):
    one = random_block(1000, seed=1, channels=[1, 2])
    two = random_block(500, seed=2, channels=[3], start=one.end_ps, lost=4)
    with SegmentWriter(tmp_path / "tags") as writer:
        for block in (one, two):
            writer.append(block)
            writer.flush()
    file = open_tags(tmp_path / "tags")
    assert file.info.tags == 1500
    assert file.info.duration_ps == two.end_ps
    assert file.info.format == "bellbench segments (2)"
    assert [time for time, _ in read(file)] == [*one.times, *two.times]
    assert [block.lost for block in file] == [0, 4]
    last = tmp_path / "tags" / "00000002.parquet"
    last.write_bytes(last.read_bytes()[:-1])
    assert len(read(file)) == 1000
    (damage,) = file.damage
    assert "00000002.parquet" in damage.reason
    assert damage.offset == (tmp_path / "tags" / "00000001.parquet").stat().st_size
    assert open_tags(tmp_path / "tags").info.tags == 1000


def test_segments_that_overlap_are_told(tmp_path):
    for start in (0, 10):
        with SegmentWriter(tmp_path / "tags") as writer:
            writer.append(random_block(100, seed=1, channels=[1], start=start))
    file = open_tags(tmp_path / "tags")
    assert len(read(file)) == 100
    assert "before the end of the one before it" in file.damage[0].reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"SITT" + bytes(100), "ttbin"),
        *(
            (magic + bytes(8192), "numpy or HDF5")
            for magic in (b"PK\3\4", b"\x93NUMPY", b"\x89HDF\r\n\x1a\n")
        ),
        (b"hello, these are no tags at all\n" * 10, "in none of the formats"),
        (bytes(range(255, 0, -1)) * 20, "in none of the formats"),
    ],
)
def test_what_is_not_recognised_is_refused(tmp_path, content, reason):
    path = tmp_path / "x.bin"
    path.write_bytes(content)
    with pytest.raises(TagFileError, match=reason):
        open_tags(path)


def test_a_format_can_be_named(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(A1)
    assert len(read(open_tags(path, "a1"))) == 200
    assert open_tags(path, "idq").info.format == "ID Quantique DataLink .bin"
    with pytest.raises(TagFileError, match="PQTTTR"):
        open_tags(path, "ptu")
    with pytest.raises(ValueError, match="no format 'ptx' of tag files; there are segments, ptu"):
        open_tags(path, "ptx")
    with pytest.raises(FileNotFoundError):
        open_tags(path, "segments")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TagFileError, match="without tag segments"):
        open_tags(tmp_path / "empty")
    for name in (None, *FORMATS):
        with pytest.raises(FileNotFoundError):
            open_tags(tmp_path / "nowhere", name)


@settings(max_examples=200, deadline=None)
@given(
    content=st.binary(max_size=200), name=st.sampled_from(["x", "x.a1", "x.a2", "x.bin", "x.dump", "x.ptu"])
)
def test_any_file_is_read_or_refused(tmp_path_factory, content, name):
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(content)
    try:
        file = open_tags(path)
    except TagFileError:
        return
    read(file)
