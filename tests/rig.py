"""A simulated bench with all its drivers open, for tests that act and look through drivers alone."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from bellbench.simulation import bench_of
from drivers import catalog
from drivers.address import Address
from drivers.capabilities import Instrument, Laser, NanowireBias, TimeTagger
from experiments.config.files import load_testbed
from experiments.config.happenings import SimulatedHappening
from experiments.config.testbed import Testbed
from sim_instruments.bench import Bench
from timetags.clocks.delays import find_delay

CONFIGS = Path(__file__).parents[1] / "configs"
I = TypeVar("I", bound=Instrument)  # noqa: E741 - an instrument
Tags = dict[str, NDArray[np.int64]]


class Rig:
    """A bench, the drivers by name, and what a test does with them all the time."""

    def __init__(self, testbed: Testbed, bench: Bench, instruments: Mapping[str, Instrument]) -> None:
        self.testbed, self.bench, self.instruments = testbed, bench, instruments

    def get(self, name: str, kind: type[I]) -> I:
        """A driver by name, of the capability that is asked for."""
        instrument = self.instruments[name]
        assert isinstance(instrument, kind)
        return instrument

    def all_of(self, kind: type[I]) -> list[I]:
        return [cast(I, i) for i in self.instruments.values() if isinstance(i, kind)]

    async def settle(self) -> None:
        """Let time pass until everything has arrived, at most a minute."""
        end = self.bench.now + 60.0
        while not all(await asyncio.gather(*(i.is_settled() for i in self.instruments.values()))):
            assert self.bench.now < end
            await self.bench.advance(0.1)

    async def bring_up(self, power_w: float = 20e-3, bias_a: float = 17e-6) -> None:
        """Lasers at the power of the configuration, nanowires at their operating bias, motors homed."""
        for laser in self.all_of(Laser):
            await laser.set_power(power_w)
            await laser.set_emission(True)
        for unit in self.all_of(NanowireBias):
            await unit.set_enabled(True)
            for channel in unit.channels:
                await unit.set_bias(channel, bias_a)
        for instrument in self.instruments.values():
            if hasattr(instrument, "home"):
                await instrument.home()
        await self.settle()

    async def record(self, seconds: float) -> Tags:
        """The tags of every detector, in its tagger's own time, of a recording of so many seconds."""
        wired: dict[str, dict[int, str]] = {}
        for name, detector in self.testbed.detectors.items():
            wired.setdefault(detector.tagger.instrument, {})[detector.tagger.number] = name
        taggers = [self.get(name, TimeTagger) for name in wired]
        tags: dict[str, list[NDArray[np.int64]]] = {name: [] for name in self.testbed.detectors}

        async def read(tagger: TimeTagger) -> None:
            async for block in tagger.blocks():
                for number, name in wired[tagger.name].items():
                    tags[name].append(block.times[block.channels == number])

        for tagger in taggers:
            await tagger.start(tuple(sorted(wired[tagger.name])))
        readers = [asyncio.create_task(read(tagger)) for tagger in taggers]
        await self.bench.advance(seconds)
        for tagger in taggers:
            await tagger.stop()
        await asyncio.gather(*readers)
        return {name: np.concatenate(arrays) for name, arrays in tags.items()}


@asynccontextmanager
async def rig(
    testbed: str = "nyc", seed: int = 1, happenings: Sequence[SimulatedHappening] = ()
) -> AsyncIterator[Rig]:
    """The bench of a shipped testbed file with every driver open, on which this happens besides."""
    loaded = load_testbed(CONFIGS / "testbeds" / f"{testbed}.yaml").testbed
    if happenings:
        assert loaded.simulation is not None
        truth = loaded.simulation.model_copy(update={"happenings": tuple(happenings)})
        loaded = loaded.model_copy(update={"simulation": truth})
    async with AsyncExitStack() as stack:
        bench = await stack.enter_async_context(bench_of(loaded, seed))
        instruments: dict[str, Instrument] = {}
        for name, entry in loaded.instruments.items():
            address = Address.parse(bench.addresses[name])
            instrument = catalog.find(entry.model)(name, address, entry.settings)
            stack.push_async_callback(instrument.close)
            instruments[name] = instrument
        await asyncio.gather(*(i.open() for i in instruments.values()))
        yield Rig(loaded, bench, instruments)


def pooled(tags: Tags, *names: str) -> NDArray[np.int64]:
    return np.sort(np.concatenate([tags[name] for name in names]))


def coincidences(tags: Tags, spoke: str, hub: str, delay_ps: int, window_ps: int, shift_ps: int = 0) -> int:
    """Pairs with |t_spoke - t_hub + delay - shift| < window / 2, by plain numpy."""
    times = tags[hub] - delay_ps + shift_ps
    first = np.searchsorted(tags[spoke], times - window_ps // 2)
    last = np.searchsorted(tags[spoke], times + window_ps // 2)
    return int((last - first).sum())


class Correlated:
    """Coincidences of a spoke's two detectors with the hub's four, accidentals subtracted."""

    HUB_H, HUB_V = ("hub_ch", "hub_dh"), ("hub_cv", "hub_dv")

    def __init__(self, tags: Tags, spoke: str, window_ps: int = 4000) -> None:
        everything = pooled(tags, f"{spoke}_h", f"{spoke}_v"), pooled(tags, *self.HUB_H, *self.HUB_V)
        delay = int(find_delay(*everything, search_ps=10 * 10**9).delay_ps)

        def count(letter: str, hub: tuple[str, ...]) -> float:
            name = f"{spoke}_{letter}"
            true = sum(coincidences(tags, name, h, delay, window_ps) for h in hub)
            apart = [
                sum(coincidences(tags, name, h, delay, window_ps, s) for h in hub)
                for s in (-200_000, 200_000)
            ]
            return true - sum(apart) / 2

        self.same = count("h", self.HUB_H) + count("v", self.HUB_V)
        self.crossed = count("h", self.HUB_V) + count("v", self.HUB_H)

    @property
    def pairs(self) -> float:
        return self.same + self.crossed

    @property
    def visibility(self) -> float:
        return (self.same - self.crossed) / self.pairs
