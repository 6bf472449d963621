"""PTU files that we write: the bytes that the note asks for, whole after a crash, nothing lost on the way."""

import os
import resource
import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.timetags.files.packed import random_block, read
from timetags.block import TagBlock
from timetags.files.opening import open_tags
from timetags.files.ptu_writer import PtuWriter

WRAP = 33_554_432


def block(tags, end, start=0, lost=0):
    times = np.array([time for time, _ in tags], np.int64)
    return TagBlock(times, np.array([channel for _, channel in tags], np.uint8), start, end, lost)


def write(path, blocks, **about):
    with PtuWriter(path, **about) as writer:
        for one in blocks:
            writer.append(one)


def parts(path):
    """The header's tags as (name, index) -> 8 bytes of value, and the records, without our reader."""
    content = path.read_bytes()
    assert content[:16] == b"PQTTTR\0\0" + b"1.0.00\0\0"
    at, tags = 16, {}
    while True:
        name, index, kind, value = struct.unpack_from("<32siI8s", content, at)
        at += 48
        tags[name.rstrip(b"\0").decode(), index] = value
        if kind == 0x4001FFFF:
            (length,) = struct.unpack("<q", value)
            assert length % 8 == 0
            at += length
        if name.startswith(b"Header_End"):
            return tags, struct.unpack_from(f"<{(len(content) - at) // 4}I", content, at)


def integer(tags, name, index=-1):
    return struct.unpack("<q", tags[name, index])[0]


def test_the_records_are_those_of_the_note(tmp_path):
    tags = [(5, 0), (5, 1), (6, 64), (WRAP - 1, 65), (WRAP, 68), (5 * WRAP + 3, 2), (400 * WRAP, 3)]
    write(tmp_path / "a.ptu", [block(tags, 500 * WRAP)])
    _, records = parts(tmp_path / "a.ptu")
    assert list(records) == [
        1 << 31 | 5,  # sync
        0 << 25 | 5,
        63 << 25 | 6,
        1 << 31 | 1 << 25 | (WRAP - 1),  # marker 1
        1 << 31 | 63 << 25 | 1,
        1 << 31 | 8 << 25 | 0,  # marker 4
        1 << 31 | 63 << 25 | 4,
        1 << 25 | 3,
        *[1 << 31 | 63 << 25 | 127] * 3,
        1 << 31 | 63 << 25 | 14,
        2 << 25 | 0,
        1 << 31 | 63 << 25 | 100,
    ]


def test_the_header_is_completed_at_the_end(tmp_path):
    path = tmp_path / "a.ptu"
    writer = PtuWriter(path, comment="a run")
    writer.append(block([(10, 0), (20, 3), (30, 0)], 2 * 10**12, lost=7))
    writer.flush()
    tags, records = parts(path)
    assert integer(tags, "TTResult_NumberOfRecords") == 0
    assert len(records) == 3
    writer.close()
    writer.close()
    tags, records = parts(path)
    assert integer(tags, "TTResult_NumberOfRecords") == len(records)
    assert integer(tags, "Measurement_Mode") == 2
    assert integer(tags, "TTResultFormat_TTTRRecType") == 0x00010207
    assert integer(tags, "TTResultFormat_BitsPerRecord") == 32
    assert struct.unpack("<d", tags["MeasDesc_GlobalResolution", -1]) == (1e-12,)
    assert struct.unpack("<d", tags["MeasDesc_Resolution", -1]) == (1e-12,)
    assert integer(tags, "MeasDesc_AcquisitionTime") == 2000
    assert integer(tags, "TTResult_SyncRate") == 1
    assert integer(tags, "HW_InpChannels") == 3
    assert [integer(tags, "HWInpChan_Enabled", k) for k in range(4)] == [0, 0, 1, 0]
    info = open_tags(path).info
    assert info.header["File_Comment"] == "a run"
    assert info.header["Bellbench_LostTags"] == 7
    assert info.duration_ps == 2 * 10**12
    assert info.channels == {0: "sync", 3: "input 3", **{64 + k: f"marker {k}" for k in (1, 2, 3, 4)}}


@settings(max_examples=60, deadline=None)
@given(
    gaps=st.lists(st.integers(0, 40) | st.integers(0, 3 * WRAP) | st.integers(0, 500 * WRAP), max_size=40),
    channels=st.lists(st.integers(0, 68), min_size=40, max_size=40),
    cuts=st.lists(st.floats(0, 1), max_size=4),
    origin=st.sampled_from([0, -(10**15), 10**18]),
)
def test_what_is_written_comes_back_wherever_it_was_cut(tmp_path_factory, gaps, channels, cuts, origin):
    times = origin + np.cumsum(np.array(gaps, np.int64))
    tags = list(zip(times.tolist(), channels[: len(times)], strict=True))
    span = sum(gaps) + 1
    edges = [origin, *sorted(origin + round(cut * span) for cut in cuts), origin + span]
    path = tmp_path_factory.mktemp("written") / "a.ptu"
    blocks = [
        block([tag for tag in tags if start <= tag[0] < end], end, start) for start, end in pairwise(edges)
    ]
    write(path, blocks, origin_ps=origin)
    file = open_tags(path)
    assert read(file) == tags
    assert file.damage == []


def test_a_crash_leaves_a_file_that_is_read_to_its_end(tmp_path):
    path = tmp_path / "a.ptu"
    whole = random_block(5000, seed=1, channels=range(9))
    pid = os.fork()
    if pid == 0:  # the child writes and dies without closing anything
        writer = PtuWriter(path)
        writer.append(whole)
        os._exit(0)
    os.waitpid(pid, 0)
    file = open_tags(path)
    assert read(file) == list(zip(whole.times.tolist(), whole.channels.tolist(), strict=True))
    assert file.damage == []


def test_a_full_disk_costs_nothing_that_was_written_before(tmp_path):
    # A limit on the size of files makes the kernel itself refuse, in the middle of the write.
    path = tmp_path / "a.ptu"
    first = random_block(100, seed=2, channels=[1, 2])
    second = random_block(20_000, seed=3, channels=[1, 2], start=first.end_ps)
    writer = PtuWriter(path)
    writer.append(first)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_001, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            writer.append(second)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    file = open_tags(path)
    assert len(read(file)) == 100
    assert file.damage == []
    writer.append(second)  # there is room again
    writer.close()
    assert len(read(open_tags(path))) == 20_100


def test_what_cannot_be_written_is_refused_and_changes_nothing(tmp_path):
    path = tmp_path / "a.ptu"
    with PtuWriter(path) as writer:
        writer.append(block([(5, 1)], 10))
        with pytest.raises(ValueError, match="from 9 ps follows one that ended at 10 ps"):
            writer.append(block([(11, 1)], 20, start=9))
        with pytest.raises(ValueError, match="channel 69 has no place"):
            writer.append(block([(11, 69)], 20, start=10))
        with pytest.raises(ValueError, match="not sorted"):
            writer.append(block([(12, 1), (11, 1)], 20, start=10))
        writer.append(block([(11, 2)], 20, start=10))
    assert read(open_tags(path)) == [(5, 1), (11, 2)]
    with PtuWriter(path) as writer, pytest.raises(ValueError, match="follows one that ended at 0 ps"):
        writer.append(block([(-5, 1)], 10, start=-10))


def test_an_empty_stream_is_a_whole_file(tmp_path):
    write(tmp_path / "a.ptu", [])
    file = open_tags(tmp_path / "a.ptu")
    assert read(file) == []
    assert file.damage == []
    assert file.info.records == 0
