"""The MultiHarp's driver over a double of PicoQuant's library; the double says what it is and is not."""

import asyncio
import threading
from collections.abc import AsyncIterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import ConnectError, DeadlineError, LimitError, LineError, ProtocolError, RefusedError
from drivers.time_taggers.picoquant_harp import PicoQuantHarp
from drivers.time_taggers.picoquant_multiharp import PicoQuantMultiHarp
from drivers.time_taggers.picoquant_recording import HarpRecording
from tests.drivers.hurry import in_a_hurry
from tests.drivers.picoquant_double import (
    DROPPED,
    FIFO_FULL,
    MARKER_1,
    REF_LOST,
    SYNC,
    SYNC_RATE_TOO_LOW,
    WRAP,
    Double,
    installed,
    new,
    overflows,
    photon,
    tags,
    taken,
)


@pytest.fixture
async def library() -> AsyncIterator[Double]:
    with installed(PicoQuantMultiHarp) as double:
        yield double


@pytest.fixture
async def harp(library: Double) -> AsyncIterator[PicoQuantHarp]:
    harp = new(PicoQuantMultiHarp)
    await harp.open()
    yield harp
    await harp.close()
    assert library.made("CloseDevice")[-1] == ("CloseDevice", 1)


async def test_it_finds_its_device_and_says_who_it_is(harp: PicoQuantHarp, library: Double) -> None:
    await harp.open()
    identity = await harp.identity()
    assert (identity.model, identity.serial_number, identity.firmware) == ("Harp 4 930004", "1012345", "1.0")
    assert await harp.resolution_ps() == 5
    assert library.made("OpenDevice", "CloseDevice", "Initialize") == [
        ("OpenDevice", 0), ("CloseDevice", 0), ("OpenDevice", 1), ("Initialize", 1, 2, 0),
    ]  # fmt: skip
    await harp.close()
    await harp.close()


async def test_an_external_clock_is_asked_for(library: Double) -> None:
    harp = new(PicoQuantMultiHarp, clock="external")
    await harp.open()
    await harp.close()
    assert library.made("Initialize") == [("Initialize", 1, 2, 1)]


async def test_without_the_library_it_says_how_to_get_it() -> None:
    with pytest.raises(
        ConnectError, match=r"libmh150\.so: cannot open.*Install the software of the MultiHarp"
    ):
        await new(PicoQuantMultiHarp).open()


async def test_what_cannot_be_reached_is_a_connect_error(library: Double) -> None:
    with pytest.raises(ConnectError, match="there are: 1000001, 01012345"):
        await new(PicoQuantMultiHarp, "usb:77").open()
    with pytest.raises(ConnectError, match="the device has 4 inputs"):
        await new(PicoQuantMultiHarp, inputs=8).open()
    library.refuse["Initialize"] = -36
    with pytest.raises(ConnectError, match=r"MH_Initialize: error -36 \(MESSAGE -36\)"):
        await new(PicoQuantMultiHarp).open()
    assert library.calls[-1] == ("CloseDevice", 1)
    with pytest.raises(LineError, match="not open"):
        await new(PicoQuantMultiHarp).identity()


async def test_thresholds_are_edges_of_a_multiharp(harp: PicoQuantHarp, library: Double) -> None:
    with pytest.raises(RefusedError, match="nobody knows the threshold of input 3"):
        await harp.threshold(3)
    await harp.set_threshold(3, 0.1)
    await harp.set_threshold(1, -0.0504)
    assert library.made("SetInputEdgeTrg") == [
        ("SetInputEdgeTrg", 1, 2, 100, 1), ("SetInputEdgeTrg", 1, 0, -50, 0),
    ]  # fmt: skip
    assert (await harp.threshold(3), await harp.threshold(1)) == pytest.approx((0.1, -0.05))
    for call in (harp.set_threshold(3, 1.3), harp.set_threshold(5, 0.1), harp.threshold(0)):
        with pytest.raises(LimitError, match="harp"):
            await call


async def test_a_recording_from_start_to_end(harp: PicoQuantHarp, library: Double) -> None:
    assert await harp.count_rate(3) == 1002.0
    await harp.start((1, 3))
    with pytest.raises(RefusedError, match="recording already"):
        await harp.start((1,))
    assert library.made("SetInputChannelEnable", "StartMeas") == [
        *(("SetInputChannelEnable", 1, k, int(k in (0, 2))) for k in range(4)), ("StartMeas", 1, 360_000_000),
    ]  # fmt: skip
    wraps = 500_000_000_000 // (5 * WRAP) + 1
    library.fifo = [photon(1, 10), photon(2, 11), SYNC | 12, MARKER_1 | 13, photon(3, 14), overflows(wraps),
                    photon(3, 7)]  # fmt: skip
    blocks = harp.blocks()
    first = await anext(blocks)
    assert (first.start_ps, first.end_ps, tags(first)) == (0, 500_000_000_000, [(50, 1), (70, 3)])
    await harp.stop()
    library.fifo = [photon(1, 9)]
    late_ps = 5 * wraps * WRAP
    rest = [block async for block in blocks]
    assert tags(*rest) == [(late_ps + 35, 3), (late_ps + 45, 1)]
    assert rest[-1].end_ps == late_ps + 46
    with pytest.raises(RefusedError, match="nothing is being recorded"):
        await taken(harp)


async def test_a_full_buffer_ends_the_recording_behind_what_has_come(
    harp: PicoQuantHarp, library: Double
) -> None:
    await harp.start((1,))
    library.fifo, library.flags = [photon(1, 10)], FIFO_FULL
    blocks = harp.blocks()
    last = await anext(blocks)
    assert (tags(last), last.lost) == ([(50, 1)], 1)
    with pytest.raises(LineError, match="buffer was full"):
        await anext(blocks)
    await harp.stop()
    assert library.ended == 1


async def test_dropped_counts_and_a_lost_clock_are_told(harp: PicoQuantHarp, library: Double) -> None:
    await harp.start((1,))
    library.fifo, library.flags = [overflows(4000)], DROPPED
    blocks = harp.blocks()
    assert (await anext(blocks)).lost == 1
    library.flags = REF_LOST
    with pytest.raises(LineError, match="lost its reference clock"):
        await anext(blocks)


async def test_a_recording_that_ends_by_itself_is_an_error(harp: PicoQuantHarp, library: Double) -> None:
    await harp.start((1,))
    library.ended = 1
    with pytest.raises(LineError, match="ended by itself"):
        await taken(harp)


@pytest.mark.parametrize("records", [[1 << 31 | 40 << 25], [photon(1, 9), photon(1, 8)]])
async def test_records_that_cannot_be_are_an_error(
    harp: PicoQuantHarp, library: Double, records: list[int]
) -> None:
    await harp.start((1,))
    library.fifo = records
    with pytest.raises(ProtocolError, match=r"harp .*tag stream"):
        await taken(harp)


async def test_what_the_library_refuses_has_its_own_words(harp: PicoQuantHarp, library: Double) -> None:
    library.refuse["StartMeas"] = SYNC_RATE_TOO_LOW
    with pytest.raises(LineError, match=r"MH_StartMeas: error -7 \(MESSAGE -7\)"):
        await harp.start((1,))
    with pytest.raises(RefusedError, match="nothing is being recorded"):
        await taken(harp)


async def test_a_library_that_hangs_ends_at_the_deadline(library: Double) -> None:
    harp = new(PicoQuantMultiHarp)
    await harp.open()
    await harp.start((1,))
    library.stuck = threading.Event()
    with in_a_hurry(harp), pytest.raises(DeadlineError, match="ReadFiFo: the maker's library did not return"):
        await taken(harp)
    library.stuck.set()
    await harp.close()
    assert library.calls[-1] == ("CloseDevice", 1)


async def test_it_is_made_safe_from_nothing(library: Double) -> None:
    await new(PicoQuantMultiHarp).make_safe()
    assert library.made("StopMeas", "CloseDevice")[-1] == ("CloseDevice", 1)


async def test_it_is_made_safe_while_it_records(harp: PicoQuantHarp, library: Double) -> None:
    await harp.start((1,))
    await asyncio.gather(harp.make_safe(), harp.make_safe())
    assert library.ended == 1
    assert await taken(harp) == []


async def test_closing_ends_the_waiting_for_blocks(harp: PicoQuantHarp, library: Double) -> None:
    await harp.start((1,))
    waiting = asyncio.create_task(taken(harp))
    await asyncio.sleep(0)
    await harp.close()
    with pytest.raises(LineError, match=r"closed during the recording|not open"):
        await waiting


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.integers(0, (1 << 32) - 1) | st.integers(0, 1000), max_size=20), max_size=5))
def test_no_records_crash_the_reading(calls: list[list[int]]) -> None:
    recording = HarpRecording((1, 2), 0x00010207, 5.0)
    for records in calls:
        try:
            recording.take(np.array(records, np.uint32))
        except ValueError:
            return
    while (block := recording.cutter.next_block()) is not None and block.start_ps < 10**14:
        assert set(block.channels.tolist()) <= {1, 2}
