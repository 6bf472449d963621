"""DataLink's .bin files, packed by hand from idq_id900.md, one acquisition or several, whole or damaged."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.timetags.files.packed import read
from timetags.files.idq import open_idq
from timetags.files.opening import open_tags
from timetags.files.tag_file import Damage


def packed(times):
    return struct.pack(f"<{len(times)}Q", *times)


def test_one_acquisition(tmp_path):
    path = tmp_path / "c1.bin"
    times = [13, 13, 26, 5_000_000_000, 10**12]
    path.write_bytes(packed(times))
    file = open_tags(path)
    assert file.info.format == "ID Quantique DataLink .bin"
    assert file.info.records == 5
    assert read(file) == [(time, 1) for time in times]
    assert next(iter(file)).start_ps == 0
    assert file.damage == []
    assert read(open_idq(path, channel=200)) == [(time, 200) for time in times]


def test_reference_indices_are_left_out(tmp_path):
    path = tmp_path / "c1.bin"
    path.write_bytes(packed([10, 0, 20, 1, 30, 1, 40, 2]))
    file = open_idq(path, channel=3, has_reference_index=True)
    assert read(file) == [(10, 3), (20, 3), (30, 3), (40, 3)]
    assert file.info.records == 4


@pytest.mark.parametrize("count", [3, 20, 40_000, 200_000])
def test_sub_acquisitions_follow_one_another_at_the_period(tmp_path, count):
    # 131 072 words are read at a time: the joints stand before, at and behind that.
    path = tmp_path / "c1.bin"
    one = [20 + 7 * k for k in range(count)]
    path.write_bytes(packed(one * 3))
    period = 500_000_000_000
    file = open_idq(path, period_ps=period)
    assert [time for time, _ in read(file)] == [k * period + time for k in range(3) for time in one]
    assert file.damage == []


def test_without_the_period_only_the_first_one_is_read(tmp_path):
    path = tmp_path / "c1.bin"
    path.write_bytes(packed([10, 20, 30, 40, 5, 6, 50]))
    file = open_tags(path)
    assert [time for time, _ in read(file)] == [10, 20, 30, 40]
    (damage,) = file.damage
    assert (damage.offset, damage.size) == (32, 24)
    assert "another sub-acquisition" in damage.reason


def test_sparse_sub_acquisitions(tmp_path):
    path = tmp_path / "c1.bin"
    path.write_bytes(packed([500, 300, 200, 250, 100]))
    # Each step back begins one; 250 may follow 200 or have its own, which nothing tells, so it follows.
    assert [time for time, _ in read(open_idq(path, period_ps=1000))] == [500, 1300, 2200, 2250, 3100]


def test_wrong_times_are_told_and_do_not_begin_anything(tmp_path):
    path = tmp_path / "c1.bin"
    times = [1000 * k for k in range(40)]
    times[10] = 2**61  # far ahead: those behind it are earlier, but not than the one before it
    times[20] = 1
    times[30] = 2**64 - 1
    path.write_bytes(packed(times))
    for file in (open_idq(path), open_idq(path, period_ps=2**61)):
        assert [time for time, _ in read(file)] == [1000 * k for k in range(40) if k not in (10, 20, 30)]
    file = open_idq(path)
    assert len(read(file)) == 37
    order, beyond = sorted(file.damage, key=lambda one: one.offset)
    assert order == Damage(80, 88, 2, "the order of time is broken")
    assert (beyond.offset, beyond.size, beyond.records) == (240, 8, 1)


def test_arguments_out_of_range_are_refused(tmp_path):
    path = tmp_path / "c1.bin"
    path.write_bytes(packed([1]))
    with pytest.raises(ValueError, match="channel 256"):
        open_idq(path, channel=256)
    with pytest.raises(ValueError, match="period of 0 ps"):
        open_idq(path, period_ps=0)


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=300), period=st.none() | st.integers(1, 2**62 - 1), pairs=st.booleans())
def test_any_bytes_are_read_or_told(tmp_path_factory, content, period, pairs):
    path = tmp_path_factory.mktemp("any") / "any"
    path.write_bytes(content)
    file = open_idq(path, period_ps=period, has_reference_index=pairs)
    tags = read(file)
    words = len(content) // (16 if pairs else 8)
    told = sum(damage.records for damage in file.damage)
    stopped = [damage for damage in file.damage if "begin anew" in damage.reason]
    assert len(tags) + told == words or stopped
