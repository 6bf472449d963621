"""Damaged PTU files: what is whole is read, what is not is told, nothing is invented, whatever the bytes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.timetags.files.packed import hydra_t2, ptu_file, ptu_header, read
from timetags.files import record_file
from timetags.files.opening import open_tags
from timetags.files.tag_file import Damage, TagFileError

T2 = 0x00010207
RECORD_TYPES = (
    0x00010203,
    0x00010303,
    0x00010204,
    0x00010304,
    0x01010204,
    0x01010304,
    0x00010205,
    0x00010306,
    0x00010207,
    0x00010307,
)


def ascending(count, step=1000):
    return [hydra_t2(0, k % 4, step * k) for k in range(count)]


def test_every_truncation_gives_the_whole_records_and_tells_the_rest(tmp_path):
    path = tmp_path / "a.ptu"
    length = ptu_file(path, T2, ascending(20))
    content = path.read_bytes()
    for size in [*range(0, length, 7), *range(length, len(content))]:
        path.write_bytes(content[:size])
        if size < length:
            with pytest.raises(TagFileError):
                open_tags(path)
            continue
        file = open_tags(path)
        whole, torn = divmod(size - length, 4)
        assert read(file) == [(1000 * k, k % 4 + 1) for k in range(whole)]
        missing = Damage(
            size, 80 - (size - length), 20 - whole, "the header states 20 records, but the file ends"
        )
        ends = Damage(size - torn, torn, 0, "the file ends within a record")
        assert file.damage == ([missing, ends] if torn else [missing])
        assert file.info.records == whole


def test_a_torn_last_record_of_a_crash_is_told(tmp_path):
    path = tmp_path / "a.ptu"
    length = ptu_file(path, T2, ascending(3), number=0)
    path.write_bytes(path.read_bytes() + b"\1\2\3")
    file = open_tags(path)
    assert len(read(file)) == 3
    assert file.damage == [Damage(length + 12, 3, 0, "the file ends within a record")]


def test_what_stands_behind_the_stated_number_is_left_and_told(tmp_path):
    length = ptu_file(tmp_path / "a.ptu", T2, ascending(10), number=7)
    file = open_tags(tmp_path / "a.ptu")
    assert len(read(file)) == 7
    assert file.damage == [Damage(length + 28, 12, 3, "behind the 7 records that the header states")]
    assert "3 records in 12 bytes from byte" in str(file.damage[0])


def test_records_of_no_known_kind_are_told_where_they_are(tmp_path):
    records = ascending(10)
    records[3] = hydra_t2(1, 16, 3000)
    records[6] = hydra_t2(1, 62, 6000)
    length = ptu_file(tmp_path / "a.ptu", T2, records)
    file = open_tags(tmp_path / "a.ptu")
    assert [time for time, _ in read(file)] == [1000 * k for k in (0, 1, 2, 4, 5, 7, 8, 9)]
    assert file.damage == [Damage(length + 12, 16, 2, "records of no known kind")]


@pytest.mark.parametrize("wrong", [0, 33_000_000])
def test_one_wrong_time_costs_one_tag_wherever_it_points(tmp_path, wrong):
    records = ascending(20, step=1_500_000)
    records[11] = hydra_t2(0, 1, wrong)
    length = ptu_file(tmp_path / "a.ptu", T2, records)
    file = open_tags(tmp_path / "a.ptu")
    assert [time for time, _ in read(file)] == [1_500_000 * k for k in range(20) if k != 11]
    assert file.damage == [Damage(length + 44, 4, 1, "the order of time is broken")]


def long_file(path, count, wrong, wrong_times):
    """A file of `count` tags, 1 ns apart, of which the numbers `wrong` have other times within their wrap.
    Returns the times of the others."""
    per_wrap = 33_554
    k = np.arange(count)
    times = 1000 * (k % per_wrap)
    records = (k % 4) << 25 | times
    records[wrong] = wrong_times
    with_overflows = np.insert(records, np.arange(per_wrap, count, per_wrap), 0xFE000001).astype("<u4")
    path.write_bytes(ptu_header(T2, 0) + with_overflows.tobytes())
    return np.delete(k // per_wrap * 33_554_432 + times, wrong)


def test_wrong_times_at_a_blocks_end_are_still_recognised(tmp_path):
    # A block holds 1 048 576 new tags; the last 20 of the first one are in order too, but far ahead.
    wrong = np.arange(1_048_556, 1_048_576)
    right = long_file(tmp_path / "a.ptu", 1_100_000, wrong, 33_554_400 + np.arange(20))
    file = open_tags(tmp_path / "a.ptu")
    np.testing.assert_array_equal([time for time, _ in read(file)], right)
    (damage,) = file.damage
    assert (damage.records, damage.size, damage.reason) == (20, 80, "the order of time is broken")


@pytest.mark.parametrize("number", [262_135, 262_136, 262_137, 262_138])
def test_a_wrong_time_between_two_reads(tmp_path, number):
    # 262 144 records are read at a time, of which 7 are overflows: the step back is between two reads once.
    right = long_file(tmp_path / "a.ptu", 270_000, [number], [33_554_400])
    file = open_tags(tmp_path / "a.ptu")
    np.testing.assert_array_equal([time for time, _ in read(file)], right)
    assert [damage.records for damage in file.damage] == [1]


def test_times_beyond_int64_are_not_read(tmp_path):
    # 4096 full overflow records are 2^62 ps.
    records = [hydra_t2(0, 0, 1)] + [hydra_t2(1, 63, 33_554_431)] * 5000 + [hydra_t2(0, 0, 2)]
    length = ptu_file(tmp_path / "a.ptu", T2, records)
    file = open_tags(tmp_path / "a.ptu")
    assert read(file) == [(1, 1)]
    (damage,) = file.damage
    assert "beyond 2^62 ps" in damage.reason
    assert damage.offset + damage.size == length + 4 * len(records)
    assert damage.offset == length + 4 * (1 + 2**62 // (33_554_431 * 33_554_432))


def test_a_file_of_zeros_behind_the_header_does_not_fill_the_memory(tmp_path, monkeypatch):
    # What a crash leaves on some file systems: millions of tags of one instant.
    monkeypatch.setattr(record_file, "MOST_HELD", 500_000)
    path = tmp_path / "a.ptu"
    path.write_bytes(ptu_header(T2, 0) + bytes(4 * 2_500_000))
    file = open_tags(path)
    (block,) = file
    assert 500_000 < len(block) < 1_600_000
    assert len(block) + sum(damage.records for damage in file.damage) == 2_500_000


def test_zeros_behind_good_records_are_told_not_read(tmp_path):
    path = tmp_path / "a.ptu"
    records = [hydra_t2(1, 63, 4), *ascending(3000)]
    length = ptu_file(path, T2, records, number=0)
    path.write_bytes(path.read_bytes() + bytes(4 * 500))
    file = open_tags(path)
    assert len(read(file)) == 3000
    # The first record is as late as a zero: input 1, time 0 of this wrap.
    assert file.damage == [Damage(length + 4 * 3001, 2000, 500, "the order of time is broken")]


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    path = tmp_path / "a.ptu"
    length = ptu_file(path, T2, ascending(1000))
    file = open_tags(path)
    path.write_bytes(path.read_bytes()[: length + 402])
    assert len(read(file)) == 100
    assert {damage.reason for damage in file.damage} >= {"the file became shorter"}


def test_a_second_iteration_is_like_the_first(tmp_path):
    path = tmp_path / "a.ptu"
    records = ascending(50)
    records[7] = hydra_t2(1, 20, 0)
    ptu_file(path, T2, records, number=60)
    file = open_tags(path)
    first, damage = read(file), file.damage
    assert read(file) == first
    assert file.damage == damage
    assert len(damage) == 2


@settings(max_examples=150, deadline=None)
@given(
    record_type=st.sampled_from(RECORD_TYPES),
    content=st.binary(max_size=600),
    number=st.sampled_from([0, 5, 100, 2**62, -1]),
)
def test_any_bytes_behind_a_header_are_read_or_told(tmp_path_factory, record_type, content, number):
    path = tmp_path_factory.mktemp("any") / "a.ptu"
    path.write_bytes(ptu_header(record_type, number, unit=1e-9, step=1e-12) + content)
    file = open_tags(path)
    tags = read(file)  # checks the order of the times and the joints of the blocks
    assert len(tags) <= 4 * (len(content) // 4)
    if len(content) % 4 and number <= 0:
        reasons = [damage.reason for damage in file.damage]
        assert "the file ends within a record" in reasons or "beyond 2^62 ps" in str(reasons)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_byte_changed_anywhere_harms_nothing_but_tags(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("changed") / "a.ptu"
    ptu_file(path, T2, ascending(40))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        file = open_tags(path)
    except TagFileError:
        return
    read(file)
