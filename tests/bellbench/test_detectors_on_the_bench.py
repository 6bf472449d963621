"""Each driver of detector electronics before its simulator, with a detector in the light field behind it: a
bias set over the wire decides what it sees.

The two were written from the notes apart; here one's reading of them meets the other's. Counts are Poisson
numbers: where one is compared, it is within 6 standard deviations, false alarm 2e-9.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from math import sqrt
from typing import Any, TypeVar

import pytest

from drivers import catalog
from drivers.address import Address
from drivers.capabilities import Instrument
from drivers.detectors.quantumopus_sim import QuantumOpusSim
from drivers.detectors.sfifteen_spd import SFifteenSpd
from drivers.detectors.srs_sim900 import SrsSim900
from sim_instruments.bench import Bench
from sim_instruments.instrument import Placed
from sim_instruments.ports import NanowirePort
from sim_instruments.world.layout import Clock, Detector, Layout, Tagger

T = TypeVar("T")
DARK_HZ = 5000.0
TEMPERATURE_K, EXCESS_V = 253.15, 10.0
OPERATING_V = 136.0 - 0.35 * 20 + EXCESS_V
"""The simulated diode breaks down at 136 V at 0 C, and 0.35 V earlier per kelvin below."""


@asynccontextmanager
async def electronics(
    model: str, settings: Mapping[str, Any], channel: int
) -> AsyncIterator[tuple[Bench, Instrument]]:
    """The electronics, opened, with a detector on a channel; its dark counts are all it sees."""
    properties: dict[str, Any] = (
        {"kind": "avalanche_diode", "operating_excess_v": EXCESS_V, "operating_temperature_k": TEMPERATURE_K}
        if model == "sfifteen_spd"
        else {"operating_bias_a": 17e-6, "switching_current_a": 19e-6}
    )
    detector = Detector(
        "d", "tagger", 1, 0.9, DARK_HZ, 0.0, 0.0, control=("unit", channel), **properties
    )  # fmt: skip
    layout = Layout(
        lights=(), detectors=(detector,), taggers=(Tagger("tagger", Clock("clock", 1e-9)),)
    )  # fmt: skip
    kind = catalog.find(model)
    checked = kind.settings_model.model_validate(settings)
    placed = [Placed("unit", model, checked.model_dump()), Placed("tagger", "idq_id900")]
    async with Bench(layout, placed, seed=1) as bench:
        driver = kind("unit", Address.parse(bench.addresses["unit"]), checked, 1.0)
        try:
            await driver.open()
            yield bench, driver
        finally:
            await driver.close()


async def meanwhile(bench: Bench, call: Coroutine[Any, Any, T]) -> T:
    """The result of a call that waits for the instrument, while the bench's time goes on."""
    task = asyncio.create_task(call)
    while not task.done():
        await bench.advance(0.02)
        await asyncio.wait([task], timeout=0.001)
    return await task


async def clicks(bench: Bench, wire: NanowirePort, seconds: float = 1.0) -> int:
    before = wire.clicks
    await bench.advance(seconds)
    return wire.clicks - before


def poisson(mean: float) -> Any:
    return pytest.approx(mean, abs=6 * sqrt(mean))


SIM928 = {"slots": [2, 5], "max_bias": "20 uA", "series_resistance": "47 kOhm"}


async def test_a_sim928_biases_a_nanowire() -> None:
    async with electronics("srs_sim900", SIM928, 5) as (bench, unit):
        assert isinstance(unit, SrsSim900)
        wire = bench.ports.nanowires["unit", 5]
        await unit.set_bias(5, 17e-6)
        assert await unit.bias(5) == 0.0
        assert await clicks(bench, wire) == 0
        await unit.set_enabled(True)
        assert await unit.bias(5) == pytest.approx(17e-6, abs=0.5e-3 / 47e3)
        assert await clicks(bench, wire) == poisson(DARK_HZ)
        await unit.set_bias(5, 19.5e-6)
        await bench.advance(0.1)
        assert await clicks(bench, wire) == 0  # latched
        await unit.set_bias(5, 17e-6)
        assert await clicks(bench, wire) == 0
        await unit.set_bias(5, 0.0)
        await bench.advance(0.1)
        await unit.set_bias(5, 17e-6)
        assert await clicks(bench, wire) == poisson(DARK_HZ)
        await unit.make_safe()
        assert wire.bias_a == 0.0
        assert not await unit.is_enabled()


async def test_a_quantum_opus_module_sees_its_wire_latch() -> None:
    async with electronics("quantumopus_sim", {"slots": [6], "max_bias": "20 uA"}, 6) as (bench, unit):
        assert isinstance(unit, QuantumOpusSim)
        wire = bench.ports.nanowires["unit", 6]
        await unit.set_bias(6, 17e-6)
        await bench.advance(0.1)
        assert not await unit.is_latched(6)
        assert await clicks(bench, wire) == poisson(DARK_HZ)
        await unit.set_bias(6, 20e-6)
        await bench.advance(0.1)
        await unit.set_bias(6, 17e-6)
        await bench.advance(0.1)
        assert await unit.is_latched(6)
        assert await clicks(bench, wire) == 0
        await unit.reset(6)
        await bench.advance(0.5)
        assert not await unit.is_latched(6)
        assert await unit.bias(6) == pytest.approx(17e-6, rel=1e-4)
        assert await clicks(bench, wire) == poisson(DARK_HZ)
        await unit.make_safe()
        assert wire.bias_a == 0.0


async def test_an_avalanche_detector_counts_by_its_excess_bias_and_temperature() -> None:
    settings = {"max_bias_voltage": "145 V"}
    async with electronics("sfifteen_spd", settings, 1) as (bench, unit):
        assert isinstance(unit, SFifteenSpd)

        async def counts() -> float:
            """In the 100 ms for which it counts."""
            return await meanwhile(bench, unit.count_rate(1)) * 0.1

        assert await counts() == 0
        await unit.set_bias_voltage(1, OPERATING_V - EXCESS_V - 1.0)  # below breakdown
        assert await counts() == 0
        await unit.set_bias_voltage(1, OPERATING_V)
        assert await counts() == poisson(0.1 * DARK_HZ)
        # 8 K colder dark counts are half, and the diode breaks down 2.8 V earlier.
        await unit.set_temperature(TEMPERATURE_K - 8.0)
        assert not await unit.is_settled()
        await bench.advance(60.0)
        assert await unit.is_settled()
        await unit.set_bias_voltage(1, OPERATING_V - 2.8)
        assert await counts() == poisson(0.05 * DARK_HZ)
        await unit.make_safe()
        assert await counts() == 0
        assert not bench.ports.diodes["unit", 1].enabled
