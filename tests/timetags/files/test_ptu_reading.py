"""PTU files of every record type, packed by hand from picoquant_tttr.md, become the tags that it says."""

import tracemalloc

import numpy as np
import pytest

from tests.timetags.files.packed import (
    ANSI,
    BOOL,
    FLOAT,
    INT,
    hydra_t2,
    hydra_t3,
    pico_t2,
    pico_t3,
    ptu_file,
    ptu_header,
    ptu_tag,
    read,
)
from timetags.files.opening import open_tags
from timetags.files.tag_file import TagFileError

W2 = 33_554_432
MARKER = 64


@pytest.mark.parametrize(
    ("record_type", "unit", "name"),
    [
        (0x01010204, 1e-12, "HydraHarp V2 T2"),
        (0x00010205, 2.5e-10, "TimeHarp 260N T2"),
        (0x00010206, 2.5e-11, "TimeHarp 260P T2"),
        (0x00010207, 1e-12, "MultiHarp T2"),
    ],
)
def test_t2_of_the_hydraharp_kind(tmp_path, record_type, unit, name):
    records = [
        hydra_t2(0, 0, 7),  # input 1
        hydra_t2(1, 0, 7),  # sync
        hydra_t2(0, 63, 9),  # input 64
        hydra_t2(1, 63, 0),  # an overflow that counts as one
        hydra_t2(0, 3, 1),
        hydra_t2(1, 63, 5),
        hydra_t2(1, 2, 100),  # marker 2
        hydra_t2(1, 15, 33_554_431),  # all markers at once
        hydra_t2(1, 63, 3_000_000),
        hydra_t2(0, 1, 2),
    ]
    ptu_file(tmp_path / "a.ptu", record_type, records, unit=unit)
    file = open_tags(tmp_path / "a.ptu")
    ps = round(unit * 1e12)
    assert read(file) == [
        (7 * ps, 1),
        (7 * ps, 0),
        (9 * ps, 64),
        ((W2 + 1) * ps, 4),
        ((6 * W2 + 100) * ps, MARKER + 2),
        *(((7 * W2 - 1) * ps, MARKER + k) for k in (1, 2, 3, 4)),
        ((3_000_006 * W2 + 2) * ps, 2),
    ]
    assert file.damage == []
    assert file.info.format == f"PicoQuant PTU, {name}"
    assert file.info.resolution_ps == ps
    assert file.info.records == 10


def test_hydraharp_v1_wraps_elsewhere_and_once_per_record(tmp_path):
    records = [
        hydra_t2(0, 0, 5),
        hydra_t2(1, 63, 9),
        hydra_t2(0, 0, 5),
        hydra_t2(1, 63, 0),
        hydra_t2(1, 0, 6),
    ]
    ptu_file(tmp_path / "a.ptu", 0x00010204, records)
    assert read(open_tags(tmp_path / "a.ptu")) == [(5, 1), (33_552_005, 1), (67_104_006, 0)]


def test_t2_of_the_picoharp(tmp_path):
    records = [
        pico_t2(0, 3),
        pico_t2(4, 4),
        pico_t2(15, 0),  # overflow
        pico_t2(1, 2),
        pico_t2(15, 0x10 | 0b0101),  # markers 1 and 3 at time 16
        pico_t2(15, 0x123_4560),  # the low 4 bits are 0: overflow
        pico_t2(2, 0xFFF_FFFF),
    ]
    ptu_file(tmp_path / "a.ptu", 0x00010203, records, unit=4e-12)
    wrap = 210_698_240
    assert read(open_tags(tmp_path / "a.ptu")) == [
        (12, 0),
        (16, 4),
        (4 * (wrap + 2), 1),
        (4 * (wrap + 16), MARKER + 1),
        (4 * (wrap + 16), MARKER + 3),
        (4 * (2 * wrap + 0xFFF_FFFF), 2),
    ]


@pytest.mark.parametrize(
    ("record_type", "is_packed"),
    [(0x00010304, False), (0x01010304, True), (0x00010305, True), (0x00010306, True), (0x00010307, True)],
)
def test_t3_of_the_hydraharp_kind(tmp_path, record_type, is_packed):
    records = [
        hydra_t3(0, 0, 0, 0),
        hydra_t3(0, 1, 100, 3),
        hydra_t3(1, 63, 0, 0),
        hydra_t3(0, 2, 32_767, 1),
        hydra_t3(1, 63, 0, 7),
        hydra_t3(1, 4, 0, 1023),  # marker 3
    ]
    ptu_file(tmp_path / "a.ptu", record_type, records, unit=1.25e-8, step=4e-12, mode=3)
    file = open_tags(tmp_path / "a.ptu")
    syncs = 1024 * (8 if is_packed else 2) + 1023
    assert read(file) == [
        (0, 1),
        (3 * 12_500 + 400, 2),
        (1025 * 12_500 + 4 * 32_767, 3),
        (syncs * 12_500, MARKER + 3),
    ]
    assert file.info.resolution_ps == 4
    assert 0 not in file.info.channels


def test_t3_of_the_picoharp(tmp_path):
    records = [
        pico_t3(1, 5, 2),
        pico_t3(15, 0, 0),
        pico_t3(4, 4095, 65_535),
        pico_t3(15, 0, 77),
        pico_t3(15, 0b1000, 3),
    ]
    ptu_file(tmp_path / "a.ptu", 0x00010303, records, unit=5e-8, step=1.6e-11, mode=3)
    assert read(open_tags(tmp_path / "a.ptu")) == [
        (100_000 + 80, 1),
        (131_071 * 50_000 + 4095 * 16, 4),
        (131_075 * 50_000, MARKER + 4),
    ]


def test_times_that_are_no_whole_picoseconds_are_rounded_once(tmp_path):
    # A laser of 78.02 MHz, 1e9 periods after the start: an error of 1e-3 ps per period would be 1 us here.
    period = 1 / 78.02e6
    records = [hydra_t3(1, 63, 0, 1023)] * 955 + [hydra_t3(0, 0, 3, 17)]
    ptu_file(tmp_path / "a.ptu", 0x00010307, records, unit=period, step=2.5e-13, mode=3)
    ((time, _),) = read(open_tags(tmp_path / "a.ptu"))
    syncs = 955 * 1023 * 1024 + 17
    # The sum in units of 1e-24 s, with the period's decimal digits.
    digits, exponent = repr(period).split("e-")
    whole, part = digits.split(".")
    exact = syncs * int(whole + part) * 10 ** (24 - int(exponent) - len(part)) + 3 * 250_000_000_000
    assert time == round(exact / 10**12)


def test_a_t2_unit_that_is_no_whole_number_of_picoseconds(tmp_path):
    records = [hydra_t2(0, 0, 3), hydra_t2(1, 63, 1000), hydra_t2(0, 0, 1)]
    ptu_file(tmp_path / "a.ptu", 0x00010207, records, unit=2.25e-12)
    assert read(open_tags(tmp_path / "a.ptu")) == [(7, 1), (round((1000 * W2 + 1) * 2.25), 1)]


def test_what_the_header_says_is_in_the_info(tmp_path):
    wide = "µ-Stück".encode("utf-16-le")
    extra = (
        ptu_tag("TTResult_StopAfter", INT, 2500)
        + ptu_tag("File_Comment", ANSI, "two lines\r\nof text")
        + ptu_tag("Wide", 0x4002FFFF, len(wide))
        + wide
        + ptu_tag("Bytes", 0xFFFFFFFF, 3)
        + b"\1\2\3"
        + ptu_tag("Floats", 0x2001FFFF, 16)
        + np.array([1.5, -2.0], "<f8").tobytes()
        + ptu_tag("File_CreatingTime", 0x21000008, 0)[:40]
        + np.array([44_927.25], "<f8").tobytes()
        + ptu_tag("UsrPowerDiode", FLOAT, 0.25)
        + ptu_tag("Flag", BOOL, 1)
    )
    ptu_file(tmp_path / "a.ptu", 0x00010207, [hydra_t2(0, 0, 1)], extra=extra)
    info = open_tags(tmp_path / "a.ptu").info
    assert info.duration_ps == 2_500_000_000_000
    # 44927 days after 30 December 1899 is 1 January 2023.
    assert str(info.header["File_CreatingTime"]) == "2023-01-01 06:00:00"
    expected = {
        "File_Comment": "two lines\r\nof text",
        "Wide": "µ-Stück",
        "Bytes": b"\1\2\3",
        "Floats": (1.5, -2.0),
        "UsrPowerDiode": 0.25,
        "Flag": True,
        "HWInpChan_Enabled(1)": False,
        "HW_InpChannels": 4,
    }
    assert {name: info.header[name] for name in expected} == expected
    assert info.channels[0] == "sync"
    assert info.channels[1] == "input 1"
    assert 2 not in info.channels  # not enabled
    assert info.channels[4] == "input 4"
    assert 5 not in info.channels
    assert info.channels[65] == "marker 1"
    assert info.channels[68] == "marker 4"


@pytest.mark.parametrize("number", [0, -5])
def test_without_a_number_of_records_the_file_is_read_to_its_end(tmp_path, number):
    ptu_file(tmp_path / "a.ptu", 0x00010207, [hydra_t2(0, 0, t) for t in range(10)], number)
    file = open_tags(tmp_path / "a.ptu")
    assert len(read(file)) == 10
    assert file.info.records == 10
    assert file.damage == []


def test_markers_a_little_out_of_order_are_put_in_place(tmp_path):
    records = [hydra_t2(0, 0, 5_000_000), hydra_t2(1, 1, 4_500_000), hydra_t2(0, 1, 5_000_001)]
    ptu_file(tmp_path / "a.ptu", 0x00010207, records)
    file = open_tags(tmp_path / "a.ptu")
    assert read(file) == [(4_500_000, 65), (5_000_000, 1), (5_000_001, 2)]
    assert file.reordered == 1
    assert file.damage == []


def test_t3_tags_of_one_period_are_sorted(tmp_path):
    # Two inputs in one sync period, and a marker behind them whose record has no dtime.
    records = [hydra_t3(0, 0, 2000, 1), hydra_t3(0, 1, 1000, 1), hydra_t3(1, 1, 0, 1), hydra_t3(0, 0, 5, 2)]
    ptu_file(tmp_path / "a.ptu", 0x00010307, records, unit=1e-7, step=1e-12, mode=3)
    file = open_tags(tmp_path / "a.ptu")
    assert read(file) == [(100_000, 65), (101_000, 2), (102_000, 1), (200_005, 1)]
    assert file.damage == []


def test_the_stream_ends_where_the_overflows_had_come_to(tmp_path):
    ptu_file(tmp_path / "a.ptu", 0x00010207, [hydra_t2(0, 0, 5), hydra_t2(1, 63, 1000)])
    (block,) = open_tags(tmp_path / "a.ptu")
    assert (block.start_ps, block.end_ps) == (0, 1000 * W2)
    ptu_file(tmp_path / "b.ptu", 0x00010207, [hydra_t2(1, 63, 10)])
    (block,) = open_tags(tmp_path / "b.ptu")
    assert (len(block), block.start_ps, block.end_ps) == (0, 0, 10 * W2)


def test_a_long_file_comes_in_blocks_that_join_and_memory_stays_small(tmp_path):
    count = 5_000_000
    rng = np.random.default_rng(4)
    times = np.cumsum(rng.integers(0, 40_000, count))
    channels = rng.integers(0, 64, count)
    overflows = np.diff(times >> 25, prepend=0)
    places = np.arange(count) + np.cumsum(overflows > 0)
    records = np.empty(places[-1] + 1, "<u4")
    records[places] = channels << 25 | times & (W2 - 1)
    records[places[overflows > 0] - 1] = 0xFE000000 | overflows[overflows > 0]
    path = tmp_path / "a.ptu"
    path.write_bytes(ptu_header(0x00010207, len(records)) + records.tobytes())

    file = open_tags(path)
    for _ in file:
        pass  # compiles and warms up
    tracemalloc.start()
    at = 0
    for block in file:
        np.testing.assert_array_equal(block.times, times[at : at + len(block)])
        np.testing.assert_array_equal(block.channels, channels[at : at + len(block)] + 1)
        at += len(block)
        assert len(block) < 1_200_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert at == count
    assert file.damage == []
    # All tags in memory would be 45 MB; two blocks at a time, and what compares them, are 35.
    assert peak < 40_000_000


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"PQTTTR\0\0", "cut short"),
        (ptu_header(0x00010207, 1)[:300], "cut short"),
        (ptu_header(0x00010209, 1), "type 00010209"),
        (ptu_header(0x00010207, 1, unit=0.0), "MeasDesc_GlobalResolution as 0"),
        (ptu_header(0x00010207, 1, unit=float("nan")), "MeasDesc_GlobalResolution as nan"),
        (ptu_header(0x00010307, 1, step=-1.0), "MeasDesc_Resolution as -1"),
        (ptu_header(0x00010207, 1, extra=ptu_tag("What", 0x77, 1)), "unknown type 00000077"),
        (ptu_header(0x00010207, 1, extra=ptu_tag("Big", ANSI, "")[:40] + b"\xff" * 8), "claims -1 bytes"),
        (ptu_header(0x00010207, 1).replace(b"BitsPerRecord\0", b"BitsPerRecorX\0"), None),
        (ptu_header(0x00010207, 1).replace(b"TTTRRecType\0", b"TTTRRecTypX\0"), "does not say"),
    ],
)
def test_a_header_that_cannot_be_read_is_refused_with_the_reason(tmp_path, header, reason):
    path = tmp_path / "a.ptu"
    path.write_bytes(header)
    if reason is None:
        assert open_tags(path).info.records == 0
        return
    with pytest.raises(TagFileError, match=reason) as refusal:
        open_tags(path)
    assert str(path) in str(refusal.value)
