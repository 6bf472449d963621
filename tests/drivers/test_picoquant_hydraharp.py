"""The HydraHarp's driver over a double of PicoQuant's library: where it differs from the MultiHarp's."""

from collections.abc import AsyncIterator

import pytest

from drivers.errors import LimitError
from drivers.time_taggers.picoquant_harp import PicoQuantHarp
from drivers.time_taggers.picoquant_hydraharp import PicoQuantHydraHarp
from tests.drivers.picoquant_double import (
    SYNC,
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
    with installed(PicoQuantHydraHarp) as double:
        yield double


@pytest.fixture
async def harp(library: Double) -> AsyncIterator[PicoQuantHarp]:
    harp = new(PicoQuantHydraHarp)
    await harp.open()
    yield harp
    await harp.close()
    assert library.made("CloseDevice")[-1] == ("CloseDevice", 1)


async def test_it_finds_its_device_and_says_who_it_is(harp: PicoQuantHarp, library: Double) -> None:
    await harp.open()
    identity = await harp.identity()
    assert (identity.model, identity.serial_number, identity.firmware) == ("Harp 4 930004", "1012345", "1.0")
    assert await harp.resolution_ps() == 1
    assert library.made("OpenDevice", "CloseDevice", "Initialize") == [
        ("OpenDevice", 0), ("CloseDevice", 0), ("OpenDevice", 1), ("Initialize", 1, 2, 0),
    ]  # fmt: skip
    await harp.close()
    await harp.close()


async def test_thresholds_are_discriminators_of_a_hydraharp(harp: PicoQuantHarp, library: Double) -> None:
    await harp.set_threshold(2, -0.12)
    assert library.made("SetInputCFD") == [("SetInputCFD", 1, 1, 120, 10)]
    with pytest.raises(LimitError, match="-1 to 0 V"):
        await harp.set_threshold(2, 0.1)


async def test_its_tags_count_picoseconds(harp: PicoQuantHarp, library: Double) -> None:
    await harp.start((1, 3))
    library.fifo = [photon(1, 10), SYNC | 12, overflows(3), photon(3, 7)]
    await harp.stop()
    assert tags(*await taken(harp)) == [(10, 1), (3 * WRAP + 7, 3)]


async def test_more_records_than_one_call_gives(harp: PicoQuantHarp, library: Double) -> None:
    await harp.start((1,))
    library.fifo = [photon(1, k) for k in range(300_000)]
    await harp.stop()
    assert [t for t, _ in tags(*await taken(harp))] == list(range(300_000))
