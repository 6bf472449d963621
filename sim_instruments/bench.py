"""The bench of a testbed: its simulated instruments, in one light field, moved through time together.

`Bench.advance` is the only thing that makes time pass. It works in slices of 250 ms (1 s where clicks are
few, 100 ms while a motor turns and somebody looks): instruments' settings are read, the light of the slice is
drawn in a worker thread while the clicks of the one before go out over the wires, then the instruments' own
time moves on. A reader that does not keep up with the clicks holds the bench back.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Self

from sim_instruments import catalog
from sim_instruments.happenings import Happening, Happenings
from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.ports import Ports
from sim_instruments.world.layout import Layout
from sim_instruments.world.light_field import Clicks, LightField
from sim_instruments.world.randomness import generator

SLICE_PS = 250_000_000_000
QUIET_SLICE_PS = 1_000_000_000_000
QUIET_HZ = 1e6
"""Below so many clicks per second, of all detectors together, a slice is as long as `QUIET_SLICE_PS`: what it
costs is then not the light but the round of all instruments."""
MOVING_SLICE_PS = 100_000_000_000


class Bench:
    """Use as `async with Bench(...) as bench`: the servers run inside."""

    def __init__(
        self,
        layout: Layout,
        instruments: Sequence[Placed],
        seed: int,
        happenings: Sequence[Happening] = (),
    ) -> None:
        """Raises KeyError for a model that has no simulator."""
        self.ports = Ports()
        self.instruments: dict[str, SimInstrument] = {}
        for placed in instruments:
            rng = generator(seed, f"instrument {placed.name}")
            self.instruments[placed.name] = catalog.find(placed.model).place(placed, self.ports, rng)
        self.light = LightField(layout, self.ports, seed)
        self._happenings = Happenings(happenings, self.instruments, self.light, seed)
        self.addresses: dict[str, str] = {}
        """Where a driver finds each instrument; filled on start."""
        self._time = asyncio.Lock()
        self._clicks_hz = QUIET_HZ  # of the slice before

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
        next_ps = self._happenings.carry_out(self.light.now_ps)
        self.light.tune()
        span_ps = min(self._slice_ps(), end_ps - self.light.now_ps)
        if next_ps is not None:
            span_ps = min(span_ps, next_ps - self.light.now_ps)
        exposure = asyncio.ensure_future(asyncio.to_thread(self.light.expose, span_ps))
        try:
            await asyncio.shield(exposure)
        finally:
            await asyncio.wait([exposure])  # a slice in the making cannot be left half made
            clicks = exposure.result()
            self._clicks_hz = sum(seen.count for seen in clicks.values()) / (span_ps * 1e-12)
            self.light.settle(span_ps, clicks)
            for instrument in self.instruments.values():
                instrument.advance(span_ps * 1e-12)
        for instrument in self.instruments.values():
            await instrument.flush()
        return clicks

    def _slice_ps(self) -> int:
        if not self.light.observed:
            return SLICE_PS
        if any(instrument.moving for instrument in self.instruments.values()):
            return MOVING_SLICE_PS
        return QUIET_SLICE_PS if self._clicks_hz < QUIET_HZ else SLICE_PS

    async def _deliver(self, clicks: Mapping[str, Clicks]) -> None:
        await asyncio.gather(
            *(self.instruments[tagger].take(seen.tags, seen.until_ps) for tagger, seen in clicks.items())
        )
