"""ptufile and tttrlib read what we write as we do, and we read what they write as they do.

Their ways, found by trying: both number input k as k - 1, but not always on a PicoHarp. ptufile gives the
sync of T2 the number 0 too (a trap that the note names) and overflows are records to it. tttrlib gives
syncs and markers as events of type 1, the sync with number 0 and markers with their bits, and on a PicoHarp
in T3 photons with a dtime of 0 as well; it writes T3 only.
"""

import numpy as np
import ptufile
import pytest
import tttrlib

from tests.timetags.files.packed import hydra_t2, hydra_t3, pico_t2, pico_t3, ptu_file, random_block, read
from timetags.files.export import export_tags
from timetags.files.opening import open_tags

CHANNELS = [0, 1, 2, 3, 40, 64, 65, 66, 67, 68]
PERIOD_PS, STEP_PS = 12_500, 4


def stream(rate_hz):
    one = random_block(4000, seed=5, channels=CHANNELS, rate_hz=rate_hz)
    two = random_block(3000, seed=6, channels=CHANNELS, rate_hz=rate_hz, start=one.end_ps)
    return [one, two]


def tags_of(blocks):
    return np.concatenate([one.times for one in blocks]), np.concatenate([one.channels for one in blocks])


def as_peers_number(channels):
    """The peers' numbers of channels, and the bits of markers."""
    channels = channels.astype(int)
    bits = np.where(channels > 64, 1 << np.maximum(channels - 65, 0), 0)
    return np.maximum(channels - 1, 0), bits


def photons_by_ptufile(path, unit, step):
    """Times (ps, sorted) of all photons and syncs, and how many there are of each of its numbers."""
    with ptufile.PtuFile(path) as file:
        records = file.decode_records()
    photons = records[records["channel"] >= 0]
    times = photons["time"].astype(np.int64) * unit
    if step:
        times += photons["dtime"].astype(np.int64) * step
    return np.sort(times), np.bincount(photons["channel"], minlength=64)


def photons_by_tttrlib(path, unit, step):
    """The same, where a sync is an event of type 1 and number 0."""
    file = tttrlib.TTTR(str(path), "PTU")
    is_photon = (file.event_types == 0) | (file.routing_channels == 0)
    times = file.macro_times[is_photon].astype(np.int64) * unit
    times += file.micro_times[is_photon].astype(np.int64) * step
    return np.sort(times), np.bincount(file.routing_channels[is_photon], minlength=64)


def photons_by_us(path):
    """The same from our reader, with the peers' numbers."""
    times, channels = tags_of(list(open_tags(path)))
    is_photon = channels <= 64
    return times[is_photon], np.bincount(as_peers_number(channels[is_photon])[0], minlength=64)


# At 100 tags per second, gaps are hundreds of overflows.
@pytest.mark.parametrize("rate_hz", [1e7, 1e4, 100])
def test_ptufile_reads_what_we_write(tmp_path, rate_hz):
    path = tmp_path / "ours.ptu"
    blocks = stream(rate_hz)
    export_tags(blocks, path)
    times, channels = tags_of(blocks)
    with ptufile.PtuFile(path) as file:
        assert file.record_type == ptufile.PtuRecordType.GenericT2
        assert file.global_resolution == 1e-12
        assert file.number_records == open_tags(path).info.records
        records = file.decode_records()
    numbers, bits = as_peers_number(channels)
    events = records[(records["channel"] >= 0) | (records["marker"] > 0)]
    np.testing.assert_array_equal(events["time"], times)
    np.testing.assert_array_equal(events["marker"], bits)
    np.testing.assert_array_equal(events["channel"][bits == 0], numbers[bits == 0])


@pytest.mark.parametrize("rate_hz", [1e7, 1e4, 100])
def test_tttrlib_reads_what_we_write(tmp_path, rate_hz):
    path = tmp_path / "ours.ptu"
    blocks = stream(rate_hz)
    export_tags(blocks, path)
    times, channels = tags_of(blocks)
    file = tttrlib.TTTR(str(path), "PTU")
    assert file.header.macro_time_resolution == 1e-12
    numbers, bits = as_peers_number(channels)
    np.testing.assert_array_equal(file.macro_times, times)
    np.testing.assert_array_equal(file.event_types, (bits > 0) | (channels == 0))
    np.testing.assert_array_equal(file.routing_channels, np.where(bits > 0, bits, numbers))


def test_both_read_a_file_that_a_crash_left(tmp_path):
    path = tmp_path / "ours.ptu"
    blocks = stream(1e6)
    export_tags(blocks, path)
    content = path.read_bytes()
    at = content.index(b"TTResult_NumberOfRecords") + 40
    path.write_bytes(content[:at] + bytes(8) + content[at + 8 :])
    times, channels = tags_of(blocks)
    ours, counts = photons_by_us(path)
    np.testing.assert_array_equal(ours, times[channels <= 64])
    for peer in (photons_by_ptufile, photons_by_tttrlib):
        theirs, numbers = peer(path, 1, 0)
        np.testing.assert_array_equal(theirs, ours)
        np.testing.assert_array_equal(numbers, counts)


def hand_packed(record_type):
    """Records of any type: photons on four inputs, markers, and overflows up to 100 packed in one."""
    rng = np.random.default_rng(record_type)
    is_pico, is_t3 = record_type & 0xFF == 3, record_type & 0xF00 == 0x300
    records = []
    for _ in range(300):
        clock = (1 << (16 if is_pico else 10)) if is_t3 else 210_698_240 if is_pico else 33_000_000
        for time in np.sort(rng.integers(0, clock, 5)).tolist():
            number, dtime = int(rng.integers(0, 4)), int(rng.integers(1, 3000))
            if is_pico:
                records.append(pico_t3(number + 1, dtime, time) if is_t3 else pico_t2(number + 1, time))
            else:
                records.append(hydra_t3(0, number, dtime, time) if is_t3 else hydra_t2(0, number, time))
        packed = int(rng.integers(1, 100))
        if is_pico:
            records.append(15 << 28)
        else:
            records.append(hydra_t3(1, 63, 0, packed) if is_t3 else hydra_t2(1, 63, packed))
    return records


@pytest.mark.parametrize(
    "record_type",
    [
        0x00010203,
        0x00010303,
        0x00010204,
        0x00010304,
        0x01010204,
        0x01010304,
        0x00010205,
        0x00010305,
        0x00010206,
        0x00010306,
        0x00010207,
        0x00010307,
    ],
    ids=hex,
)
def test_all_three_read_files_of_every_type_alike(tmp_path, record_type):
    is_t3 = record_type & 0xF00 == 0x300
    unit, step = (PERIOD_PS, STEP_PS) if is_t3 else (1, 0)
    path = tmp_path / "hand.ptu"
    records = hand_packed(record_type)
    ptu_file(path, record_type, records, unit=unit * 1e-12, step=STEP_PS * 1e-12, mode=3 if is_t3 else 2)
    times, counts = photons_by_us(path)
    assert len(times) == 1500
    for peer in (photons_by_ptufile, photons_by_tttrlib):
        theirs, numbers = peer(path, unit, step)
        np.testing.assert_array_equal(theirs, times)
        # All four inputs have tags: these are their numbers of tags, whatever number the peer begins with.
        np.testing.assert_array_equal(numbers[numbers > 0], counts[counts > 0])


def test_we_read_what_tttrlib_writes(tmp_path):
    source, written = tmp_path / "hand.ptu", tmp_path / "theirs.ptu"
    ptu_file(source, 0x01010304, hand_packed(0x01010304), unit=1.25e-8, step=4e-12, mode=3)
    assert tttrlib.TTTR(str(source), "PTU").write(str(written))
    theirs, numbers = photons_by_tttrlib(written, PERIOD_PS, STEP_PS)
    times, counts = photons_by_us(written)
    np.testing.assert_array_equal(times, theirs)
    np.testing.assert_array_equal(counts, numbers)
    assert read(open_tags(written)) == read(open_tags(source))


@pytest.mark.parametrize("record_type", ["PicoHarpT3", "GenericT3"])
def test_we_read_what_ptufile_writes(tmp_path, record_type):
    path = tmp_path / "image.ptu"
    counts = np.random.default_rng(8).integers(0, 4, (2, 5, 6, 2, 40)).astype(np.uint16)
    kind = ptufile.PtuRecordType[record_type]
    ptufile.imwrite(path, counts, PERIOD_PS * 1e-12, 64e-12, record_type=kind)
    theirs, numbers = photons_by_ptufile(path, PERIOD_PS, 64)
    file = open_tags(path)
    times, ours = photons_by_us(path)
    np.testing.assert_array_equal(times, theirs)
    np.testing.assert_array_equal(ours, numbers)
    # The image's own sums, and its markers: start and stop of each of 10 lines, and of 2 frames.
    assert list(ours[:2]) == list(counts.sum(axis=(0, 1, 2, 4)))
    channels = [channel for _, channel in read(file)]
    assert [channels.count(64 + k) for k in (1, 2, 3, 4)] == [10, 10, 2, 0]
    assert file.damage == []
