"""The bench of a testbed: its simulated instruments, in one light field, moved through time together.

`Bench.advance` is the only thing that makes time pass. It works in slices of 250 ms (20 ms while a motor
turns and somebody looks): instruments' settings are read, the light of the slice is drawn in a worker
thread while the clicks of the one before go out over the wires, then the instruments' own time moves on.
A reader that does not keep up with the clicks holds the bench back.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from sim_instruments.detectors.singlequantum_websq import SimSingleQuantumWebSq
from sim_instruments.instrument import SimInstrument
from sim_instruments.lasers.toptica_dlcpro import SimTopticaDlcPro
from sim_instruments.optics.thorlabs_pm100d import SimThorlabsPm100d
from sim_instruments.polarization.thorlabs_k10cr1 import SimThorlabsK10cr1
from sim_instruments.polarization.thorlabs_mpc320 import SimThorlabsMpc320
from sim_instruments.ports import (
    LaserPort,
    MeterPort,
    NanowirePort,
    PaddlesPort,
    RotationPort,
    TaggerInput,
    TaggerPort,
)
from sim_instruments.time_taggers.idq_id900 import SimIdqId900
from sim_instruments.world.layout import Layout
from sim_instruments.world.light_field import Clicks, LightField, Ports
from sim_instruments.world.randomness import generator

SLICE_PS = 250_000_000_000
MOVING_SLICE_PS = 20_000_000_000


@dataclass(frozen=True)
class Placed:
    """An instrument to be put on the bench: its model and what its simulator needs to know of it."""

    name: str
    model: str
    settings: Mapping[str, float] = field(default_factory=dict)


def _laser(placed: Placed, ports: Ports, rng: np.random.Generator) -> SimInstrument:
    port = ports.lasers[placed.name] = LaserPort()
    return SimTopticaDlcPro(
        placed.name,
        rng,
        port,
        threshold_a=placed.settings["threshold_current"],
        slope_w_per_a=placed.settings["slope_efficiency"],
        max_power_w=placed.settings["max_power"],
    )


def _nanowires(placed: Placed, ports: Ports, rng: np.random.Generator) -> SimInstrument:
    wires = [NanowirePort() for _ in range(int(placed.settings["channels"]))]
    for channel, port in enumerate(wires, start=1):
        ports.nanowires[placed.name, channel] = port
    return SimSingleQuantumWebSq(placed.name, rng, wires)


def _mount(placed: Placed, ports: Ports, rng: np.random.Generator) -> SimInstrument:
    port = ports.rotations[placed.name] = RotationPort()
    return SimThorlabsK10cr1(placed.name, rng, port)


def _paddles(placed: Placed, ports: Ports, rng: np.random.Generator) -> SimInstrument:
    port = ports.paddles[placed.name] = PaddlesPort()
    return SimThorlabsMpc320(placed.name, rng, port)


def _meter(placed: Placed, ports: Ports, rng: np.random.Generator) -> SimInstrument:
    port = ports.meters[placed.name] = MeterPort()
    return SimThorlabsPm100d(placed.name, rng, port)


def _tagger(placed: Placed, ports: Ports, rng: np.random.Generator) -> SimInstrument:
    port = ports.taggers[placed.name] = TaggerPort({number: TaggerInput() for number in range(1, 5)})
    return SimIdqId900(
        placed.name,
        rng,
        port,
        start_latency_s=placed.settings["start_latency"],
        resolution_ps=int(placed.settings["resolution_ps"]),
    )


MODELS: dict[str, Callable[[Placed, Ports, np.random.Generator], SimInstrument]] = {
    "idq_id900": _tagger,
    "singlequantum_websq": _nanowires,
    "thorlabs_k10cr1": _mount,
    "thorlabs_mpc320": _paddles,
    "thorlabs_pm100d": _meter,
    "toptica_dlcpro": _laser,
}
"""How each model is put on the bench: its port into the light, its simulator."""


class Bench:
    """Use as `async with Bench(...) as bench`: the servers run inside."""

    def __init__(self, layout: Layout, instruments: Sequence[Placed], seed: int) -> None:
        """Raises KeyError for a model that has no simulator."""
        self.ports = Ports()
        self.instruments: dict[str, SimInstrument] = {}
        for placed in instruments:
            rng = generator(seed, f"instrument {placed.name}")
            self.instruments[placed.name] = MODELS[placed.model](placed, self.ports, rng)
        self.light = LightField(layout, self.ports, seed)
        self.addresses: dict[str, str] = {}
        """Where a driver finds each instrument; filled on start."""
        self._time = asyncio.Lock()

    async def __aenter__(self) -> Self:
        try:
            for name, instrument in self.instruments.items():
                self.addresses[name] = await instrument.start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for instrument in self.instruments.values():
            await instrument.stop()
        self.light.close()

    @property
    def now(self) -> float:
        """Seconds since the bench began."""
        return self.light.now_ps * 1e-12

    async def advance(self, seconds: float) -> None:
        """Let time pass. A cancellation takes effect between slices; clicks on their way are dropped."""
        async with self._time:
            end_ps = self.light.now_ps + round(seconds * 1e12)
            delivery = asyncio.create_task(self._deliver({}))
            try:
                while self.light.now_ps < end_ps:
                    clicks = await self._slice(end_ps)
                    await delivery
                    delivery = asyncio.create_task(self._deliver(clicks))
                await delivery
            except BaseException:
                delivery.cancel()
                await asyncio.gather(delivery, return_exceptions=True)
                raise

    async def _slice(self, end_ps: int) -> dict[str, Clicks]:
        self.light.tune()
        moving = self.light.observed and any(i.moving for i in self.instruments.values())
        span_ps = min(MOVING_SLICE_PS if moving else SLICE_PS, end_ps - self.light.now_ps)
        exposure = asyncio.ensure_future(asyncio.to_thread(self.light.expose, span_ps))
        try:
            await asyncio.shield(exposure)
        finally:
            await asyncio.wait([exposure])  # a slice in the making cannot be left half made
            clicks = exposure.result()
            self.light.settle(span_ps, clicks)
            for instrument in self.instruments.values():
                instrument.advance(span_ps * 1e-12)
        for instrument in self.instruments.values():
            await instrument.flush()
        return clicks

    async def _deliver(self, clicks: Mapping[str, Clicks]) -> None:
        await asyncio.gather(
            *(self.instruments[tagger].take(seen.tags, seen.until_ps) for tagger, seen in clicks.items())
        )
