"""S-Fifteen's a1 and a2 files, packed by hand from sfifteen_tdc1.md, and what is read of damaged ones."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.timetags.files.packed import a1_event, read
from timetags.files import record_file
from timetags.files.opening import open_tags
from timetags.files.sfifteen import open_a1, open_a2
from timetags.files.tag_file import Damage

EVENTS = [
    a1_event(1000, 0b0001),
    a1_event(1000, 0b1010),  # two inputs at once
    a1_event(2**25, 0b1000, is_dummy=True),
    a1_event(2**25 + 7, 0b0100) | 0b11_1110_0000,  # bits 9 to 5 mean nothing here
    a1_event(2**40, 0b0001),
]
TAGS = [(4000, 1), (4000, 2), (4000, 4), (4 * (2**25 + 7), 3), (2**42, 1)]


def a1(events, *, legacy=False):
    words = [(event & 0xFFFFFFFF, event >> 32) for event in events]
    return b"".join(struct.pack("<II", *(word[::-1] if legacy else word)) for word in words)


def a2(events, line_end="\n"):
    return "".join(f"{event:016x}{line_end}" for event in events).encode()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (a1(EVENTS), "S-Fifteen a1"),
        (a1(EVENTS, legacy=True), "S-Fifteen a1 (legacy order of words)"),
        (a2(EVENTS), "S-Fifteen a2"),
        (a2(EVENTS, "\r\n").upper(), "S-Fifteen a2"),
        (a2(EVENTS)[:-1], "S-Fifteen a2"),
    ],
)
def test_events_become_a_tag_for_each_input(tmp_path, content, name):
    path = tmp_path / "events.ts"
    path.write_bytes(content)
    file = open_tags(path)
    assert file.info.format == name
    assert file.info.resolution_ps == 4
    assert file.info.channels == {k: f"input {k}" for k in (1, 2, 3, 4)}
    assert read(file) == TAGS
    assert file.damage == []
    assert file.reordered == 0


def test_the_stream_begins_with_the_first_tag_and_ends_with_the_last_dummy(tmp_path):
    path = tmp_path / "a.a1"
    path.write_bytes(a1([a1_event(500, 1), a1_event(2**25, 8, is_dummy=True)]))
    (block,) = open_tags(path)
    assert (block.start_ps, block.end_ps) == (2000, 2**27)
    # A dummy hours ahead of what stands before it is damaged, or else a very dark night.
    path.write_bytes(a1([a1_event(500, 1), a1_event(2**52, 8, is_dummy=True)]))
    (block,) = open_tags(path)
    assert (block.start_ps, block.end_ps) == (2000, 2001)


def test_events_slightly_out_of_order_are_sorted_and_far_ones_told(tmp_path):
    # 99 us back occurs in the note's source; seconds back do not.
    units = [10**10 + late for late in (50_000_000, 50_100_000, 25_350_000, 50_200_000)]
    path = tmp_path / "a.a1"
    path.write_bytes(a1([a1_event(unit, 1) for unit in units] + [a1_event(5, 2)]))
    file = open_a1(path)
    assert read(file) == [(4 * unit, 1) for unit in sorted(units)]
    assert file.reordered == 1
    assert file.damage == [Damage(32, 8, 1, "the order of time is broken")]


def test_an_early_tag_behind_a_long_dark_beginning(tmp_path, monkeypatch):
    # All that is read for the first block is one tag and dummies; the earlier tag comes behind them.
    monkeypatch.setattr(record_file, "READS", 1)
    first = np.array([a1_event(10**9, 1)], "<u8")
    dummies = np.full(131_100, a1_event(10**9, 8, is_dummy=True), "<u8")
    rest = np.array([a1_event(10**9 - 1000, 2), a1_event(10**9 + 1, 1)], "<u8")
    path = tmp_path / "a.a1"
    path.write_bytes(np.concatenate([first, dummies, rest]).tobytes())
    file = open_a1(path)
    assert read(file) == [(4 * 10**9 - 4000, 2), (4 * 10**9, 1), (4 * 10**9 + 4, 1)]
    assert file.damage == []


def test_disorder_across_blocks(tmp_path):
    rng = np.random.default_rng(9)
    count = 1_300_000
    true = np.sort(rng.integers(0, 10**10, count))
    late = np.argsort(true + rng.integers(0, 25_000_000, count), kind="stable")
    events = (true[late].astype("<u8") << np.uint64(10)) | (1 << rng.integers(0, 4, count)).astype("<u8")
    path = tmp_path / "a.a1"
    path.write_bytes(events.tobytes())
    file = open_tags(path)
    times = np.concatenate([block.times for block in file])
    np.testing.assert_array_equal(times, 4 * true)
    assert file.damage == []


def test_every_truncation_of_an_a1_file(tmp_path):
    path = tmp_path / "a.a1"
    content = a1([a1_event(1000 * k, 1) for k in range(10)])
    for size in range(1, len(content)):
        path.write_bytes(content[:size])
        file = open_a1(path)
        assert read(file) == [(4000 * k, 1) for k in range(size // 8)]
        torn = size % 8
        assert file.damage == (
            [Damage(size - torn, torn, 0, "the file ends within a record")] if torn else []
        )


def test_lines_that_are_no_events_are_told_where_they_are(tmp_path):
    lines = [f"{a1_event(100 * k, 2):016x}\n" for k in range(8)]
    lines[2] = "\n"  # an empty line is nothing
    lines[3] = lines[3].replace("0", "g", 1)
    lines[5] = lines[5][3:]
    lines[7] = lines[7][:9]
    path = tmp_path / "a.a2"
    path.write_text("".join(lines))
    file = open_a2(path)
    assert read(file) == [(400 * k, 2) for k in (0, 1, 4, 6)]
    begin = 17 + 17 + 1
    (damage,) = file.damage
    assert damage == Damage(
        begin, sum(map(len, lines)) - begin, 3, "lines that are not 16 hexadecimal digits"
    )


def test_a_text_file_longer_than_a_read(tmp_path):
    times = np.arange(200_000) * 25
    path = tmp_path / "a.a2"
    path.write_bytes(a2([a1_event(int(time), 1 << k % 4) for k, time in enumerate(times)]))
    file = open_tags(path)
    assert read(file) == [(4 * int(time), k % 4 + 1) for k, time in enumerate(times)]
    assert file.damage == []


def test_one_line_without_an_end(tmp_path):
    path = tmp_path / "a.a2"
    path.write_bytes(b"0" * 3_000_000)
    file = open_a2(path)
    assert read(file) == []
    assert sum(damage.size for damage in file.damage) == 3_000_000


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=300), is_text=st.booleans())
def test_any_bytes_are_read_or_told(tmp_path_factory, content, is_text):
    path = tmp_path_factory.mktemp("any") / "any"
    path.write_bytes(content)
    file = open_a2(path) if is_text else open_a1(path)
    assert len(read(file)) <= 4 * len(content) // 8
    if not is_text and len(content) % 8:
        assert file.damage[0].reason == "the file ends within a record"
