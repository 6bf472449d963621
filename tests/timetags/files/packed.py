"""Tag files packed by hand from the protocol notes, without any of the code that reads or writes them."""

import struct
from itertools import pairwise

import numpy as np

from timetags.block import TagBlock

INT, FLOAT, BOOL, EMPTY, ANSI = 0x10000008, 0x20000008, 0x00000008, 0xFFFF0008, 0x4001FFFF


def ptu_tag(name, kind, value, index=-1):
    """One tag of a PTU header, 48 bytes and perhaps a string."""
    head = struct.pack("<32siI", name.encode(), index, kind)
    if kind == FLOAT:
        return head + struct.pack("<d", value)
    if kind == ANSI:
        text = value.encode() + b"\0"
        text += b"\0" * (-len(text) % 8)
        return head + struct.pack("<q", len(text)) + text
    return head + struct.pack("<q", value)


def ptu_header(record_type, number, *, unit=1e-12, step=1e-12, extra=b"", mode=2):
    """A PTU header with the tags that the note calls needed, `extra` tags before the last ones."""
    return (
        b"PQTTTR\0\0"
        + b"1.0.00\0\0"
        + ptu_tag("File_GUID", ANSI, "{12345678-1234-1234-1234-123456789ABC}")
        + ptu_tag("CreatorSW_Name", ANSI, "by hand")
        + ptu_tag("Measurement_Mode", INT, mode)
        + ptu_tag("Measurement_SubMode", INT, 0)
        + ptu_tag("HW_InpChannels", INT, 4)
        + ptu_tag("HWInpChan_Enabled", BOOL, 1, 0)
        + ptu_tag("HWInpChan_Enabled", BOOL, 0, 1)
        + ptu_tag("TTResult_SyncRate", INT, 1_000_000)
        + ptu_tag("TTResultFormat_TTTRRecType", INT, record_type)
        + ptu_tag("TTResultFormat_BitsPerRecord", INT, 32)
        + ptu_tag("MeasDesc_GlobalResolution", FLOAT, unit)
        + ptu_tag("MeasDesc_Resolution", FLOAT, step)
        + extra
        + ptu_tag("TTResult_NumberOfRecords", INT, number)
        + ptu_tag("Header_End", EMPTY, 0)
    )


def ptu_file(path, record_type, records, number=None, **about):
    """Write a PTU file of `records` (integers of 32 bits); the length of its header."""
    header = ptu_header(record_type, len(records) if number is None else number, **about)
    path.write_bytes(header + struct.pack(f"<{len(records)}I", *records))
    return len(header)


def hydra_t2(special, channel, time):
    """A HydraHarp-type T2 record."""
    return special << 31 | channel << 25 | time


def hydra_t3(special, channel, dtime, nsync):
    """A HydraHarp-type T3 record."""
    return special << 31 | channel << 25 | dtime << 10 | nsync


def pico_t2(channel, time):
    """A PicoHarp T2 record."""
    return channel << 28 | time


def pico_t3(channel, dtime, nsync):
    """A PicoHarp T3 record."""
    return channel << 28 | dtime << 16 | nsync


def swabian(kind, channel, time, missed=0):
    """A record of Swabian's Dump."""
    return struct.pack("<BBHiq", kind, 0, missed, channel, time)


def a1_event(units, pattern, *, is_dummy=False):
    """The 64 bits of an a1 or a2 event."""
    return units << 10 | is_dummy << 4 | pattern


def read(file):
    """All tags of a tag file as (time, channel), after checks of what every stream of blocks must be."""
    blocks = list(file)
    for block in blocks:
        assert block.times.dtype == np.int64
        assert block.channels.dtype == np.uint8
        assert len(block.times) == len(block.channels)
        assert block.start_ps <= block.end_ps
        assert np.all(np.diff(block.times) >= 0)
        if len(block):
            assert block.start_ps <= block.times[0]
            assert block.times[-1] < block.end_ps
    for one, other in pairwise(blocks):
        assert one.end_ps == other.start_ps
    assert file.position == file.info.size_bytes
    return [
        (int(time), int(channel))
        for block in blocks
        for time, channel in zip(block.times, block.channels, strict=True)
    ]


def random_block(count, *, seed, channels, rate_hz=1e6, start=0, lost=0):
    """Poisson tags on the given channels, in one block that ends with the last of them."""
    rng = np.random.default_rng(seed)
    times = start + np.cumsum(rng.exponential(1e12 / rate_hz, count)).astype(np.int64)
    chosen = rng.choice(np.array(channels, np.uint8), count)
    return TagBlock(times, chosen, start, int(times[-1]) + 1 if count else start, lost)
