"""Drivers of counters and taggers before their simulators, with detectors that click in the dark.

The two were written from the notes apart; here one's reading of them meets the other's. What the light
field hands to the simulator is what the driver must give out. Clicks are random, with fixed seeds; tolerances
of six standard deviations are passed by chance less than once in 1e7 times.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import sqrt
from typing import Any

import numpy as np

from drivers import catalog
from drivers.address import Address
from drivers.capabilities import CoincidenceCounter, Instrument, Settings, TimeTagger
from sim_instruments.bench import Bench
from sim_instruments.instrument import Placed
from sim_instruments.ports import Tags
from sim_instruments.world.layout import Clock, Detector, Layout, Tagger
from timetags.block import TagBlock

DARK_HZ = {1: 20_000.0, 2: 50_000.0}
S = 10**12


@asynccontextmanager
async def laboratory(model: str) -> AsyncIterator[tuple[Bench, Any]]:
    """A bench with one instrument, detectors on its inputs 1 and 2, and its driver, open."""
    detectors = tuple(
        Detector(f"d{n}", "subject", n, 0.9, rate, jitter_s=0.0, dead_time_s=0.0)
        for n, rate in DARK_HZ.items()
    )
    tagger = Tagger("subject", Clock("clock", 1e-6), resolution_ps=100)
    layout = Layout(lights=(), detectors=detectors, taggers=(tagger,))
    async with Bench(layout, [Placed("subject", model)], seed=3) as bench:
        driver: Instrument = catalog.find(model)(
            "subject", Address.parse(bench.addresses["subject"]), Settings(), 5.0
        )
        try:
            await driver.open()
            yield bench, driver
        finally:
            await driver.close()


def overheard(bench: Bench) -> list[tuple[Tags, int]]:
    """What the light field hands over from now on."""
    heard: list[tuple[Tags, int]] = []
    sim = bench.instruments["subject"]
    take = sim.take

    async def listen(tags: Tags, until_ps: int) -> None:
        heard.append(({n: times.copy() for n, times in tags.items()}, until_ps))
        await take(tags, until_ps)

    sim.take = listen  # type: ignore[method-assign]
    return heard


def expected(rate_hz: float, seconds: float) -> tuple[float, float]:
    """Mean and six standard deviations of how many clicks there are."""
    return rate_hz * seconds, 6 * sqrt(rate_hz * seconds)


async def test_the_tags_of_a_tdc1_are_the_clicks_in_2_ns() -> None:
    async with laboratory("sfifteen_tdc1") as (bench, tagger):
        assert isinstance(tagger, TimeTagger)
        heard = overheard(bench)
        await bench.advance(1.0)
        await tagger.set_threshold(1, 0.1)
        begin_ps = bench.ports.taggers["subject"].clock_ps
        await tagger.start((1, 2))
        blocks: list[TagBlock] = []

        async def collect() -> None:
            async for block in tagger.blocks():
                blocks.append(block)  # noqa: PERF401

        collecting = asyncio.create_task(collect())
        await bench.advance(2.3)
        await tagger.stop()
        await collecting
    times, channels = (np.concatenate([getattr(b, name) for b in blocks]) for name in ("times", "channels"))
    for n, rate in DARK_HZ.items():
        seen = np.concatenate([tags[n] for tags, _ in heard]) - begin_ps
        told = times[channels == n]
        # The last 2 ns may still be incomplete.
        assert told.tolist() == np.unique(seen // 2000 * 2000)[: len(told)].tolist()
        mean, tolerance = expected(rate, 2.3)
        assert abs(len(told) - mean) < tolerance
    assert [block.start_ps for block in blocks] == [k * S // 2 for k in range(5)]
    assert blocks[-1].end_ps > 2.2 * S


async def test_a_tdc1_counts_for_a_second() -> None:
    async with laboratory("sfifteen_tdc1") as (bench, tagger):
        await tagger.set_threshold(1, 0.1)
        asking = asyncio.ensure_future(asyncio.gather(*(tagger.count_rate(n) for n in (1, 2, 3))))
        while not asking.done():
            await bench.advance(0.25)
            await asyncio.wait([asking], timeout=0.001)
        rates = await asking
    for rate, true in zip(rates, (*DARK_HZ.values(), 0.0), strict=True):
        mean, tolerance = expected(true, 1.0)
        assert abs(rate - mean) <= tolerance


async def test_a_cc1_counts_clicks_and_accidentals() -> None:
    """Two clicks fall together by accident at r1 * r2 * window: 20 kHz * 50 kHz * 15 ns = 15 Hz."""
    async with laboratory("qubitekk_cc1") as (bench, counter):
        assert isinstance(counter, CoincidenceCounter)
        await counter.set_window(7e-9)
        await counter.set_dwell(2.0)
        await counter.counts()
        await bench.advance(5.0)
        counts = await counter.counts()
    for n, rate in DARK_HZ.items():
        mean, tolerance = expected(rate, 2.0)
        assert abs(counts.singles[n] - mean) < tolerance
    mean, tolerance = expected(15.0, 2.0)
    assert abs(counts.coincidences - mean) < tolerance
