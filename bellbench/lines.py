"""The instruments of a testbed as drivers at their addresses, and the bench behind simulated ones."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drivers import catalog
from drivers.address import Address
from drivers.capabilities import Instrument
from experiments.config.testbed import Testbed

if TYPE_CHECKING:
    from sim_instruments.bench import Bench  # the light field is not loaded where all instruments are real


@dataclass(frozen=True)
class Lines:
    """Drivers by the names of the testbed file, none of them opened."""

    instruments: Mapping[str, Instrument]
    bench: "Bench | None"


def drivers_of(testbed: Testbed, addresses: Mapping[str, str]) -> dict[str, Instrument]:
    """A driver for each instrument that has an address. Opens nothing."""
    return {
        name: catalog.find(entry.model)(name, Address.parse(addresses[name]), entry.settings)
        for name, entry in testbed.instruments.items()
        if name in addresses
    }


@asynccontextmanager
async def lines_of(testbed: Testbed, seed: int = 1) -> AsyncIterator[Lines]:
    """The drivers of a testbed, closed at the end. A simulated testbed gets a bench of its own.

    Raises click.UsageError for an instrument that cannot be simulated.
    """
    async with AsyncExitStack() as stack:
        bench = None
        addresses: Mapping[str, str] = {name: entry.address for name, entry in testbed.instruments.items()}
        if testbed.simulated:
            from bellbench.simulation import bench_of

            bench = await stack.enter_async_context(bench_of(testbed, seed))
            addresses = bench.addresses
        instruments = drivers_of(testbed, addresses)
        for instrument in instruments.values():
            stack.push_async_callback(instrument.close)
        yield Lines(instruments, bench)
