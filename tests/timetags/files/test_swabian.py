"""Swabian's Dump files, packed by hand from swabian_timetagger.md, and what is read of damaged ones."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.timetags.files.packed import read, swabian
from timetags.files.opening import open_tags
from timetags.files.swabian import open_swabian
from timetags.files.tag_file import Damage

TAG, ERROR, OVERFLOW_BEGIN, OVERFLOW_END, MISSED = range(5)


def test_tags_of_rising_and_falling_edges(tmp_path):
    path = tmp_path / "tags.bin"
    path.write_bytes(
        swabian(TAG, 1, -5) + swabian(TAG, -1, 7) + swabian(TAG, 127, 7) + swabian(TAG, -127, 2**60)
    )
    file = open_tags(path)
    assert file.info.format == "Swabian Dump"
    assert file.info.records == 4
    assert file.info.channels[129] == "input 1, falling edge"
    assert read(file) == [(-5, 1), (7, 129), (7, 127), (2**60, 255)]
    assert file.damage == []


def test_missed_tags_are_lost_and_reports_are_told(tmp_path):
    path = tmp_path / "tags.bin"
    records = [
        swabian(TAG, 1, 10),
        swabian(MISSED, 1, 20, missed=65_535),
        swabian(MISSED, 2, 20, missed=3),
        swabian(OVERFLOW_BEGIN, 0, 30),
        swabian(OVERFLOW_END, 0, 40),
        swabian(ERROR, 0, 50),
        swabian(TAG, 1, 60),
        swabian(9, 1, 70),
    ]
    path.write_bytes(b"".join(records))
    file = open_swabian(path)
    (block,) = file
    assert list(block.times) == [10, 60]
    assert block.lost == 65_538
    assert sorted(file.damage, key=lambda one: one.offset) == [
        Damage(48, 32, 2, "the time tagger reports overflows, in which tags were lost"),
        Damage(80, 16, 1, "the time tagger reports errors of its clock or input"),
        Damage(112, 16, 1, "records of no known kind"),
    ]


def test_missed_tags_behind_the_last_tag_are_lost_too(tmp_path):
    path = tmp_path / "tags.bin"
    path.write_bytes(swabian(MISSED, 1, 20, missed=3))
    assert [(len(block), block.lost) for block in open_swabian(path)] == [(0, 3)]
    # Behind exactly one block of tags: nothing but the missed ones comes in the last reading.
    path.write_bytes(b"".join(swabian(TAG, 1, k) for k in range(5)) + swabian(MISSED, 1, 20, missed=3) * 2)
    assert sum(block.lost for block in open_swabian(path)) == 6


def test_other_channels_need_a_number(tmp_path):
    path = tmp_path / "tags.bin"
    path.write_bytes(swabian(TAG, 1001, 5) + swabian(TAG, 2, 6) + swabian(TAG, -40_000, 7))
    file = open_swabian(path)
    assert read(file) == [(6, 2)]
    assert [damage.records for damage in file.damage] == [2]
    assert "no number" in file.damage[0].reason
    file = open_swabian(path, {1001: 200})
    assert read(file) == [(5, 200), (6, 2)]
    assert file.info.channels[200] == "input 1001"
    for wrong in ({1001: 256}, {1001: -1}, {50_000: 1}):
        with pytest.raises(ValueError, match="cannot become"):
            open_swabian(path, wrong)


def test_one_time_far_ahead_costs_one_tag(tmp_path):
    path = tmp_path / "tags.bin"
    times = [1000 * k for k in range(30)]
    times[4] = 2**61
    times[9] = 2**63 - 1  # no time at all
    path.write_bytes(b"".join(swabian(TAG, 3, time) for time in times))
    file = open_tags(path)
    assert [time for time, _ in read(file)] == [1000 * k for k in range(30) if k not in (4, 9)]
    assert sorted(file.damage, key=lambda one: one.offset) == [
        Damage(64, 16, 1, "the order of time is broken"),
        Damage(144, 16, 1, "records of no known kind"),
    ]


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=400))
def test_any_bytes_are_read_or_told(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "any"
    path.write_bytes(content)
    file = open_swabian(path)
    tags = read(file)
    records = len(content) // 16
    told = sum(damage.records for damage in file.damage)
    missed = sum(content[16 * k] == MISSED for k in range(records))
    assert len(tags) + told + missed == records
