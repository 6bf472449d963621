"""A session: everything that a run needs around it, brought together and taken apart again.

Telemetry with its broker, the simulated bench where the testbed asks for one, the drivers at their
addresses, the clock. This is the only place where a bench and a run meet.
"""

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypedDict
from urllib.parse import urlsplit

import click

from bellbench.lines import drivers_of
from bellbench.simulation import bench_of
from bellbench.telemetry import TelemetryObserver
from experiments.config.files import LoadedExperiment
from experiments.config.references import resolve
from experiments.engine.clock import RunClock, WallClock
from experiments.engine.control import RunControl
from experiments.engine.events import RunObserver
from experiments.engine.outcome import StorageError, ending_of
from experiments.engine.record import RunFolder
from experiments.engine.run import RunReport, execute
from sim_instruments.bench import Bench
from telemetry.broker import EmbeddedBroker
from telemetry.publisher import Publisher

MQTT_PORT = 1883


class Connection(TypedDict):
    """How to reach a broker."""

    host: str
    port: int
    username: str | None
    password: str | None


class BenchClock:
    """The run clock on the simulated bench: to wait is to let the world go on."""

    def __init__(self, bench: Bench) -> None:
        self._bench, self._began = bench, bench.now

    def now(self) -> float:
        return self._bench.now - self._began

    async def sleep(self, seconds: float) -> None:
        await self._bench.advance(seconds)


class Session:
    """One experiment about to be carried out. `bench` is there while it runs on a simulated one."""

    def __init__(self, loaded: LoadedExperiment, runs: Path, seed: int) -> None:
        self.loaded, self.runs, self.seed = loaded, runs, seed
        self.control = RunControl()
        """By which the run can be paused, stopped and aborted while it goes on."""
        self.bench: Bench | None = None
        self.telemetry_trouble = ""
        """Why telemetry did not get through at the end of the run, when it did not."""

    async def carry_out(self, observers: Iterable[RunObserver] = ()) -> RunReport:
        """Run it. Returns how it ended; a cancellation aborts the run and makes the instruments safe.

        Raises click.UsageError when something that the run needs around it cannot be had.
        """
        report: RunReport | None = None
        try:
            async with AsyncExitStack() as stack:
                report = await self._carry_out(stack, observers)
        except asyncio.CancelledError:
            if report is None:
                raise
            # The run is over and told: only the taking apart was cut short.
        assert report is not None
        return report

    async def _carry_out(self, stack: AsyncExitStack, observers: Iterable[RunObserver]) -> RunReport:
        experiment, testbed = self.loaded.experiment, self.loaded.testbed
        clock: RunClock = WallClock()
        addresses = {name: entry.address for name, entry in testbed.instruments.items()}
        if testbed.simulated:
            self.bench = await stack.enter_async_context(bench_of(testbed, self.seed))
            addresses, clock = self.bench.addresses, BenchClock(self.bench)
        connection = await self._broker(stack)
        try:
            folder = RunFolder.create(self.runs, experiment.experiment)
        except StorageError as error:
            return RunReport(None, ending_of(error))
        root = experiment.telemetry.root
        publisher = Publisher(**connection, site=testbed.testbed, run=folder.name, root=root)
        await stack.enter_async_context(publisher)
        nodes = {name: entry.node for name, entry in testbed.instruments.items()}
        report = await execute(
            self.loaded,
            drivers_of(testbed, addresses),
            clock,
            folder,
            seed=self.seed,
            control=self.control,
            observers=[*observers, TelemetryObserver(publisher, experiment.experiment, nodes)],
            about={"broker": {"host": publisher.host, "port": publisher.port}, **self.loaded.about},
        )
        if publisher.trouble:
            self.telemetry_trouble = f"no broker at {publisher.host}:{publisher.port}, {publisher.trouble}"
        return report

    async def _broker(self, stack: AsyncExitStack) -> Connection:
        """Where telemetry goes, and as whom."""
        telemetry = self.loaded.experiment.telemetry
        if telemetry.broker is None:
            broker = await stack.enter_async_context(EmbeddedBroker())
            return {"host": broker.host, "port": broker.port, "username": None, "password": None}
        parts = urlsplit(telemetry.broker)
        try:
            username, password = (
                resolve(reference) if reference else None
                for reference in (telemetry.username, telemetry.password)
            )
        except LookupError as error:
            raise click.UsageError(f"telemetry: {error}") from error
        return {
            "host": parts.hostname or "",
            "port": parts.port or MQTT_PORT,
            "username": username,
            "password": password,
        }
