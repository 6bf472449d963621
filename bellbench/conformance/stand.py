"""A stand: one driver before one instrument. Here before its simulator, on a bench of their own; before a
real one in `bellbench.conformance.hardware`."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from drivers import catalog
from drivers.address import Address
from drivers.capabilities import Control, Instrument, Settings
from sim_instruments.bench import Bench
from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.world.layout import Layout

NAME = "subject"
DEADLINE_S = 5.0
"""Of an exchange that is to succeed: a simulator answers in microseconds, but the machine may be busy."""
SHORT_S = 0.25
"""Of an exchange that may fail, so that a test need not wait long for it."""
BRISK_S = 1.0
"""Of exchanges of which one fails and the others are to succeed."""
SETTLING_S = 300.0
"""Time, simulated or not, within which every instrument arrives at any set-point."""
HEARING_S = 10.0
"""Wall time within which its words are heard then, on a busy machine."""


@dataclass(frozen=True)
class Subject:
    """What is tested: a model that has a driver and a simulator, and its settings as in a testbed file."""

    model: str
    settings: Mapping[str, Any] | Settings = field(default_factory=dict)

    @asynccontextmanager
    async def stand(self, seed: int = 1) -> AsyncIterator["BenchStand"]:
        """A fresh bench with this one instrument, its driver not opened."""
        driver = catalog.find(self.model)
        settings = (
            self.settings
            if isinstance(self.settings, Settings)
            else driver.settings_model.model_validate(self.settings)
        )
        placed = Placed(NAME, self.model, settings.model_dump())
        async with AsyncExitStack() as stack:
            bench = await stack.enter_async_context(Bench(NO_LIGHT, [placed], seed))
            address = Address.parse(bench.addresses[NAME])

            def new_driver(deadline: float = DEADLINE_S) -> Instrument:
                instrument = driver(NAME, address, settings, deadline)
                stack.push_async_callback(instrument.close)
                return instrument

            yield BenchStand(bench, bench.instruments[NAME], new_driver)


NO_LIGHT = Layout(lights=(), detectors=(), taggers=())


class Stand(ABC):
    """A driver before an instrument."""

    def __init__(self, new_driver: Callable[..., Instrument]) -> None:
        self.new_driver = new_driver
        self.driver = new_driver()

    @abstractmethod
    async def let_pass(self, seconds: float) -> None:
        """Let the instrument's time pass."""

    @abstractmethod
    async def read(self, control: Control) -> float | bool:
        """Read a control, also one that waits for the instrument's next reading."""

    async def settle(self) -> None:
        """Wait until the instrument says that it has arrived; its time may pass faster than its words."""
        passed = 0.0
        while passed < SETTLING_S and not await self.driver.is_settled():
            await self.let_pass(0.25)
            passed += 0.25
        end = time.monotonic() + HEARING_S
        while not await self.driver.is_settled():
            assert time.monotonic() < end, f"not settled after {SETTLING_S:g} seconds"
            await asyncio.sleep(0.01)

    async def prepare(self) -> None:
        """Open the driver and home what can be homed, so that every control may be set."""
        await self.driver.open()
        if home := getattr(self.driver, "home", None):
            await home()
        await self.settle()

    def settable(self) -> list[Control]:
        return [control for control in self.driver.controls() if control.write is not None]


class BenchStand(Stand):
    """A driver before its simulator, with everything behind the wire in reach."""

    def __init__(self, bench: Bench, sim: SimInstrument, new_driver: Callable[..., Instrument]) -> None:
        super().__init__(new_driver)
        self.bench, self.sim = bench, sim

    async def hasten(self, deadline_s: float = SHORT_S) -> None:
        """Go on with a driver that soon gives a silent instrument up, opened."""
        await self.driver.close()
        self.driver = self.new_driver(deadline_s)
        await self.driver.open()

    async def let_pass(self, seconds: float) -> None:
        await self.bench.advance(seconds)

    async def read(self, control: Control) -> float | bool:
        """Read a control while simulated time goes on: some readings wait for the instrument's next one."""
        reading = asyncio.ensure_future(control.read())
        try:
            while not reading.done():
                await self.bench.advance(0.02)
                await asyncio.wait([reading], timeout=0.001)
            return await reading
        finally:
            reading.cancel()

    def light(self) -> str:
        """All that the instrument does to the light, to be compared."""
        return repr(self.bench.ports)


@pytest.fixture
async def stand(subject: Subject) -> AsyncIterator[BenchStand]:
    async with subject.stand() as stand:
        yield stand
